//! `sandbox-suid` as a real setuid program: in a mount namespace of its own with an /etc and a /usr/local/bin that the
//! case fills, called by an ordinary user.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::support::{Case, Finished, Need, Outcome, Scene, binary, case, own_path};

const NEEDS: &[Need] = &[
    Need::Root,
    Need::Binary("sandbox-suid"),
    Need::Program("unshare"),
    Need::Program("setpriv"),
];

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "runs_a_rule_and_refuses_the_rest",
            NEEDS,
            runs_a_rule_and_refuses_the_rest,
        ),
        case(
            "becomes_the_target_and_nothing_more",
            NEEDS,
            becomes_the_target_and_nothing_more,
        ),
        case(
            "nothing_of_the_callers_process_is_passed_on",
            NEEDS,
            nothing_of_the_callers_process_is_passed_on,
        ),
        case(
            "rules_that_others_could_have_written",
            NEEDS,
            rules_that_others_could_have_written,
        ),
        case(
            "programs_that_others_could_have_written",
            NEEDS,
            programs_that_others_could_have_written,
        ),
        case(
            "odd_names_and_no_new_privileges",
            NEEDS,
            odd_names_and_no_new_privileges,
        ),
        case(
            "opens_nothing_of_the_callers",
            &[
                Need::Root,
                Need::Binary("sandbox-suid"),
                Need::Program("unshare"),
                Need::Program("strace"),
            ],
            opens_nothing_of_the_callers,
        ),
        case(
            "says_nothing_as_root",
            &[
                Need::Root,
                Need::Binary("sandbox-suid"),
                Need::Program("unshare"),
                Need::Program("strace"),
            ],
            says_nothing_as_root,
        ),
        case(
            "runs_under_a_profile_of_the_systems",
            NEEDS,
            runs_under_a_profile_of_the_systems,
        ),
        case(
            "limits_the_shell_that_calls",
            LIMITS,
            limits_the_shell_that_calls,
        ),
        case(
            "an_imported_mem3_limits_the_shell",
            LIMITS,
            an_imported_mem3_limits_the_shell,
        ),
        case("administrators_verbs", NEEDS, administrators_verbs),
        case(
            "a_group_that_a_user_may_join",
            &[
                Need::Root,
                Need::Binary("sandbox-suid"),
                Need::Program("unshare"),
                Need::Program("setpriv"),
                Need::CgroupV1,
                Need::Controller("memory"),
            ],
            a_group_that_a_user_may_join,
        ),
    ]
}

const LIMITS: &[Need] = &[
    Need::Root,
    Need::Binary("sandbox-suid"),
    Need::Program("unshare"),
    Need::Program("setpriv"),
    Need::Limits,
];

const RULES: &str = r#"
[rule.id]
users = ["sbx-ann"]
program = "/usr/bin/id"
log = "best-effort"

[rule.someone-elses]
users = ["sbx-bob"]
program = "/usr/bin/id"
log = "best-effort"

[rule.members]
groups = ["sbx-staff"]
program = "/bin/true"
log = "best-effort"

[rule.status]
users = ["*"]
program = "/bin/cat"
arguments = ["/proc/self/status"]
user = "nobody"
log = "best-effort"

[rule.root-status]
users = ["*"]
program = "/bin/cat"
arguments = ["/proc/self/status"]
log = "best-effort"

[rule.port]
users = ["*"]
program = "/bin/cat"
arguments = ["/proc/self/status"]
user = "nobody"
capabilities = ["net-bind-service"]
log = "best-effort"

[rule.env]
users = ["*"]
program = "/usr/bin/env"
keep-environment = ["TERM", "LC_*"]
log = "best-effort"

[rule.own-limits]
users = ["*"]
program = "/bin/cat"
arguments = ["/proc/self/limits"]
user = "caller"
log = "best-effort"

[rule.nobodys-limits]
users = ["*"]
program = "/bin/cat"
arguments = ["/proc/self/limits"]
user = "nobody"
log = "best-effort"

[rule.keys]
users = ["*"]
program = "/bin/cat"
arguments = ["/proc/keys"]
user = "nobody"
log = "best-effort"

[rule.look]
users = ["*"]
program = "/bin/sh"
arguments = ["-c", "echo directory $PWD umask $(umask); for fd in 3 4 5 6 7 8 9 42; do [ ! -e /proc/self/fd/$fd ] || echo open $fd; done; ulimit -f; ulimit -c"]
umask = "027"
log = "best-effort"
"#;

