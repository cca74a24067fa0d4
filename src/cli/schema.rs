//! The JSON schema (draft 2020-12) of a profile, made from the table of keys; for editors and for other programs.

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
            _ => json!({ "type": "array", "items": { "type": "string", "minLength": 1 } }),
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

fn section(section: Section) -> Value {
    let mut exact = Map::new();
    let mut pattern = None;
    for key in reference::keys(section) {
        match name_pattern(key.name) {
            None => {
                exact.insert(reference::name(key).to_owned(), value(key));
            }
            Some(names) => pattern = Some((names, value(key))),
        }
    }
    let description = format!(
        "{}. {}",
        reference::title(section),
        reference::about(section)
    );
    let mut out = json!({ "type": "object", "description": description });
    match pattern {
        // A word such as `default` is a key of its own although a system call could be called so: what a pattern takes is
        // said for all keys that are not named, not by patternProperties, which would hold for the named ones too.
        Some((names, others)) => {
            let mut allowed = vec![json!({ "pattern": names })];
            if !exact.is_empty() {
                allowed.insert(0, json!({ "enum": exact.keys().collect::<Vec<_>>() }));
            }
            out["propertyNames"] = json!({ "anyOf": allowed });
            out["additionalProperties"] = others;
        }
        None => out["additionalProperties"] = json!(false),
    }
    if !exact.is_empty() {
        out["properties"] = Value::Object(exact);
    }
    out
}

