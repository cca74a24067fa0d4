//! Words for what the table of keys holds: shared by `explain`, the JSON schema and `sandbox.toml(5)`.

use crate::profile::key::{Key, Kind, Name, Section};
use crate::profile::table;

/// One line about a section.
#[must_use]
pub fn title(section: Section) -> &'static str {
    match section {
        Section::Limits => "how much of the machine the program may use",
        Section::Namespaces => "which views of the system are the program's own",
        Section::Filesystem => "what is seen at which path, and what may be done with it",
        Section::Devices => "which device nodes exist below /dev",
        Section::Execute => "which programs can be run at all",
        Section::Desktop => "which of screen, sound, fonts and services the program reaches",
        Section::Network => "which network the program has",
        Section::Dbus => "which message buses the program reaches, and whom on them",
        Section::Syscalls => "which system calls are carried out",
        Section::Capabilities => "which parts of root's power the program holds",
        Section::Environment => "which variables the program gets",
        Section::Process => "how the program is started, and when it is ended",
        Section::User => "who the program is inside",
    }
}

/// What to know about a section as a whole.
#[must_use]
pub fn about(section: Section) -> &'static str {
    match section {
        Section::Limits => {
            "Keys from `memory` to `devices`, and paths, hold for the program and all its children together and need a control group; \
             where none can be had they are an error, not something weaker. The others are resource limits of setrlimit(2), \
             process by process. Sizes are binary: `\"3G\"` is 3 GiB."
        }
        Section::Namespaces => {
            "`true` makes a new one, `false` keeps the caller's, and a path such as `\"/proc/1234/ns/net\"` joins that one. \
             What the other sections need is made without being asked for."
        }
        Section::Filesystem => {
            "Keys are paths, values what is seen there. The longest path decides, a literal path over a glob; the order of lines \
             means nothing."
        }
        Section::Devices => {
            "As soon as the section says anything, /dev is a small one of the sandbox's own with only what is listed."
        }
        Section::Execute => {
            "Keys are paths of programs, or of directories with all that is below them. The longest path decides, a literal path over a glob. \
             What may be read and what may be executed are two things: `[filesystem]` has to show a program too."
        }
        Section::Desktop => {
            "As soon as the section says anything, what it does not show is not there: `${XDG_RUNTIME_DIR}` is an empty directory of the \
             sandbox's own with the chosen sockets in it, `/tmp/.X11-unix` holds no foreign X server, and variables such as \
             `DISPLAY` and `WAYLAND_DISPLAY` say what is there. A rule of `[filesystem]` or a text in `[environment]` that names \
             the same thing wins."
        }
        Section::Network => "Joining an existing network namespace is said with `namespaces.net`.",
        Section::Dbus => {
            "`session` and `system` say how a bus is reached. The other keys are names on the session bus, or with `system:` in front \
             on the system bus; values are what may be done with their owners. Rights add up. A name may end in `.*`, and then means \
             those below it too."
        }
        Section::Syscalls => {
            "Keys are system calls, `@groups` of them, or calls with conditions on their arguments; values are what a call is \
             answered. The more exact key decides. As soon as the section says anything, calls of foreign architectures kill the \
             program, unless `architectures` names them."
        }
        Section::Capabilities => {
            "Keys are capabilities, values are `\"keep\"` or `\"drop\"`. See capabilities(7)."
        }
        Section::Environment => {
            "Keys are variables, or patterns with `*`. `true` passes the caller's value on, `false` does not, and text is the \
             value."
        }
        Section::Process => {
            "Privileges, process 1, terminal, priorities, working directory and the time the program may take."
        }
        Section::User => {
            "These need a user namespace (`namespaces.user`). On the host the program stays the caller."
        }
    }
}

/// The keys of a section, in the order of the table.
pub fn keys(section: Section) -> impl Iterator<Item = &'static Key> {
    table::KEYS.iter().filter(move |key| key.section == section)
}

/// How a key is written: its own name, or a word in capitals for what may stand there.
#[must_use]
pub fn name(key: &Key) -> &'static str {
    match key.name {
        Name::Exact(name) => name,
        Name::Path => "PATH",
        Name::Syscall => "CALL",
        Name::Capability => "CAPABILITY",
        Name::Variable => "VARIABLE",
        Name::Device => "DEVICE",
        Name::BusName => "NAME",
        Name::Open { label, .. } => label,
    }
}