/// A setuid installation that only its own mount namespace sees.
struct World<'a> {
    scene: &'a Scene,
    script: PathBuf,
}

impl<'a> World<'a> {
    /// `prepare` are further lines of the script that sets the world up, as root, before the user calls.
    fn new(scene: &'a Scene, rules: &str, prepare: &str) -> io::Result<Self> {
        let rules = scene.write("rules.toml", rules)?;
        let bin = binary("sandbox-suid");
        let bin = bin.parent().unwrap_or(&bin);
        let folder = scene.folder();
        let script = format!(
            r#"set -eu
mkdir -p "{folder}/etc" "{folder}/bin" "{folder}/work" "{folder}/bob"
mount -t tmpfs -o mode=755 tmpfs "{folder}/etc"
cp -a /etc/. "{folder}/etc/"
mount --bind "{folder}/etc" /etc
printf 'sbx-ann:x:54321:54321::{folder}/work:/bin/sh\nsbx-bob:x:54322:54322::{folder}/bob:/bin/sh\n' >> /etc/passwd
printf 'sbx-staff:x:54399:sbx-ann\n' >> /etc/group
mkdir -p /etc/sandbox/rules.d
cp "{rules}" /etc/sandbox/rules.d/rules.toml
chown -R root:root /etc/sandbox
chmod 644 /etc/sandbox/rules.d/rules.toml
mount -t tmpfs -o mode=755 tmpfs "{folder}/bin"
install -m 4755 "{bin}/sandbox-suid" "{folder}/bin/sandbox-suid"
install -m 755 "{bin}/sandbox" "{bin}/sandboxctl" "{folder}/bin/"
ln -s sandbox-suid "{folder}/bin/id-of-root"
mount --bind "{folder}/bin" /usr/local/bin
chown 54321:54321 "{folder}/work"
chown 54322:54322 "{folder}/bob"
cd "{folder}/work"
{prepare}
exec "$@"
"#,
            folder = folder.display(),
            rules = rules.display(),
            bin = bin.display(),
        );
        let script = scene.write("world.sh", &script)?;
        Ok(Self { scene, script })
    }

    fn root(&self, line: &[&str]) -> io::Result<Finished> {
        self.scene
            .command("/usr/bin/unshare")
            .args(["--mount", "--propagation", "private", "/bin/sh"])
            .args([self.script.clone()])
            .args(line.iter().copied())
            .run()
    }

    /// As the user sbx-ann, a member of sbx-staff, with an environment of an attacker.
    fn user(&self, line: &[&str]) -> io::Result<Finished> {
        let mut all = vec![
            "/usr/bin/setpriv",
            "--reuid=54321",
            "--regid=54321",
            "--groups=54321,54399",
            "--inh-caps=-all",
            "/usr/bin/env",
            "-i",
            "PATH=/usr/local/bin:/usr/bin:/bin",
            "TERM=xterm",
            "LC_ALL=../../evil",
            "IFS=x",
            "ENV=/tmp/evil",
            "BASH_ENV=/tmp/evil",
            "HOME=/tmp/evil",
            "SECRET=1",
        ];
        all.extend(line);
        self.root(&all)
    }
}

fn runs_a_rule_and_refuses_the_rest(scene: &Scene) -> Outcome {
    let world = World::new(scene, RULES, "ln -s sandbox-suid /usr/local/bin/id")?;
    for line in [&["sandbox-suid", "id"][..], &["/usr/local/bin/id"]] {
        let out = world.user(line)?;
        out.succeeds()?;
        assert!(
            out.stdout()
                .starts_with("uid=0(root) gid=0(root) groups=0(root)"),
            "{out}"
        );
    }
    world.user(&["sandbox-suid", "members"])?.succeeds()?;
    let out = world.user(&["sandbox-suid", "id", "-u"])?;
    out.exits_with(126)?;
    assert!(
        out.stderr()
            .contains("`id` takes no arguments, and 1 were given"),
        "{out}"
    );
    // Whose a rule is, and that it is there, is nobody else's business.
    let theirs = world.user(&["sandbox-suid", "someone-elses"])?;
    let none = world.user(&["sandbox-suid", "no-such-one-xx"])?;
    theirs.exits_with(127)?;
    none.exits_with(127)?;
    assert_eq!(
        theirs.stderr().replace("someone-elses", "X"),
        none.stderr().replace("no-such-one-xx", "X")
    );
    let list = world.user(&["sandbox-suid", "--list"])?;
    list.succeeds()?;
    assert!(
        list.stdout().contains("id  ") && !list.stdout().contains("someone-elses"),
        "{list}"
    );
    // The rules of an administrator who has none.
    let empty = World::new(scene, RULES, "rm /etc/sandbox/rules.d/*")?;
    empty.user(&["sandbox-suid", "id"])?.exits_with(127)?;
    let gone = World::new(scene, RULES, "rm -r /etc/sandbox")?;
    gone.user(&["sandbox-suid", "id"])?.exits_with(127)?;
    Ok(())
}

