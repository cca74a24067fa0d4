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

/// Options of other tools, for `sandbox`.
const OPTIONS: &[Others] = &[
    ("`--profile NAME|FILE` names the profile", &["-p"]),
    ("`--background` leaves it running", &["-d", "--detach"]),
    ("`--env K=V` sets a variable", &["-e", "--setenv"]),
    (
        "`--unset-env K` keeps a variable from the program",
        &["--unsetenv"],
    ),
    (
        "`--memory SIZE` limits memory",
        &["-m", "--mem", "--memory-max", "--rlimit-as"],
    ),
    (
        "`--swap SIZE` limits swap, in addition to the memory",
        &["--memory-swap"],
    ),
    (
        "`--cpu PERCENT` limits CPU time, 200% is two CPUs",
        &["--cpus", "--cpu-quota"],
    ),
    ("`--pids NUMBER` limits processes", &["--pids-limit"]),
    (
        "`--bind SRC:DST` shows a path elsewhere; `--rw PATH` and `--ro PATH` show it where it is",
        &["--volume", "--mount", "--ro-bind", "--whitelist"],
    ),
    (
        "`--ro /` shows everything read-only",
        &["--read-only", "--readonly"],
    ),
    ("`--hide PATH` hides it", &["--blacklist"]),
    (
        "`--tmpfs ~` shows an empty home directory, gone afterwards",
        &["--private"],
    ),
    ("`--chdir DIR` says where it starts", &["--workdir", "-w"]),
    (
        "`--net none` leaves it loopback only",
        &["--network", "--unshare-net"],
    ),
    (
        "it is not needed: nothing of a sandbox is left when its program ends",
        &["--rm"],
    ),
];

/// The same for an option that `sandbox`, or a verb of `sandboxctl`, does not have.
pub(super) fn option(program: &str, command: &str, option: &str) -> Option<String> {
    let signal = option.trim_start_matches('-');
    match (program, command) {
        ("sandbox", "") => {
            let mut rows = OPTIONS.iter();
            let found = rows.find(|(_, others)| others.contains(&option));
            found.map(|(ours, _)| (*ours).to_owned())
        }
        // As with kill(1); only the first letter of it is known here.
        ("sandboxctl", "kill") if !signal.starts_with(|c: char| c.is_ascii_lowercase()) => {
            Some("`--signal SIGNAL` sends another signal, by its name or number".to_owned())
        }
        _ => None,
    }
}

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
    fn options_of_others_are_none_of_ours() {
        let launch = Launch::command();
        let is_ours = |option: &str| {
            let mut known = launch.get_arguments();
            known.any(|arg| match option.strip_prefix("--") {
                Some(long) => arg.get_long() == Some(long),
                None => arg.get_short() == option.chars().nth(1),
            })
        };
        for (ours, others) in OPTIONS {
            for other in *others {
                assert!(!is_ours(other), "{other} is an option");
            }
            for line in ours.split('`').skip(1).step_by(2) {
                let name = line.split(' ').next().unwrap();
                assert!(is_ours(name), "{line}");
            }
        }
    }

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
