//! Whole policies lowered on hosts made by hand.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::*;
use crate::host::facts::PathFact;
use crate::plan::Action;
use crate::policy::Rule;
use crate::profile::value::Size;
use crate::report::{Source, SourceKind, SourceMap};

/// A file system by hand.
#[derive(Clone, Default)]
pub struct HandMade(BTreeMap<PathBuf, Node>);

#[derive(Clone)]
enum Node {
    Directory,
    File,
    Special,
    Link(PathBuf),
    Locked,
}

impl HandMade {
    /// One entry a word: `dir/`, `file`, `device!`, `locked?`, `link>target`.
    pub fn new(text: &str) -> Self {
        let mut out = Self::default();
        for word in text.split_whitespace() {
            let (path, node) = if let Some((path, target)) = word.split_once('>') {
                (path, Node::Link(target.into()))
            } else if let Some(path) = word.strip_suffix('/') {
                (path, Node::Directory)
            } else if let Some(path) = word.strip_suffix('!') {
                (path, Node::Special)
            } else if let Some(path) = word.strip_suffix('?') {
                (path, Node::Locked)
            } else {
                (word, Node::File)
            };
            for parent in Path::new(path).ancestors().skip(1) {
                out.0.entry(parent.to_owned()).or_insert(Node::Directory);
            }
            out.0.insert(path.into(), node);
        }
        out
    }

    pub fn probe(&self, path: &Path) -> PathFact {
        let mut fact = PathFact {
            canonical: None,
            kind: PathKind::Missing,
            links: Vec::new(),
            error: None,
            twin: None,
        };
        let mut rest: Vec<PathBuf> = path
            .iter()
            .rev()
            .skip_while(|_| false)
            .map(PathBuf::from)
            .collect();
        let mut at = PathBuf::from("/");
        while let Some(name) = rest.pop() {
            match name.to_str() {
                Some("/" | ".") => continue,
                Some("..") => {
                    at.pop();
                    continue;
                }
                _ => {}
            }
            let here = at.join(&name);
            match self.0.get(&here) {
                Some(Node::Link(target)) => {
                    fact.links.push((here, target.clone()));
                    if target.is_absolute() {
                        at = "/".into();
                    }
                    rest.extend(target.iter().rev().map(PathBuf::from));
                }
                Some(Node::Locked) if !rest.is_empty() => {
                    fact.error = Some(13);
                    return fact;
                }
                Some(_) => at = here,
                None => return fact,
            }
        }
        fact.kind = match self.0.get(&at) {
            Some(Node::Directory | Node::Locked) => PathKind::Directory,
            Some(Node::Special) => PathKind::Special,
            _ if at == Path::new("/") => PathKind::Directory,
            _ => PathKind::File,
        };
        fact.canonical = Some(at);
        fact
    }

    pub fn facts(&self, wanted: &Wanted, caller: Caller) -> Facts {
        let mut facts = Facts {
            caller,
            ..Facts::default()
        };
        for path in &wanted.paths {
            facts.paths.insert(path.clone(), self.probe(path));
        }
        for glob in &wanted.globs {
            let pattern = glob::Pattern::new(glob.to_str().unwrap()).unwrap();
            let options = glob::MatchOptions {
                require_literal_separator: true,
                ..glob::MatchOptions::default()
            };
            let found: Vec<PathBuf> = self
                .0
                .keys()
                .filter(|path| pattern.matches_path_with(path, options))
                .cloned()
                .collect();
            for path in &found {
                facts.paths.insert(path.clone(), self.probe(path));
            }
            facts.globs.insert(glob.clone(), found);
        }
        facts
    }
}

/// A policy from keys and values, in layers that are separated by [`NEXT`].
pub fn policy(rules: &[(Section, &str, Value)]) -> Policy {
    let mut sources = SourceMap::new();
    let source = sources.add(Source {
        name: "t".into(),
        kind: SourceKind::Embedded,
        text: "".into(),
    });
    let mut policy = Policy {
        name: "test".into(),
        ..Policy::default()
    };
    let mut layer = 0;
    for (number, (section, key, value)) in rules.iter().enumerate() {
        if *key == NEXT {
            layer += 1;
            continue;
        }
        let site = Site::new(source, number..number + 1);
        let rule = Rule {
            value: Some(value.clone()),
            site,
            key_site: site,
            layer,
            overruled: Vec::new(),
        };
        policy.rules.insert((*section, (*key).to_owned()), rule);
    }
    policy
}

