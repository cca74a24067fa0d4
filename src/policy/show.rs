//! The effective policy for people and programs: every value with the place that it came from, and what it overruled.

use serde_json::{Map, json};

use super::{Policy, Rule};
use crate::profile::key::{Name, Section};
use crate::profile::name;
use crate::profile::table::KEYS;
use crate::profile::value::Value;
use crate::profile::write;
use crate::report::paint::Paint;
use crate::report::{Site, SourceMap, escape};

/// `firefox.toml:7`, or the option.
fn origin(site: Site, sources: &SourceMap) -> String {
    let position = sources.position(site);
    let name = escape::line(&position.name).into_owned();
    if position.line == 0 {
        name
    } else {
        format!("{name}:{}", position.line)
    }
}

fn toml_of(value: Option<&Value>) -> String {
    value.map_or_else(|| "\"inherit\"".to_owned(), Value::to_toml)
}

/// The policy as a TOML document that reads back as the same rules. Origins are comments; with `all`, so are the
/// defaults of the keys that no layer mentions.
#[must_use]
pub fn toml(policy: &Policy, sources: &SourceMap, all: bool, paint: Paint) -> String {
    let mut out = paint.faint(&format!(
        "# {}, merged from these, the later over the earlier:",
        escape::line(&policy.name)
    ));
    out.push('\n');
    for layer in &policy.layers {
        let at = sources.position(layer.site);
        let layer = format!(
            "#   {} ({})",
            escape::line(&layer.name),
            escape::line(&at.name)
        );
        out.push_str(&paint.faint(&layer));
        out.push('\n');
    }
    if let Some(description) = &policy.description {
        out.push_str(&format!(
            "description = {}\n",
            write::quoted(&description.value)
        ));
    }
    if !policy.degrade.is_empty() {
        let rules = policy.degrade.iter().map(|rule| rule.value.as_str());
        out.push_str(&format!("degrade = {}\n", write::array(rules)));
    }
    for section in Section::ALL {
        let mut body = String::new();
        let rules: Vec<(String, &Rule)> = policy
            .rules
            .iter()
            .filter(|((at, _), _)| *at == section)
            .map(|((_, key), rule)| (said(spelling(section, key, rule, sources), rule), rule))
            .collect();
        let column = rules
            .iter()
            .map(|(said, _)| said.chars().count())
            .filter(|&width| width <= WIDEST)
            .max()
            .unwrap_or(0);
        for (said, rule) in rules {
            body.push_str(&line(&said, rule, column, sources, paint));
        }
        if all {
            for key in KEYS.iter().filter(|key| key.section == section) {
                let mentioned = match key.name {
                    Name::Exact(name) => policy.rules.get(section, name).is_some(),
                    _ => true,
                };
                if !mentioned {
                    let default = format!("# {}: {} (default)", key.label(), key.default);
                    body.push_str(&paint.faint(&default));
                    body.push('\n');
                }
            }
        }
        if !body.is_empty() {
            let heading = paint.strong(&format!("[{section}]"));
            out.push_str(&format!("\n{heading}\n{body}"));
        }
    }
    out
}

/// A key as its author spelt it, which people know it by, when that reads back as the same key.
fn spelling<'a>(section: Section, key: &'a str, rule: &Rule, sources: &'a SourceMap) -> &'a str {
    let written = sources.text(rule.key_site).trim_matches(['"', '\'']);
    match name::lookup(section, written) {
        Ok((_, canonical)) if canonical == key => written,
        _ => key,
    }
}

/// Places stand in a column, unless what is before them is wider than this.
const WIDEST: usize = 48;

fn said(key: &str, rule: &Rule) -> String {
    // A removal is shown, but says nothing any more.
    let mark = if rule.value.is_none() { "# " } else { "" };
    format!(
        "{mark}{} = {}",
        write::key(key),
        toml_of(rule.value.as_ref())
    )
}

fn line(said: &str, rule: &Rule, column: usize, sources: &SourceMap, paint: Paint) -> String {
    let place = format!("# {}", origin(rule.site, sources));
    let mut out = format!("{said:column$}  {}\n", paint.faint(&place));
    for before in &rule.overruled {
        let before = format!(
            "    # overrules {} at {}",
            toml_of(before.value.as_ref()),
            origin(before.site, sources)
        );
        out.push_str(&paint.faint(&before));
        out.push('\n');
    }
    out
}

fn place(site: Site, sources: &SourceMap) -> serde_json::Value {
    let position = sources.position(site);
    json!({
        "source": position.name,
        "line": (position.line > 0).then_some(position.line),
        "column": (position.column > 0).then_some(position.column),
    })
}

fn value_of(value: Option<&Value>) -> serde_json::Value {
    value.map_or_else(|| json!("inherit"), Value::to_json)
}

/// The policy as JSON: `{name, description, layers, degrade, sections: {limits: {memory: {value, origin:
/// {source, line, column}, overrules: [{value, origin}]}}}}`. Lines and columns are `null` for the command line.
#[must_use]
pub fn json(policy: &Policy, sources: &SourceMap) -> serde_json::Value {
    let mut sections: Map<String, serde_json::Value> = Map::new();
    for ((section, key), rule) in policy.rules.iter() {
        let overrules: Vec<serde_json::Value> = rule
            .overruled
            .iter()
            .map(|before| json!({ "value": value_of(before.value.as_ref()), "origin": place(before.site, sources) }))
            .collect();
        let rule = json!({
            "value": value_of(rule.value.as_ref()),
            "origin": place(rule.site, sources),
            "overrules": overrules,
        });
        if let Some(table) = sections
            .entry(section.name())
            .or_insert_with(|| json!({}))
            .as_object_mut()
        {
            table.insert(key.clone(), rule);
        }
    }
    let layers: Vec<serde_json::Value> = policy
        .layers
        .iter()
        .map(|layer| json!({ "name": layer.name, "source": sources.get(layer.site.source).name }))
        .collect();
    let degrade: Vec<&str> = policy
        .degrade
        .iter()
        .map(|rule| rule.value.as_str())
        .collect();
    json!({
        "name": policy.name,
        "description": policy.description.as_ref().map(|text| text.value.as_str()),
        "layers": layers,
        "degrade": degrade,
        "sections": sections,
    })
}
