//! What is written down about a running sandbox, one JSON document a line: the record, the policy that it was started with,
//! what binds those who join it, what its limits were changed to since, and, when it has ended and somebody still holds
//! the file open, how.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde::{Deserialize, Serialize};

use crate::exec::group::GroupDirectory;

/// The version of [`Record`] that is written and read.
pub const VERSION: u32 = 1;

/// A process, so that another one which later has the same number is not taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number in the pid namespace of the supervisor.
    pub pid: i32,
    /// When it started, in clock ticks since the host's start (proc_pid_stat(5), field 22).
    pub started: u64,
}

/// A profile that had a say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Its file, or what else it came from.
    pub source: String,
}

/// A key of `[limits]` as it was when the sandbox was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The key.
    pub key: String,
    /// Its value in the profile language, as JSON.
    pub value: serde_json::Value,
    /// `FILE:LINE:COLUMN`, or the option.
    pub origin: String,
    /// Whether it holds; not where the host cannot, and its rule allows that.
    #[serde(default = "yes")]
    pub applied: bool,
}

fn yes() -> bool {
    true
}

/// What others must know to find a running sandbox and to act on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`VERSION`]; another one is not read.
    pub version: u32,
    /// What it is called: the name of the file.
    pub name: String,
    /// Whether this is no sandbox, but a group of processes that ran already, see [`super::attached`]: then the first of
    /// them is written down as the supervisor and the child.
    #[serde(default)]
    pub attached: bool,
    /// The names of the profiles asked for, joined by `+`; empty for the command line alone.
    pub profile: String,
    /// The profiles that had a say, the lowest first.
    pub layers: Vec<Layer>,
    /// The program as it was typed, [`escaped`].
    pub program: String,
    /// Its arguments without its own name, [`escaped`] each.
    pub arguments: Vec<String>,
    /// The user who started it.
    pub uid: u32,
    /// Which start of the host the processes belong to (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
    /// The inode of the supervisor's pid namespace: pids below are numbers in it.
    pub pid_namespace: u64,
    /// The launcher.
    pub supervisor: ProcessId,
    /// Its child: process 1 of the sandbox if it has one, else the program.
    pub child: ProcessId,
    /// Whether the child is our process 1, with the program below it.
    pub init: bool,
    /// The program, where it is not the child.
    pub program_process: Option<ProcessId>,
    /// When the program was started, in milliseconds since 1970.
    pub created: u64,
    /// Its control group, a directory for each hierarchy; none without limits.
    pub group: Vec<GroupDirectory>,
    /// The systemd unit that the group lies in.
    pub unit: Option<String>,
    /// Its limits.
    pub limits: Vec<Limit>,
    /// The soft limit that the launcher holds, in bytes; none where a file of the group says it.
    pub memory_soft: Option<u64>,
    /// The namespaces of the program by their names in /proc/PID/ns, and their inodes.
    pub namespaces: BTreeMap<String, u64>,
    /// What a second start is compared with that is to be run in here (`process.again`): a digest of all that was asked for.
    /// None where there is to be no such thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<String>,
}

/// How a sandbox ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// What the launcher exits with: the program's status, 128+N after signal N.
    pub status: i32,
    /// Whether it ran into its timeout.
    pub timed_out: bool,
    /// Processes that the kernel killed at the memory limit.
    pub oom_kills: Option<u64>,
}

/// What `sandboxctl set` made of the limits: a line of its own for each time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// All limits that hold from then on.
    pub limits: Vec<Limit>,
    /// The soft limit that the launcher holds from then on.
    pub memory_soft: Option<u64>,
}

/// A file's lines, as far as they have been written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// None while the sandbox is being set up.
    pub record: Option<Record>,
    /// The policy, as `sandboxctl show --json` has it; not parsed.
    pub policy: Option<String>,
    /// What binds those who join, a [`super::confinement::Confinement`]; not parsed.
    pub confinement: Option<String>,
    /// None while it runs.
    pub ended: Option<Ended>,
}

impl Content {
    /// Reads a file's text. A line that is still being written does not count.
    ///
    /// # Errors
    /// What is there is no record, or one of another version.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'));
        let mut content = Self::default();
        if let Some(line) = lines.next().filter(|line| !line.is_empty()) {
            let record: Record =
                serde_json::from_str(line).map_err(|error| format!("is no record: {error}"))?;
            if record.version != VERSION {
                return Err(format!(
                    "is a record of version {}; this program reads version {VERSION}",
                    record.version
                ));
            }
            content.record = Some(record);
        }
        content.policy = lines
            .next()
            .filter(|line| !line.is_empty())
            .map(str::to_owned);
        content.confinement = lines
            .next()
            .filter(|line| !line.is_empty())
            .map(str::to_owned);
        for line in lines {
            if let (Some(record), Ok(changed)) =
                (&mut content.record, serde_json::from_str::<Changed>(line))
            {
                record.limits = changed.limits;
                record.memory_soft = changed.memory_soft;
            } else if let Ok(ended) = serde_json::from_str(line) {
                content.ended = Some(ended);
            }
        }
        Ok(content)
    }

    /// The policy and what binds the processes, as the file's second and third line.
    ///
    /// # Errors
    /// None that is known: all of it can be said in JSON.
    pub fn rules(
        policy: &impl Serialize,
        confinement: &impl Serialize,
    ) -> serde_json::Result<Vec<u8>> {
        let mut text = serde_json::to_vec(policy)?;
        text.push(b'\n');
        serde_json::to_writer(&mut text, confinement)?;
        text.push(b'\n');
        Ok(text)
    }

    /// A record and its [`Content::rules`] as the file's first lines.
    ///
    /// # Errors
    /// As above.
    pub fn lines(record: &Record, rules: &[u8]) -> serde_json::Result<Vec<u8>> {
        let mut text = serde_json::to_vec(record)?;
        text.push(b'\n');
        text.extend_from_slice(rules);
        Ok(text)
    }
}

