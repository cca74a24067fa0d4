//! Looking for rules that give away more than they seem to.

use sandbox_suid::accounts::{Accounts, id};
use sandbox_suid::rule::{Action, Directory, Rule, Run, Target, TargetGroup};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Worth a thought.
    Doubt,
    /// The rule does not work, or gives everything away.
    Danger,
}

/// Something about a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concern {
    /// How bad it is.
    pub weight: Weight,
    /// The rule's name.
    pub rule: String,
    /// Where it stands.
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// What is known about the system.
pub struct World<'a> {
    /// Its users and groups.
    pub accounts: &'a Accounts,
    /// What is wrong with a program as something that root runs, if anything.
    pub program: &'a dyn Fn(&str) -> Option<String>,
    /// What is wrong with a profile of that name in the system's directories, if anything.
    pub profile: &'a dyn Fn(&str) -> Option<String>,
    /// What is wrong with a limit and its value (as TOML), if anything.
    pub limit: &'a dyn Fn(&str, &str) -> Option<String>,
}

/// Programs that run what their arguments say, or open any file: with arguments of the caller's they are a root shell.
const INTERPRETERS: &[&str] = &[
    "ash",
    "awk",
    "bash",
    "busybox",
    "chroot",
    "cp",
    "crun",
    "csh",
    "dash",
    "dd",
    "doas",
    "docker",
    "ed",
    "emacs",
    "env",
    "expect",
    "find",
    "fish",
    "gawk",
    "gdb",
    "git",
    "install",
    "ionice",
    "ip",
    "ksh",
    "less",
    "ln",
    "lua",
    "make",
    "mawk",
    "more",
    "mount",
    "mv",
    "nano",
    "nice",
    "node",
    "nsenter",
    "openssl",
    "perl",
    "php",
    "podman",
    "python",
    "rsync",
    "ruby",
    "runc",
    "script",
    "sed",
    "setpriv",
    "sh",
    "ssh",
    "strace",
    "su",
    "sudo",
    "systemctl",
    "systemd-run",
    "tail",
    "tar",
    "tclsh",
    "tee",
    "timeout",
    "tmux",
    "unshare",
    "vi",
    "view",
    "vim",
    "xargs",
    "xxd",
    "zsh",
];

/// Looks a rule over.
#[must_use]
pub fn review(rule: &Rule, world: &World<'_>) -> Vec<Concern> {
    let mut found = Vec::new();
    let mut say = |weight, message: String, help: &str| {
        found.push(Concern {
            weight,
            rule: rule.name.clone(),
            place: rule.place.clone(),
            message,
            help: help.to_owned(),
        });
    };
    who(rule, world, &mut say);
    if let Some(profile) = &rule.profile
        && let Some(wrong) = (world.profile)(profile)
    {
        say(
            Weight::Danger,
            format!("the profile `{profile}` cannot be used: {wrong}"),
            "put it into /etc/sandbox/profiles; users' own profiles are not searched",
        );
    }
    for (key, value) in &rule.limits {
        if let Some(wrong) = (world.limit)(key, value) {
            say(
                Weight::Danger,
                format!("limits.{key} = {value}: {wrong}"),
                "see sandbox.toml(5)",
            );
        }
    }
    if let Action::Run(run) = &rule.action {
        self::run(rule, run, world, &mut say);
    }
    found
}

type Say<'s> = dyn FnMut(Weight, String, &str) + 's;

