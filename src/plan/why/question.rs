//! What may be asked, and how it is written.

use std::path::PathBuf;

use crate::bpf::{Key, groups};
use crate::host::facts::Caller;
use crate::profile::key::{Name, Section};
use crate::profile::name;
use crate::profile::table::{self, KEYS};
use crate::report::suggest::nearest;
use crate::section::capabilities::{self, CAPABILITIES};
use crate::section::expand::{Expanded, expand};

/// A question to a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// What is seen at a path, and what may be done with it.
    Path(PathBuf),
    /// What a system call is answered, with or without conditions on its arguments.
    Call(Key),
    /// The same, for a group of calls.
    Group(String),
    /// Whether a capability is kept: its canonical name and number.
    Capability(String, u32),
    /// Whether a service can be reached.
    Address {
        /// A name or an address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// What becomes of an environment variable.
    Variable(String),
    /// What a key says.
    Key(Section, String),
}

/// What can be asked, for those who asked something else.
pub const KINDS: &str = "a path (/etc, ~/.ssh), a system call (mount, \"socket(AF_NETLINK)\", @mount), a capability (cap_net_raw), HOST:PORT, a \
                         variable (HOME, $LANG), or a key of a profile (memory, process.umask)";

/// Reads what somebody typed. One word can mean several things (`kill` is a system call and a capability): then all of them.
///
/// # Errors
/// It means nothing, with what may have been meant.
pub fn read(text: &str, caller: &Caller) -> Result<Vec<Question>, String> {
    if let Some((section, key)) = text.split_once('.')
        && let Some(section) = Section::ALL
            .into_iter()
            .find(|known| known.name() == section)
    {
        return of_section(section, key, caller).map(|question| vec![question]);
    }
    if text.starts_with(['/', '~']) || text.starts_with("${") {
        return path(text, caller).map(|question| vec![question]);
    }
    if text == "." || text.starts_with("./") || text.starts_with("../") {
        let path = caller.working_directory.join(text);
        let text = path.to_string_lossy();
        let normal = crate::section::filesystem::seen::normal(text.as_ref().as_ref());
        return Ok(vec![Question::Path(normal)]);
    }
    if let Some(name) = text.strip_prefix('$') {
        return Ok(vec![Question::Variable(name.to_owned())]);
    }
    if text.starts_with('@') || text.contains('(') {
        return call(text).map(|question| vec![question]);
    }
    if let Some(address) = address(text) {
        return address.map(|question| vec![question]);
    }
    let mut found = Vec::new();
    if let Ok(question @ Question::Call(_)) = call(text) {
        found.push(question);
    }
    let canonical = capabilities::canonical(text);
    if let Some(number) = capabilities::number(&canonical) {
        found.push(Question::Capability(canonical, number));
    }
    for section in Section::ALL {
        // `default` is a key of several sections, and means something only together with one.
        if text != "default" && table::find(section, text).is_some() {
            found.push(Question::Key(section, text.to_owned()));
        }
    }
    let is_variable = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if found.is_empty() && !text.is_empty() && text.chars().all(is_variable) {
        found.push(Question::Variable(text.to_owned()));
    }
    if found.is_empty() {
        return Err(unknown(text));
    }
    Ok(found)
}

fn of_section(section: Section, key: &str, caller: &Caller) -> Result<Question, String> {
    let unquoted = key.trim_matches('"');
    Ok(match section {
        Section::Filesystem | Section::Devices if unquoted.starts_with(['/', '~', '$']) => {
            path(unquoted, caller)?
        }
        Section::Syscalls if !matches!(key, "default" | "architectures") => call(unquoted)?,
        Section::Capabilities if key != "default" => {
            let name = capabilities::canonical(key);
            let number = capabilities::number(&name)
                .ok_or_else(|| format!("there is no capability `{key}`"))?;
            Question::Capability(name, number)
        }
        Section::Environment if key != "default" => Question::Variable(key.to_owned()),
        _ => {
            let (_, canonical) = name::lookup(section, unquoted).map_err(|wrong| wrong.message)?;
            Question::Key(section, canonical)
        }
    })
}

fn path(text: &str, caller: &Caller) -> Result<Question, String> {
    // A name may have characters that are a pattern's: it is one path that is asked about.
    if text.starts_with('/') {
        return Ok(Question::Path(crate::section::filesystem::seen::normal(
            text.as_ref(),
        )));
    }
    match expand(text, caller)? {
        Expanded::Path(path) => Ok(Question::Path(path)),
        Expanded::Glob(_) => Err(format!("`{text}` is a pattern; ask about one path")),
        Expanded::NotApplicable(why) => Err(why),
    }
}

fn call(text: &str) -> Result<Question, String> {
    let key = Key::parse(text).map_err(|error| error.to_string().replace('\n', "; "))?;
    Ok(match key {
        Key::Group(name) => Question::Group(name),
        Key::Default => Question::Key(Section::Syscalls, "default".to_owned()),
        call => Question::Call(call),
    })
}

/// `host:80`, `1.2.3.4:80`, `[::1]:80`; `None` where it is none.
fn address(text: &str) -> Option<Result<Question, String>> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = match bare {
        Some(host) => host,
        None if host.contains(':') => {
            return Some(Err(format!(
                "`{text}`: an IPv6 address stands in brackets, as in [::1]:80"
            )));
        }
        None => host,
    };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port.parse::<u16>() {
        Ok(port) if digits && port > 0 => port,
        _ => return Some(Err(format!("`{port}` is no port: they go from 1 to 65535"))),
    };
    if host.is_empty() || host.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Some(Err(format!("`{text}` names no host")));
    }
    Some(Ok(Question::Address {
        host: host.to_owned(),
        port,
    }))
}

fn unknown(text: &str) -> String {
    let keys = KEYS.iter().filter_map(|key| match key.name {
        Name::Exact(name) => Some(name),
        _ => None,
    });
    let known = keys
        .chain(CAPABILITIES.iter().map(|(name, _)| *name))
        .chain(groups().flat_map(|group| group.members()));
    let mut told = format!("`{text}` is nothing that can be asked about");
    if let Some(near) = nearest(text, known) {
        told.push_str(&format!("; did you mean `{near}`?"));
    }
    told
}