fn becomes_the_target_and_nothing_more(scene: &Scene) -> Outcome {
    let world = World::new(scene, RULES, "")?;
    let out = world.user(&["sandbox-suid", "status"])?;
    out.succeeds()?;
    let field = |out: &Finished, name: &str| -> String {
        let text = out.stdout();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let nobody = field(&out, "Uid:");
    assert_eq!(nobody, "65534 65534 65534 65534", "{out}");
    assert_eq!(field(&out, "Groups:"), "", "{out}");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(&out, set), "0000000000000000", "{set} {out}");
    }
    // Another user's program must not type into the caller's terminal.
    assert_eq!(field(&out, "Seccomp:"), "2", "{out}");
    let out = world.user(&["sandbox-suid", "root-status"])?;
    assert_eq!(field(&out, "Uid:"), "0 0 0 0", "{out}");
    assert_eq!(field(&out, "Gid:"), "0 0 0 0", "{out}");
    assert_eq!(field(&out, "Groups:"), "", "{out}");
    let out = world.user(&["sandbox-suid", "port"])?;
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(&out, set), "0000000000000400", "{set} {out}");
    }
    Ok(())
}

fn nothing_of_the_callers_process_is_passed_on(scene: &Scene) -> Outcome {
    let world = World::new(scene, RULES, "")?;
    let out = world.user(&["sandbox-suid", "env"])?;
    out.succeeds()?;
    let mut names: Vec<String> = out
        .stdout()
        .lines()
        .filter_map(|line| line.split('=').next().map(str::to_owned))
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "HOME",
            "LOGNAME",
            "PATH",
            "SANDBOX_GID",
            "SANDBOX_UID",
            "SANDBOX_USER",
            "SHELL",
            "TERM",
            "USER"
        ],
        "{out}"
    );
    assert!(out.stdout().contains("\nSANDBOX_USER=sbx-ann\n"), "{out}");
    // Descriptors, umask, limits, working directory.
    let hostile =
        "exec 3</etc/passwd 7</etc/passwd 9</; umask 0; ulimit -S -f 0; exec sandbox-suid look";
    let out = world.user(&["/bin/sh", "-c", hostile])?;
    out.succeeds()?;
    assert_eq!(
        out.stdout(),
        "directory / umask 0027\nunlimited\n0\n",
        "{out}"
    );
    // A hard limit can be raised only by a root that has CAP_SYS_RESOURCE; else nothing is done.
    let out = world.user(&["/bin/sh", "-c", "ulimit -f 0; exec sandbox-suid look"])?;
    match out.code() {
        0 => assert!(out.stdout().contains("unlimited"), "{out}"),
        code => {
            assert_eq!(code, 126, "{out}");
            assert_eq!(out.stdout(), "", "{out}");
        }
    }
    // Another target does not inherit the caller's traps; who stays who they are keeps what limits them.
    for (rule, kept) in [("own-limits", true), ("nobodys-limits", false)] {
        let line = format!("ulimit -S -p 7; exec sandbox-suid {rule}");
        let out = world.user(&["/bin/sh", "-c", &line])?;
        out.succeeds()?;
        let text = out.stdout();
        let processes = text.lines().find(|line| line.starts_with("Max processes"));
        let found = processes.and_then(|line| line.split_whitespace().nth(2));
        assert!(
            found.is_some() && (found == Some("7")) == kept,
            "{rule}: {out}"
        );
    }
    // The caller's session keyring, in which its keys are.
    let out = world.user(&["sandbox-suid", "keys"])?;
    if out.code() == 0 {
        assert!(!out.stdout().contains(" 54321 "), "{out}");
    }
    // Ignored and blocked signals.
    let out = world.user(&[
        "/bin/sh",
        "-c",
        "trap '' HUP INT TERM CHLD PIPE; exec sandbox-suid root-status",
    ])?;
    out.succeeds()?;
    for set in ["SigBlk", "SigIgn"] {
        assert!(
            out.stdout().contains(&format!("{set}:\t0000000000000000")),
            "{set} {out}"
        );
    }
    // Standard descriptors that are closed are /dev/null for the program, not the first file that is opened.
    let out = world.user(&[
        "/bin/sh",
        "-c",
        "sandbox-suid env <&- >/dev/null 2>&-; echo $?",
    ])?;
    assert_eq!(out.stdout(), "0\n", "{out}");
    Ok(())
}

