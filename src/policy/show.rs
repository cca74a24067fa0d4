//! The effective policy for people and programs: every value with the place that it came from, and what it overruled.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Overruled, Policy, Rule};
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

fn value_of(value: Option<&Value>) -> serde_json::Value {
    value.map_or_else(|| "inherit".into(), Value::to_json)
}

/// A place in JSON.
struct Origin<'a>(Site, &'a SourceMap);

impl Serialize for Origin<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let position = self.1.position(self.0);
        let mut map = to.serialize_map(Some(3))?;
        map.serialize_entry("column", &(position.column > 0).then_some(position.column))?;
        map.serialize_entry("line", &(position.line > 0).then_some(position.line))?;
        map.serialize_entry("source", &position.name)?;
        map.end()
    }
}

/// A value that was overruled.
struct Before<'a>(&'a Overruled, &'a SourceMap);

impl Serialize for Before<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(2))?;
        map.serialize_entry("origin", &Origin(self.0.site, self.1))?;
        map.serialize_entry("value", &value_of(self.0.value.as_ref()))?;
        map.end()
    }
}

/// A rule with all that it overruled.
struct Shown<'a>(&'a Rule, &'a SourceMap);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(rule, sources) = self;
        let mut map = to.serialize_map(Some(3))?;
        map.serialize_entry("origin", &Origin(rule.site, sources))?;
        let overrules = rule.overruled.iter();
        map.serialize_entry(
            "overrules",
            &Each(overrules.map(|before| Before(before, sources))),
        )?;
        map.serialize_entry("value", &value_of(rule.value.as_ref()))?;
        map.end()
    }
}

/// The rules of one section.
struct Rules<'a>(Section, &'a Policy, &'a SourceMap);

impl<'a> Rules<'a> {
    fn iter(&self) -> impl Iterator<Item = (&'a str, &'a Rule)> + use<'a> {
        let rules = self.1.rules.of(self.0).iter();
        rules.map(|((_, key), rule)| (key.as_str(), rule))
    }
}

impl Serialize for Rules<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter().map(|(key, rule)| (key, Shown(rule, self.2))))
    }
}

/// A sequence, made while it is written.
struct Each<I>(I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for Each<I> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.clone())
    }
}

/// A policy that is written as [`json`] has it, piece by piece: as a value it would take ten times its text.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(pub &'a Policy, pub &'a SourceMap);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(policy, sources) = *self;
        let mut sections: Vec<(&str, Rules<'_>)> = (Section::ALL.into_iter())
            .map(|section| (section.name(), Rules(section, policy, sources)))
            .filter(|(_, rules)| rules.iter().next().is_some())
            .collect();
        sections.sort_by_key(|(name, _)| *name);
        let layers = (policy.layers.iter()).map(|layer| {
            let source = &sources.get(layer.site.source).name;
            BTreeMap::from([("name", &layer.name), ("source", source)])
        });
        let degrade = policy.degrade.iter().map(|rule| rule.value.as_str());
        let description = policy.description.as_ref();
        let mut map = to.serialize_map(Some(5))?;
        map.serialize_entry("degrade", &Each(degrade))?;
        map.serialize_entry("description", &description.map(|text| text.value.as_str()))?;
        map.serialize_entry("layers", &Each(layers))?;
        map.serialize_entry("name", &policy.name)?;
        map.serialize_entry("sections", &Table(&sections))?;
        map.end()
    }
}

/// Pairs as a map, in their order.
struct Table<'a, T>(&'a [(&'a str, T)]);

impl<T: Serialize> Serialize for Table<'_, T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// The policy as JSON: `{name, description, layers, degrade, sections: {limits: {memory: {value, origin:
/// {source, line, column}, overrules: [{value, origin}]}}}}`. Lines and columns are `null` for the command line.
#[must_use]
pub fn json(policy: &Policy, sources: &SourceMap) -> serde_json::Value {
    // Nothing of it is refused.
    serde_json::to_value(Json(policy, sources)).unwrap_or_default()
}
