//! Words, texts and the small types that are written as words or numbers.

use crate::control;
use toml::Spanned;
use toml::de::DeValue;

use super::{Place, Wrong, integer, mistyped, strings, too_large};
use crate::profile::key::{Kind, Section};
use crate::profile::name;
use crate::profile::value::{Access, Id, Namespace, Variable};
use crate::report::suggest::nearest;
use crate::report::{Diagnostic, Located};

/// Words as a person lists them.
pub fn list(words: &[&str]) -> String {
    let mut out = String::new();
    for (at, word) in words.iter().enumerate() {
        if at > 0 {
            out.push_str(if at + 1 == words.len() { " or " } else { ", " });
        }
        out.push('"');
        out.push_str(word);
        out.push('"');
    }
    out
}

/// One of the words that a key takes.
pub fn word(words: &'static [&'static str], text: &str) -> Result<&'static str, Wrong> {
    if let Some(word) = words.iter().find(|word| **word == text) {
        return Ok(word);
    }
    let wrong = Wrong::new(format!("`{text}` is not one of {}", list(words)));
    Err(match nearest(text, words.iter().copied()) {
        Some(near) => wrong.label(format!("did you mean \"{near}\"?")),
        None => wrong.label("unknown word"),
    })
}

/// Several of the words that a key takes, each once.
pub fn words(
    words: &'static [&'static str],
    value: &Spanned<DeValue<'_>>,
    place: Place,
) -> Result<Vec<Located<String>>, Vec<Diagnostic>> {
    let elements = strings(Kind::Words(words), value, 256, place);
    each_once(elements, |text| word(words, text).map(str::to_owned))
}

/// Names of rules, in their canonical form `section.key`, each once.
pub fn rules(
    value: &Spanned<DeValue<'_>>,
    place: Place,
) -> Result<Vec<Located<String>>, Vec<Diagnostic>> {
    each_once(strings(Kind::Rules, value, 1024, place), rule)
}

/// What `read` makes of elements, each once.
fn each_once(
    (elements, mut wrong): (Vec<Located<String>>, Vec<Diagnostic>),
    read: impl Fn(&str) -> Result<String, Wrong>,
) -> Result<Vec<Located<String>>, Vec<Diagnostic>> {
    let mut found: Vec<Located<String>> = Vec::new();
    for element in elements {
        match read(&element.value) {
            Ok(text) if found.iter().any(|earlier| earlier.value == text) => {}
            Ok(text) => found.push(Located::new(text, element.site)),
            Err(error) => {
                let at = Place::whole(element.site.source);
                wrong
                    .push(error.locate(at, element.site.start as usize..element.site.end as usize));
            }
        }
    }
    if wrong.is_empty() {
        Ok(found)
    } else {
        Err(wrong)
    }
}

/// The canonical form of a rule that this host may fail to apply.
fn rule(text: &str) -> Result<String, Wrong> {
    let shape = "write the section, a dot and the key: \"limits.memory-soft\"";
    let Some((section, key)) = text.split_once('.') else {
        return Err(Wrong::new(format!("`{text}` does not name a rule")).help(shape));
    };
    let Some(section) = Section::by_name(section) else {
        let wrong = Wrong::new(format!("there is no section `{section}`"));
        return Err(match nearest(section, Section::ALL.map(Section::name)) {
            Some(near) => wrong.label(format!("did you mean `{near}`?")),
            None => wrong.help(shape),
        });
    };
    let bare = key
        .strip_prefix('"')
        .and_then(|key| key.strip_suffix('"'))
        .unwrap_or(key);
    let (key, canonical) = name::lookup(section, bare)?;
    if !key.degradable() {
        return Err(
            Wrong::new(format!("`{text}` cannot be left out with a warning"))
                .label("it does more than add strictness")
                .help(
                    "without it the program would see or get something else than the profile says",
                ),
        );
    }
    Ok(format!("{section}.{canonical}"))
}

/// Free text.
pub fn text(text: &str) -> Result<String, Wrong> {
    if text.contains('\0') {
        return Err(
            Wrong::new("the text contains a NUL character").label("cannot be handed to a program")
        );
    }
    Ok(text.to_owned())
}

