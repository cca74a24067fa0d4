//! Rules, callers and requests against what must come of them: a table, so that each case is one line.

use std::collections::BTreeMap;

use sandbox_suid::accounts::Accounts;
use sandbox_suid::decide::{Order, Request, RunOrder, Verdict, decide, usable};
use sandbox_suid::rule::{self, Rule};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin
nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin
ann:x:1000:1000:Ann:/home/ann:/bin/bash
bob:x:1001:1001:Bob:/home/bob:
carl:x:1002:50:Carl:relative:/bin/sh
0day:x:1003:1003::/home/0day:/bin/sh
";
const GROUP: &str = "root:x:0:
staff:x:50:ann
docker:x:999:bob,carl
users:x:100:
ann:x:1000:
bob:x:1001:
nogroup:x:65534:
";

const RULES: &str = r#"
[rule.dmesg]
users = ["*"]
program = "/bin/dmesg"

[rule.dmesgrw]
users = ["ann"]
program = "/bin/dmesg"
arguments = ["-rw"]

[rule.staff]
groups = ["staff"]
program = "/bin/true"

[rule.staff-but-ann]
groups = ["staff"]
except-users = ["ann"]
program = "/bin/true"

[rule.all-but-docker]
users = ["*"]
except-groups = ["docker"]
program = "/bin/true"

[rule.by-number]
users = ["1001"]
program = "/bin/true"

[rule.by-group-number]
groups = ["999"]
program = "/bin/true"

[rule.ghost]
users = ["nobody-of-that-name"]
program = "/bin/true"

[rule.ghost-exception]
users = ["*"]
except-users = ["nobody-of-that-name"]
program = "/bin/true"

[rule.ghost-group-exception]
users = ["*"]
except-groups = ["no-such-group"]
program = "/bin/true"

[rule.one]
users = ["*"]
program = "/bin/echo"
arguments = ["--"]
extra-arguments = { min = 1, max = 1 }

[rule.upto3]
users = ["*"]
program = "/bin/echo"
extra-arguments = { max = 3 }

[rule.any]
users = ["*"]
program = "/bin/echo"
extra-arguments = { max = "any", options = true }

[rule.iface]
users = ["*"]
program = "/sbin/ip"
arguments = ["link", "set"]
extra-arguments = { min = 2, max = 2, patterns = ["eth[0-9]", "wlan[0-9]", "up", "down"] }

[rule.logs]
users = ["*"]
program = "/usr/bin/tail"
extra-arguments = { max = 2, patterns = ["/var/log/*", "-f"] }

[rule.to-nobody]
users = ["*"]
program = "/bin/true"
user = "nobody"
group = "nogroup"

[rule.to-number]
users = ["*"]
program = "/bin/true"
user = 4000
group = 4000

[rule.to-caller]
users = ["*"]
program = "/bin/true"
user = "caller"
group = "caller"
supplementary-groups = ["docker"]

[rule.to-bob]
users = ["*"]
program = "/bin/true"
user = "bob"
supplementary-groups = "target"
directory = "~"

[rule.to-carl]
users = ["*"]
program = "/bin/true"
user = "carl"
directory = "~"

[rule.to-missing]
users = ["*"]
program = "/bin/true"
user = "missing"

[rule.to-missing-group]
users = ["*"]
program = "/bin/true"
group = "missing"

[rule.to-missing-list]
users = ["*"]
program = "/bin/true"
supplementary-groups = ["missing"]

[rule.here]
users = ["*"]
program = "/bin/pwd"
directory = "caller"
umask = "077"

[rule.env]
users = ["*"]
program = "/usr/bin/env"
keep-environment = ["TERM", "LANG", "LC_*", "TZ", "DISPLAY"]
environment = { MODE = "fixed" }

[rule.mem3]
users = ["*"]
action = "limit-caller"
limits = { memory = "3G", swap = "3G", memory-soft = "1G" }

[rule.mem3shared]
users = ["*"]
action = "limit-caller"
profile = "memlimit"
"#;

