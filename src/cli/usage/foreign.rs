//! Verbs of other tools (docker, podman, systemctl, firejail and their like), and what does the same here. They are no verbs of
//! ours: each is what its own tool makes of it, with options that we do not have.

/// A word of ours and what others call it.
type Others = (&'static str, &'static [&'static str]);

/// For `sandboxctl` itself.
const VERBS: &[Others] = &[
    (
        "`sandbox PROGRAM` starts a sandbox; with --background it goes on by itself",
        &["run", "start", "create", "launch", "spawn"],
    ),
    (
        "`sandboxctl kill NAME` ends a sandbox",
        &["stop", "shutdown", "terminate", "end", "quit", "down"],
    ),
    (
        "`sandboxctl kill NAME` ends a sandbox, and nothing of it is left then; `sandboxctl discard NAME` forgets what it changed under --copy",
        &["rm", "remove", "delete", "prune", "destroy"],
    ),
    (
        "`sandboxctl kill NAME` ends a sandbox, and `sandbox PROGRAM` starts it again",
        &["restart", "reload"],
    ),
    (
        "`sandboxctl join NAME [PROGRAM]` runs a program, or a shell, in a running sandbox",
        &["exec", "shell", "sh", "enter", "console", "nsenter"],
    ),
    (
        "`sandboxctl list` lists what runs; `sandboxctl profiles` lists profiles",
        &["ls", "containers", "sandboxes"],
    ),
    (
        "`sandboxctl state NAME` says everything about a running sandbox; `sandboxctl list` lists them",
        &["status", "inspect", "info", "describe"],
    ),
    (
        "`sandboxctl logs NAME` shows what a sandbox in the background has written",
        &["log", "journal"],
    ),
    (
        "`sandboxctl freeze NAME` stops all processes of a sandbox",
        &["pause", "suspend"],
    ),
    (
        "`sandboxctl thaw NAME` lets a frozen sandbox go on",
        &["unpause", "resume", "continue"],
    ),
    (
        "`sandboxctl set NAME KEY=VALUE` changes limits of a running sandbox",
        &["update", "limit", "limits", "set-property"],
    ),
    (
        "`sandboxctl show PROFILE` prints what a profile amounts to",
        &["cat", "config", "profile"],
    ),
    (
        "`sandboxctl check PROFILE` tells what is wrong with a profile",
        &["validate", "verify", "lint"],
    ),
    (
        "`sandboxctl apply NAME` carries changes made under --copy onto the disk",
        &["commit", "merge"],
    ),
    (
        "`sandboxctl root` looks after root file systems for `sandbox --root`",
        &["image", "images", "pull", "load", "import", "rmi"],
    ),
    ("`sandboxctl --version` prints it", &["version"]),
    (
        "`sandboxctl --help` lists what there is",
        &["help", "commands"],
    ),
];

/// For `sandboxctl root`.
const ROOT: &[Others] = &[
    (
        "`sandboxctl root import FILE` makes a root of an archive",
        &["pull", "load", "add", "create", "build"],
    ),
    ("`sandboxctl root list` lists them", &["ls"]),
    ("`sandboxctl root show NAME` prints one", &["inspect"]),
    (
        "`sandboxctl root remove NAME` removes one",
        &["rm", "rmi", "delete", "prune"],
    ),
];

/// For `sandboxctl desktop`.
const DESKTOP: &[Others] = &[
    (
        "`sandboxctl desktop install PROGRAM` has its icon start the sandbox",
        &["enable", "add"],
    ),
    (
        "`sandboxctl desktop remove PROGRAM` has its icon start it without a sandbox",
        &["uninstall", "disable", "rm", "delete"],
    ),
    ("`sandboxctl desktop list` lists entries", &["ls"]),
];

/// What to do instead of a verb that a command does not have; the command is what stands between the program's name and the
/// verb.
pub(super) fn instead(command: &str, verb: &str) -> Option<&'static str> {
    let table = match command {
        "" => VERBS,
        "root" => ROOT,
        "desktop" => DESKTOP,
        _ => return None,
    };
    let verb = verb.trim_start_matches('-').to_ascii_lowercase();
    let mut rows = table.iter();
    rows.find(|(_, others)| others.contains(&verb.as_str()))
        .map(|(ours, _)| *ours)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::arguments::{Control, Launch};

    #[test]
    fn what_is_said_of_other_verbs_names_only_ours() {
        for (command, table) in [("", VERBS), ("root", ROOT), ("desktop", DESKTOP)] {
            let control = Control::command();
            let parent = match command {
                "" => control,
                name => control.find_subcommand(name).unwrap().clone(),
            };
            let mut seen: Vec<&str> = Vec::new();
            for (ours, others) in table {
                for other in *others {
                    assert!(parent.find_subcommand(other).is_none(), "{other} is a verb");
                    assert!(!seen.contains(other), "{other} is there twice");
                    seen.push(other);
                }
                for line in ours.split('`').skip(1).step_by(2) {
                    let mut words = line.split(' ');
                    let mut at = match words.next() {
                        Some("sandbox") => Launch::command(),
                        Some("sandboxctl") => Control::command(),
                        other => panic!("{other:?} is none of our programs"),
                    };
                    for word in words {
                        if word.starts_with('-') {
                            let option = word.trim_start_matches('-');
                            let mut known = at.get_arguments();
                            assert!(
                                matches!(option, "version" | "help")
                                    || known.any(|arg| arg.get_long() == Some(option)),
                                "{line}"
                            );
                        } else if word.chars().all(|c| c.is_ascii_lowercase()) {
                            at = at.find_subcommand(word).expect(line).clone();
                        }
                    }
                }
            }
        }
    }
}
