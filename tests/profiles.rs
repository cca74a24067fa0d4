//! What holds for every profile that is shipped, whatever the host: made into plans against facts written by hand.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sandbox::bpf::{Action as Verdict, Arch};
use sandbox::host::Facts;
use sandbox::host::facts::{Caller, Machine, PathFact, PathKind, Refused};
use sandbox::plan::step::NamespaceKind;
use sandbox::plan::{self, Action, Plan, Request};
use sandbox::policy::{self, Policy};
use sandbox::profile::embedded::EMBEDDED;
use sandbox::profile::key::Section;
use sandbox::profile::load::load;
use sandbox::profile::search::Library;
use sandbox::profile::value::Value;
use sandbox::report::SourceMap;
use sandbox::section::filesystem;

/// Profiles that are there to be looked at, or to do one thing.
const BARE: &[&str] = &[
    "cgroup-demo",
    "container",
    "container-demo",
    "memlimit",
    "network",
    "no-network",
    "no-planting",
    "no-secrets",
    "project",
    "unshare-demo",
];

fn policy(names: &[&str]) -> Policy {
    let mut sources = SourceMap::new();
    let library = Library::new(Vec::new(), 0);
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let loaded = load(&names, &library, None, &mut sources).unwrap();
    assert_eq!(loaded.warnings, [], "{names:?}");
    policy::resolve(&loaded.name, &loaded.layers)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    User,
    Root,
}

const EVERYBODY: [Who; 2] = [Who::User, Who::Root];

fn caller(who: Who) -> Caller {
    let (uid, home, user) = match who {
        Who::User => (1000, "/home/u", "u"),
        Who::Root => (0, "/root", "root"),
    };
    let home = PathBuf::from(home);
    let directories = [
        ("XDG_CONFIG_HOME", ".config"),
        ("XDG_DATA_HOME", ".local/share"),
        ("XDG_STATE_HOME", ".local/state"),
        ("XDG_CACHE_HOME", ".cache"),
        ("XDG_DOWNLOAD_DIR", "Downloads"),
        ("XDG_DOCUMENTS_DIR", "Documents"),
        ("XDG_MUSIC_DIR", "Music"),
        ("XDG_VIDEOS_DIR", "Videos"),
        ("XDG_TEMPLATES_DIR", "Templates"),
        ("XAUTHORITY", ".Xauthority"),
    ]
    .map(|(name, below)| (name.to_owned(), home.join(below)));
    let mut directories: BTreeMap<String, PathBuf> = directories.into();
    directories.insert("XDG_RUNTIME_DIR".into(), format!("/run/user/{uid}").into());
    Caller {
        uid,
        gid: uid,
        user: user.into(),
        working_directory: home.join("work"),
        home,
        directories,
        capabilities: if who == Who::Root { u64::MAX >> 23 } else { 0 },
        terminals: [true; 3],
        ..Caller::default()
    }
}

/// Files of the host, rather than directories.
const FILES: &[&str] = &[
    ".netrc",
    ".npmrc",
    ".git-credentials",
    ".Xauthority",
    ".bashrc",
    ".profile",
    ".gitconfig",
];

/// A host on which every path that a profile names exists, as a directory unless it is known better.
fn facts(policy: &Policy, who: Who) -> Facts {
    let mut facts = Facts {
        caller: caller(who),
        machine: Machine {
            kernel: "6.1.0".into(),
            memory: 16 << 30,
            last_capability: 40,
            mount_api: true,
            keyrings: true,
            landlock: 7,
            ..Machine::default()
        },
        ..Facts::default()
    };
    let around = plan::surroundings(policy, &facts).unwrap();
    let wanted = filesystem::wanted(policy, &facts.caller, &around);
    for glob in wanted.globs {
        facts.globs.insert(glob, Vec::new());
    }
    let private = around.private_root.parent().map(Path::to_owned);
    for path in wanted.paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let kind = if FILES.contains(&&*name) {
            PathKind::File
        } else if path.starts_with("/dev") && path.components().count() > 2 {
            PathKind::Special
        } else {
            PathKind::Directory
        };
        let missing = Some(&path) == private.as_ref();
        let fact = PathFact {
            canonical: (!missing).then(|| path.clone()),
            kind: if missing { PathKind::Missing } else { kind },
            links: Vec::new(),
            error: None,
            twin: None,
        };
        facts.paths.insert(path, fact);
    }
    facts
}

fn plan(names: &[&str], who: Who) -> Plan {
    let policy = policy(names);
    let request = Request {
        program: "true".into(),
        name: "test".into(),
        // The hand-written host has no control groups.
        best_effort: true,
        ..Request::default()
    };
    match plan::compile(&policy, &facts(&policy, who), &request) {
        Ok(plan) => plan,
        Err(errors) => panic!("{names:?} for {who:?}: {errors:#?}"),
    }
}