fn rules() -> BTreeMap<String, Rule> {
    let rules = rule::read("rules.toml", RULES).unwrap_or_else(|faults| panic!("{faults:?}"));
    rule::join(vec![rules]).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn accounts() -> Accounts {
    Accounts::read(PASSWD, GROUP)
}

/// uid, gid, supplementary groups
type Caller = (u32, u32, &'static [u32]);
const ROOT: Caller = (0, 0, &[0]);
const ANN: Caller = (1000, 1000, &[50, 1000]);
const BOB: Caller = (1001, 1001, &[999, 1001]);
const STRANGER: Caller = (4242, 4242, &[]);

fn request(caller: Caller, name: &[u8], arguments: &[&[u8]]) -> Request {
    Request {
        uid: caller.0,
        gid: caller.1,
        groups: caller.2.to_vec(),
        name: name.to_vec(),
        arguments: arguments.iter().map(|argument| argument.to_vec()).collect(),
        environment: Vec::new(),
    }
}

/// What comes of it: `run`, `limit`, or the status of the refusal.
fn verdict(request: &Request) -> String {
    let rules = rules();
    match decide(&rules, &accounts(), request) {
        Verdict::Allow { order, .. } => match order {
            Order::Run(_) => "run".to_owned(),
            Order::LimitCaller => "limit".to_owned(),
        },
        Verdict::Refuse(refusal) => refusal.status.to_string(),
    }
}

#[test]
fn who_may_use_what() {
    const MINUS_ONE: Caller = (u32::MAX, 0, &[]);
    const MINUS_GROUP: Caller = (1000, u32::MAX, &[]);
    for (caller, name, expected) in [
        (ANN, "dmesg", "run"),
        (ROOT, "dmesg", "run"),
        (STRANGER, "dmesg", "run"),
        (MINUS_ONE, "dmesg", "126"),
        (MINUS_GROUP, "dmesg", "126"),
        (ANN, "dmesgrw", "run"),
        (BOB, "dmesgrw", "127"),
        (STRANGER, "dmesgrw", "127"),
        // Root needs to be named as everybody does: a rule is not a way around it.
        (ROOT, "dmesgrw", "127"),
        (ANN, "staff", "run"),
        (BOB, "staff", "127"),
        ((1002, 50, &[]), "staff", "run"),
        // A process that gave its groups up is no member any more, whatever the file says.
        ((1000, 1000, &[]), "staff", "127"),
        (ANN, "staff-but-ann", "127"),
        ((1002, 50, &[]), "staff-but-ann", "run"),
        (ANN, "all-but-docker", "run"),
        (BOB, "all-but-docker", "127"),
        // Nor one who was made a member after the session began.
        ((1001, 1001, &[]), "all-but-docker", "127"),
        (ROOT, "all-but-docker", "run"),
        (BOB, "by-number", "run"),
        (ANN, "by-number", "127"),
        (BOB, "by-group-number", "run"),
        (ANN, "by-group-number", "127"),
        (ANN, "ghost", "127"),
        (ROOT, "ghost", "127"),
        // What cannot be judged excepts everybody.
        (ANN, "ghost-exception", "127"),
        (ROOT, "ghost-exception", "127"),
        (ANN, "ghost-group-exception", "127"),
        (ANN, "mem3", "limit"),
        (STRANGER, "mem3shared", "limit"),
        (ANN, "", "127"),
        (ANN, "Dmesg", "127"),
        (ANN, "dmesg ", "127"),
        (ANN, " dmesg", "127"),
        (ANN, "dmesg\n", "127"),
        (ANN, "dmes", "127"),
        (ANN, "dmesgr", "127"),
        (ANN, "rule.dmesg", "127"),
        (ANN, "../dmesg", "127"),
        (ANN, "/etc/passwd", "127"),
        (ANN, "*", "127"),
        (ANN, "-", "127"),
        (ANN, "--", "127"),
        (ANN, "sandbox-suid", "127"),
    ] {
        assert_eq!(
            verdict(&request(caller, name.as_bytes(), &[])),
            expected,
            "{caller:?} {name:?}"
        );
    }
    assert_eq!(verdict(&request(ANN, b"dmesg\0", &[])), "127");
    assert_eq!(verdict(&request(ANN, b"\xff\xfe", &[])), "127");
    assert_eq!(verdict(&request(ANN, &[b'a'; 70_000], &[])), "127");
}

#[test]
fn a_refusal_does_not_tell_whose_a_rule_is() {
    let rules = rules();
    let told = |name: &[u8]| match decide(&rules, &accounts(), &request(STRANGER, name, &[])) {
        Verdict::Refuse(refusal) => refusal
            .told
            .replace(&*String::from_utf8_lossy(name), "NAME"),
        Verdict::Allow { .. } => String::new(),
    };
    assert_eq!(told(b"dmesgrw"), told(b"no-such"));
    assert_eq!(told(b"ghost-exception"), told(b"no-such"));
    assert!(!told(b"dmesgrw").contains("ann"));
}

#[test]
fn a_caller_sees_its_own_rules() {
    let rules = rules();
    let names = |caller| -> Vec<String> {
        usable(&rules, &accounts(), &request(caller, b"", &[]))
            .iter()
            .map(|rule| rule.name.clone())
            .collect()
    };
    assert!(names(ANN).contains(&"dmesgrw".to_owned()));
    assert!(!names(BOB).contains(&"dmesgrw".to_owned()));
    assert!(!names(ANN).contains(&"ghost-exception".to_owned()));
}

#[test]
fn which_arguments_may_be_added() {
    let long = vec![b'x'; 200_000];
    let long: &[u8] = &long;
    let cases: &[(&str, &[&[u8]], &str)] = &[
        ("dmesg", &[], "run"),
        ("dmesg", &[b"-C"], "126"),
        ("dmesg", &[b""], "126"),
        ("dmesg", &[b"--"], "126"),
        ("one", &[], "126"),
        ("one", &[b"a"], "run"),
        ("one", &[b""], "run"),
        ("one", &[b"a", b"b"], "126"),
        ("one", &[b"-a"], "126"),
        ("one", &[b"--help"], "126"),
        ("one", &[b"-"], "126"),
        ("one", &[b"a b"], "run"),
        ("one", &[b"a;reboot"], "run"),
        ("one", &[b"$(reboot)"], "run"),
        ("one", &[b"\xff"], "run"),
        ("one", &[long], "126"),
        ("upto3", &[], "run"),
        ("upto3", &[b"1", b"2", b"3"], "run"),
        ("upto3", &[b"1", b"2", b"3", b"4"], "126"),
        ("upto3", &[b"1", b"-2"], "126"),
        ("any", &[b"-x", b"--y", b"z"], "run"),
        ("any", &[], "run"),
        ("any", &[long], "126"),
        ("iface", &[b"eth0", b"up"], "run"),
        ("iface", &[b"wlan9", b"down"], "run"),
        ("iface", &[b"eth0"], "126"),
        ("iface", &[b"eth0", b"up", b"up"], "126"),
        ("iface", &[b"eth10", b"up"], "126"),
        ("iface", &[b"lo", b"up"], "126"),
        ("iface", &[b"eth0 up", b"up"], "126"),
        ("iface", &[b"eth0\nlo", b"up"], "126"),
        ("iface", &[b"eth0", b"UP"], "126"),
        ("iface", &[b"eth0", b""], "126"),
        ("iface", &[b"eth0", b"../up"], "126"),
        ("iface", &[b"ETH0", b"up"], "126"),
        ("iface", &[b"eth\xd9\xa0", b"up"], "126"),
        ("logs", &[b"/var/log/syslog"], "run"),
        ("logs", &[b"-f", b"/var/log/syslog"], "run"),
        ("logs", &[b"-n"], "126"),
        ("logs", &[b"--follow"], "126"),
        ("logs", &[b"/var/log/../../etc/shadow"], "126"),
        ("logs", &[b"/var/log/.."], "126"),
        ("logs", &[b"/var/log/a/b"], "126"),
        ("logs", &[b"/var/log"], "126"),
        ("logs", &[b"/var/log/a /etc/shadow"], "126"),
        ("logs", &[b"/etc/shadow"], "126"),
        ("logs", &[b" /var/log/syslog"], "126"),
        ("logs", &[b"/var/log/\x1b[2J"], "126"),
        ("mem3", &[], "limit"),
        ("mem3", &[b"1"], "126"),
        ("mem3shared", &[b"--pid=1"], "126"),
    ];
    for (name, arguments, expected) in cases {
        let shown: Vec<_> = arguments
            .iter()
            .map(|text| String::from_utf8_lossy(&text[..text.len().min(40)]))
            .collect();
        assert_eq!(
            verdict(&request(ANN, name.as_bytes(), arguments)),
            *expected,
            "{name} {shown:?}"
        );
    }
}

fn run(request: &Request) -> RunOrder {
    let rules = rules();
    match decide(&rules, &accounts(), request) {
        Verdict::Allow {
            order: Order::Run(order),
            ..
        } => order,
        other => panic!("{other:?}"),
    }
}

#[test]
fn as_whom_a_program_runs() {
    type Case<'a> = (&'a str, u32, u32, &'a [u32], Option<&'a str>);
    let docker_of_bob: &[u32] = &[999, 1001];
    let cases: &[Case<'_>] = &[
        ("dmesg", 0, 0, &[], Some("/")),
        ("to-nobody", 65_534, 65_534, &[], Some("/")),
        ("to-number", 4000, 4000, &[], Some("/")),
        ("to-caller", 1000, 1000, &[999], Some("/")),
        ("to-bob", 1001, 1001, docker_of_bob, Some("/home/bob")),
        ("here", 0, 0, &[], None),
    ];
    for (name, uid, gid, groups, directory) in cases {
        let order = run(&request(ANN, name.as_bytes(), &[]));
        assert_eq!(
            (order.uid, order.gid, order.groups.as_slice()),
            (*uid, *gid, *groups),
            "{name}"
        );
        assert_eq!(order.directory.as_deref(), *directory, "{name}");
    }
    for name in [
        "to-missing",
        "to-missing-group",
        "to-missing-list",
        "to-carl",
    ] {
        assert_eq!(
            verdict(&request(ANN, name.as_bytes(), &[])),
            "126",
            "{name}"
        );
    }
    assert_eq!(run(&request(ANN, b"here", &[])).umask, 0o077);
    assert_eq!(run(&request(ANN, b"dmesg", &[])).umask, 0o022);
    let order = run(&request(ANN, b"iface", &[b"eth0", b"up"]));
    let expected: &[&[u8]] = &[b"/sbin/ip", b"link", b"set", b"eth0", b"up"];
    assert_eq!(order.arguments, expected);
}

#[test]
fn which_variables_reach_the_program() {
    let cases: &[(&[u8], Option<&[u8]>)] = &[
        (b"TERM=xterm", Some(b"TERM=xterm")),
        (b"TERM=../../tmp/x", None),
        (b"LANG=C.UTF-8", Some(b"LANG=C.UTF-8")),
        (b"LANG=/tmp/x", None),
        (b"LC_ALL=de_DE", Some(b"LC_ALL=de_DE")),
        (b"LC_=x", Some(b"LC_=x")),
        (b"LC_TIME=%n", None),
        (b"TZ=Europe/Berlin", Some(b"TZ=Europe/Berlin")),
        (b"TZ=:/etc/shadow", None),
        (b"DISPLAY=:0", Some(b"DISPLAY=:0")),
        (b"DISPLAY=() { :; }; reboot", None),
        (b"DISPLAY=:0\nX", None),
        (b"DISPLAY", None),
        (b"=x", None),
        (b"LD_PRELOAD=/tmp/x.so", None),
        (b"LD_AUDIT=/tmp/x.so", None),
        (b"GLIBC_TUNABLES=x", None),
        (b"GCONV_PATH=.", None),
        (b"PATH=/tmp", None),
        (b"HOME=/tmp", None),
        (b"USER=toor", None),
        (b"IFS=/", None),
        (b"ENV=/tmp/x", None),
        (b"BASH_ENV=/tmp/x", None),
        (b"PYTHONPATH=/tmp", None),
        (b"PERL5OPT=-d", None),
        (b"NODE_OPTIONS=-r/tmp/x", None),
        (b"TMPDIR=/tmp", None),
        (b"MODE=mine", None),
        (b"SANDBOX_UID=0", None),
        (b"EDITOR=/tmp/x", None),
        (b"OTHER=x", None),
        (b"TERM =xterm", None),
        (b"term=xterm", None),
        (b"\xff=x", None),
    ];
    for (theirs, kept) in cases {
        let mut asked = request(ANN, b"env", &[]);
        asked.environment = vec![theirs.to_vec()];
        let order = run(&asked);
        let name = theirs
            .split(|byte| *byte == b'=')
            .next()
            .unwrap_or_default();
        let theirs_kept = order.environment.iter().any(|entry| entry == theirs);
        assert_eq!(
            theirs_kept,
            kept.is_some(),
            "{}",
            String::from_utf8_lossy(theirs)
        );
        let times = order
            .environment
            .iter()
            .filter(|entry| entry.starts_with(&[name, b"="].concat()))
            .count();
        assert!(times <= 1, "{}", String::from_utf8_lossy(theirs));
    }
    // Named twice: the program and a check could read different ones.
    let mut asked = request(ANN, b"env", &[]);
    asked.environment = vec![b"TERM=a".to_vec(), b"TERM=b".to_vec()];
    assert!(
        !run(&asked)
            .environment
            .iter()
            .any(|entry| entry.starts_with(b"TERM="))
    );
    let order = run(&request(ANN, b"env", &[]));
    for entry in [
        "HOME=/root",
        "USER=root",
        "LOGNAME=root",
        "SHELL=/bin/bash",
        "SANDBOX_UID=1000",
        "SANDBOX_GID=1000",
        "SANDBOX_USER=ann",
        "MODE=fixed",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ] {
        assert!(
            order
                .environment
                .iter()
                .any(|have| have == entry.as_bytes()),
            "{entry}"
        );
    }
    assert!(
        run(&request(STRANGER, b"env", &[]))
            .environment
            .contains(&b"SANDBOX_USER=".to_vec())
    );
}

#[test]
fn rules_that_are_refused() {
    let head = "[rule.x]\nusers = [\"*\"]\n";
    let cases: &[(&str, &str)] = &[
        ("", "the file has no rule"),
        ("# nothing\n", "the file has no rule"),
        ("[rules.x]\n", "unknown table `rules`"),
        ("x = 1\n", "unknown table `x`"),
        ("[rule]\nx = 1\n", "`x` must be a table"),
        ("rule = 1\n", "`rule` must be a table"),
        ("[rule.x\n", ""),
        ("[rule.\"a/b\"]\n", "cannot be a rule's name"),
        ("[rule.\"-x\"]\n", "cannot be a rule's name"),
        ("[rule.\".x\"]\n", "cannot be a rule's name"),
        ("[rule.\"\"]\n", "cannot be a rule's name"),
        ("[rule.\"a b\"]\n", "cannot be a rule's name"),
        (
            "[rule.x]\nprogram = \"/bin/true\"\n",
            "nobody may use this rule",
        ),
        (
            "[rule.x]\nusers = []\nprogram = \"/bin/true\"\n",
            "nobody may use this rule",
        ),
        (
            "[rule.x]\nusers = \"*\"\nprogram = \"/bin/true\"\n",
            "must be a list",
        ),
        (
            "[rule.x]\nusers = [1000]\nprogram = \"/bin/true\"\n",
            "must be a string",
        ),
        (
            "[rule.x]\nusers = [\"-1\"]\nprogram = \"/bin/true\"\n",
            "neither a name nor a number",
        ),
        (
            "[rule.x]\nusers = [\"#-1\"]\nprogram = \"/bin/true\"\n",
            "neither a name nor a number",
        ),
        (
            "[rule.x]\nusers = [\"4294967295\"]\nprogram = \"/bin/true\"\n",
            "neither a name nor a number",
        ),
        (
            "[rule.x]\nusers = [\"00\"]\nprogram = \"/bin/true\"\n",
            "neither a name nor a number",
        ),
        (
            "[rule.x]\nusers = [\"0day\"]\nprogram = \"/bin/true\"\n",
            "neither a name nor a number",
        ),
        (
            "[rule.x]\nusers = [\"\"]\nprogram = \"/bin/true\"\n",
            "neither a name nor a number",
        ),
        (
            "[rule.x]\ngroups = [\"*\"]\nprogram = \"/bin/true\"\n",
            "neither a name nor a number",
        ),
        (
            "[rule.x]\nexcept-users = [\"a b\"]\nusers = [\"*\"]\nprogram = \"/bin/true\"\n",
            "neither a name nor a number",
        ),
        ("+program = 1", "must be a string"),
        ("+", "`program` is missing"),
        ("+program = \"true\"", "must be an absolute path"),
        ("+program = \"./true\"", "must be an absolute path"),
        (
            "+program = \"/bin/../bin/true\"",
            "must be an absolute path",
        ),
        ("+program = \"/bin//true\"", "must be an absolute path"),
        ("+program = \"/bin/./true\"", "must be an absolute path"),
        ("+program = \"/bin/true/\"", "must be an absolute path"),
        ("+program = \"/\"", "must be an absolute path"),
        ("+program = \"\"", "must be an absolute path"),
        ("+program = \"/bin/a\\u0000b\"", "contains a NUL"),
        (
            "+program = \"/bin/true\"\narguments = \"-x\"",
            "must be a list",
        ),
        (
            "+program = \"/bin/true\"\narguments = [\"a\\u0000\"]",
            "contains a NUL",
        ),
        (
            "+program = \"/bin/true\"\nextra-arguments = 1",
            "must be a table",
        ),
        (
            "+program = \"/bin/true\"\nextra-arguments = {}",
            "needs `max`",
        ),
        (
            "+program = \"/bin/true\"\nextra-arguments = { max = -3 }",
            "must be a number from 0",
        ),
        (
            "+program = \"/bin/true\"\nextra-arguments = { max = 5000 }",
            "must be a number from 0",
        ),
        (
            "+program = \"/bin/true\"\nextra-arguments = { min = 2, max = 1 }",
            "more than `max`",
        ),
        (
            "+program = \"/bin/true\"\nextra-arguments = { max = 1, patterns = [\"[a\"] }",
            "is no pattern",
        ),
        (
            "+program = \"/bin/true\"\nextra-arguments = { max = 1, pattern = \"a\" }",
            "unknown key `pattern`",
        ),
        (
            "+program = \"/bin/true\"\nextra-arguments = { max = 1, options = 1 }",
            "true or false",
        ),
        (
            "+program = \"/bin/true\"\nuser = -1",
            "neither a name nor a number",
        ),
        (
            "+program = \"/bin/true\"\nuser = 4294967295",
            "neither a name nor a number",
        ),
        (
            "+program = \"/bin/true\"\nuser = 4294967296",
            "neither a name nor a number",
        ),
        (
            "+program = \"/bin/true\"\nuser = \"#0\"",
            "neither a name nor a number",
        ),
        (
            "+program = \"/bin/true\"\nuser = \"0x0\"",
            "neither a name nor a number",
        ),
        (
            "+program = \"/bin/true\"\nuser = \"0day\"",
            "neither a name nor a number",
        ),
        (
            "+program = \"/bin/true\"\nuser = \"primary\"\ngroup = \"-1\"",
            "neither a name nor a number",
        ),
        (
            "+program = \"/bin/true\"\nuser = 1000",
            "`group` must be said",
        ),
        ("+program = \"/bin/true\"\nuser = true", "must be a string"),
        (
            "+program = \"/bin/true\"\nsupplementary-groups = \"caller\"",
            "`supplementary-groups` is",
        ),
        (
            "+program = \"/bin/true\"\ndirectory = \"tmp\"",
            "`directory` is",
        ),
        (
            "+program = \"/bin/true\"\ndirectory = \"/tmp/..\"",
            "`directory` is",
        ),
        ("+program = \"/bin/true\"\numask = 22", "must be a string"),
        (
            "+program = \"/bin/true\"\numask = \"99\"",
            "`umask` is octal",
        ),
        (
            "+program = \"/bin/true\"\numask = \"7777\"",
            "`umask` is octal",
        ),
        (
            "+program = \"/bin/true\"\nkeep-environment = [\"LD_PRELOAD\"]",
            "cannot be kept",
        ),
        (
            "+program = \"/bin/true\"\nkeep-environment = [\"L*\"]",
            "cannot be kept",
        ),
        (
            "+program = \"/bin/true\"\nkeep-environment = [\"*\"]",
            "is no variable's name",
        ),
        (
            "+program = \"/bin/true\"\nkeep-environment = [\"PATH\"]",
            "cannot be kept",
        ),
        (
            "+program = \"/bin/true\"\nkeep-environment = [\"A=B\"]",
            "is no variable's name",
        ),
        (
            "+program = \"/bin/true\"\nenvironment = { \"A=B\" = \"x\" }",
            "is no variable's name",
        ),
        (
            "+program = \"/bin/true\"\nenvironment = { A = 1 }",
            "must be a string",
        ),
        (
            "+program = \"/bin/true\"\nprofile = \"/tmp/x.toml\"",
            "not a path",
        ),
        ("+program = \"/bin/true\"\nprofile = \"../x\"", "not a path"),
        (
            "+program = \"/bin/true\"\nlimits = { memory = \"1G' --x\" }",
            "must be a number, a word or a size",
        ),
        (
            "+program = \"/bin/true\"\nlimits = { memory = [1] }",
            "must be a number, a word or a size",
        ),
        (
            "+program = \"/bin/true\"\nlimits = { \"a=b\" = 1 }",
            "must be a number, a word or a size",
        ),
        (
            "+program = \"/bin/true\"
shared-group = \"x\"",
            "unknown key `shared-group`",
        ),
        ("+program = \"/bin/true\"\nlog = \"never\"", "`log` is"),
        (
            "+program = \"/bin/true\"\nprogramm = \"/bin/true\"",
            "unknown key `programm`",
        ),
        ("+program = \"/bin/true\"\nprogram = \"/bin/false\"", ""),
        ("+action = \"exec\"\nprogram = \"/bin/true\"", "`action` is"),
        ("+action = \"limit-caller\"", "needs `limits` or `profile`"),
        (
            "+action = \"limit-caller\"\nprofile = \"memlimit\"\nprogram = \"/bin/true\"",
            "has no meaning",
        ),
        (
            "+action = \"limit-caller\"\nprofile = \"memlimit\"\nuser = \"root\"",
            "has no meaning",
        ),
    ];
    for (text, expected) in cases {
        let text = match text.strip_prefix('+') {
            Some(rest) => format!("{head}{rest}\n"),
            None => (*text).to_owned(),
        };
        match rule::read("r.toml", &text) {
            Ok(rules) => panic!("{text:?} was read as {rules:?}"),
            Err(faults) => {
                assert!(
                    faults.iter().any(|fault| fault.message.contains(expected)),
                    "{text:?}: {faults:?}"
                );
                assert!(
                    faults
                        .iter()
                        .all(|fault| fault.place.starts_with("r.toml:")),
                    "{faults:?}"
                );
            }
        }
    }
}

#[test]
fn a_name_can_be_used_once() {
    let one = || {
        rule::read("a.toml", "[rule.x]\nusers=[\"*\"]\nprogram=\"/bin/true\"\n").unwrap_or_default()
    };
    let faults = rule::join(vec![one(), one()]).expect_err("two rules of one name");
    assert!(
        faults[0].message.contains("`x` is at a.toml:1:7 already"),
        "{faults:?}"
    );
}

proptest::proptest! {
    #[test]
    fn no_text_and_no_request_makes_it_panic(text in "\\PC*", name in ".*", argument in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
        let _ = rule::read("r.toml", &text);
        let _ = verdict(&request(ANN, name.as_bytes(), &[&argument]));
        let _ = verdict(&request(BOB, b"logs", &[&argument]));
    }

    #[test]
    fn a_pattern_never_lets_a_parent_directory_through(head in "[a-z/*?]{0,6}", tail in "[a-z/.]{0,6}") {
        let argument = format!("/{tail}/../x");
        proptest::prop_assert!(!sandbox_suid::pattern::matches(head.as_bytes(), argument.as_bytes()));
    }
}
