//! A policy from its JSON, as `show::json` has written it: with the places that it had, though not their texts.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{Layer, Overruled, Policy, Rule};
use crate::profile::document;
use crate::profile::key::Section;
use crate::profile::value::Value;
use crate::profile::write;
use crate::report::{Located, Site, Source, SourceId, SourceKind, SourceMap};

/// A place beyond this line is shown at it: the files that profiles come from are shorter.
const LAST_LINE: u64 = 1 << 14;
/// Bytes of empty lines for all sources together. What needs more was written by nobody who meant well: no place is told of it.
const MOST_BYTES: usize = 1 << 21;

/// A value of such JSON as a profile writes it.
#[must_use]
pub fn toml_of(value: &Json) -> String {
    match value {
        Json::String(text) => write::quoted(text),
        Json::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(key, value)| format!("{} = {}", write::key(key), toml_of(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        Json::Array(items) => {
            let items = items.iter().map(toml_of);
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Reads a policy. `sources` gets the sources of its places.
///
/// # Errors
/// What is there is no policy, or says what this program does not know.
pub fn read(json: &Json, sources: &mut SourceMap) -> Result<Policy, String> {
    let mut places = Places::of(json, sources);
    let text = |key: &str| json.get(key).and_then(Json::as_str);
    let mut policy = Policy {
        name: text("name").ok_or("it has no name")?.to_owned(),
        ..Policy::default()
    };
    policy.private_name.clone_from(&policy.name);
    policy.description =
        text("description").map(|text| Located::new(text.to_owned(), Site::DEFAULT));
    for layer in array(json.get("layers")) {
        let said = |key| layer.get(key).and_then(Json::as_str).unwrap_or_default();
        policy.layers.push(Layer {
            name: said("name").to_owned(),
            site: places.site(said("source"), 1, 1),
            typed: false,
        });
    }
    for key in array(json.get("degrade")).filter_map(Json::as_str) {
        policy
            .degrade
            .push(Located::new(key.to_owned(), Site::DEFAULT));
    }
    let sections = json.get("sections").and_then(Json::as_object);
    for (name, keys) in sections.into_iter().flatten() {
        let section = Section::ALL
            .into_iter()
            .find(|section| section.name() == name)
            .ok_or_else(|| format!("there is no section `{name}`"))?;
        for (key, rule) in keys.as_object().into_iter().flatten() {
            let said = |json: &Json| value(section, key, json.get("value"));
            let (site, layer) = places.origin(rule);
            let mut overruled = Vec::new();
            for before in array(rule.get("overrules")) {
                let (site, layer) = places.origin(before);
                overruled.push(Overruled {
                    value: said(before)?,
                    site,
                    layer,
                });
            }
            let rule = Rule {
                value: said(rule)?,
                site,
                key_site: site,
                layer,
                overruled,
            };
            policy.rules.insert((section, key.clone()), rule);
        }
    }
    Ok(policy)
}

fn array(json: Option<&Json>) -> impl Iterator<Item = &Json> {
    json.and_then(Json::as_array).into_iter().flatten()
}

/// A value is read as a document with it alone is, so that no other words for values are known here.
fn value(section: Section, key: &str, json: Option<&Json>) -> Result<Option<Value>, String> {
    let json = json.ok_or_else(|| format!("`{section}.{key}` has no value"))?;
    if json == "inherit" {
        return Ok(None);
    }
    let text = format!("[{section}]\n{} = {}\n", write::key(key), toml_of(json));
    let mut sources = SourceMap::new();
    let id = sources.add(Source {
        name: String::new(),
        kind: SourceKind::Embedded,
        text: text.clone().into(),
    });
    let parsed = document::parse("recorded", id, &text);
    match (
        parsed.diagnostics.first(),
        parsed.profile.entries.into_iter().next(),
    ) {
        (Some(wrong), _) => Err(format!("`{section}.{key}`: {}", wrong.message)),
        (None, Some(entry)) => Ok(entry.value.value),
        (None, None) => Err(format!("`{section}.{key}` says nothing")),
    }
}

/// The sources that a policy names. Their texts are not recorded; in their place stand as many empty lines as it takes for
/// places to be told.
struct Places {
    sources: BTreeMap<String, (SourceId, usize)>,
    layers: Vec<String>,
}

impl Places {
    fn of(json: &Json, sources: &mut SourceMap) -> Self {
        let layers = array(json.get("layers"))
            .map(|layer| {
                layer
                    .get("source")
                    .and_then(Json::as_str)
                    .unwrap_or_default()
            })
            .map(str::to_owned)
            .collect();
        let mut last: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let mut note = |origin: Option<&Json>| {
            let (name, line, column) = place_of(origin);
            let most = last.entry(name).or_default();
            *most = (most.0.max(line), most.1.max(column));
        };
        let sections = json.get("sections").and_then(Json::as_object);
        let rules = sections
            .into_iter()
            .flatten()
            .filter_map(|(_, keys)| keys.as_object());
        for rule in rules.flat_map(|keys| keys.values()) {
            note(rule.get("origin"));
            for before in array(rule.get("overrules")) {
                note(before.get("origin"));
            }
        }
        let mut left = MOST_BYTES;
        let sources = last.into_iter().filter_map(|(name, (lines, columns))| {
            let width = usize::try_from(columns).unwrap_or(0);
            left = left.checked_sub((width + 1) * usize::try_from(lines).unwrap_or(0))?;
            let line = format!("{}\n", " ".repeat(width));
            let has_lines = lines > 0;
            let id = sources.add(Source {
                name: name.clone(),
                kind: if has_lines {
                    SourceKind::Embedded
                } else {
                    SourceKind::Default
                },
                text: line.repeat(usize::try_from(lines).unwrap_or(0)).into(),
            });
            Some((name, (id, width)))
        });
        Self {
            sources: sources.collect(),
            layers,
        }
    }

    fn site(&self, name: &str, line: u64, column: u64) -> Site {
        let Some(&(id, width)) = self.sources.get(name) else {
            return Site::DEFAULT;
        };
        let number = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or(0);
        let at = number(line) * (width + 1) + number(column);
        Site::new(id, at..at)
    }

    /// Where something was said, and in which layer.
    fn origin(&mut self, rule: &Json) -> (Site, usize) {
        let (name, line, column) = place_of(rule.get("origin"));
        let layer = self.layers.iter().rposition(|layer| *layer == name);
        // What is of no file is of the command line, the last.
        let layer = layer.unwrap_or(self.layers.len());
        (self.site(&name, line, column), layer)
    }
}

fn place_of(origin: Option<&Json>) -> (String, u64, u64) {
    const WIDEST: u64 = 200;
    let field = |key| origin.and_then(|origin| origin.get(key));
    let number = |key| field(key).and_then(Json::as_u64).unwrap_or(0);
    let name = field("source").and_then(Json::as_str).unwrap_or_default();
    (
        name.to_owned(),
        number("line").min(LAST_LINE),
        number("column").min(WIDEST),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{resolve, show};
    use super::*;

    fn profile(name: &str, text: &str, sources: &mut SourceMap) -> crate::profile::Profile {
        let id = sources.add(Source {
            name: format!("{name}.toml"),
            kind: SourceKind::Embedded,
            text: text.to_owned().into(),
        });
        let parsed = document::parse(name, id, text);
        assert_eq!(parsed.diagnostics, []);
        parsed.profile
    }

    /// Every kind of value comes back, with its place, from what is recorded of it.
    #[test]
    fn what_is_written_is_read() {
        let mut sources = SourceMap::new();
        let mut text = String::from("description = \"d\"\n");
        let mut last = None;
        for key in crate::profile::table::KEYS {
            if last != Some(key.section) {
                text.push_str(&format!("[{}]\n", key.section));
                last = Some(key.section);
            }
            // Two examples of one section may be about one key.
            if !text.contains(&format!("\n{}\n", key.example)) {
                text.push_str(&format!("{}\n", key.example));
            }
        }
        let id = sources.add(Source {
            name: "all.toml".to_owned(),
            kind: SourceKind::Embedded,
            text: text.clone().into(),
        });
        let all = document::parse("all", id, &text).profile;
        let over = profile(
            "over",
            "[limits]\nmemory = \"1G\"\npids = \"inherit\"\n",
            &mut sources,
        );
        let policy = resolve("all+over", &[all, over]);
        let json = show::json(&policy, &sources);
        let mut again = SourceMap::new();
        let read = read(&json, &mut again).unwrap();
        assert_eq!(read.rules.len(), policy.rules.len());
        for (key, rule) in policy.rules.iter() {
            let found = read.rules.get(key.0, &key.1).unwrap();
            let shown = |rule: &Rule| rule.value.as_ref().map(Value::to_toml);
            assert_eq!(shown(found), shown(rule), "{key:?}");
            assert_eq!(found.layer, rule.layer, "{key:?}");
            assert_eq!(
                again.position(found.site),
                sources.position(rule.site),
                "{key:?}"
            );
        }
        assert_eq!(show::json(&read, &again)["sections"], json["sections"]);
    }

    #[test]
    fn what_is_no_policy_is_told() {
        for text in [
            "{}",
            "[]",
            r#"{"name":"x","sections":{"nothing":{}}}"#,
            r#"{"name":"x","sections":{"limits":{"memory":{}}}}"#,
            r#"{"name":"x","sections":{"limits":{"memory":{"value":"much"}}}}"#,
            r#"{"name":"x","sections":{"limits":{"memory":{"value":"1G\u0000"}}}}"#,
            r#"{"name":"x","sections":{"limits":{"a\nb":{"value":"1G"}}}}"#,
        ] {
            let json: Json = serde_json::from_str(text).unwrap();
            assert!(read(&json, &mut SourceMap::new()).is_err(), "{text}");
        }
    }
}
