//! suid.conf(5) of hilbix/suid → rules. Each line becomes a rule; what cannot be said in the same way becomes a comment
//! above it that says what changed and why.
//!
//! A line is `command:pw:user:group:minmax:dir:/path/to/binary:args…`; in the binary and the arguments `\:` is a colon.

use std::fmt::Write as _;

use sandbox_suid::rule::{ANY, is_name};

use crate::profile::read::amount;
use crate::report::escape::is_harmful;

/// What became of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// The text of a rule file.
    pub text: String,
    /// Lines that could not be turned into a rule: number, and why.
    pub failed: Vec<(usize, String)>,
    /// How many rules there are.
    pub rules: usize,
}

/// Turns the lines of a suid.conf into a rule file. `file` is its name, for comments.
#[must_use]
pub fn import(file: &str, text: &str) -> Imported {
    let mut imported = Imported::default();
    let mut seen: Vec<String> = Vec::new();
    let _ = writeln!(
        imported.text,
        "# Rules for sandbox-suid(8), from {}.",
        comment(file)
    );
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        if line.is_empty() || line.starts_with('#') {
            if let Some(words) = line.strip_prefix('#') {
                let _ = writeln!(imported.text, "#{}", comment(words));
            }
            continue;
        }
        match Line::read(line).and_then(|line| line.rule(number)) {
            Ok(rule) if seen.contains(&rule.name) => {
                let why = format!(
                    "a line above has the name `{}` already, and the first one counts",
                    rule.name
                );
                let _ = writeln!(
                    imported.text,
                    "\n# Line {number} is not taken over: {}",
                    comment(&why)
                );
                imported.failed.push((number, why));
            }
            Ok(rule) => {
                imported.text.push('\n');
                imported.text.push_str(&rule.text);
                imported.rules += 1;
                seen.push(rule.name);
            }
            Err(why) => {
                let _ = writeln!(
                    imported.text,
                    "\n# Line {number} is not taken over: {}\n#   {}",
                    comment(&why),
                    comment(line)
                );
                imported.failed.push((number, why));
            }
        }
    }
    imported
}