/// Whether a key of this name is a text that has to be quoted in TOML more often than not.
#[must_use]
pub fn is_pattern(key: &Key) -> bool {
    !matches!(key.name, Name::Exact(_))
}

/// What may be written as a value.
#[must_use]
pub fn values(kind: Kind) -> String {
    fn list(words: &[&str]) -> String {
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        match quoted.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        }
    }
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Integer(low, high) => format!("a whole number from {low} to {high}"),
        Kind::Size => "bytes (\"512M\", \"3G\"), a part of the RAM (\"25%\"), or \"max\"".to_owned(),
        Kind::Bytes => "bytes (\"64K\", \"1G\"), or \"max\"".to_owned(),
        Kind::Count => "a whole number, or \"max\"".to_owned(),
        Kind::Cpu => "percent of one CPU (\"150%\"), or \"max\"".to_owned(),
        Kind::Duration => "a time (\"500ms\", \"90s\", \"5m\", \"2h\", \"1d\"), or a number of seconds".to_owned(),
        Kind::Mode => "octal digits (\"0077\")".to_owned(),
        Kind::Word(words) => list(words),
        Kind::Text => "text".to_owned(),
        Kind::Hostname => "a host name".to_owned(),
        Kind::Path => "a path".to_owned(),
        Kind::Words(words) => format!("a list of {}", list(words)),
        Kind::Rules => "a list of rules (\"limits.memory-soft\")".to_owned(),
        Kind::Namespace => "true, false, \"sandbox:NAME\", or the path of a namespace".to_owned(),
        Kind::View => {
            "\"read-only\", \"read-write\", \"hidden\", \"private\", \"tmpfs\", \"copy\", \"overlay\", { bind = PATH, access = WORD } (read-only unless it says otherwise), { tmpfs = SIZE }, { copy = SIZE }, { root = NAME, access = WORD } (read-write unless it says otherwise), or { text = TEXT }".to_owned()
        }
        Kind::SyscallAction => "\"allow\", \"deny\", \"kill\", \"log\", \"trap\", or an errno name (\"ENOSYS\")".to_owned(),
        Kind::Keep => list(table::KEEP_WORDS),
        Kind::Variable => "true, false, or text".to_owned(),
        Kind::Device => "true, false, \"read-write\" or \"hidden\"".to_owned(),
        Kind::Id => "\"caller\", \"root\", or a number".to_owned(),
        Kind::Weight => "a whole number from 1 to 10000, or \"idle\"".to_owned(),
        Kind::Ranges => "numbers and ranges with commas (\"0-3,7\")".to_owned(),
        Kind::Rates => "{ read = BYTES, write = BYTES, read-operations = NUMBER, write-operations = NUMBER }, any of them".to_owned(),
        Kind::NetClass => "MAJOR:MINOR in hexadecimal (\"10:1\"), or one number (\"0x100001\")".to_owned(),
        Kind::IoPriority => {
            "\"idle\", \"best-effort:0\" to \"best-effort:7\", \"realtime:0\" to \"realtime:7\"".to_owned()
        }
        Kind::Scheduler => {
            "\"other\", \"batch\", \"idle\", \"fifo:1\" to \"fifo:99\", \"round-robin:1\" to \"round-robin:99\"".to_owned()
        }
        Kind::CpuSet => "numbers of CPUs and ranges of them (\"0-3,7\")".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_says_what_it_does() {
        for key in table::KEYS {
            let name = format!("{}.{}", key.section, name(key));
            assert!(
                !key.summary.is_empty() && !key.detail.is_empty(),
                "{name} is not described"
            );
            assert!(
                !key.summary.ends_with('.') && key.detail.ends_with('.'),
                "{name}: full stops"
            );
            assert!(
                !key.default.is_empty() && !key.example.is_empty(),
                "{name} has no default or example"
            );
            assert!(!values(key.kind).is_empty(), "{name}");
        }
    }

    #[test]
    fn every_section_has_keys_and_words() {
        for section in Section::ALL {
            assert!(keys(section).next().is_some(), "{section}");
            assert!(
                !title(section).is_empty() && about(section).ends_with('.'),
                "{section}"
            );
        }
    }

    #[test]
    fn words_are_listed_as_a_sentence() {
        assert_eq!(values(Kind::Word(&["a"])), "\"a\"");
        assert_eq!(
            values(Kind::Word(&["a", "b", "c"])),
            "\"a\", \"b\" or \"c\""
        );
    }
}