fn rules_that_others_could_have_written(scene: &Scene) -> Outcome {
    let file = "/etc/sandbox/rules.d/rules.toml";
    for sabotage in [
        format!("chgrp 54399 {file}; chmod 664 {file}"),
        format!("chmod 646 {file}"),
        format!("chown 54321 {file}"),
        format!("mv {file} /etc/sandbox/other; ln -s ../other {file}"),
        format!("ln {file} /etc/sandbox/other"),
        format!("rm {file}; mkfifo {file}"),
        format!("rm {file}; mkdir {file}"),
        "chmod 777 /etc/sandbox/rules.d".to_owned(),
        "chmod 1777 /etc/sandbox/rules.d".to_owned(),
        "chown 54321 /etc/sandbox/rules.d".to_owned(),
        "chown 54321 /etc/sandbox".to_owned(),
        "chmod 777 /etc/sandbox".to_owned(),
        "cp /etc/sandbox/rules.d/rules.toml /etc/sandbox/rules.d/second.toml".to_owned(),
        "echo '[rule.x' > /etc/sandbox/rules.d/second.toml".to_owned(),
        "echo > /etc/sandbox/rules.d/second.toml".to_owned(),
        "printf '[rule.x]\\nusers=[\"*\"]\\nprogram=\"/bin/true\"\\nwhat=1\\n' > /etc/sandbox/rules.d/second.toml".to_owned(),
        "printf '\\377' > /etc/sandbox/rules.d/second.toml".to_owned(),
        "chmod 666 /etc/passwd".to_owned(),
    ] {
        let world = World::new(scene, RULES, &sabotage)?;
        let out = world.user(&["sandbox-suid", "id"])?;
        out.exits_with(126)?;
        assert_eq!(out.stdout(), "", "{sabotage}: {out}");
        assert!(out.stderr().contains("the administrator of this system finds the reason"), "{sabotage}: {out}");
        // Root is told.
        let out = world.root(&["/usr/local/bin/sandbox-suid", "id"])?;
        assert!(out.stderr().contains("/etc/"), "{sabotage}: {out}");
    }
    // What editors and packages leave beside is no rule, and a fault in it is none.
    let world = World::new(
        scene,
        RULES,
        "cd /etc/sandbox/rules.d; cp rules.toml .rules.toml; cp rules.toml rules.toml~; echo x > rules.toml.dpkg-old; chmod 777 rules.toml~",
    )?;
    world.user(&["sandbox-suid", "id"])?.succeeds()?;
    Ok(())
}

fn programs_that_others_could_have_written(scene: &Scene) -> Outcome {
    let rules = "[rule.x]\nusers=[\"*\"]\nprogram=\"/usr/local/bin/tool\"\nlog=\"best-effort\"\n";
    let tool = "/usr/local/bin/tool";
    for (sabotage, status) in [
        (format!("cp /bin/true {tool}"), 0),
        (format!("ln -s /bin/true {tool}"), 0),
        (String::new(), 127),
        (format!("cp /bin/true {tool}; chmod 757 {tool}"), 126),
        (
            format!("cp /bin/true {tool}; chgrp 54399 {tool}; chmod 775 {tool}"),
            126,
        ),
        (format!("cp /bin/true {tool}; chown 54321 {tool}"), 126),
        (format!("cp /bin/true {tool}; chmod 644 {tool}"), 126),
        (
            format!("printf '#!/bin/sh\\necho hello\\n' > {tool}; chmod 755 {tool}"),
            126,
        ),
        (
            format!("cp /bin/true {tool}; chmod 777 /usr/local/bin"),
            126,
        ),
        (
            format!("cp /bin/true work; chown 54321 work; ln -s $PWD/work {tool}"),
            126,
        ),
        (format!("mkdir {tool}"), 126),
        (format!("ln -s tool {tool}"), 126),
    ] {
        let world = World::new(scene, rules, &sabotage)?;
        let out = world.user(&["sandbox-suid", "x"])?;
        assert_eq!(out.code(), status, "{sabotage}: {out}");
        assert_eq!(out.stdout(), "", "{sabotage}: {out}");
        fs::remove_file(scene.folder().join("work/work")).ok();
    }
    Ok(())
}