/// A host name: at most 64 bytes (HOST_NAME_MAX) of labels of at most 63.
pub fn hostname(text: &str) -> Result<String, Wrong> {
    let labels = text.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    });
    if labels && text.len() <= 64 {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(format!("`{text}` is not a host name"))
        .help("letters, digits and `-` in parts separated by dots, 64 in all; hostname(7)"))
}

/// Octal mode bits.
pub fn mode(text: &str) -> Result<u32, Wrong> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let octal = (1..=4).contains(&digits.len()) && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if octal && mode <= 0o777 => Ok(mode),
        _ => Err(Wrong::new(format!("`{text}` is not octal mode bits"))
            .help("write up to four digits from 0 to 7, at most \"0777\"")),
    }
}

/// What stands before the name of a sandbox whose namespace is joined.
const OF_SANDBOX: &str = "sandbox:";

/// What becomes of a namespace.
pub fn namespace(value: &DeValue<'_>) -> Result<Namespace, Wrong> {
    match value {
        DeValue::Boolean(true) => Ok(Namespace::New),
        DeValue::Boolean(false) => Ok(Namespace::Caller),
        DeValue::String(text) if text.starts_with(OF_SANDBOX) => {
            let name = text.strip_prefix(OF_SANDBOX).unwrap_or_default();
            control::name::check(name).map_err(|why| {
                Wrong::new(format!("`{text}` names no sandbox: {why}"))
                    .help("write sandbox:NAME; `sandboxctl list` shows the names of those that run")
            })?;
            Ok(Namespace::Sandbox(name.to_owned()))
        }
        DeValue::String(text) if text.starts_with('/') => {
            super::path::value(text).map(Namespace::Join)
        }
        DeValue::String(text) => Err(Wrong::new(format!("`{text}` is not a namespace"))
            .help("write true (a new one), false (the caller's), \"sandbox:NAME\" (that of a running sandbox), or an absolute path such as \"/proc/1234/ns/net\"")),
        other => Err(mistyped(Kind::Namespace, other)),
    }
}

/// What happens to an environment variable.
pub fn variable(value: &DeValue<'_>) -> Result<Variable, Wrong> {
    match value {
        DeValue::Boolean(true) => Ok(Variable::Pass),
        DeValue::Boolean(false) => Ok(Variable::Unset),
        DeValue::String(content) => text(content).map(Variable::Set),
        other => Err(mistyped(Kind::Variable, other)),
    }
}

/// What may be done with a device.
pub fn device(value: &DeValue<'_>) -> Result<Access, Wrong> {
    match value {
        DeValue::Boolean(true) => Ok(Access::ReadWrite),
        DeValue::Boolean(false) => Ok(Access::Hidden),
        DeValue::String(text) if text == "read-only" => Err(Wrong::new(
            "a device cannot be read-only",
        )
        .label("would not hold")
        .help(
            "a read-only mount does not keep a program from writing to a device: say true or false",
        )),
        DeValue::String(text) => match word(&["read-write", "hidden"], text)? {
            "read-write" => Ok(Access::ReadWrite),
            _ => Ok(Access::Hidden),
        },
        other => Err(mistyped(Kind::Device, other)),
    }
}

/// A user or group id as seen inside. The last number means «no id» to the kernel.
pub fn id(value: &DeValue<'_>) -> Result<Id, Wrong> {
    match value {
        DeValue::String(text) => match word(&["caller", "root"], text)? {
            "root" => Ok(Id::Number(0)),
            _ => Ok(Id::Caller),
        },
        DeValue::Integer(_) => {
            let number = integer(value).ok_or_else(too_large)?;
            u32::try_from(number)
                .ok()
                .filter(|number| *number != u32::MAX)
                .map(Id::Number)
                .ok_or_else(|| {
                    Wrong::new(format!("{number} is not an id")).label("must be 0 to 4294967294")
                })
        }
        other => Err(mistyped(Kind::Id, other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_and_modes_are_checked() {
        assert!(hostname("box").is_ok() && hostname("a.b-c.1").is_ok());
        for text in [
            "",
            "-a",
            "a-",
            "a..b",
            "a_b",
            "ü",
            "a b",
            &"a".repeat(64),
            &"a.".repeat(40),
        ] {
            assert!(hostname(text).is_err(), "{text}");
        }
        assert_eq!(mode("0077"), Ok(0o77));
        assert_eq!(mode("0o27"), Ok(0o27));
        for text in ["", "8", "1000", "-1", "+1", "00000"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }
}
