//! The JSON schema (draft 2020-12) of a profile, made from the table of keys; for editors and for other programs.

mod changes;
pub mod running;
mod steering;

use serde_json::{Map, Value, json};

use super::reference;
use crate::profile::key::{Key, Kind, Name, Section};
use crate::profile::table;

/// The schema of `NAME.toml`.
#[must_use]
pub fn schema() -> Value {
    let mut properties = Map::new();
    for &(name, example, summary) in table::TOP {
        let mut entry = match name {
            "description" => json!({ "type": "string" }),
            "degrade" => kind(Kind::Rules),
            "extends" => {
                json!({ "type": "array", "items": { "type": "string", "maxLength": 64, "pattern": "^[A-Za-z0-9_+][A-Za-z0-9_+.-]*$" } })
            }
            _ => json!({ "type": "array", "items": { "type": "string", "pattern": "^[^/]+$" } }),
        };
        describe(&mut entry, summary.to_owned(), example);
        properties.insert(name.to_owned(), entry);
    }
    for at in Section::ALL {
        properties.insert(at.name().to_owned(), section(at));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sandbox profile",
        "description": "What a program started by `sandbox` may use, see and do: sandbox.toml(5)",
        "type": "object",
        "minProperties": 1,
        "additionalProperties": false,
        "properties": properties,
        "$defs": definitions(),
    })
}

/// The schema as it is printed and committed.
#[must_use]
pub fn text() -> String {
    format!("{:#}\n", schema())
}

/// Absolute, or below the home directory or a directory that the host names.
const PATH: &str = r"^(/|~(/|$)|\$\{[A-Z_]+\}(/|$))";
/// hostname(7)
const HOSTNAME: &str =
    r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$";

fn section(section: Section) -> Value {
    let mut exact = Map::new();
    let mut patterns: Vec<(String, Value)> = Vec::new();
    for key in reference::keys(section) {
        match name_pattern(key.name) {
            None => {
                exact.insert(reference::name(key).to_owned(), value(key));
            }
            Some(names) => patterns.push((names, value(key))),
        }
    }
    let description = format!(
        "{}. {}",
        reference::title(section),
        reference::about(section)
    );
    let mut out = json!({ "type": "object", "description": description });
    match patterns.len() {
        // A word such as `default` is a key of its own although a system call could be called so: what a pattern takes is
        // said for all keys that are not named, not by patternProperties, which would hold for the named ones too.
        1 => {
            let (names, others) = patterns.swap_remove(0);
            let mut allowed = vec![json!({ "pattern": names })];
            if !exact.is_empty() {
                allowed.insert(0, json!({ "enum": exact.keys().collect::<Vec<_>>() }));
            }
            out["propertyNames"] = json!({ "anyOf": allowed });
            out["additionalProperties"] = others;
        }
        // Several patterns never meet each other or a word.
        0 => out["additionalProperties"] = json!(false),
        _ => {
            out["additionalProperties"] = json!(false);
            out["patternProperties"] = Value::Object(patterns.into_iter().collect());
        }
    }
    if !exact.is_empty() {
        out["properties"] = Value::Object(exact);
    }
    out
}

/// The names that a pattern key takes.
fn name_pattern(name: Name) -> Option<String> {
    match name {
        Name::Exact(_) => None,
        Name::Path => Some(PATH.to_owned()),
        Name::Syscall => {
            Some(r"^(@[a-z_][a-z0-9_-]*|[a-z_][a-z0-9_-]*( *\([^()]+\))?)$".to_owned())
        }
        Name::Capability => Some(r"^[A-Za-z_]+$".to_owned()),
        Name::Variable => Some(r"^[^=]+$".to_owned()),
        Name::BusName => Some(
            r"^((session|system):)?[A-Za-z_-][A-Za-z0-9_-]*(\.[A-Za-z_-][A-Za-z0-9_-]*)+(\.\*)?(\([^()]+\))?$"
                .to_owned(),
        ),
        Name::Device => Some(r"^/dev/.".to_owned()),
        Name::Open { start, .. } => Some(format!("^{start}[A-Za-z0-9._:-]+$")),
    }
}

/// What a key takes: what its kind says, or `"inherit"`.
fn value(key: &Key) -> Value {
    let mut out = json!({ "anyOf": [kind(key.kind), { "$ref": "#/$defs/inherit" }] });
    let mut description = format!("{}\n\n{}", key.summary, key.detail);
    if let Some(security) = key.security {
        description.push_str(&format!("\n\nSecurity: {security}"));
    }
    description.push_str(&format!(
        "\n\nDefault: {}. Since {}.",
        key.default, key.since
    ));
    describe(&mut out, description, key.example);
    if let Some(default) = toml_value(&format!("default = {}", key.default))
        && fits(key.kind, &default)
    {
        out["default"] = default;
    }
    out
}