fn who(rule: &Rule, world: &World<'_>, say: &mut Say<'_>) {
    let missing_user =
        |name: &&String| *name != "*" && id(name).is_none() && world.accounts.user(name).is_none();
    let missing_group = |name: &&String| id(name).is_none() && world.accounts.group(name).is_none();
    let who = &rule.who;
    for name in who.users.iter().filter(missing_user) {
        say(
            Weight::Doubt,
            format!("`users` names `{name}`, who is not in /etc/passwd"),
            "an account that only a directory server knows is named by its number",
        );
    }
    for name in who.groups.iter().filter(missing_group) {
        say(
            Weight::Doubt,
            format!("`groups` names `{name}`, which is not in /etc/group"),
            "a group that only a directory server knows is named by its number",
        );
    }
    for name in who.except_users.iter().filter(missing_user) {
        say(
            Weight::Danger,
            format!(
                "`except-users` names `{name}`, who is not in /etc/passwd: nobody can use the rule"
            ),
            "an account that only a directory server knows is named by its number",
        );
    }
    for name in who.except_groups.iter().filter(missing_group) {
        say(
            Weight::Danger,
            format!(
                "`except-groups` names `{name}`, which is not in /etc/group: nobody can use the rule"
            ),
            "a group that only a directory server knows is named by its number",
        );
    }
}

fn run(rule: &Rule, run: &Run, world: &World<'_>, say: &mut Say<'_>) {
    if let Some(wrong) = (world.program)(&run.program) {
        say(
            Weight::Danger,
            format!("`program`: {wrong}"),
            "sandbox-suid refuses such a program",
        );
    }
    let caller_decides = run.extra.max > 0;
    let privileged = !matches!(run.user, Target::Caller)
        || !matches!(run.group, TargetGroup::Caller | TargetGroup::Primary)
        || !run.capabilities.is_empty();
    let name = run.program.rsplit('/').next().unwrap_or_default();
    let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    if caller_decides && privileged && INTERPRETERS.contains(&stem) && run.extra.patterns.is_empty()
    {
        say(
            Weight::Danger,
            format!("`{name}` with arguments of the caller's can run or overwrite anything"),
            "fix the arguments, or give `patterns` that name each that may be added",
        );
    } else if caller_decides && privileged && run.extra.options && run.extra.patterns.is_empty() {
        say(
            Weight::Doubt,
            format!("the caller may give `{name}` any options"),
            "many programs have an option that runs or overwrites something: give `patterns`",
        );
    }
    if run
        .extra
        .patterns
        .iter()
        .any(|pattern| matches!(pattern.as_str(), "*" | "**"))
    {
        say(
            Weight::Doubt,
            "the pattern \"*\" allows every argument without a slash".to_owned(),
            "say what may be given",
        );
    }
    let script = run.arguments.iter().find(|text| {
        text.starts_with('/')
            && run.program != **text
            && (world.program)(text)
                .is_some_and(|wrong| wrong.contains("others") || wrong.contains("belong"))
    });
    if let (Some(script), true) = (script, INTERPRETERS.contains(&stem)) {
        say(
            Weight::Danger,
            format!("{script} can be changed by others than root"),
            "chown root:root and chmod go-w it and the directories above it",
        );
    }
    if run.directory == Directory::Caller
        && privileged
        && matches!(stem, "git" | "make" | "npm" | "cargo")
    {
        say(
            Weight::Danger,
            format!("`{name}` runs what it finds in the caller's directory"),
            "set `directory`",
        );
    }
    let everybody = rule.who.users.iter().any(|name| name == "*");
    if everybody && privileged && caller_decides && matches!(run.user, Target::Id(0)) {
        say(
            Weight::Doubt,
            "everybody may run this as root with arguments".to_owned(),
            "name `users` or `groups`",
        );
    }
    if run
        .capabilities
        .iter()
        .any(|number| AS_GOOD_AS_ROOT.contains(number))
    {
        say(
            Weight::Doubt,
            "`capabilities` has one that is as good as root".to_owned(),
            "see capabilities(7)",
        );
    }
}

