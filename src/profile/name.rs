//! The name of a key → its entry in the table and its canonical form, in which two spellings of one thing merge.

use super::key::{Key, Name, Section};
use super::read::{Wrong, check_syscall_key, path};
use super::table;
use crate::report::suggest::nearest;
use crate::section::capabilities::{self, CAPABILITIES};
use crate::section::dbus::rule::Who;

/// The key of a section whose pattern a name may follow, if any: of several the one that its beginning says.
fn pattern(section: Section, text: &str) -> Option<&'static Key> {
    let keys = table::of(section).iter();
    let mut patterns = keys.filter(|key| !matches!(key.name, Name::Exact(_)));
    // Where there is but one, what is wrong with a name is said in its words.
    let several = section == Section::Limits;
    if !several {
        return patterns.next();
    }
    patterns.find(|key| match key.name {
        Name::Open { start, .. } => text.starts_with(start),
        _ => text.starts_with(['/', '~', '$', '.']),
    })
}

/// The words that a section knows.
pub fn words(section: Section) -> impl Iterator<Item = &'static str> {
    table::of(section).iter().filter_map(|key| match key.name {
        Name::Exact(name) => Some(name),
        _ => None,
    })
}

/// The table's entry for a name and the name's canonical form.
///
/// # Errors
/// No such key; the nearest one is named.
pub fn lookup(section: Section, text: &str) -> Result<(&'static Key, String), Wrong> {
    if let Some(key) = table::find(section, text) {
        return Ok((key, text.to_owned()));
    }
    if let Some(retired) = table::retired(section, text) {
        return Err(retired);
    }
    let Some(key) = pattern(section, text) else {
        return Err(unknown(section, text));
    };
    let canonical = match key.name {
        Name::Exact(_) => return Err(unknown(section, text)),
        Name::Path if section == Section::Limits => on_a_device(text)?,
        Name::Path => path::key(text)?,
        Name::Open { start, label } => open(text, start, label)?,
        Name::Syscall => check_syscall_key(text)?,
        Name::Capability => capability(section, text)?,
        Name::Variable => variable(text)?,
        Name::BusName if text.contains('.') => bus_name(text)?,
        Name::BusName => return Err(unknown(section, text)),
        Name::Device if text.starts_with('/') => device(text)?,
        Name::Device => return Err(unknown(section, text)),
    };
    Ok((key, canonical))
}

/// So many keys are listed in a message; more are a page of their own.
const MOST_LISTED: usize = 24;

/// No key has this name.
fn unknown(section: Section, text: &str) -> Wrong {
    let wrong = Wrong::new(format!("unknown key `{text}` in `[{section}]`"));
    if let Some(other) = Section::ALL
        .into_iter()
        .find(|other| table::find(*other, text).is_some())
    {
        return wrong
            .label("in the wrong table")
            .help(format!("`{text}` belongs in `[{other}]`"));
    }
    if table::TOP.iter().any(|(name, _, _)| *name == text) {
        return wrong
            .label("in a table")
            .help(format!("`{text}` must stand above the first `[table]`"));
    }
    let labels = table::of(section).iter().filter_map(|key| match key.name {
        Name::Open { label, .. } => Some(label),
        _ => None,
    });
    let known = words(section).chain(labels);
    let known: Vec<&str> = known.collect();
    match nearest(text, known.iter().copied()) {
        Some(near) => wrong.label(format!("did you mean `{near}`?")),
        None => wrong.label("unknown key").help(match known.len() {
            ..=MOST_LISTED => format!("keys of `[{section}]`: {}", known.join(", ")),
            many => {
                format!("`sandboxctl explain {section}` lists the {many} keys of `[{section}]`")
            }
        }),
    }
}

/// The path of something whose device is meant: no pattern.
fn on_a_device(text: &str) -> Result<String, Wrong> {
    let path = path::key(text)?;
    if path.contains(['*', '?', '[']) {
        return Err(Wrong::new(format!("`{text}` is a pattern"))
            .label("rates are of one device")
            .help(
                "write a path on it, such as \"/home\", or the device itself, such as \"/dev/sda\"",
            ));
    }
    Ok(path)
}