const NEXT: &str = "next layer";

pub fn fs(key: &'static str, view: View) -> (Section, &'static str, Value) {
    (Section::Filesystem, key, Value::View(view))
}
pub fn ro(key: &'static str) -> (Section, &'static str, Value) {
    fs(key, View::Host(Access::ReadOnly))
}
pub(super) fn rw(key: &'static str) -> (Section, &'static str, Value) {
    fs(key, View::Host(Access::ReadWrite))
}
pub fn hidden(key: &'static str) -> (Section, &'static str, Value) {
    fs(key, View::Host(Access::Hidden))
}
fn private(key: &'static str) -> (Section, &'static str, Value) {
    fs(key, View::Private)
}
pub fn tmpfs(key: &'static str) -> (Section, &'static str, Value) {
    fs(key, View::Tmpfs { size: None })
}
fn bind(key: &'static str, source: &str, access: Access) -> (Section, &'static str, Value) {
    fs(
        key,
        View::Bind {
            source: source.into(),
            access,
        },
    )
}
pub fn device(key: &'static str, value: Value) -> (Section, &'static str, Value) {
    (Section::Devices, key, value)
}
fn next() -> (Section, &'static str, Value) {
    (Section::Filesystem, NEXT, Value::Bool(true))
}

fn caller() -> Caller {
    Caller {
        uid: 1000,
        home: "/home/u".into(),
        working_directory: "/home/u/work".into(),
        ..Caller::default()
    }
}

pub fn around() -> Surroundings {
    Surroundings {
        private_root: "/home/u/.local/share/sandbox/private/test".into(),
        configuration: vec![
            "/home/u/.config/sandbox".into(),
            "/home/u/.local/share/sandbox".into(),
        ],
        memory: 8 << 30,
        ..Surroundings::default()
    }
}

pub(super) const HOST: &str = "/usr/bin/sh /usr/lib/ /usr/lib64/ /bin>usr/bin /lib>usr/lib /lib64>usr/lib64 /etc/passwd /etc/motd
    /etc/resolv.conf>../run/resolv.conf /run/resolv.conf /tmp/ /var/tmp/ /home/u/.mozilla/ /home/u/Downloads/
    /home/u/.ssh/id /home/u/.ssh/known_hosts /home/u/work/src/ /home/u/work/.env /home/u/.config/ /home/u/.local/share/
    /home/u/.bashrc /proc/sys/ /proc/kcore /proc/self>1234 /proc/1234/net/ /srv/data/secret /root?
    /dev/null! /dev/zero! /dev/full! /dev/random! /dev/urandom! /dev/tty! /dev/pts/3! /dev/shm/ /dev/kvm! /dev/dri/card0!
    /rootfs/etc/passwd /rootfs/bin/sh /rootfs/proc/ /rootfs/lib64>lib /rootfs/lib/x";

pub fn lowered(
    rules: &[(Section, &str, Value)],
    around: &Surroundings,
    host: &str,
) -> Result<Lowered, Diagnostics> {
    let policy = policy(rules);
    let host = HandMade::new(host);
    let facts = host.facts(&wanted(&policy, &caller(), around), caller());
    lower(&policy, &facts, around)
}

/// One line a step.
pub fn show(lowered: &Lowered) -> String {
    let mut out = String::new();
    let flag = |on: bool, word: &str| {
        if on {
            format!(" {word}")
        } else {
            String::new()
        }
    };
    for step in &lowered.steps {
        let line = match &step.action {
            Action::OwnDirectory { path } => format!("own {}", path.display()),
            Action::NewRoot { from, access } => format!("root {from:?} {}", access.word()),
            Action::MakeDirectory { path, .. } => format!("mkdir {}", path.display()),
            Action::MakeFile { path } => format!("touch {}", path.display()),
            Action::MakeLink { path, target } => {
                format!("link {} > {}", path.display(), target.display())
            }
            Action::MountHost {
                source,
                target,
                access,
                devices,
            } => {
                let from = if source == target {
                    String::new()
                } else {
                    format!(" < {}", source.display())
                };
                format!(
                    "show {}{from} {}{}",
                    target.display(),
                    access.word(),
                    flag(*devices, "devices")
                )
            }
            Action::Restrict { path, access } => {
                format!("restrict {} {}", path.display(), access.word())
            }
            Action::MountTmpfs { target, size, mode } => {
                format!(
                    "tmpfs {} {mode:o}{}",
                    target.display(),
                    size.map_or(String::new(), |size| format!(" {size}"))
                )
            }
            Action::Mask { path, .. } => format!("mask {}", path.display()),
            Action::Seal { path } => format!("seal {}", path.display()),
            Action::MountText { target, .. } => format!("text {}", target.display()),
            Action::KeepAway(names) => {
                let keys: Vec<&str> = names.keys().collect();
                format!("keep away {}", keys.join(" "))
            }
            other => format!("{other:?}"),
        };
        out.push_str(&line);
        out.push('\n');
    }
    for note in &lowered.notes {
        out.push_str(&format!("# {}\n", note.text));
    }
    out
}