fn odd_names_and_no_new_privileges(scene: &Scene) -> Outcome {
    let world = World::new(scene, RULES, "")?;
    let call = |name: &str| {
        world.user(&[
            "/bin/bash",
            "-c",
            "exec -a \"$0\" /usr/local/bin/sandbox-suid",
            name,
        ])
    };
    call("")?.exits_with(126)?;
    for (name, status) in [
        ("/", 127),
        ("../id", 0),
        ("/tmp/evil/id", 0),
        ("id\n", 127),
        ("-id", 127),
        ("--list", 127),
        ("id ", 127),
    ] {
        let out = call(name)?;
        assert_eq!(out.code(), status, "{name:?}: {out}");
        assert!(!out.stderr().contains("id\n\n"), "{out}");
    }
    let long = "x".repeat(60_000);
    call(&long)?.exits_with(127)?;
    let out = world.user(&[
        "setpriv",
        "--no-new-privs",
        "/usr/local/bin/sandbox-suid",
        "id",
    ])?;
    out.exits_with(126)?;
    assert!(out.stderr().contains("no_new_privs"), "{out}");
    world.user(&["sandbox-suid"])?.exits_with(2)?;
    world.user(&["sandbox-suid", "--frob"])?.exits_with(2)?;
    world.user(&["sandbox-suid", "--help"])?.succeeds()?;
    Ok(())
}

/// Of all that is opened or looked at until the rule's program runs, nothing is the caller's.
fn opens_nothing_of_the_callers(scene: &Scene) -> Outcome {
    let world = World::new(scene, RULES, "")?;
    let trace = scene.folder().join("trace");
    let trace_name = trace.display().to_string();
    let out = world.root(&[
        "strace",
        "-f",
        "-u",
        "sbx-ann",
        "-e",
        "trace=%file",
        "-o",
        &trace_name,
        "/usr/local/bin/sandbox-suid",
        "id",
    ])?;
    out.succeeds()?;
    assert!(out.stdout().starts_with("uid=0"), "{out}");
    let text = fs::read_to_string(&trace)?;
    let until = text.find("execveat(").unwrap_or(0);
    assert!(until > 0, "no execveat in the trace:\n{text}");
    let own = scene.folder().display().to_string();
    let mut seen = 0;
    for line in text[..until].lines().skip(1) {
        for path in line
            .split('"')
            .skip(1)
            .step_by(2)
            .filter(|path| path.starts_with('/'))
        {
            seen += 1;
            let roots = ["/etc", "/lib", "/usr", "/proc/self/", "/dev/", "/sys/", "/"];
            let known = path == "/"
                || roots
                    .iter()
                    .any(|root| *root != "/" && path.starts_with(root));
            assert!(
                known
                    && !path.starts_with(&own)
                    && !path.starts_with("/home")
                    && !path.starts_with("/tmp"),
                "{line}"
            );
        }
        assert!(
            !line.contains("chdir(\".") && !line.contains("getcwd"),
            "{line}"
        );
    }
    assert!(seen > 5, "{text}");
    Ok(())
}

/// A shell of the user's calls the rule, and what it starts afterwards is limited: the way of the recipe.
/// What the kernel lets a process write can depend on who writes: the caller's standard error may be a file of /proc.
fn says_nothing_as_root(scene: &Scene) -> Outcome {
    let world = World::new(scene, RULES, "")?;
    let trace = scene.folder().join("trace");
    for line in [
        &["no-such-rule"][..],
        &["id", "more"],
        &["--list"],
        &["--help"],
        &[],
    ] {
        let mut all = vec![
            "strace",
            "-u",
            "sbx-ann",
            "-e",
            "trace=write,setresuid",
            "-o",
        ];
        let trace_name = trace.display().to_string();
        all.extend([trace_name.as_str(), "/usr/local/bin/sandbox-suid"]);
        all.extend(line);
        world.root(&all)?;
        let text = fs::read_to_string(&trace)?;
        let is_said = |line: &str| line.starts_with("write(1,") || line.starts_with("write(2,");
        let said = text.lines().position(is_said).ok_or("it says nothing")?;
        let dropped = text.lines().position(|line| {
            line.starts_with("setresuid(54321, 54321, 54321) ") && line.ends_with("= 0")
        });
        assert!(
            dropped.is_some_and(|dropped| dropped < said),
            "{line:?}:\n{text}"
        );
    }
    Ok(())
}