/// A word with an end that the host knows.
fn open(text: &str, start: &str, label: &str) -> Result<String, Wrong> {
    let end = text.strip_prefix(start).unwrap_or_default();
    let wrong =
        |label: &str| Wrong::new(format!("unknown key `{text}` in `[limits]`")).label(label);
    if end.is_empty() {
        return Err(wrong("its end is missing").help(format!("it is `{label}`")));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
    if end.len() > 64 || !end.chars().all(plain) {
        return Err(wrong("no name of the kernel's").help(format!("it is `{label}`")));
    }
    if start == "huge-pages-" {
        let number = end.trim_end_matches(char::is_alphabetic);
        let unit = end.get(number.len()..).unwrap_or_default();
        let good = matches!(unit, "KB" | "MB" | "GB")
            && !number.is_empty()
            && !number.starts_with('0')
            && number.bytes().all(|byte| byte.is_ascii_digit());
        if !good {
            return Err(wrong("no size of pages")
                .help("the kernel names them such as huge-pages-2MB and huge-pages-1GB"));
        }
    }
    if start == "net-priority-" && end.len() > 15 {
        return Err(wrong("no interface's name is that long"));
    }
    Ok(text.to_owned())
}

fn capability(section: Section, text: &str) -> Result<String, Wrong> {
    let canonical = capabilities::canonical(text);
    if capabilities::number(&canonical).is_some() {
        return Ok(canonical);
    }
    let wrong = Wrong::new(format!("`{text}` is not a capability"));
    let names = CAPABILITIES.iter().map(|(name, _)| *name);
    Err(match nearest(&canonical, names.chain(words(section))) {
        Some(near) => wrong.label(format!("did you mean `{near}`?")),
        None => wrong.help("their names are in capabilities(7)"),
    })
}

fn variable(text: &str) -> Result<String, Wrong> {
    let wrong = |label: &str| Wrong::new(format!("`{text}` cannot name a variable")).label(label);
    if text.is_empty() {
        return Err(wrong("empty"));
    }
    if text.contains('=') {
        return Err(
            wrong("contains `=`").help("the value stands behind the name: NAME = \"value\"")
        );
    }
    if text.chars().any(char::is_control) {
        return Err(wrong("contains a control character"));
    }
    Ok(text.to_owned())
}

fn device(text: &str) -> Result<String, Wrong> {
    let path = path::key(text)?;
    if path.strip_prefix("/dev/").is_some() {
        return Ok(path);
    }
    Err(Wrong::new(format!("`{text}` is not below /dev"))
        .label("not a device")
        .help("other paths belong in `[filesystem]`"))
}

fn bus_name(text: &str) -> Result<String, Wrong> {
    Who::parse(text).map(|who| who.to_string()).map_err(|why| {
        Wrong::new(format!("`{text}` names nobody on a bus"))
            .label("no name of a bus")
            .help(why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_thing_are_one_key() {
        let canonical = |section, text| lookup(section, text).map(|(_, name)| name);
        assert_eq!(
            canonical(Section::Capabilities, "CAP_NET_ADMIN").as_deref(),
            Ok("net_admin")
        );
        assert_eq!(
            canonical(Section::Capabilities, "default").as_deref(),
            Ok("default")
        );
        assert_eq!(
            canonical(Section::Devices, "/dev//fuse/").as_deref(),
            Ok("/dev/fuse")
        );
        assert_eq!(
            canonical(Section::Environment, "LC_*").as_deref(),
            Ok("LC_*")
        );
    }

    #[test]
    fn unknown_names_are_refused() {
        for (section, text) in [
            (Section::Capabilities, "net_admn"),
            (Section::Devices, "/etc/passwd"),
            (Section::Devices, "/dev"),
            (Section::Devices, "gpus"),
            (Section::Environment, ""),
            (Section::Environment, "A=B"),
            (Section::Environment, "A\0"),
            (Section::Limits, "memroy"),
        ] {
            assert!(lookup(section, text).is_err(), "{text:?}");
        }
    }
}