fn has(plan: &Plan, found: impl Fn(&Action) -> bool) -> bool {
    plan.steps.iter().any(|step| found(&step.action))
}

fn names() -> impl Iterator<Item = &'static str> {
    EMBEDDED.iter().map(|(name, _)| *name)
}

fn full() -> impl Iterator<Item = &'static str> {
    names().filter(|name| !BARE.contains(name))
}

/// What the filter of a plan answers; `Allow` where there is none.
fn verdict(plan: &Plan, call: &str, args: [u64; 6]) -> Verdict {
    let Some(native) = Arch::native() else {
        return Verdict::Allow;
    };
    plan.steps
        .iter()
        .find_map(|step| match &step.action {
            Action::Seccomp(filter) => filter.program.verdict_for(call, native, args),
            _ => None,
        })
        .unwrap_or(Verdict::Allow)
}

fn denied(plan: &Plan, call: &str, args: [u64; 6]) -> bool {
    !verdict(plan, call, args).permits()
}

#[test]
fn every_one_says_what_it_is_for() {
    let mut sources = SourceMap::new();
    let library = Library::new(Vec::new(), 0);
    for name in names() {
        let loaded = load(&[name.to_owned()], &library, None, &mut sources).unwrap();
        let own = loaded.layers.last().unwrap();
        assert_eq!(own.name, name);
        let description = own.description.as_ref().unwrap();
        assert!(description.value.chars().count() <= 110, "{name}");
        assert!(!description.value.ends_with('.'), "{name}");
    }
}

#[test]
fn no_two_claim_one_program() {
    let mut sources = SourceMap::new();
    let library = Library::new(Vec::new(), 0);
    let mut claimed: BTreeMap<String, &str> = BTreeMap::new();
    for name in names() {
        let loaded = load(&[name.to_owned()], &library, None, &mut sources).unwrap();
        for program in loaded
            .layers
            .last()
            .and_then(|own| own.programs.as_ref())
            .map(|programs| programs.value.as_slice())
            .unwrap_or_default()
        {
            let before = claimed.insert(program.value.clone(), name);
            assert_eq!(before, None, "{} in {name}", program.value);
        }
    }
    assert_eq!(claimed.get("firefox-esr"), Some(&"firefox"));
}

#[test]
fn every_one_becomes_a_plan_for_everybody() {
    for name in names() {
        for who in EVERYBODY {
            let plan = plan(&[name], who);
            assert!(
                has(&plan, |action| matches!(action, Action::Execute { .. })),
                "{name}"
            );
        }
    }
}

#[test]
fn bases_can_be_added_to_any_other() {
    for name in names() {
        for added in ["no-network", "no-secrets"] {
            if name == "network" && added == "no-network" {
                continue;
            }
            for who in EVERYBODY {
                plan(&[name, added], who);
            }
        }
    }
}

#[test]
fn privileges_are_given_up() {
    for name in full() {
        for who in EVERYBODY {
            let plan = plan(&[name], who);
            assert!(
                has(&plan, |action| *action == Action::NoNewPrivileges),
                "{name}"
            );
            assert!(
                has(&plan, |action| matches!(
                    action,
                    Action::Capabilities { keep: 0, .. }
                )),
                "{name}"
            );
        }
    }
}

#[test]
fn other_processes_are_not_seen() {
    for name in full() {
        let plan = plan(&[name], Who::User);
        let new = |kind| {
            has(
                &plan,
                |action| matches!(action, Action::Clone { namespaces } if namespaces.contains(&kind)),
            )
        };
        for kind in [NamespaceKind::Pid, NamespaceKind::Ipc, NamespaceKind::Mount] {
            assert!(new(kind), "{name} {kind:?}");
        }
    }
}

#[test]
fn the_kernels_back_doors_are_closed() {
    for name in full() {
        for who in EVERYBODY {
            let plan = plan(&[name], who);
            for call in [
                "mount",
                "umount2",
                "pivot_root",
                "open_tree",
                "fsopen",
                "mount_setattr",
                "setns",
                "keyctl",
                "add_key",
                "request_key",
                "bpf",
                "userfaultfd",
                "perf_event_open",
                "open_by_handle_at",
                "init_module",
                "kexec_load",
                "io_uring_setup",
                "clone3",
            ] {
                assert!(denied(&plan, call, [0; 6]), "{name} allows {call}");
            }
            // TIOCSTI, TIOCLINUX; with bits set that the kernel does not look at, too.
            for request in [0x5412, 0x541c, 0x1_0000_5412] {
                assert!(denied(&plan, "ioctl", [0, request, 0, 0, 0, 0]), "{name}");
            }
            // AF_NETLINK but for routes, AF_PACKET, AF_ALG, AF_VSOCK.
            for (family, protocol) in [(16, 12), (17, 0), (38, 0), (40, 0)] {
                let args = [family, 3, protocol, 0, 0, 0];
                assert!(denied(&plan, "socket", args), "{name} family {family}");
            }
            assert!(!denied(&plan, "socket", [1, 1, 0, 0, 0, 0]), "{name}");
            assert!(!denied(&plan, "clone", [0x0012_0011, 0, 0, 0, 0, 0]));
            assert!(!denied(&plan, "execve", [0; 6]));
        }
    }
}

