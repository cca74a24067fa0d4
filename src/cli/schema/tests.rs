//! The schema against the table's own examples, good and bad profiles, through a small validator.
#![allow(clippy::unwrap_used)]

use super::*;

/// A validator for the part of the language that the schema uses; anything else in a schema is a panic.
pub(crate) fn valid(root: &Value, schema: &Value, value: &Value) -> bool {
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
            "number" => value.is_number(),
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
        "patternProperties" => value.as_object().is_none_or(|o| {
            o.iter().all(|(key, value)| {
                let mut says = says.as_object().unwrap().iter();
                says.all(|(pattern, one)| !matches(&json!(pattern), key) || valid(root, one, value))
            })
        }),
        "additionalProperties" => value.as_object().is_none_or(|o| {
            let named = schema.get("properties").and_then(Value::as_object);
            let patterns = schema.get("patternProperties").and_then(Value::as_object);
            let named = |key: &String| {
                named.is_some_and(|named| named.contains_key(key))
                    || patterns.is_some_and(|all| all.keys().any(|one| matches(&json!(one), key)))
            };
            o.iter()
                .filter(|(key, _)| !named(key))
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
    "/var/tmp"            = { tmpfs = "512MiB" }
    "${HOME}/x/*.d"       = { bind = "~" }
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
        "[limits]\nmemory = \"1.5G\"",
        "[limits]\npids = \"12\"",
        "[process]\ntimeout = \"90\"",
        "[process]\ntimeout = 0",
        "[process]\numask = \"7777\"",
        "[namespaces]\nhostname = \"a..b\"",
        "[filesystem]\n\"~joe\" = \"hidden\"",
        "[syscalls]\n\"@mount(1)\" = \"deny\"",
        "extends = [\"../x\"]",
        "programs = [\"/bin/sh\"]",
        "[limits]\nfile-size = \"25%\"",
        "[limits]\ncpu = 2",
        "[limits]\ncpu-weight = 0",
        "[limits]\ncpu-weight = \"busy\"",
        "[limits]\ncpus = \"a\"",
        "[limits]\n\"home\" = { read = 1 }",
        "[limits]\n\"/home\" = { raed = 1 }",
        "[limits]\n\"/home\" = 5",
        "[limits]\nhuge-pages- = 5",
        "[limits]\nmisc-sev = \"1M\"",
        "[limits]\nnet-class = \"1:g\"",
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