fn limits_the_shell(scene: &Scene, world: &World<'_>) -> Outcome {
    let probe = scene.folder().join("probe");
    fs::copy(own_path(), &probe)?;
    let script = format!(
        "sandbox-suid mem3 || exit 9; {} probe memory-hog 134217728 anon; echo status $?",
        probe.display()
    );
    let out = world.user(&["/bin/sh", "-c", &script])?;
    assert!(out.stdout().contains("status 137"), "{out}");
    Ok(())
}

/// On v1 a group of processes that ran already is removed by the next launch.
fn sweep(scene: &Scene) -> Outcome {
    let out = scene
        .sandbox()
        .args(["--no-profile", "--memory", "1G"])
        .program(["true"])
        .run()?;
    out.succeeds()?;
    Ok(())
}

fn limits_the_shell_that_calls(scene: &Scene) -> Outcome {
    let rules = "[rule.mem3]\nusers=[\"sbx-ann\"]\naction=\"limit-caller\"\nlog=\"best-effort\"\nlimits={memory=\"64M\"}\n";
    let world = World::new(scene, rules, "")?;
    limits_the_shell(scene, &world)?;
    sweep(scene)
}

fn an_imported_mem3_limits_the_shell(scene: &Scene) -> Outcome {
    let line = "mem3:::::/:/bin/bash:-c:NAME=/sys/fs/cgroup/memory/memlimit; mkdir -p $NAME; echo 64M > $NAME/memory.limit_in_bytes; echo 64M > $NAME/memory.memsw.limit_in_bytes; echo 32M > memory.soft_limit_in_bytes; echo $PPID >> $NAME/tasks\n";
    let file = scene.write("suid.conf", line)?;
    let imported = scene
        .sandboxctl()
        .args(["rules", "import"])
        .args([file])
        .run()?;
    imported.succeeds()?;
    // The soft limit of a user on v2 may need a watcher that this machine cannot give; the hard one is what is proven.
    let rules = imported
        .stdout()
        .replace("memory-soft = \"32M\"\n", "")
        .replace("swap = \"0M\"\n", "");
    let world = World::new(
        scene,
        &rules.replace("users =", "log = \"best-effort\"\nusers ="),
        "",
    )?;
    limits_the_shell(scene, &world)?;
    sweep(scene)
}

fn administrators_verbs(scene: &Scene) -> Outcome {
    let world = World::new(scene, RULES, "")?;
    let out = world.root(&["sandboxctl", "rules", "list"])?;
    out.succeeds()?;
    assert!(out.stdout().contains("runs /usr/bin/id as root"), "{out}");
    let out = world.root(&["sandboxctl", "rules", "check"])?;
    out.succeeds()?;
    let out = world.root(&["sandboxctl", "rules", "test", "sbx-ann", "id"])?;
    out.succeeds()?;
    assert!(
        out.stdout()
            .contains("allowed, by the rule at /etc/sandbox/rules.d/rules.toml:2:7"),
        "{out}"
    );
    let out = world.root(&["sandboxctl", "rules", "test", "sbx-ann", "id", "-u"])?;
    out.exits_with(1)?;
    assert!(
        out.stdout().contains("refused: `id` takes no arguments"),
        "{out}"
    );
    let out = world.root(&["sandboxctl", "rules", "test", "sbx-bob", "members"])?;
    out.exits_with(1)?;
    let out = world.root(&["sandboxctl", "rules", "install-link", "status"])?;
    out.succeeds()?;
    assert!(
        out.stdout()
            .contains("/usr/local/bin/status -> /usr/local/bin/sandbox-suid"),
        "{out}"
    );
    world
        .root(&["sandboxctl", "rules", "install-link", "nope"])?
        .exits_with(1)?;
    world
        .root(&["sandboxctl", "rules", "install-link", "../status"])?
        .exits_with(2)?;
    // Dangerous rules, not installed yet.
    let bad = scene.write(
        "bad.toml",
        "[rule.shell]\nusers=[\"*\"]\nprogram=\"/bin/sh\"\nextra-arguments={max=\"any\",options=true}\n",
    )?;
    let out = scene
        .sandboxctl()
        .args(["rules", "check"])
        .args([bad])
        .run()?;
    out.exits_with(1)?;
    assert!(
        out.stdout().contains(
            "danger: shell: `sh` with arguments of the caller's can run or overwrite anything"
        ),
        "{out}"
    );
    let wrong = scene.write(
        "wrong.toml",
        "[rule.x]\nusers=[\"*\"]\nprogramm=\"/bin/sh\"\n",
    )?;
    let out = scene
        .sandboxctl()
        .args(["rules", "check"])
        .args([wrong])
        .run()?;
    out.exits_with(1)?;
    assert!(
        out.stderr()
            .contains("wrong.toml:3:1: unknown key `programm`"),
        "{out}"
    );
    Ok(())
}