/// chown, dac_override, dac_read_search, fowner, setgid, setuid, sys_module, sys_rawio, sys_ptrace, sys_admin, mknod, setfcap, bpf.
const AS_GOOD_AS_ROOT: &[u32] = &[0, 1, 2, 3, 6, 7, 16, 17, 19, 21, 27, 31, 39];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn concerns(text: &str) -> Vec<(Weight, String)> {
        let accounts = Accounts::read(
            "root:x:0:0::/root:/bin/sh\nann:x:1:1::/:/bin/sh\n",
            "root:x:0:\nstaff:x:50:\n",
        );
        let world = World {
            accounts: &accounts,
            program: &|path| {
                path.contains("bad")
                    .then(|| format!("{path} can be written to by others than root"))
            },
            profile: &|name| (name == "missing").then(|| "there is no such profile".to_owned()),
            limit: &|key, _| (key == "memry").then(|| "unknown key".to_owned()),
        };
        let rules = sandbox_suid::rule::read("r.toml", text).unwrap();
        review(&rules[0], &world)
            .into_iter()
            .map(|concern| (concern.weight, concern.message))
            .collect()
    }

    #[test]
    fn a_plain_rule_is_no_concern() {
        assert_eq!(
            concerns("[rule.x]\nusers=[\"ann\"]\nprogram=\"/bin/dmesg\"\n"),
            []
        );
        assert_eq!(
            concerns("[rule.x]\nusers=[\"*\"]\naction=\"limit-caller\"\nlimits={memory=\"3G\"}\n"),
            []
        );
    }

    #[test]
    fn what_is_dangerous_is_found() {
        for (text, weight, part) in [
            (
                "users=[\"ghost\"]\nprogram=\"/bin/true\"",
                Weight::Doubt,
                "`users` names `ghost`",
            ),
            (
                "users=[\"*\"]\nexcept-users=[\"ghost\"]\nprogram=\"/bin/true\"",
                Weight::Danger,
                "nobody can use",
            ),
            (
                "users=[\"*\"]\nexcept-groups=[\"ghost\"]\nprogram=\"/bin/true\"",
                Weight::Danger,
                "nobody can use",
            ),
            (
                "users=[\"ann\"]\nprogram=\"/bad\"",
                Weight::Danger,
                "written to by others",
            ),
            (
                "users=[\"ann\"]\nprogram=\"/bin/bash\"\nextra-arguments={max=1}",
                Weight::Danger,
                "run or overwrite anything",
            ),
            (
                "users=[\"ann\"]\nprogram=\"/usr/bin/python3.11\"\nextra-arguments={max=1}",
                Weight::Danger,
                "run or overwrite",
            ),
            (
                "users=[\"ann\"]\nprogram=\"/bin/x\"\nextra-arguments={max=1,options=true}",
                Weight::Doubt,
                "any options",
            ),
            (
                "users=[\"ann\"]\nprogram=\"/bin/x\"\nextra-arguments={max=1,patterns=[\"*\"]}",
                Weight::Doubt,
                "every argument",
            ),
            (
                "users=[\"*\"]\nprogram=\"/bin/x\"\nextra-arguments={max=1}",
                Weight::Doubt,
                "everybody may run this as root",
            ),
            (
                "users=[\"ann\"]\nprogram=\"/bin/sh\"\narguments=[\"/srv/bad.sh\"]",
                Weight::Danger,
                "can be changed by others",
            ),
            (
                "users=[\"ann\"]\nprogram=\"/usr/bin/make\"\ndirectory=\"caller\"",
                Weight::Danger,
                "in the caller's directory",
            ),
            (
                "users=[\"ann\"]\nprogram=\"/bin/x\"\nprofile=\"missing\"",
                Weight::Danger,
                "no such profile",
            ),
            (
                "users=[\"ann\"]\nprogram=\"/bin/x\"\nlimits={memry=\"1G\"}",
                Weight::Danger,
                "unknown key",
            ),
            (
                "users=[\"ann\"]\nprogram=\"/bin/x\"\nuser=\"ann\"\ncapabilities=[\"sys_admin\"]",
                Weight::Doubt,
                "as good as root",
            ),
        ] {
            let found = concerns(&format!("[rule.x]\n{text}\n"));
            assert!(
                found
                    .iter()
                    .any(|(heavy, message)| *heavy == weight && message.contains(part)),
                "{text}: {found:?}"
            );
        }
    }
}