#[test]
fn user_namespaces_are_for_browsers_alone() {
    for name in full() {
        let plan = plan(&[name], Who::User);
        let browsers = [
            "web-browser",
            "firefox",
            "chromium",
            "thunderbird",
            "electron-app",
        ];
        let browser = browsers.contains(&name);
        for call in ["clone", "unshare"] {
            let args = [0x1000_0000, 0, 0, 0, 0, 0];
            assert_eq!(denied(&plan, call, args), !browser, "{name} {call}");
        }
        assert_eq!(
            denied(&plan, "ptrace", [0; 6]),
            name != "dev",
            "{name} ptrace"
        );
    }
}

#[test]
fn none_shows_keys() {
    for name in names() {
        let policy = policy(&[name]);
        for secret in ["~/.ssh", "~/.gnupg", "~/.aws", "~/.netrc", "~/.kube"] {
            let said = policy.get(Section::Filesystem, secret);
            let shown =
                said.is_some_and(|said| !matches!(said.value, Value::View(view) if view.closes()));
            assert!(!shown, "{name} {secret}");
        }
    }
    // Where the home directory is shown, the keys are hidden, and where it is not, nothing shows them.
    for name in full().filter(|name| *name != "base") {
        for who in EVERYBODY {
            let plan = plan(&[name], who);
            let ssh = caller(who).home.join(".ssh");
            let home = ssh.parent().unwrap();
            let hidden = has(
                &plan,
                |action| matches!(action, Action::Mask { path, .. } if path == &ssh),
            );
            let replaced = has(&plan, |action| match action {
                Action::MountTmpfs { target, .. } => target == home,
                Action::MountHost { source, target, .. } => target == home && source != home,
                _ => false,
            });
            assert!(hidden || replaced, "{name} {who:?}");
        }
    }
}

#[test]
fn secrets_leave_the_environment() {
    let policy = policy(&["default"]);
    let given = [
        ("GITHUB_TOKEN", false),
        ("AWS_ACCESS_KEY_ID", false),
        ("MY_SECRET_THING", false),
        ("DB_PASSWORD", false),
        ("OPENAI_API_KEY", false),
        ("SSH_AUTH_SOCK", false),
        ("DBUS_SESSION_BUS_ADDRESS", false),
        ("LD_PRELOAD", false),
        ("BASH_FUNC_x%%", false),
        ("DOCKER_HOST", false),
        ("LANG", true),
        ("PATH", true),
        ("EDITOR", true),
        ("DISPLAY", true),
    ];
    let environment: Vec<_> = given
        .iter()
        .map(|(name, _)| (name.into(), "x".into()))
        .collect();
    let left = sandbox::section::environment::lower(&policy, &environment);
    for (name, stays) in given {
        assert_eq!(left.iter().any(|(left, _)| left == name), stays, "{name}");
    }
}

#[test]
fn strict_has_no_network_and_a_new_terminal() {
    for who in EVERYBODY {
        let plan = plan(&["strict"], who);
        assert!(has(&plan, |action| matches!(
            action,
            Action::Clone { namespaces } if namespaces.contains(&NamespaceKind::Net) && namespaces.contains(&NamespaceKind::User)
        )));
        assert!(has(&plan, |action| *action == Action::NewTerminal));
        for call in ["socket", "unshare", "ptrace", "process_vm_readv"] {
            assert!(denied(&plan, call, [2, 1, 0, 0, 0, 0]), "{call}");
        }
    }
}

#[test]
fn limits_alone_change_nothing_else() {
    for name in ["memlimit", "cgroup-demo"] {
        let policy = policy(&[name]);
        for section in [
            Section::Namespaces,
            Section::Filesystem,
            Section::Devices,
            Section::Network,
            Section::Syscalls,
            Section::Capabilities,
            Section::Environment,
            Section::Process,
            Section::User,
        ] {
            assert!(!policy.mentions(section), "{name} {section}");
        }
    }
}

