//! `sandboxctl policy`: what a running sandbox was started with.

use serde_json::Value;

use crate::control::sandbox::{self, Refusal};
use crate::policy::recorded::toml_of;
use crate::profile::write;
use crate::report::escape;

use super::super::{answer, inspect};
use super::running::refuse;

pub(super) fn policy(name: &str, json: bool) -> Result<(), i32> {
    let sandbox = sandbox::find(name).map_err(|error| refuse(&error))?;
    sandbox.record().map_err(|error| refuse(&error))?;
    let policy: Option<Value> = sandbox
        .policy
        .as_ref()
        .and_then(|text| serde_json::from_str(text).ok());
    let Some(policy) = policy else {
        return Err(refuse(&Refusal::new(format!(
            "the record of `{name}` has no policy"
        ))));
    };
    if json {
        return answer(&format!("{policy:#}\n"));
    }
    answer(&toml(&policy, inspect::paint()))
}

fn place_of(origin: &Value) -> String {
    let source = origin.get("source").and_then(Value::as_str).unwrap_or("?");
    let source = escape::line(source);
    match origin.get("line").and_then(Value::as_u64) {
        Some(line) => format!("{source}:{line}"),
        None => source.into_owned(),
    }
}

/// As `sandboxctl show` has it: TOML, with the places as comments.
fn toml(policy: &Value, paint: crate::report::paint::Paint) -> String {
    const WIDEST: usize = 48;
    let name = policy.get("name").and_then(Value::as_str).unwrap_or("");
    let mut out = paint.faint(&format!(
        "# {}, as it was when the sandbox was started",
        escape::line(name)
    ));
    out.push('\n');
    let sections = policy.get("sections").and_then(Value::as_object);
    for (section, rules) in sections.into_iter().flatten() {
        let heading = format!("[{}]", escape::line(section));
        out.push_str(&format!("\n{}\n", paint.strong(&heading)));
        let rules: Vec<(String, &Value)> = rules
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, rule)| {
                let value = rule.get("value").map_or_else(String::new, toml_of);
                (format!("{} = {value}", write::key(key)), rule)
            })
            .collect();
        let column = rules
            .iter()
            .map(|(said, _)| said.chars().count())
            .filter(|width| *width <= WIDEST)
            .max()
            .unwrap_or(0);
        for (said, rule) in rules {
            let place = rule.get("origin").map_or_else(String::new, place_of);
            let said = escape::line(&said).into_owned();
            out.push_str(&format!(
                "{said:column$}  {}\n",
                paint.faint(&format!("# {place}"))
            ));
            let overruled = rule.get("overrules").and_then(Value::as_array);
            for before in overruled.into_iter().flatten() {
                let value = before.get("value").map_or_else(String::new, toml_of);
                let place = before.get("origin").map_or_else(String::new, place_of);
                let line = format!("    # overrules {} at {place}", escape::line(&value));
                out.push_str(&paint.faint(&line));
                out.push('\n');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::paint::Paint;
    use serde_json::json;

    #[test]
    fn every_value_has_its_place() {
        let policy = json!({
            "name": "p",
            "sections": { "limits": { "memory": {
                "value": "1G",
                "origin": { "source": "p.toml", "line": 2, "column": 1 },
                "overrules": [{ "value": "2G", "origin": { "source": "q.toml", "line": 3, "column": 1 } }],
            }, "pids": {
                "value": 5,
                "origin": { "source": "--pids", "line": null, "column": null },
                "overrules": [],
            } } },
        });
        assert_eq!(
            toml(&policy, Paint::PLAIN),
            "# p, as it was when the sandbox was started\n\n[limits]\nmemory = \"1G\"  # p.toml:2\n    # overrules \"2G\" at q.toml:3\npids = 5       # --pids\n"
        );
    }
}