/// An administrator makes the group once; a user joins it without any privilege, and cannot get out or change it.
fn a_group_that_a_user_may_join(scene: &Scene) -> Outcome {
    let world = World::new(scene, RULES, "")?;
    let name = format!("sbx-test-{}", std::process::id());
    let make = [
        "sandboxctl",
        "group",
        "make",
        &name,
        "--user",
        "sbx-ann",
        "--memory",
        "64M",
    ];
    let made = world.root(&make)?;
    let checked = (|| -> Outcome {
        made.succeeds()?;
        assert!(
            made.stdout().contains("memory.limit_in_bytes = 67108864"),
            "{made}"
        );
        let again = world.root(&make)?;
        again.exits_with(1)?;
        assert!(again.stderr().contains("already"), "{again}");
        let group = made
            .stdout()
            .lines()
            .find_map(|line| line.strip_prefix("made ").map(str::to_owned))
            .unwrap_or_default();
        let probe = scene.folder().join("probe");
        fs::copy(own_path(), &probe)?;
        let script = format!(
            "sandboxctl group join {name} --caller >&2 || exit 9; {} probe memory-hog 134217728 anon; echo hog $?; \
             echo 1G > {group}/memory.limit_in_bytes; echo raised $?; echo $$ > /sys/fs/cgroup/memory/cgroup.procs; echo left $?; \
             sandboxctl group list; sandboxctl group remove {name}; echo removed $?",
            probe.display()
        );
        let out = world.user(&["/bin/sh", "-c", &script])?;
        for expected in ["hog 137", "raised 2", "left 2", "2 processes", "removed 1"] {
            assert!(out.stdout().contains(expected), "{expected}: {out}");
        }
        // Another user's process, and another user.
        let out = world.user(&["sandboxctl", "group", "join", &name, "1"])?;
        out.exits_with(1)?;
        let out = world.root(&[
            "/usr/bin/setpriv",
            "--reuid=54322",
            "--regid=54322",
            "--clear-groups",
            "/usr/bin/env",
            "-i",
            "HOME=/",
            "PATH=/usr/local/bin:/usr/bin:/bin",
            "sandboxctl",
            "group",
            "join",
            &name,
            "--caller",
        ])?;
        out.exits_with(1)?;
        Ok(())
    })();
    let removed = world.root(&["sandboxctl", "group", "remove", &name])?;
    for mount in fs::read_dir("/sys/fs/cgroup")?.flatten() {
        fs::remove_dir(mount.path().join("sandbox.shared")).ok();
    }
    checked?;
    removed.succeeds()?;
    Ok(())
}

/// The profile is taken from the system's directories, whatever the user has under its name.
fn runs_under_a_profile_of_the_systems(scene: &Scene) -> Outcome {
    let rules = "[rule.confined]\nusers=[\"*\"]\nprogram=\"/bin/cat\"\narguments=[\"/proc/self/status\"]\nuser=\"sbx-bob\"\n\
                 profile=\"sbx-confined\"\nlog=\"best-effort\"\n";
    let world = World::new(
        scene,
        rules,
        "mkdir -p /etc/sandbox/profiles; printf 'extends = [\"base\"]\\n[filesystem]\\n\"~\" = \"read-only\"\\n' > /etc/sandbox/profiles/sbx-confined.toml",
    )?;
    let out = world.user(&["sandbox-suid", "confined"])?;
    out.succeeds()?;
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"] {
        assert!(out.stdout().contains(line), "{line}: {out}");
    }
    Ok(())
}