fn steps(rules: &[(Section, &str, Value)]) -> String {
    show(&lowered(rules, &around(), HOST).unwrap())
}

fn errors(rules: &[(Section, &str, Value)], host: &str) -> String {
    let errors = lowered(rules, &around(), host).unwrap_err();
    errors
        .iter()
        .map(|error| {
            format!(
                "{}: {}\n",
                error.message,
                error.primary.as_ref().map_or("", |label| &label.text)
            )
        })
        .collect()
}

#[test]
fn nothing_asked_nothing_done() {
    assert_eq!(lowered(&[], &around(), HOST), Ok(Lowered::default()));
    let host = [device("default", Value::Word("host"))];
    assert_eq!(lowered(&host, &around(), HOST), Ok(Lowered::default()));
}

#[test]
fn a_pid_namespace_alone_needs_proc() {
    let around = Surroundings {
        pid_namespace: true,
        ..around()
    };
    insta::assert_snapshot!(show(&lowered(&[], &around, HOST).unwrap()), @r#"
    PrivatePropagation
    root Host read-write
    show /dev read-write devices
    MountProc { target: "/proc", options: ProcOptions { only_processes: false, hide: None } }
    PivotRoot
    "#);
}

#[test]
fn a_desktop_program() {
    let around = Surroundings {
        pid_namespace: true,
        ipc_namespace: true,
        terminal: Some("/dev/pts/3".into()),
        ..around()
    };
    let rules = [
        ro("/"),
        private("~"),
        rw("~/.mozilla"),
        rw("~/Downloads"),
        rw("~/Musik"),
        hidden("~/.ssh"),
        tmpfs("/tmp"),
        device("gpu", Value::Bool(true)),
        device("camera", Value::Bool(true)),
        fs(
            "/dev/shm",
            View::Tmpfs {
                size: Some(Size::OfRam(2500)),
            },
        ),
    ];
    insta::assert_snapshot!(show(&lowered(&rules, &around, HOST).unwrap()), @r#"
    own /home/u/.local/share/sandbox/private/test/home
    PrivatePropagation
    root Host read-only
    tmpfs /dev 755 65536
    touch /dev/console
    show /dev/console < /dev/pts/3 read-write devices
    mkdir /dev/dri
    show /dev/dri read-write devices
    link /dev/fd > /proc/self/fd
    touch /dev/full
    show /dev/full read-write devices
    mkdir /dev/mqueue
    MountMqueue { target: "/dev/mqueue" }
    touch /dev/null
    show /dev/null read-write devices
    link /dev/ptmx > pts/ptmx
    mkdir /dev/pts
    MountDevpts { target: "/dev/pts" }
    touch /dev/random
    show /dev/random read-write devices
    mkdir /dev/shm
    tmpfs /dev/shm 1777 2147483648
    link /dev/stderr > /proc/self/fd/2
    link /dev/stdin > /proc/self/fd/0
    link /dev/stdout > /proc/self/fd/1
    touch /dev/tty
    show /dev/tty read-write devices
    touch /dev/urandom
    show /dev/urandom read-write devices
    touch /dev/zero
    show /dev/zero read-write devices
    show /home/u < /home/u/.local/share/sandbox/private/test/home read-write
    mkdir /home/u/.mozilla
    show /home/u/.mozilla read-write
    mkdir /home/u/Downloads
    show /home/u/Downloads read-write
    MountProc { target: "/proc", options: ProcOptions { only_processes: false, hide: None } }
    tmpfs /tmp 1777
    seal /dev
    PivotRoot
    # `/home/u/Musik` is absent on this host
    # `/home/u/.ssh` is not there: `/home/u` shows nothing of the host, and what the program makes there is its own
    "#);
}

#[test]
fn only_what_is_listed() {
    let rules = [
        hidden("/"),
        ro("/usr"),
        ro("/bin"),
        ro("/lib"),
        ro("/lib64"),
        ro("/etc/passwd"),
        ro("/etc/resolv.conf"),
        rw("${PWD}"),
        hidden("${PWD}/.env"),
        fs("/etc/hostname", View::Text("box\n".into())),
        device("kvm", Value::Bool(true)),
    ];
    insta::assert_snapshot!(steps(&rules), @r#"
    PrivatePropagation
    root Empty read-write
    link /bin > usr/bin
    mkdir /dev
    tmpfs /dev 755 65536
    link /dev/fd > /proc/self/fd
    touch /dev/full
    show /dev/full read-write devices
    touch /dev/kvm
    show /dev/kvm read-write devices
    touch /dev/null
    show /dev/null read-write devices
    link /dev/ptmx > pts/ptmx
    mkdir /dev/pts
    MountDevpts { target: "/dev/pts" }
    touch /dev/random
    show /dev/random read-write devices
    mkdir /dev/shm
    tmpfs /dev/shm 1777
    link /dev/stderr > /proc/self/fd/2
    link /dev/stdin > /proc/self/fd/0
    link /dev/stdout > /proc/self/fd/1
    touch /dev/tty
    show /dev/tty read-write devices
    touch /dev/urandom
    show /dev/urandom read-write devices
    touch /dev/zero
    show /dev/zero read-write devices
    mkdir /etc
    touch /etc/hostname
    text /etc/hostname
    touch /etc/passwd
    show /etc/passwd read-only
    link /etc/resolv.conf > ../run/resolv.conf
    mkdir /home/u/work
    show /home/u/work read-write
    mask /home/u/work/.env
    link /lib > usr/lib
    link /lib64 > usr/lib64
    mkdir /run
    touch /run/resolv.conf
    show /run/resolv.conf read-only
    mkdir /usr
    show /usr read-only
    seal /dev
    seal /
    PivotRoot
    "#);
}

#[test]
fn a_directory_as_root() {
    let around = Surroundings {
        pid_namespace: true,
        ..around()
    };
    let rules = [
        bind("/", "/rootfs", Access::ReadWrite),
        hidden("/etc/passwd"),
        hidden("/lib64/x"),
    ];
    insta::assert_snapshot!(show(&lowered(&rules, &around, HOST).unwrap()), @r#"
    PrivatePropagation
    root Directory("/rootfs") read-write
    show /etc < /rootfs/etc read-write
    mask /etc/passwd
    show /lib < /rootfs/lib read-write
    mask /lib/x
    MountProc { target: "/proc", options: ProcOptions { only_processes: false, hide: None } }
    PivotRoot
    "#);
    let devices = [
        bind("/", "/rootfs", Access::ReadWrite),
        device("kvm", Value::Bool(true)),
    ];
    insta::assert_snapshot!(errors(&devices, HOST), @r#"
    nothing can be put at `/dev`: there is nothing to mount it on
    "#);
    let own = [bind("/", "/rootfs", Access::ReadWrite), ro("/lib/x")];
    insta::assert_snapshot!(errors(&own, HOST), @r#"
    the host has no `/lib/x`: what is seen there comes with `/`
    "#);
    let out = [bind("/", "/rootfs", Access::ReadWrite), hidden("/lib64/x")];
    insta::assert_snapshot!(errors(&out, "/rootfs/lib64>/usr /usr/x /dev/ /proc/"), @r#"
    it cannot be told where `/lib64/x` leads inside: the symbolic link `/rootfs/lib64` leads out of `/rootfs`
    "#);
}

#[test]
fn a_build() {
    let rules = [
        ro("/"),
        hidden("~"),
        rw("${PWD}"),
        ro("~/.bashrc"),
        hidden("~/work/**/.env*"),
        tmpfs("/tmp"),
    ];
    insta::assert_snapshot!(steps(&rules), @r#"
    PrivatePropagation
    root Host read-only
    show /dev read-only devices
    tmpfs /home/u 711
    touch /home/u/.bashrc
    show /home/u/.bashrc read-only
    mkdir /home/u/work
    show /home/u/work read-write
    mask /home/u/work/.env
    tmpfs /tmp 1777
    seal /home/u
    PivotRoot
    keep away ~/work/**/.env*
    # the process that hides what gets a hidden name later can be killed from inside, and the program ends with it then; what the program leaves running when it ends sees such files: with `namespaces.pid = true` it is out of reach, and nothing is left
    "#);
}

#[test]
fn the_launchers_own_directories_are_kept() {
    // ~/.config and ~/.local could be renamed otherwise.
    insta::assert_snapshot!(steps(&[hidden("~/.ssh")]), @r#"
    own /home/u/.config/sandbox
    own /home/u/.local/share/sandbox
    own /home/u/.local/share/sandbox/private
    PrivatePropagation
    root Host read-write
    show /dev read-write devices
    show /home/u/.config read-write
    show /home/u/.config/sandbox read-only
    show /home/u/.local read-write
    show /home/u/.local/share read-write
    show /home/u/.local/share/sandbox read-only
    mask /home/u/.local/share/sandbox/private
    mask /home/u/.ssh
    PivotRoot
    "#);
    // An explicit word is obeyed.
    let accepted = [rw("~/.config/sandbox"), hidden("~/.local/share/sandbox")];
    insta::assert_snapshot!(steps(&accepted), @r#"
    own /home/u/.config/sandbox
    own /home/u/.local/share/sandbox
    PrivatePropagation
    root Host read-write
    show /dev read-write devices
    show /home/u/.config read-write
    show /home/u/.config/sandbox read-only
    show /home/u/.local read-write
    show /home/u/.local/share read-write
    mask /home/u/.local/share/sandbox
    PivotRoot
    # `/home/u/.config/sandbox` is absent on this host
    "#);
    let host = format!("{HOST} /home/u/.config/sandbox>../dots /home/u/dots/");
    insta::assert_snapshot!(errors(&[hidden("~/.ssh")], &host), @r#"
    `/home/u/.config/sandbox` is reached through the symbolic link `/home/u/.config/sandbox`, which the program could replace:
    "#);
}

#[test]
fn no_second_road() {
    let rules = [
        ro("/"),
        hidden("~/.ssh"),
        ro("~/.bashrc"),
        rw("/srv"),
        bind("/srv/data", "~", Access::ReadWrite),
        rw("/srv/data/.mozilla"),
    ];
    // ~/.mozilla of the host at /srv/data/.mozilla does not exist.
    insta::assert_snapshot!(errors(&rules, HOST), @r#"
    the host has no `/srv/data/.mozilla`: what is seen there comes with `/srv/data`
    "#);
    insta::assert_snapshot!(steps(&rules[..5]), @r#"
    own /home/u/.config/sandbox
    own /home/u/.local/share/sandbox
    own /home/u/.local/share/sandbox/private
    PrivatePropagation
    root Host read-only
    show /dev read-only devices
    mask /home/u/.local/share/sandbox/private
    mask /home/u/.ssh
    show /srv read-write
    show /srv/data < /home/u read-write
    show /srv/data/.bashrc < /home/u/.bashrc read-only
    show /srv/data/.config < /home/u/.config read-write
    show /srv/data/.config/sandbox < /home/u/.config/sandbox read-only
    show /srv/data/.local < /home/u/.local read-write
    show /srv/data/.local/share < /home/u/.local/share read-write
    show /srv/data/.local/share/sandbox < /home/u/.local/share/sandbox read-only
    mask /srv/data/.local/share/sandbox/private
    mask /srv/data/.ssh
    PivotRoot
    "#);
}

#[test]
fn a_hidden_directory_with_something_in_it() {
    let rules = [ro("/"), hidden("~/.ssh"), ro("~/.ssh/known_hosts")];
    insta::assert_snapshot!(steps(&rules), @r#"
    own /home/u/.local/share/sandbox/private
    PrivatePropagation
    root Host read-only
    show /dev read-only devices
    mask /home/u/.local/share/sandbox/private
    tmpfs /home/u/.ssh 711
    touch /home/u/.ssh/known_hosts
    show /home/u/.ssh/known_hosts read-only
    seal /home/u/.ssh
    PivotRoot
    "#);
}

#[test]
fn links_of_others_open_nothing() {
    let host = format!("{HOST} /home/u/work/key>../.ssh/id /home/u/work/lib>/usr/lib");
    let grants = [ro("/"), hidden("~/.ssh"), rw("~/work/key")];
    insta::assert_snapshot!(errors(&grants, &host), @r#"
    `~/work/key` leads through the symbolic link `/home/u/work/key` to `/home/u/.ssh/id`: this would open it
    "#);
    let bound = [
        ro("/"),
        hidden("~/.ssh"),
        bind("/srv/data/secret", "~/work/key", Access::ReadOnly),
    ];
    insta::assert_snapshot!(errors(&bound, &host), @r#"
    `/srv/data/secret` leads through the symbolic link `/home/u/work/key` to `/home/u/.ssh/id`: this would open it
    "#);
    let private_home = [ro("/"), private("~"), rw("~/work/key")];
    insta::assert_snapshot!(errors(&private_home, &host), @r#"
    `~/work/key` leads through the symbolic link `/home/u/work/key` to `/home/u/.ssh/id`: this would open it
    "#);
    // Named by its own path, or not kept away at all: fine.
    let named = [ro("/"), hidden("~/.ssh"), rw("~/work/key"), ro("~/.ssh/id")];
    insta::assert_snapshot!(show(&lowered(&named, &around(), &host).unwrap()), @r#"
    own /home/u/.local/share/sandbox/private
    PrivatePropagation
    root Host read-only
    show /dev read-only devices
    mask /home/u/.local/share/sandbox/private
    tmpfs /home/u/.ssh 711
    touch /home/u/.ssh/id
    show /home/u/.ssh/id read-only
    seal /home/u/.ssh
    PivotRoot
    # `~/work/key` has no effect: `~/.ssh/id` decides about `/home/u/.ssh/id`
    "#);
    let open = [ro("/"), hidden("~/.ssh"), rw("~/work/lib")];
    insta::assert_snapshot!(show(&lowered(&open, &around(), &host).unwrap()), @r#"
    own /home/u/.local/share/sandbox/private
    PrivatePropagation
    root Host read-only
    show /dev read-only devices
    mask /home/u/.local/share/sandbox/private
    mask /home/u/.ssh
    show /usr/lib read-write
    PivotRoot
    "#);
}

#[test]
fn rules_that_meet() {
    // The later layer, the literal, the direct name; and what is hidden later stays so.
    let rules = [
        ro("/"),
        rw("~/work"),
        rw("/usr/lib"),
        hidden("/home/u/Down*"),
        next(),
        ro("${PWD}"),
        hidden("/lib"),
        rw("~/Downloads"),
    ];
    insta::assert_snapshot!(steps(&rules), @r#"
    own /home/u/.local/share/sandbox/private
    PrivatePropagation
    root Host read-only
    show /dev read-only devices
    mask /home/u/.local/share/sandbox/private
    show /home/u/Downloads read-write
    mask /usr/lib
    PivotRoot
    keep away /home/u/Down*
    # `/home/u/Down*` has no effect: `~/Downloads` decides about `/home/u/Downloads`
    # `~/work` has no effect: `${PWD}` decides about `/home/u/work`
    # `/usr/lib` has no effect: `/lib` decides about `/usr/lib`
    # the process that hides what gets a hidden name later can be killed from inside, and the program ends with it then; what the program leaves running when it ends sees such files: with `namespaces.pid = true` it is out of reach, and nothing is left
    "#);
    let same_layer = [ro("/"), rw("${PWD}"), hidden("~/work")];
    insta::assert_snapshot!(steps(&same_layer), @r#"
    own /home/u/.local/share/sandbox/private
    PrivatePropagation
    root Host read-only
    show /dev read-only devices
    mask /home/u/.local/share/sandbox/private
    mask /home/u/work
    PivotRoot
    # `${PWD}` has no effect: `~/work` decides about `/home/u/work`
    "#);
}

#[test]
fn what_the_host_lacks() {
    let rules = [
        ro("/"),
        ro("/nix"),
        hidden("/snap"),
        hidden("/root/.ssh"),
        ro("/root/x"),
        rw("${XDG_MUSIC_DIR}"),
        hidden("/srv/*.key"),
    ];
    insta::assert_snapshot!(steps(&rules), @r#"
    own /home/u/.local/share/sandbox/private
    PrivatePropagation
    root Host read-only
    show /dev read-only devices
    mask /home/u/.local/share/sandbox/private
    PivotRoot
    keep away /srv/*.key
    # `${XDG_MUSIC_DIR}` is passed over: `${XDG_MUSIC_DIR}` is not set
    # `/nix` is absent on this host
    # `/root/.ssh` is out of the caller's reach already: Permission denied (os error 13)
    # `/root/x` is passed over: Permission denied (os error 13)
    # `/srv/*.key` matches nothing on this host yet; what gets such a name later is kept away
    # the process that hides what gets a hidden name later can be killed from inside, and the program ends with it then; what the program leaves running when it ends sees such files: with `namespaces.pid = true` it is out of reach, and nothing is left
    # `/snap` is absent on this host; made later, it would be seen
    "#);
    let wrong = [
        ro("/"),
        tmpfs("/nowhere"),
        private("/etc/motd"),
        fs("/srv", View::Text(String::new())),
        bind("/srv/data", "/etc/motd", Access::ReadOnly),
        bind("/tmp", "/nowhere/else", Access::ReadOnly),
        ro("relative"),
        ro("/proc/self/net"),
        fs("/root/y", View::Tmpfs { size: None }),
    ];
    insta::assert_snapshot!(errors(&wrong, HOST), @r#"
    `relative` is no path for [filesystem]: a path must start with `/`, `~` or `${…}`
    `/proc/self/net` is about one process: inside it is another one, or none
    `/root/y` cannot be looked at: Permission denied (os error 13): so that this cannot be done
    `/nowhere/else` cannot be shown at `/tmp`: it does not exist on this host
    "#);
    insta::assert_snapshot!(errors(&wrong[..5], HOST), @r#"
    nothing can be put at `/etc/motd`: a directory cannot be mounted on a file
    nothing can be put at `/nowhere`: there is nothing to mount it on
    nothing can be put at `/srv`: a file cannot be mounted on a directory
    "#);
}

#[test]
fn the_whole_is_never_meant_by_a_variable() {
    let caller = Caller {
        working_directory: "/".into(),
        ..caller()
    };
    let lowered = |rules: &[(Section, &'static str, Value)]| {
        let policy = policy(rules);
        let facts = HandMade::new(HOST).facts(&wanted(&policy, &caller, &around()), caller.clone());
        lower(&policy, &facts, &around())
    };
    let passed_over = lowered(&[ro("/"), rw("${PWD}")]).unwrap();
    assert!(
        passed_over.notes[0].text.contains("would open everything"),
        "{:?}",
        passed_over.notes
    );
    assert_eq!(passed_over.steps, lowered(&[ro("/")]).unwrap().steps);
    let errors = lowered(&[private("${PWD}")]).unwrap_err();
    assert_eq!(errors[0].message, "`${PWD}` is `/` here");
}

#[test]
fn what_was_not_looked_at_is_not_taken_for_absent() {
    let policy = policy(&[hidden("~/.ssh")]);
    let errors = lower(
        &policy,
        &Facts {
            caller: caller(),
            ..Facts::default()
        },
        &around(),
    )
    .unwrap_err();
    assert_eq!(errors[0].message, "`~/.ssh` was not looked at on this host");
}

#[test]
fn root_cannot_change_the_machine_through_proc() {
    let around = Surroundings {
        pid_namespace: true,
        real_root: true,
        ..around()
    };
    let rules = [ro("/"), hidden("/proc/kcore")];
    insta::assert_snapshot!(show(&lowered(&rules, &around, HOST).unwrap()), @r#"
    own /home/u/.local/share/sandbox/private
    PrivatePropagation
    root Host read-only
    show /dev read-only devices
    mask /home/u/.local/share/sandbox/private
    MountProc { target: "/proc", options: ProcOptions { only_processes: false, hide: None } }
    mask /proc/kcore
    restrict /proc/sys read-only
    PivotRoot
    "#);
}

#[test]
fn devices_of_the_host() {
    let rules = [
        ro("/"),
        device("default", Value::Word("host")),
        device("/dev/kvm", Value::Device(Access::Hidden)),
        device("gpu", Value::Bool(false)),
    ];
    insta::assert_snapshot!(steps(&rules), @r#"
    own /home/u/.local/share/sandbox/private
    PrivatePropagation
    root Host read-only
    show /dev read-only devices
    mask /dev/dri
    mask /dev/kvm
    mask /home/u/.local/share/sandbox/private
    PivotRoot
    # `/dev/kfd` is absent on this host; made later, it would be seen
    "#);
    let wrong = [
        device("/dev/kvm", Value::Device(Access::ReadOnly)),
        device("/etc/motd", Value::Device(Access::ReadWrite)),
    ];
    insta::assert_snapshot!(errors(&wrong, HOST), @r#"
    `/dev/kvm` cannot be made read-only: a read-only mount does not stop writing to a device
    `/etc/motd` is no device's path: it must lie below /dev
    "#);
}

#[test]
fn a_real_directory_is_looked_at_and_lowered() {
    let root = tempfile::tempdir().unwrap();
    let home = root.path().canonicalize().unwrap();
    std::fs::create_dir_all(home.join("work/sub")).unwrap();
    std::fs::create_dir_all(home.join(".ssh")).unwrap();
    std::fs::write(home.join("work/sub/.env.local"), "").unwrap();
    std::os::unix::fs::symlink(".ssh", home.join("keys")).unwrap();
    let caller = Caller {
        home: home.clone(),
        working_directory: home.join("work"),
        ..caller()
    };
    let around = Surroundings {
        private_root: home.join("data/private/test"),
        configuration: vec![home.join("config")],
        ..Surroundings::default()
    };
    let policy = policy(&[
        ro("/"),
        hidden("~"),
        rw("${PWD}"),
        hidden("${PWD}/**/.env*"),
        hidden("~/keys"),
    ]);
    let wanted = wanted(&policy, &caller, &around);
    let seen = crate::host::glob::look(&wanted.paths, &wanted.globs).unwrap();
    let facts = Facts {
        caller,
        paths: seen.paths,
        globs: seen.globs,
        ..Facts::default()
    };
    let lowered = lower(&policy, &facts, &around).unwrap();
    let text = show(&lowered).replace(home.to_str().unwrap(), "~");
    insta::assert_snapshot!(text, @r#"
    PrivatePropagation
    root Host read-only
    show /dev read-only devices
    tmpfs ~ 711
    mkdir ~/work
    show ~/work read-write
    show ~/work/sub read-write
    mask ~/work/sub/.env.local
    seal ~
    PivotRoot
    keep away ${PWD}/**/.env*
    # the process that hides what gets a hidden name later can be killed from inside, and the program ends with it then; what the program leaves running when it ends sees such files: with `namespaces.pid = true` it is out of reach, and nothing is left
    # `~/.ssh` is not there: `~` shows nothing of the host
    "#);
}

fn root(key: &'static str, access: Access) -> (Section, &'static str, Value) {
    let source = "deb".to_owned();
    fs(key, View::Root { source, access })
}

#[test]
fn an_imported_root_lies_under_changes_that_are_thrown_away() {
    let around = Surroundings {
        roots: [("deb".to_owned(), PathBuf::from("/rootfs"))].into(),
        network_namespace: true,
        ..around()
    };
    let overlay = "Overlay(Overlay { lower: [\"/rootfs\"], upper: Memory { size: None } })";
    // What the root lacks can be made in it: /tmp is no directory of it.
    let rules = [root("/", Access::ReadWrite), tmpfs("/tmp")];
    assert_eq!(
        show(&lowered(&rules, &around, HOST).unwrap()),
        format!(
            "PrivatePropagation\nroot {overlay} read-write\nmkdir /tmp\ntmpfs /tmp 1777\nPivotRoot\n"
        )
    );
    // Without changes it cannot.
    let rules = [root("/", Access::ReadOnly), tmpfs("/tmp")];
    let errors = lowered(&rules, &around, HOST).unwrap_err();
    assert_eq!(errors[0].message, "nothing can be put at `/tmp`");
    let rules = [root("/", Access::ReadOnly)];
    assert_eq!(
        show(&lowered(&rules, &around, HOST).unwrap()),
        "PrivatePropagation\nroot Directory(\"/rootfs\") read-only\nPivotRoot\n"
    );
    // With the host's network, whom to ask for names is the host's.
    let host_network = Surroundings {
        network_namespace: false,
        ..around.clone()
    };
    let shown = show(&lowered(&[root("/", Access::ReadWrite)], &host_network, HOST).unwrap());
    assert!(
        shown.contains("touch /etc/resolv.conf\n") && shown.contains("/run/resolv.conf"),
        "{shown}"
    );
    let linked = format!("{HOST} /rootfs/etc/resolv.conf>../run/x");
    let shown = show(&lowered(&[root("/", Access::ReadWrite)], &host_network, &linked).unwrap());
    assert!(shown.contains("is a link in this root"), "{shown}");
    let rules = [root("/", Access::ReadWrite), hidden("/etc/resolv.conf")];
    let shown = show(&lowered(&rules, &host_network, HOST).unwrap());
    assert!(!shown.contains("/run/resolv.conf"), "{shown}");
    // A root that nobody looked for is an error, not something else.
    let errors = lowered(
        &[root("/", Access::ReadWrite)],
        &Surroundings::default(),
        HOST,
    )
    .unwrap_err();
    assert!(
        errors[0].message.contains("`deb` cannot be shown at `/`"),
        "{}",
        errors[0].message
    );
}