/// The constraints that `plan/compile.rs` states, on every plan that a shipped profile can become.
#[test]
fn the_order_of_steps_keeps_what_is_promised() {
    for (name, _) in EMBEDDED {
        for who in EVERYBODY {
            let plan = plan(&[name], who);
            let at =
                |found: fn(&Action) -> bool| plan.steps.iter().position(|step| found(&step.action));
            let last = |found: fn(&Action) -> bool| {
                plan.steps.iter().rposition(|step| found(&step.action))
            };
            let said = format!("{name} for {who:?}");
            // What is missing keeps every order.
            let before = |first: Option<usize>, second: Option<usize>, what: &str| {
                if let (Some(first), Some(second)) = (first, second) {
                    assert!(first < second, "{said}: {what}");
                }
            };
            let execute = at(|action| matches!(action, Action::Execute { .. }));
            let filter = at(|action| matches!(action, Action::Seccomp(_)));
            let pivot = at(|action| matches!(action, Action::PivotRoot));
            let clone = at(|action| matches!(action, Action::Clone { .. }));
            let init = at(|action| matches!(action, Action::Init));
            let privileges = at(|action| matches!(action, Action::NoNewPrivileges));
            let capabilities = at(|action| matches!(action, Action::Capabilities { .. }));
            let second_wall = at(|action| matches!(action, Action::Landlock(_)));
            before(pivot, second_wall, "nothing is mounted after Landlock");
            before(privileges, second_wall, "Landlock may need no_new_privs");
            before(second_wall, init, "Landlock holds process 1 too");
            before(second_wall, filter, "the filter may forbid Landlock");
            assert_eq!(
                execute,
                Some(plan.steps.len() - 1),
                "{said}: the program comes last"
            );
            let mounts = |action: &Action| {
                matches!(
                    action,
                    Action::MountHost { .. }
                        | Action::MountTmpfs { .. }
                        | Action::MountProc { .. }
                        | Action::MountDevpts { .. }
                        | Action::MountMqueue { .. }
                        | Action::MountText { .. }
                        | Action::Mask { .. }
                        | Action::Restrict { .. }
                        | Action::Seal { .. }
                        | Action::NoExecution { .. }
                )
            };
            before(
                last(mounts),
                pivot,
                "nothing is mounted once the old root is gone",
            );
            before(
                at(|action| matches!(action, Action::PrivatePropagation)),
                at(mounts),
                "nothing spreads",
            );
            before(
                at(|action| matches!(action, Action::EnterGroup(_))),
                init,
                "limits before anything can fork",
            );
            before(
                clone,
                at(|action| matches!(action, Action::MapIds { .. })),
                "ids of a namespace that exists",
            );
            before(
                pivot,
                at(|action| matches!(action, Action::NewTerminal)),
                "the terminal is one of the view",
            );
            before(privileges, filter, "the filter needs no_new_privs");
            before(capabilities, filter, "the filter may forbid capset");
            before(
                at(|action| matches!(action, Action::CloseDescriptors)),
                filter,
                "descriptors are closed before the filter",
            );
            before(
                capabilities,
                at(|action| matches!(action, Action::WorkingDirectory { .. })),
                "no capability opens a directory",
            );
            assert!(
                filter.is_none_or(|filter| plan.steps[filter + 1..].iter().all(|step| {
                    matches!(step.action, Action::Execute { .. } | Action::Timeout { .. })
                })),
                "{said}: nothing but the program comes behind the filter"
            );
        }
    }
}

/// Whoever says something about files gets both walls, on a kernel that has them, unless the root is writable.
#[test]
fn full_profiles_have_a_second_wall() {
    for name in full() {
        for who in EVERYBODY {
            let plan = plan(&[name], who);
            let ruleset = plan.steps.iter().find_map(|step| match &step.action {
                Action::Landlock(ruleset) => Some(ruleset),
                _ => None,
            });
            let ruleset = ruleset.unwrap_or_else(|| panic!("{name} for {who:?} has none"));
            assert!(!ruleset.handled.is_empty(), "{name}");
            assert!(ruleset.scopes.signals, "{name}");
            // What is granted costs two calls each.
            assert!(ruleset.rules.len() < 60, "{name}: {:#?}", ruleset.rules);
        }
    }
}

/// Without user namespaces none of them is run as if nothing were missing.
#[test]
fn no_full_profile_is_thinned_out_in_silence() {
    for name in full() {
        let policy = policy(&[name]);
        let mut facts = facts(&policy, Who::User);
        facts.machine.no_user_namespaces = Some(Refused {
            detail: "for a test".to_owned(),
            fix: vec!["do this".to_owned()],
        });
        let request = Request {
            program: "true".into(),
            name: "test".into(),
            ..Request::default()
        };
        let errors = plan::compile(&policy, &facts, &request).unwrap_err();
        let told = errors
            .iter()
            .find(|error| error.message.contains("no user namespace"))
            .unwrap_or_else(|| panic!("{name}: {errors:#?}"));
        assert!(!told.related.is_empty(), "{name}");
        assert!(told.help.iter().any(|line| line == "do this"), "{name}");
    }
}