fn describe(out: &mut Value, description: String, example: &str) {
    out["description"] = Value::String(description);
    if let Some(example) = toml_value(example) {
        out["examples"] = json!([example]);
    }
}

/// Whether a default that reads as TOML is a value of the key, and not just a word of a sentence that happens to.
fn fits(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Bool => value.is_boolean(),
        Kind::Integer(low, high) => value.as_i64().is_some_and(|n| (low..=high).contains(&n)),
        Kind::Weight => fits(Kind::Integer(1, 10_000), value),
        Kind::Words(_) | Kind::Rules => value.is_array(),
        _ => value.is_string(),
    }
}

fn kind(kind: Kind) -> Value {
    let defined = match kind {
        Kind::Size => "size",
        Kind::Bytes => "bytes",
        Kind::Count => "count",
        Kind::Cpu => "cpu",
        Kind::Duration => "duration",
        Kind::Mode => "mode",
        Kind::Hostname => "hostname",
        Kind::Path => "path",
        Kind::Namespace => "namespace",
        Kind::View => "view",
        Kind::SyscallAction => "syscall-action",
        Kind::Device => "device",
        Kind::Id => "id",
        Kind::Weight => "weight",
        Kind::Ranges => "ranges",
        Kind::Rates => "rates",
        Kind::NetClass => "net-class",
        Kind::IoPriority => "io-priority",
        Kind::Scheduler => "scheduler",
        Kind::CpuSet => "cpu-set",
        Kind::Bool => return json!({ "type": "boolean" }),
        Kind::Integer(low, high) => {
            return json!({ "type": "integer", "minimum": low, "maximum": high });
        }
        Kind::Word(words) => return json!({ "enum": words }),
        Kind::Words(words) => {
            return json!({ "type": "array", "uniqueItems": true, "items": { "enum": words } });
        }
        Kind::Keep => return json!({ "enum": table::KEEP_WORDS }),
        Kind::Text => return json!({ "type": "string", "pattern": "^[^\\u0000]*$" }),
        Kind::Variable => {
            return json!({ "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": "^[^\\u0000]*$" }] });
        }
        Kind::Rules => {
            let sections = Section::ALL.map(Section::name).join("|");
            return json!({
                "type": "array",
                "items": { "type": "string", "pattern": format!(r"^({sections})\..") }
            });
        }
    };
    json!({ "$ref": format!("#/$defs/{defined}") })
}