/// The names that a pattern key takes.
fn name_pattern(name: Name) -> Option<&'static str> {
    match name {
        Name::Exact(_) => None,
        Name::Path => Some(r"^(/|~|\$\{)"),
        Name::Syscall => Some(r"^(@[a-z0-9-]+|[a-z_][a-z0-9_]*(\(.*\))?)$"),
        Name::Capability => Some(r"^[A-Za-z_]+$"),
        Name::Variable => Some(r"^[^=]+$"),
        Name::Device => Some(r"^/dev/."),
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
    let or_number = |pattern: &str| json!([{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": pattern }]);
    json!({
        "inherit": { "const": "inherit", "description": "what an extended profile says no longer holds; back to the default" },
        "size": { "description": reference::values(Kind::Size), "anyOf": or_number(r"^(max|[0-9]+(\.[0-9]+)?([KMGT]|%)|[0-9]+)$") },
        "bytes": { "description": reference::values(Kind::Bytes), "anyOf": or_number(r"^(max|[0-9]+(\.[0-9]+)?[KMGT]|[0-9]+)$") },
        "count": { "description": reference::values(Kind::Count), "anyOf": or_number("^(max|[0-9]+)$") },
        "cpu": { "description": reference::values(Kind::Cpu), "type": "string", "pattern": r"^(max|[0-9]+(\.[0-9]+)?%)$" },
        "duration": { "description": reference::values(Kind::Duration), "anyOf": or_number(r"^[0-9]+(ms|s|m|h)?$") },
        "mode": { "description": reference::values(Kind::Mode), "type": "string", "pattern": "^[0-7]{1,4}$" },
        "hostname": { "type": "string", "maxLength": 64, "pattern": r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$" },
        "path": { "type": "string", "pattern": r"^(/|~|\$\{)" },
        "namespace": { "description": reference::values(Kind::Namespace), "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": "^/" }] },
        "view": { "description": reference::values(Kind::View), "anyOf": [
            { "enum": [access[0], access[1], access[2], "private", "tmpfs"] },
            {
                "type": "object", "required": ["bind"], "additionalProperties": false,
                "properties": { "bind": { "$ref": "#/$defs/path" }, "access": { "enum": [access[1], access[2]] } }
            },
            {
                "type": "object", "required": ["tmpfs"], "additionalProperties": false,
                "properties": { "tmpfs": { "$ref": "#/$defs/size" } }
            },
            {
                "type": "object", "required": ["text"], "additionalProperties": false,
                "properties": { "text": { "type": "string" } }
            },
        ] },
        "syscall-action": { "description": reference::values(Kind::SyscallAction), "anyOf": [
            { "enum": ["allow", "deny", "kill", "log", "trap"] },
            { "type": "string", "pattern": "^E[A-Z0-9]+$" },
        ] },
        "device": { "description": reference::values(Kind::Device), "anyOf": [{ "type": "boolean" }, { "enum": access }] },
        "id": { "description": reference::values(Kind::Id), "anyOf": [
            { "enum": ["caller", "root"] },
            { "type": "integer", "minimum": 0, "maximum": 4_294_967_294_i64 },
        ] },
    })
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A validator for the part of the language that the schema uses; anything else in a schema is a panic.
    fn valid(root: &Value, schema: &Value, value: &Value) -> bool {
        if let Some(always) = schema.as_bool() {
            return always;
        }
        let schema = schema.as_object().unwrap();
        let matches = |pattern: &Value, text: &str| {
            regex_lite::Regex::new(pattern.as_str().unwrap())
                .unwrap()
                .is_match(text)
        };
        schema.iter().all(|(word, says)| match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" | "examples" => true,
            "$ref" => valid(
                root,
                root.pointer(says.as_str().unwrap().strip_prefix('#').unwrap())
                    .unwrap(),
                value,
            ),
            "type" => match says.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64() || value.is_u64(),
                other => panic!("type {other}"),
            },
            "enum" => says.as_array().unwrap().contains(value),
            "const" => says == value,
            "anyOf" => says
                .as_array()
                .unwrap()
                .iter()
                .any(|one| valid(root, one, value)),
            "minimum" => value.as_i64().is_none_or(|n| n >= says.as_i64().unwrap()),
            "maximum" => value.as_i64().is_none_or(|n| n <= says.as_i64().unwrap()),
            "minLength" => value
                .as_str()
                .is_none_or(|t| t.chars().count() as u64 >= says.as_u64().unwrap()),
            "maxLength" => value
                .as_str()
                .is_none_or(|t| t.chars().count() as u64 <= says.as_u64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| matches(says, text)),
            "uniqueItems" => value.as_array().is_none_or(|items| {
                items
                    .iter()
                    .enumerate()
                    .all(|(at, item)| !items[..at].contains(item))
            }),
            "items" => value
                .as_array()
                .is_none_or(|items| items.iter().all(|item| valid(root, says, item))),
            "minProperties" => value
                .as_object()
                .is_none_or(|o| o.len() as u64 >= says.as_u64().unwrap()),
            "required" => value.as_object().is_none_or(|o| {
                says.as_array()
                    .unwrap()
                    .iter()
                    .all(|k| o.contains_key(k.as_str().unwrap()))
            }),
            "propertyNames" => value
                .as_object()
                .is_none_or(|o| o.keys().all(|k| valid(root, says, &json!(k)))),
            "properties" => value.as_object().is_none_or(|o| {
                o.iter()
                    .all(|(key, value)| says.get(key).is_none_or(|one| valid(root, one, value)))
            }),
            "additionalProperties" => value.as_object().is_none_or(|o| {
                let named = schema.get("properties").and_then(Value::as_object);
                o.iter()
                    .filter(|(key, _)| named.is_none_or(|named| !named.contains_key(*key)))
                    .all(|(_, value)| valid(root, says, value))
            }),
            other => panic!("the validator does not know `{other}`"),
        })
    }

    fn accepts(toml: &str) -> bool {
        let document = toml::de::DeTable::parse(toml).unwrap();
        let value = json_value(&toml::de::DeValue::Table(document.into_inner())).unwrap();
        let schema = schema();
        valid(&schema, &schema, &value)
    }

    /// The example of the design, as far as this version has it.
    const EXAMPLE: &str = r#"
        description = "Mozilla Firefox web browser"
        programs    = ["firefox", "firefox-esr"]
        extends     = ["desktop-app", "web-browser"]
        degrade     = ["limits.memory-soft"]
        [limits]
        memory      = "3G"
        swap        = "3G"
        memory-soft = "1G"
        pids        = 2048
        cpu         = "200%"
        cpu-weight  = 50
        open-files  = 8192
        [namespaces]
        user = true
        pid = true
        net = "/proc/1234/ns/net"
        [filesystem]
        "/"                   = "read-only"
        "~"                   = "private"
        "~/.mozilla"          = "read-write"
        "${XDG_DOWNLOAD_DIR}" = "read-write"
        "~/.ssh"              = "hidden"
        "/tmp"                = "tmpfs"
        "/var/tmp"            = { tmpfs = "512M" }
        "/opt/data"           = { bind = "/srv/data", access = "read-only" }
        "/etc/motd"           = { text = "hello\n" }
        [devices]
        gpu = true
        camera = false
        "/dev/fuse" = "read-write"
        [network]
        mode = "host"
        [syscalls]
        "@mount" = "deny"
        ptrace = "kill"
        "ioctl(_, TIOCSTI)" = "EPERM"
        default = "allow"
        architectures = ["x86"]
        [capabilities]
        default = "drop"
        net_bind_service = "keep"
        [environment]
        LD_PRELOAD = false
        LANG = true
        MOZ_ENABLE_WAYLAND = "1"
        default = "pass"
        [process]
        no-new-privileges = true
        timeout = "90s"
        umask = "0077"
        nice = "inherit"
        [user]
        uid = "root"
        gid = 1000
    "#;

    #[test]
    fn the_example_profile_is_valid() {
        assert!(accepts(EXAMPLE));
    }

    #[test]
    fn every_example_of_the_table_is_valid_in_its_section() {
        for key in table::KEYS {
            let name = format!("{}.{}", key.section, reference::name(key));
            assert!(
                accepts(&format!("[{}]\n{}", key.section, key.example)),
                "{name}: {}",
                key.example
            );
        }
        for (name, example, _) in table::TOP {
            assert!(accepts(example), "{name}: {example}");
        }
    }

    #[test]
    fn every_key_takes_inherit() {
        for key in table::KEYS {
            let (name, _) = key.example.split_once(" = ").unwrap();
            assert!(
                accepts(&format!("[{}]\n{name} = \"inherit\"", key.section)),
                "{}",
                key.example
            );
        }
    }

    #[test]
    fn what_is_wrong_is_not_valid() {
        for wrong in [
            "",
            "descripton = \"a\"",
            "extends = \"a\"",
            "[limit]\nmemory = 1",
            "[limits]\nmemroy = 1",
            "[limits]\nmemory = true",
            "[limits]\nmemory = -1",
            "[limits]\nmemory = \"3 G\"",
            "[limits]\nmemory = \"3GB\"",
            "[limits]\nfile-size = \"25%\"",
            "[limits]\ncpu = 2",
            "[limits]\ncpu-weight = 0",
            "[namespaces]\nuser = \"yes\"",
            "[filesystem]\nhome = \"hidden\"",
            "[filesystem]\n\"/\" = \"secret\"",
            "[filesystem]\n\"/\" = { bind = \"x\" }",
            "[filesystem]\n\"/\" = { bind = \"/x\", mode = \"a\" }",
            "[devices]\n\"/tmp/x\" = true",
            "[network]\nmode = \"bridge\"",
            "[syscalls]\narchitectures = \"deny\"",
            "[syscalls]\narchitectures = [\"vax\"]",
            "[syscalls]\nptrace = \"explode\"",
            "[capabilities]\nsys_admin = true",
            "[environment]\nA = 1",
            "[process]\numask = \"0888\"",
            "[user]\nuid = -1",
            "degrade = [\"memory\"]",
        ] {
            assert!(!accepts(wrong), "{wrong}");
        }
    }

    #[test]
    fn defaults_are_values_or_left_to_the_description() {
        let schema = schema();
        let default = |path: &str| {
            schema
                .pointer(&format!("/properties/{path}/default"))
                .cloned()
        };
        assert_eq!(default("devices/properties/gpu"), Some(json!(false)));
        assert_eq!(default("limits/properties/cpu-weight"), Some(json!(100)));
        assert_eq!(
            default("syscalls/properties/architectures"),
            Some(json!([]))
        );
        assert_eq!(default("limits/properties/memory"), None);
        assert_eq!(default("process/properties/no-new-privileges"), None);
    }
}