/// Any bytes as text, from which [`raw`] makes the same bytes: UTF-8 stays, what is none becomes `\xNN`, and `\` becomes
/// `\\`.
#[must_use]
pub fn escaped(text: &OsStr) -> String {
    let mut out = String::with_capacity(text.len());
    for part in text.as_bytes().utf8_chunks() {
        out.push_str(&part.valid().replace('\\', "\\\\"));
        for byte in part.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// The bytes of an [`escaped`] text.
#[must_use]
pub fn raw(text: &str) -> OsString {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        let byte = after
            .strip_prefix('x')
            .and_then(|digits| digits.get(..2))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = match byte {
            Some(byte) => {
                out.push(byte);
                after.get(3..).unwrap_or_default()
            }
            None => {
                out.push(b'\\');
                after.strip_prefix('\\').unwrap_or(after)
            }
        };
    }
    out.extend_from_slice(rest.as_bytes());
    OsString::from_vec(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// A record of nothing that exists.
    pub fn example() -> Record {
        Record {
            version: VERSION,
            name: "x".to_owned(),
            attached: false,
            profile: "p".to_owned(),
            layers: Vec::new(),
            program: "true".to_owned(),
            arguments: vec![escaped(OsStr::from_bytes(b"a\xff\\"))],
            uid: 1,
            boot: "b".to_owned(),
            pid_namespace: 1,
            supervisor: ProcessId { pid: 2, started: 3 },
            child: ProcessId { pid: 4, started: 5 },
            init: true,
            program_process: None,
            created: 6,
            group: Vec::new(),
            unit: None,
            limits: vec![Limit {
                key: "memory".to_owned(),
                value: json!("1G"),
                origin: "p.toml:1:2".to_owned(),
                applied: true,
            }],
            memory_soft: None,
            namespaces: BTreeMap::from([("pid".to_owned(), 7)]),
            again: None,
        }
    }

    fn lines(policy: &serde_json::Value) -> Vec<u8> {
        let rules = Content::rules(policy, &json!({})).unwrap();
        Content::lines(&example(), &rules).unwrap()
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let mut text = lines(&json!({ "name": "p" }));
        let read = |text: &[u8]| Content::parse(std::str::from_utf8(text).unwrap());
        let content = read(&text).unwrap();
        assert_eq!(content.record, Some(example()));
        assert_eq!(content.policy.as_deref(), Some(r#"{"name":"p"}"#));
        assert_eq!(content.confinement.as_deref(), Some("{}"));
        assert_eq!(content.ended, None);
        text.extend_from_slice(b"{\"status\":7,\"timed_out\":false,\"oom_kills\":null}\n");
        assert_eq!(read(&text).unwrap().ended.unwrap().status, 7);
    }

    #[test]
    fn limits_are_those_of_the_last_change() {
        let mut text = lines(&json!({}));
        for value in ["2G", "3G"] {
            let mut changed = Changed {
                limits: example().limits,
                memory_soft: Some(5),
            };
            changed.limits[0].value = json!(value);
            serde_json::to_writer(&mut text, &changed).unwrap();
            text.push(b'\n');
        }
        text.extend_from_slice(b"{\"status\":7,\"timed_out\":false,\"oom_kills\":null}\n");
        let content = Content::parse(std::str::from_utf8(&text).unwrap()).unwrap();
        let record = content.record.unwrap();
        assert_eq!(record.limits[0].value, json!("3G"));
        assert_eq!(record.memory_soft, Some(5));
        assert_eq!(content.ended.unwrap().status, 7);
    }

    #[test]
    fn what_is_being_written_does_not_count_and_what_is_wrong_is_told() {
        let text = lines(&json!({}));
        let text = std::str::from_utf8(&text).unwrap();
        for length in 0..text.len() {
            let content = Content::parse(&text[..length]).unwrap();
            assert!(content.policy.is_none() || content.confinement.is_none());
        }
        assert!(Content::parse("{}\n").is_err());
        assert!(Content::parse("\u{1b}\n").is_err());
        let newer = text.replacen("\"version\":1", "\"version\":2", 1);
        assert!(Content::parse(&newer).unwrap_err().contains("version 2"));
    }

    #[test]
    fn any_bytes_survive() {
        for bytes in [
            &b"plain"[..],
            b"",
            b"\\",
            b"\\x41",
            b"a\xff\\\xfe",
            b"\xc3",
            "ä\\".as_bytes(),
            b"\\\\x",
        ] {
            let text = escaped(OsStr::from_bytes(bytes));
            assert_eq!(raw(&text).as_bytes(), bytes, "{text}");
        }
        // What nobody wrote is taken as it stands.
        assert_eq!(raw("\\q\\xzz\\x"), OsString::from("\\q\\xzz\\x"));
    }
}