fn definitions() -> Value {
    let access = ["hidden", "read-only", "read-write"];
    let words = crate::profile::read::VIEW_WORDS;
    let (boolean, create) = (
        json!({ "type": "boolean" }),
        json!({ "enum": ["dir", "file"] }),
    );
    let amount = |least: u32, pattern: &str| json!([{ "type": "integer", "minimum": least }, { "type": "string", "pattern": pattern }]);
    let kinds = [
        (
            "size",
            Kind::Size,
            json!({ "anyOf": amount(0, r"^(max|[0-9]+([KMGTPE](iB)?)?|[0-9]+(\.[0-9]{1,2})?%)$") }),
        ),
        (
            "bytes",
            Kind::Bytes,
            json!({ "anyOf": amount(0, r"^(max|[0-9]+([KMGTPE](iB)?)?)$") }),
        ),
        ("count", Kind::Count, json!({ "anyOf": amount(0, "^max$") })),
        (
            "cpu",
            Kind::Cpu,
            json!({ "type": "string", "pattern": r"^(max|[0-9]+(\.[0-9]{1,2})?%)$" }),
        ),
        (
            "duration",
            Kind::Duration,
            json!({ "anyOf": amount(1, "^[0-9]+(ms|s|m|h|d)$") }),
        ),
        (
            "mode",
            Kind::Mode,
            json!({ "type": "string", "pattern": "^(0o)?(0[0-7]{3}|[0-7]{1,3})$" }),
        ),
        (
            "hostname",
            Kind::Hostname,
            json!({ "type": "string", "maxLength": 64, "pattern": HOSTNAME }),
        ),
        (
            "path",
            Kind::Path,
            json!({ "type": "string", "pattern": PATH }),
        ),
        (
            "namespace",
            Kind::Namespace,
            json!({ "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": "^(/|sandbox:[A-Za-z0-9_+][A-Za-z0-9_+.-]*$)" }] }),
        ),
        (
            "view",
            Kind::View,
            json!({ "anyOf": [
            { "enum": words },
            {
                "type": "object", "required": ["access"], "additionalProperties": false,
                "properties": {
                    "access": { "enum": words },
                    "execute": boolean, "create": create, "required": boolean
                }
            },
            {
                "type": "object", "required": ["bind"], "additionalProperties": false,
                "properties": {
                    "bind": { "$ref": "#/$defs/path" },
                    "access": { "enum": [access[1], access[2]], "default": access[1] },
                    "execute": boolean, "create": create, "required": boolean
                }
            },
            {
                "type": "object", "required": ["tmpfs"], "additionalProperties": false,
                "properties": { "tmpfs": { "$ref": "#/$defs/size" }, "execute": boolean }
            },
            {
                "type": "object", "required": ["copy"], "additionalProperties": false,
                "properties": { "copy": { "$ref": "#/$defs/size" }, "execute": boolean }
            },
            {
                "type": "object", "required": ["root"], "additionalProperties": false,
                "properties": {
                    "root": { "type": "string" },
                    "access": { "enum": [access[1], access[2]], "default": access[2] },
                    "execute": boolean
                }
            },
            {
                "type": "object", "required": ["text"], "additionalProperties": false,
                "properties": { "text": { "type": "string" } }
            },
        ] }),
        ),
        (
            "syscall-action",
            Kind::SyscallAction,
            json!({ "anyOf": [
            { "enum": ["allow", "deny", "kill", "log", "trap"] },
            { "type": "string", "pattern": "^E[A-Z0-9]+$" },
        ] }),
        ),
        (
            "device",
            Kind::Device,
            json!({ "anyOf": [{ "type": "boolean" }, { "enum": ["read-write", "hidden"] }] }),
        ),
        (
            "id",
            Kind::Id,
            json!({ "anyOf": [
            { "enum": ["caller", "root"] },
            { "type": "integer", "minimum": 0, "maximum": u32::MAX - 1 },
        ] }),
        ),
        (
            "weight",
            Kind::Weight,
            json!({ "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 10_000 }, { "const": "idle" }] }),
        ),
        (
            "ranges",
            Kind::Ranges,
            json!({ "type": "string", "pattern": "^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$" }),
        ),
        (
            "rates",
            Kind::Rates,
            json!({
                "type": "object", "minProperties": 1, "additionalProperties": false,
                "properties": {
                    "read": { "$ref": "#/$defs/bytes" },
                    "write": { "$ref": "#/$defs/bytes" },
                    "read-operations": { "$ref": "#/$defs/count" },
                    "write-operations": { "$ref": "#/$defs/count" },
                }
            }),
        ),
        (
            "net-class",
            Kind::NetClass,
            json!({ "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": u32::MAX },
                { "type": "string", "pattern": "^(0x[0-9A-Fa-f]+|[0-9]+|[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4})$" },
            ] }),
        ),
        (
            "io-priority",
            Kind::IoPriority,
            json!({ "type": "string", "pattern": "^(idle|(best-effort|realtime):[0-7])$" }),
        ),
        (
            "scheduler",
            Kind::Scheduler,
            json!({ "type": "string", "pattern": "^(other|batch|idle|(fifo|round-robin):[1-9][0-9]?)$" }),
        ),
        (
            "cpu-set",
            Kind::CpuSet,
            json!({ "type": "string", "pattern": "^ *[0-9]+(-[0-9]+)? *(, *[0-9]+(-[0-9]+)? *)*$" }),
        ),
    ];
    let mut out = Map::new();
    out.insert(
        "inherit".to_owned(),
        json!({ "const": "inherit", "description": "what an extended profile says no longer holds; back to the default" }),
    );
    for (name, kind, mut definition) in kinds {
        definition["description"] = Value::String(reference::values(kind));
        out.insert(name.to_owned(), definition);
    }
    Value::Object(out)
}

/// The value of the one key in a line of TOML.
fn toml_value(line: &str) -> Option<Value> {
    let document = toml::de::DeTable::parse(line).ok()?;
    let (_, value) = document.get_ref().iter().next()?;
    json_value(value.get_ref())
}

fn json_value(value: &toml::de::DeValue<'_>) -> Option<Value> {
    use toml::de::DeValue;
    Some(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Integer(number) => {
            Value::from(i64::from_str_radix(number.as_str(), number.radix()).ok()?)
        }
        DeValue::Float(number) => Value::from(number.as_str().parse::<f64>().ok()?),
        DeValue::Datetime(_) => return None,
        DeValue::Array(items) => items
            .iter()
            .map(|item| json_value(item.get_ref()))
            .collect::<Option<Vec<_>>>()?
            .into(),
        DeValue::Table(table) => Value::Object(
            table
                .iter()
                .map(|(key, value)| Some((key.get_ref().to_string(), json_value(value.get_ref())?)))
                .collect::<Option<Map<_, _>>>()?,
        ),
    })
}

#[cfg(test)]
pub(crate) mod tests;