/// Text that can stand in a comment: one line, nothing that drives a terminal.
fn comment(text: &str) -> String {
    sandbox_suid::show::show(text)
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            letter if is_harmful(letter) => {
                let _ = write!(out, "\\U{:08X}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// A line, taken apart.
struct Line {
    command: String,
    user: String,
    group: String,
    flags: String,
    min: usize,
    max: usize,
    notes: Vec<String>,
    directory: String,
    modifier: Option<String>,
    binary: String,
    arguments: Vec<String>,
}

struct Rule {
    name: String,
    text: String,
}

const MODIFIERS: [&str; 5] = ["suid", "root", "toor", "sh", "bash"];

impl Line {
    fn read(line: &str) -> Result<Self, String> {
        if line.contains('\0') {
            return Err("it contains a NUL".to_owned());
        }
        let mut fields = line.splitn(7, ':');
        let mut next = |what: &str| {
            fields
                .next()
                .map(str::to_owned)
                .ok_or_else(|| format!("the field `{what}` is missing"))
        };
        let command = next("command")?;
        let password = next("pw")?;
        let user = next("user")?;
        let group = next("group")?;
        let minmax = next("minmax")?;
        let directory = next("dir")?;
        let rest = next("binary")?;
        if !password.is_empty() {
            return Err("the field `pw` must be empty".to_owned());
        }
        let mut parts = split(&rest);
        let mut modifier = None;
        if let Some(first) = parts.first()
            && MODIFIERS.contains(&first.trim_start())
        {
            modifier = Some(parts.remove(0).trim_start().to_owned());
        }
        if parts.is_empty() || parts.first().is_some_and(String::is_empty) {
            return Err("the program is missing".to_owned());
        }
        let binary = parts.remove(0).trim_start().to_owned();
        let mut line = Self {
            command,
            user,
            group,
            flags: String::new(),
            min: 0,
            max: 0,
            notes: Vec::new(),
            directory,
            modifier,
            binary,
            arguments: parts,
        };
        line.minmax(&minmax)?;
        Ok(line)
    }

    fn minmax(&mut self, text: &str) -> Result<(), String> {
        let end = text
            .find(|letter: char| !letter.is_ascii_uppercase())
            .unwrap_or(text.len());
        let (flags, counts) = text.split_at(end);
        if let Some(odd) = flags.chars().find(|flag| !"CDFGIKNRSTUW".contains(*flag)) {
            return Err(format!("unknown flag `{odd}`"));
        }
        flags.clone_into(&mut self.flags);
        let number = |text: &str| {
            text.parse::<usize>()
                .map_err(|_| format!("`{text}` is no number of arguments"))
        };
        (self.min, self.max) = match counts.split_once('-') {
            None if counts.is_empty() => (0, 0),
            None => (number(counts)?, number(counts)?),
            Some(("", "")) => (0, ANY),
            Some((min, "")) => (number(min)?, ANY),
            Some(("", max)) => {
                self.notes.push(format!(
                    "\"-{max}\" is documented as «at most {max}», but allowed any number there; here it is at most {max}"
                ));
                (0, number(max)?)
            }
            Some((min, max)) => (number(min)?, number(max)?),
        };
        if self.min > self.max || self.max > ANY {
            return Err(format!("`{counts}` is no number of arguments"));
        }
        Ok(())
    }

    fn rule(mut self, number: usize) -> Result<Rule, String> {
        let command = self
            .command
            .strip_prefix('!')
            .unwrap_or(&self.command)
            .to_owned();
        if !is_name(&command) {
            return Err(format!("`{command}` cannot be a rule's name"));
        }
        if let Some(limits) = self.caller_limits() {
            let sizes = [Some(&limits.memory), limits.both.as_ref()];
            let soft = limits.soft.as_ref().map(|(soft, _)| soft);
            // One that nobody reads would make the file of all the rules one that is refused.
            if let Some(wrong) = (sizes.into_iter().chain([soft]).flatten())
                .find(|text| amount::bytes(text).is_err())
            {
                return Err(format!(
                    "`{wrong}`, which the script writes as a limit, is not a size"
                ));
            }
            return Ok(limits.rule(command, number));
        }
        let mut keys = String::new();
        let mut key = |name: &str, value: &str| {
            let _ = writeln!(keys, "{name} = {value}");
        };
        key("users", "[\"*\"]");
        self.target(&mut key);
        self.program(&mut key)?;
        match self.directory.as_str() {
            "" => key("directory", "\"caller\""),
            "." => key("directory", "\"~\""),
            path => key("directory", &quoted(path)),
        }
        if self.max > 0 {
            let count = |n: usize| {
                if n == ANY {
                    "\"any\"".to_owned()
                } else {
                    n.to_string()
                }
            };
            key(
                "extra-arguments",
                &format!(
                    "{{ min = {}, max = {}, options = true }}",
                    self.min,
                    count(self.max)
                ),
            );
        }
        key("keep-environment", "[\"TERM\"]");
        self.flag_notes();
        self.notes
            .push("everybody may use it, as there; better name `users` or `groups`".to_owned());
        let mut text = String::new();
        for note in &self.notes {
            let _ = writeln!(text, "# {}", comment(note));
        }
        let _ = writeln!(
            text,
            "[rule.{}]\ndescription = \"line {number}\"",
            toml_key(&command)
        );
        text.push_str(&keys);
        // What is written must be a rule.
        sandbox_suid::rule::read("line", &text).map_err(|faults| {
            faults
                .first()
                .map_or_else(String::new, |fault| fault.message.clone())
        })?;
        Ok(Rule {
            name: command,
            text,
        })
    }

    fn target(&mut self, key: &mut impl FnMut(&str, &str)) {
        let account = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.to_owned(),
            false => quoted(text),
        };
        let user = self.user.clone();
        // `root:` runs with root's rights under another name, which is root all the same.
        match user.as_str() {
            "" => key("user", "\"root\""),
            "*" => key("user", "\"caller\""),
            user => key("user", &account(user)),
        }
        match self.group.as_str() {
            "" => key("group", "0"),
            "*" => key("group", "\"caller\""),
            "=" => key("group", "\"primary\""),
            group => key("group", &account(group)),
        }
        match self.modifier.as_deref() {
            Some("suid") => self.notes.push(
                "there the real user id stayed the caller's (`suid:`); here all ids are the target's, and the caller is in SANDBOX_UID, SANDBOX_GID and SANDBOX_USER".to_owned(),
            ),
            Some("root") => {
                self.notes.push(format!(
                    "there it ran as `{user}` with root's effective id (`root:`); here it runs as `{user}` alone, with the capabilities that it is given below: name those that it needs"
                ));
                key("capabilities", "[\"net-bind-service\"]");
            }
            Some("toor") => self.notes.push(
                "there root's real id and another effective one (`toor:`); here all ids are the target's".to_owned(),
            ),
            _ => {}
        }
    }

    fn program(&mut self, key: &mut impl FnMut(&str, &str)) -> Result<(), String> {
        let shell = match self.modifier.as_deref() {
            Some("sh") => Some("/bin/sh"),
            Some("bash") => Some("/bin/bash"),
            _ => None,
        };
        let mut arguments = self.arguments.clone();
        if let Some(shell) = shell {
            self.notes.push(format!(
                "`{}:` gives the program to a shell; there it ran the first argument instead (a defect)",
                self.modifier.as_deref().unwrap_or_default()
            ));
            key("program", &quoted(shell));
            arguments.insert(0, self.binary.clone());
        } else {
            if !self.binary.starts_with('/') {
                return Err(format!(
                    "the program `{}` is no absolute path: it would depend on where the caller is",
                    self.binary
                ));
            }
            key("program", &quoted(&self.binary));
        }
        if self.flags.contains('N') && !arguments.is_empty() {
            self.notes.push(
                "the first argument was used as argument 0 (`N`); argument 0 is the program's path here, and it is left out".to_owned(),
            );
            arguments.remove(0);
        }
        if !arguments.is_empty() {
            let list: Vec<String> = arguments.iter().map(|text| quoted(text)).collect();
            key("arguments", &format!("[{}]", list.join(", ")));
        }
        let is_shell = ["/sh", "/bash", "/dash"]
            .iter()
            .any(|name| self.binary.ends_with(name));
        let scripted = self.arguments.iter().any(|text| text.contains('$'));
        if (is_shell || shell.is_some()) && scripted {
            self.notes.push("the script finds who called in SANDBOX_UID, SANDBOX_GID and SANDBOX_USER, not in SUIDUID, SUIDGID and SUID_*".to_owned());
        }
        Ok(())
    }

    fn flag_notes(&mut self) {
        for (flag, note) in [
            (
                'C',
                "argument 0 was the rule's name (`C`); here it is the program's path",
            ),
            (
                'F',
                "argument 0 was the file's name (`F`); here it is the program's path",
            ),
            (
                'R',
                "argument 0 was the resolved path (`R`); here it is the path as written",
            ),
            (
                'D',
                "debug output (`D`): see `sandboxctl rules test` instead",
            ),
            (
                'I',
                "there owner and mode of the program were not checked (`I`); here they always are",
            ),
            (
                'K',
                "there the caller's supplementary groups were kept (`K`); here none are: list in `supplementary-groups` what is needed",
            ),
            (
                'S',
                "values beginning with `() {` were passed on (`S`); here they never are",
            ),
            (
                'W',
                "there a script could be run directly (`W`); here name its interpreter as `program`",
            ),
        ] {
            if self.flags.contains(flag) {
                self.notes.push(note.to_owned());
            }
        }
    }

    /// The limits that a script puts the caller's process under by writing files of a v1 group.
    fn caller_limits(&self) -> Option<Limits> {
        let script = self
            .arguments
            .iter()
            .find(|text| text.contains("memory.limit_in_bytes"))?;
        if !script.contains("$PPID") {
            return None;
        }
        let written = |file: &str| {
            script.split(';').find_map(|command| {
                let (value, target) = command.trim().strip_prefix("echo ")?.split_once('>')?;
                let target = target.trim_start_matches('>').trim();
                target
                    .ends_with(file)
                    .then(|| (value.trim().to_owned(), target.contains('/')))
            })
        };
        let (memory, _) = written("memory.limit_in_bytes")?;
        Some(Limits {
            memory,
            both: written("memory.memsw.limit_in_bytes").map(|(value, _)| value),
            soft: written("memory.soft_limit_in_bytes"),
        })
    }
}

/// What a script wrote.
struct Limits {
    memory: String,
    /// Memory and swap together, as v1 counts.
    both: Option<String>,
    /// The value, and whether it was written into a directory.
    soft: Option<(String, bool)>,
}

impl Limits {
    fn rule(self, name: String, number: usize) -> Rule {
        let mut text = String::new();
        let mut note = |words: &str| {
            let _ = writeln!(text, "# {words}");
        };
        note(
            "The script put the shell that called it into a memory group of cgroup v1; this does the same, on v1 and v2.",
        );
        note(
            "There all callers shared one group and its limits; here each call has a group of its own.",
        );
        if self.both.is_some() {
            note("v1 counts memory and swap together; `swap` is what is left for swap.");
        }
        if let Some((_, false)) = &self.soft {
            note(
                "There the soft limit was written to a file in the working directory, and never had an effect; here it has.",
            );
        }
        note("Everybody may use it, as there; better name `users` or `groups`.");
        let _ = writeln!(
            text,
            "[rule.{}]\ndescription = \"line {number}\"\nusers = [\"*\"]\naction = \"limit-caller\"\n\n[rule.{}.limits]\nmemory = {}",
            toml_key(&name),
            toml_key(&name),
            quoted(&self.memory)
        );
        if let Some(swap) = self
            .both
            .as_deref()
            .and_then(|both| difference(both, &self.memory))
        {
            let _ = writeln!(text, "swap = {}", quoted(&swap));
        }
        if let Some((soft, _)) = &self.soft {
            let _ = writeln!(text, "memory-soft = {}", quoted(soft));
        }
        Rule { name, text }
    }
}

/// Two sizes of one unit, the first less the second.
fn difference(more: &str, less: &str) -> Option<String> {
    let part = |text: &str| -> Option<(u64, String)> {
        let end = text
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        Some((number.parse().ok()?, unit.to_owned()))
    };
    let ((more, unit), (less, other)) = (part(more)?, part(less)?);
    (unit == other)
        .then(|| more.checked_sub(less))
        .flatten()
        .map(|left| format!("{left}{unit}"))
}

fn toml_key(name: &str) -> String {
    let bare = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if bare { name.to_owned() } else { quoted(name) }
}

/// The parts between colons: `\:` is a colon, `\\:` nothing.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("\\\\:") {
            rest = after;
            continue;
        }
        if let Some(after) = rest.strip_prefix("\\:") {
            if let Some(part) = parts.last_mut() {
                part.push(':');
            }
            rest = after;
            continue;
        }
        if first == ':' {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(first);
        }
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
    }
    parts
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "import_tests.rs"]
mod tests;
