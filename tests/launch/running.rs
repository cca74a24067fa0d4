//! Running sandboxes: their records, and the verbs of `sandboxctl` about them.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::sandbox::Running;
use super::support::{Case, Finished, Outcome, Scene};

mod records;
mod users;
mod verbs;

pub use users::{Other, UIDS};

pub type Fault = Box<dyn std::error::Error>;

/// The least that a sandbox can be.
pub const PLAIN: &str = "[process]\nno-new-privileges = true\n";

const PID_NAMESPACE: &str = "[namespaces]\npid = true\n";

pub const LIMITED: &str = "[limits]\nmemory = \"64M\"\npids = 40\n";

pub fn cases() -> Vec<Case> {
    let all = [verbs::cases(), records::cases(), users::cases()];
    all.into_iter().flatten().collect()
}

/// Starts a shell line under a name, and waits until `ready` is printed and its record is written.
pub fn start(scene: &Scene, name: &str, profile: &str, line: &str) -> Result<Running, Fault> {
    let run = scene.run_called(name, profile)?.begin(line)?;
    written(scene, name)?;
    Ok(run)
}

/// Waits until a sandbox is said to run.
pub fn written(scene: &Scene, name: &str) -> Outcome {
    until(scene, "its record", || {
        let listed = of(&control(scene, &["list", "--json"])?, "name", name);
        Ok(listed.is_some_and(|line| line["status"] != "starting"))
    })
}

/// Waits for something.
pub fn until(scene: &Scene, what: &str, mut there: impl FnMut() -> Result<bool, Fault>) -> Outcome {
    let patience = if scene.host.is_virtual() { 90 } else { 20 };
    let deadline = Instant::now() + Duration::from_secs(patience);
    while !there()? {
        if Instant::now() > deadline {
            return Err(format!("{what} never came").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

pub fn ctl(scene: &Scene, words: &[&str]) -> std::io::Result<Finished> {
    scene.sandboxctl().args(words.iter().copied()).run()
}

/// What a verb prints as JSON, which is as its schema says.
pub fn control(scene: &Scene, words: &[&str]) -> Result<Value, Fault> {
    let out = ctl(scene, words)?;
    out.succeeds()?;
    let value: Value = serde_json::from_str(&out.stdout())?;
    agrees(words[0], &value)?;
    Ok(value)
}

/// Fails unless a value is as the schema of a verb says.
pub fn agrees(verb: &str, value: &Value) -> Outcome {
    let all = sandbox::cli::schema::running::all();
    let schema = all.iter().find(|(name, _)| *name == verb);
    let (_, schema) = schema.ok_or_else(|| format!("no schema for {verb}"))?;
    check(schema, schema, value, verb)?;
    Ok(())
}

/// A validator for the part of the language that the schemas use; anything else in one is a fault.
fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let fault = |what: &str| Err(format!("{at}: {what}: {value:#}"));
    for (word, says) in schema.as_object().into_iter().flatten() {
        match word.as_str() {
            "$schema" | "$defs" | "title" | "description" => {}
            "$ref" => {
                let pointer = says.as_str().and_then(|at| at.strip_prefix('#'));
                let target = pointer.and_then(|pointer| root.pointer(pointer));
                check(root, target.ok_or("a reference to nothing")?, value, at)?;
            }
            "type" => {
                let good = match says.as_str() {
                    Some("object") => value.is_object(),
                    Some("array") => value.is_array(),
                    Some("string") => value.is_string(),
                    Some("boolean") => value.is_boolean(),
                    Some("null") => value.is_null(),
                    Some("integer") => value.is_u64() || value.is_i64(),
                    Some("number") => value.is_number(),
                    _ => return Err(format!("a schema with type {says}")),
                };
                if !good {
                    return fault(&format!("is no {says}"));
                }
            }
            "minimum" if value.as_f64() < says.as_f64() => return fault("is too small"),
            "minimum" => {}
            "const" if says != value => return fault("is another"),
            "const" => {}
            "enum" if !says.as_array().is_some_and(|all| all.contains(value)) => {
                return fault("is none of them");
            }
            "enum" => {}
            "anyOf" => {
                let any = says.as_array().into_iter().flatten();
                if !any.clone().any(|one| check(root, one, value, at).is_ok()) {
                    return fault("is none of what it can be");
                }
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    check(root, says, item, at)?;
                }
            }
            "required" => {
                for name in says.as_array().into_iter().flatten() {
                    let name = name.as_str().unwrap_or("");
                    if value.is_object() && value.get(name).is_none() {
                        return fault(&format!("lacks `{name}`"));
                    }
                }
            }
            "properties" => {
                for (name, one) in says.as_object().into_iter().flatten() {
                    if let Some(member) = value.get(name) {
                        check(root, one, member, &format!("{at}.{name}"))?;
                    }
                }
            }
            "additionalProperties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    check(root, says, member, &format!("{at}.{name}"))?;
                }
            }
            other => return Err(format!("a schema with `{other}`")),
        }
    }
    Ok(())
}

/// The element of a list whose member is this.
pub fn of(list: &Value, member: &str, is: &str) -> Option<Value> {
    let mut all = list.as_array()?.iter();
    all.find(|one| one[member] == is).cloned()
}
