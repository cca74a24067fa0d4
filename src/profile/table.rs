//! The entries of the table of keys (see [`super::key`]). A table: long, flat, and read from top to bottom.

use super::key::{Key, Kind, Name, Section};

const fn key(
    section: Section,
    name: Name,
    kind: Kind,
    default: &'static str,
    example: &'static str,
) -> Key {
    Key {
        section,
        name,
        kind,
        default,
        since: "0.1.0",
        summary: "",
        detail: "",
        security: None,
        example,
    }
}

impl Key {
    const fn says(mut self, summary: &'static str, detail: &'static str) -> Self {
        self.summary = summary;
        self.detail = detail;
        self
    }
    const fn warns(mut self, security: &'static str) -> Self {
        self.security = Some(security);
        self
    }
}

/// Words that `capabilities.default` takes, and each capability too.
pub const KEEP_WORDS: &[&str] = &["keep", "drop"];
/// Architectures that `syscalls.architectures` can name beside the native one.
pub const ARCHITECTURES: &[&str] = &["x86"];

/// Every key, section by section.
pub static KEYS: &[Key] = &[
    // ---------------------------------------------------------------- limits
    key(Section::Limits, Name::Exact("memory"), Kind::Size, "no limit", "memory = \"3G\"").says(
        "the most memory that the program and all its children may use together",
        "Bytes with K, M, G, T (binary), \"25%\" of this host's RAM, or \"max\". Counts anonymous memory, page cache, tmpfs, \
         shared memory and kernel memory of the whole sandbox. At the limit the kernel reclaims, swaps within `swap`, and at last \
         kills a process. cgroup v1 `memory.limit_in_bytes`, v2 `memory.max`, systemd `MemoryMax`.",
    ),
    key(Section::Limits, Name::Exact("swap"), Kind::Size, "no limit", "swap = \"3G\"").says(
        "swap space that may be used in addition to `memory`",
        "v2 and systemd cap swap by itself (`memory.swap.max`, `MemorySwapMax`); v1 caps the sum, so that `memory` + `swap` is \
         written to `memory.memsw.limit_in_bytes`, and `memory` must be set too. 0 forbids swapping.",
    ),
    key(Section::Limits, Name::Exact("memory-soft"), Kind::Size, "no limit", "memory-soft = \"1G\"").says(
        "memory that the program is pushed back to when the host runs short of it",
        "Without memory pressure the program runs free up to `memory`. v1 `memory.soft_limit_in_bytes`. v2 has no such file \
         (`memory.high` throttles always, `memory.low` protects instead): there the launcher watches the host's memory pressure \
         (PSI) and reclaims down to this amount through `memory.reclaim`.",
    ),
    key(Section::Limits, Name::Exact("pids"), Kind::Count, "no limit", "pids = 512").says(
        "the most processes and threads at the same time",
        "Further forks fail with EAGAIN. Threads count. `pids.max` on v1 and v2, systemd `TasksMax`.",
    ),
    key(Section::Limits, Name::Exact("cpu"), Kind::Cpu, "no limit", "cpu = \"150%\"").says(
        "CPU time, as a part of one CPU",
        "\"150%\" is one and a half CPUs. v1 `cpu.cfs_quota_us` per `cpu.cfs_period_us` of 100 ms, v2 `cpu.max`, systemd \
         `CPUQuotaPerSecUSec`.",
    ),
    key(Section::Limits, Name::Exact("cpu-weight"), Kind::Integer(1, 10_000), "100", "cpu-weight = 50").says(
        "share of the CPU against others when it is contended",
        "1 to 10000, 100 is everybody's default. v2 `cpu.weight`, systemd `CPUWeight`; v1 `cpu.shares` = weight × 1024 / 100.",
    ),
    key(Section::Limits, Name::Exact("open-files"), Kind::Count, "the caller's", "open-files = 8192").says(
        "the highest number of open descriptors of a process (RLIMIT_NOFILE)",
        "Per process; setrlimit(2). Both the soft and the hard limit are set. Raising the hard limit needs CAP_SYS_RESOURCE.",
    ),
    key(Section::Limits, Name::Exact("processes"), Kind::Count, "the caller's", "processes = 200").says(
        "processes of this user in this user namespace (RLIMIT_NPROC)",
        "Counts by user, not by sandbox, and does not bind root; `pids` is the limit to use. setrlimit(2).",
    ),
    key(Section::Limits, Name::Exact("core-size"), Kind::Bytes, "the caller's", "core-size = 0").says(
        "size of a core dump (RLIMIT_CORE)",
        "Per process. A core handler that the host pipes dumps to ignores it, but for 1, which that handler reads as «none».",
    ),
    key(Section::Limits, Name::Exact("file-size"), Kind::Bytes, "the caller's", "file-size = \"1G\"").says(
        "the largest file that can be written (RLIMIT_FSIZE)",
        "Per file; SIGXFSZ at the limit. setrlimit(2).",
    ),
    key(Section::Limits, Name::Exact("address-space"), Kind::Bytes, "the caller's", "address-space = \"4G\"").says(
        "virtual memory of each process (RLIMIT_AS)",
        "Per process, not for the sandbox as a whole: no replacement for `memory`. Breaks programs that reserve address space \
         (browsers, Go, sanitizers). setrlimit(2).",
    ),
    key(Section::Limits, Name::Exact("data-size"), Kind::Bytes, "the caller's", "data-size = \"2G\"").says(
        "private writable memory of each process (RLIMIT_DATA)",
        "Per process. setrlimit(2).",
    ),
    key(Section::Limits, Name::Exact("stack-size"), Kind::Bytes, "the caller's", "stack-size = \"8M\"").says(
        "stack of the main thread (RLIMIT_STACK)",
        "Per process. setrlimit(2).",
    ),
    key(Section::Limits, Name::Exact("locked-memory"), Kind::Bytes, "the caller's", "locked-memory = \"64K\"").says(
        "memory that may be locked against swapping (RLIMIT_MEMLOCK)",
        "Per process. setrlimit(2).",
    ),
    key(Section::Limits, Name::Exact("cpu-time"), Kind::Duration, "the caller's", "cpu-time = \"10m\"").says(
        "CPU time of each process in all (RLIMIT_CPU)",
        "Per process, whole seconds; SIGXCPU at the limit. See `cpu` for a rate, `process.timeout` for wall time.",
    ),
    key(Section::Limits, Name::Exact("pending-signals"), Kind::Count, "the caller's", "pending-signals = 1024").says(
        "queued signals and timers of this user (RLIMIT_SIGPENDING)",
        "setrlimit(2).",
    ),
    key(Section::Limits, Name::Exact("message-queues"), Kind::Bytes, "the caller's", "message-queues = \"800K\"").says(
        "bytes in POSIX message queues of this user (RLIMIT_MSGQUEUE)",
        "setrlimit(2).",
    ),
    key(Section::Limits, Name::Exact("realtime-priority"), Kind::Integer(0, 99), "the caller's", "realtime-priority = 0").says(
        "the highest real-time priority (RLIMIT_RTPRIO)",
        "0 forbids real-time scheduling. setrlimit(2).",
    ),
    // ------------------------------------------------------------ namespaces
    key(Section::Namespaces, Name::Exact("user"), Kind::Namespace, "new when one is needed", "user = true").says(
        "the user namespace: ids, and what capabilities count for",
        "`true`: a new one; `false`: the caller's; a path: that one. Without a word one is made when an ordinary user's profile \
         needs it for the other namespaces or for mounts. user_namespaces(7).",
    ),
    key(Section::Namespaces, Name::Exact("mount"), Kind::Namespace, "new when `[filesystem]`, `[devices]` or `pid` need it", "mount = true").says(
        "the mount namespace: what is mounted where",
        "`true`: a new one; `false`: the caller's; a path: that one. mount_namespaces(7).",
    ),
    key(Section::Namespaces, Name::Exact("pid"), Kind::Namespace, "the caller's", "pid = true").says(
        "the process id namespace: which processes are seen and can be signalled",
        "In a new one the program's own processes are all there are, /proc shows just these, and all end with the sandbox. \
         pid_namespaces(7).",
    ),
    key(Section::Namespaces, Name::Exact("ipc"), Kind::Namespace, "the caller's", "ipc = true").says(
        "the IPC namespace: System V objects and POSIX message queues",
        "`true`: a new one; `false`: the caller's; a path: that one. ipc_namespaces(7).",
    ),
    key(Section::Namespaces, Name::Exact("uts"), Kind::Namespace, "the caller's; new with `hostname`", "uts = true").says(
        "the UTS namespace: host name and domain name",
        "`true`: a new one; `false`: the caller's; a path: that one. uts_namespaces(7).",
    ),
    key(Section::Namespaces, Name::Exact("net"), Kind::Namespace, "the caller's", "net = true").says(
        "the network namespace: interfaces, addresses, routes, firewall, abstract sockets",
        "A new one has a loopback interface, which is brought up, and nothing else. network_namespaces(7).",
    ).warns(
        "With the caller's network the program also reaches services on the host's loopback and abstract Unix sockets.",
    ),
    key(Section::Namespaces, Name::Exact("cgroup"), Kind::Namespace, "the caller's", "cgroup = true").says(
        "the control group namespace: the group that is seen as `/`",
        "A new one has the sandbox's own group as its root. cgroup_namespaces(7).",
    ),
    key(Section::Namespaces, Name::Exact("time"), Kind::Namespace, "the caller's", "time = true").says(
        "the time namespace: offsets of the monotonic and boot-time clocks",
        "`true`: a new one; `false`: the caller's; a path: that one. time_namespaces(7).",
    ),
    key(Section::Namespaces, Name::Exact("hostname"), Kind::Hostname, "the host's", "hostname = \"box\"").says(
        "the host name seen inside",
        "Implies a new UTS namespace. sethostname(2), hostname(7).",
    ),
    // ------------------------------------------------------------ filesystem
    key(Section::Filesystem, Name::Path, Kind::View, "\"/\" = \"read-write\"", "\"~/.ssh\" = \"hidden\"").says(
        "what is seen at a path, and what may be done with it",
        "`\"read-only\"`, `\"read-write\"`, `\"hidden\"`; `\"private\"`: a directory of the profile's own, kept between runs; \
         `\"tmpfs\"`: empty, in memory, gone afterwards, or `{ tmpfs = \"512M\" }`; `{ bind = \"/other\", access = \"read-only\" }`; \
         `{ text = \"content\\n\" }`. The longest path decides, a literal path over a glob. `~` is the home directory; \
         `${HOME}`, `${PWD}` (where the launcher was started), `${XAUTHORITY}` and the `${XDG_…}` directories expand. A path that the host does not \
         have is passed over, as the plan says. Everything is nosuid and nodev. With `\"/\" = \"hidden\"` only listed paths exist.",
    ).warns(
        "A hidden path below a directory that the host provides stays visible as a name, but is empty and closed.",
    ),
    // --------------------------------------------------------------- devices
    key(Section::Devices, Name::Exact("default"), Kind::Word(&["minimal", "host"]), "\"minimal\" once the section says anything", "default = \"minimal\"").says(
        "what /dev is made of",
        "`\"minimal\"`: null, zero, full, random, urandom, tty, a pts of its own, shm, and what else is listed here. \
         `\"host\"`: the host's /dev as `[filesystem]` shows it.",
    ),
    key(Section::Devices, Name::Exact("gpu"), Kind::Bool, "false", "gpu = true").says(
        "graphics processors: /dev/dri, /dev/nvidia*, /dev/kfd",
        "Nodes that the host does not have are passed over.",
    ).warns("A GPU driver is a large piece of the kernel."),
    key(Section::Devices, Name::Exact("audio"), Kind::Bool, "false", "audio = true").says(
        "sound devices: /dev/snd",
        "Only for programs that use ALSA directly; a sound server is reached through its socket.",
    ),
    key(Section::Devices, Name::Exact("camera"), Kind::Bool, "false", "camera = true").says(
        "cameras: /dev/video*, /dev/media*",
        "Nodes that the host does not have are passed over.",
    ),
    key(Section::Devices, Name::Exact("input"), Kind::Bool, "false", "input = true").says(
        "input devices: /dev/input, /dev/uinput",
        "Game controllers, keyboards, mice.",
    ).warns("Every key that is pressed on this machine can be read from these."),
    key(Section::Devices, Name::Exact("kvm"), Kind::Bool, "false", "kvm = true").says(
        "hardware virtualization: /dev/kvm, /dev/vhost-net, /dev/vhost-vsock",
        "Nodes that the host does not have are passed over.",
    ),
    key(Section::Devices, Name::Device, Kind::Device, "hidden in a minimal /dev", "\"/dev/fuse\" = true").says(
        "a device node or a directory of nodes by path",
        "`true` or `\"read-write\"`: it can be used; `false` or `\"hidden\"`: it is not there. A read-only mount does not keep a program from writing to a device, so that `\"read-only\"` is refused.",
    ),
    // --------------------------------------------------------------- network
    key(Section::Network, Name::Exact("mode"), Kind::Word(&["host", "none"]), "\"host\" unless `namespaces.net` says otherwise", "mode = \"none\"").says(
        "which network the program has",
        "`\"host\"`: the caller's. `\"none\"`: a network namespace of its own with a loopback interface only.",
    ),
    key(Section::Network, Name::Exact("abstract-sockets"), Kind::Word(&["own", "own-if-possible", "host"]), "\"host\" with the host's network", "abstract-sockets = \"own\"").says(
        "which abstract Unix sockets can be reached: those without a file, whose names begin with `@`",
        "They belong to a network, not to a file system, so that `[filesystem]` does not keep them away. `\"own\"`: those that were \
         made inside; by a network namespace where there is one, else by Landlock (Linux 6.12 or later). `\"own-if-possible\"`: the \
         same, and those of the host where the kernel is older, as `--dry-run` and `sandboxctl doctor` say. `\"host\"`: those of the \
         network that the program has. unix(7).",
    ).warns(
        "X servers, session buses and others listen on abstract sockets too; some ask nobody who connects.",
    ),
    // -------------------------------------------------------------- syscalls
    key(Section::Syscalls, Name::Exact("default"), Kind::SyscallAction, "\"allow\"", "default = \"allow\"").says(
        "what a system call is answered that no other key covers",
        "`\"allow\"`, `\"deny\"` (EPERM), an errno name such as `\"ENOSYS\"`, `\"kill\"`, `\"log\"` (allowed and logged) or `\"trap\"` (SIGSYS). \
         Calls that are newer than this program knows are answered ENOSYS whatever this says. seccomp(2).",
    ),
    key(Section::Syscalls, Name::Exact("architectures"), Kind::Words(ARCHITECTURES), "[]", "architectures = [\"x86\"]").says(
        "foreign system call tables that may be used beside the native one",
        "Once `[syscalls]` says anything, calls through other tables kill the program. Wine and Steam need \"x86\".",
    ).warns("Each table is another, less used way into the kernel."),
    key(Section::Syscalls, Name::Syscall, Kind::SyscallAction, "`default`", "\"@mount\" = \"deny\"").says(
        "what one call, a group of calls, or a call with certain arguments is answered",
        "A name (`ptrace`), a group with systemd's name and contents (`\"@mount\"`), or conditions on arguments, in their order: \
         `\"socket(AF_NETLINK)\"`, `\"ioctl(_, TIOCSTI)\"`, `\"clone(&CLONE_NEWUSER)\"` (any of these bits), `!=`, `<`, `<=`, `>`, `>=`. \
         Conditions beat the plain name, a name its groups, a smaller group a larger one, anything `default`. \
         Conditions on pointers are refused, since the program could change what they point to after the check. \
         Implies `process.no-new-privileges`.",
    ),
    // ---------------------------------------------------------- capabilities
    key(Section::Capabilities, Name::Exact("default"), Kind::Keep, "\"drop\" once the section says anything or a user namespace is made, else \"keep\"", "default = \"drop\"").says(
        "what happens to capabilities that are not named",
        "`\"drop\"`: taken from the bounding, permitted, effective, inheritable and ambient sets. `\"keep\"`: as the caller has them, \
         or, in a new user namespace, all of that namespace. capabilities(7).",
    ),
    key(Section::Capabilities, Name::Capability, Kind::Keep, "`default`", "net_bind_service = \"keep\"").says(
        "what happens to one capability",
        "By its name in capabilities(7), with or without `cap_`. A kept capability survives exec also for an ordinary user \
         (ambient set).",
    ),
    // ----------------------------------------------------------- environment
    key(Section::Environment, Name::Exact("default"), Kind::Word(&["pass", "clean"]), "\"pass\"", "default = \"clean\"").says(
        "what happens to variables that are not named",
        "`\"pass\"`: handed on. `\"clean\"`: not.",
    ),
    key(Section::Environment, Name::Variable, Kind::Variable, "`default`", "LD_PRELOAD = false").says(
        "what happens to one variable, or to all that a `*` matches",
        "`true`: the caller's value is passed on; `false`: unset; text: this value. A literal name beats a pattern, a longer \
         pattern a shorter one.",
    ),
    // --------------------------------------------------------------- process
    key(Section::Process, Name::Exact("no-new-privileges"), Kind::Bool, "true with `[syscalls]` rules, else false", "no-new-privileges = true").says(
        "set-user-ID programs and file capabilities give nothing",
        "PR_SET_NO_NEW_PRIVS(2const). `sudo` and `su` do not work inside.",
    ).warns("Without it, set-user-ID programs outside of a user namespace can shed parts of the sandbox."),
    key(Section::Process, Name::Exact("init"), Kind::Bool, "true", "init = false").says(
        "in a new process id namespace, a process 1 of ours that reaps and forwards signals",
        "With `false` the program itself is process 1: it must reap its children, and signals without a handler do not reach it.",
    ),
    key(Section::Process, Name::Exact("terminal"), Kind::Word(&["caller", "new", "none"]), "\"caller\"", "terminal = \"new\"").says(
        "which terminal the program has",
        "`\"caller\"`: the caller's. `\"new\"`: when the caller has one, a pseudo-terminal in a session of its own; job control and \
         the window size work, and nothing can be typed into the caller's terminal (TIOCSTI, TIOCLINUX). `\"none\"`: a session of its \
         own without a terminal.",
    ).warns("With the caller's terminal a program can push input into it, unless `ioctl(_, TIOCSTI)` and `ioctl(_, TIOCLINUX)` are denied."),
    key(Section::Process, Name::Exact("session-keyring"), Kind::Word(&["new", "caller"]), "\"new\"", "session-keyring = \"caller\"").says(
        "the kernel's session keyring",
        "Keyrings pass through every namespace; a new, empty one keeps the caller's keys away. keyctl(2), session-keyring(7).",
    ),
    key(Section::Process, Name::Exact("die-with-parent"), Kind::Bool, "true", "die-with-parent = false").says(
        "end the sandbox when the launcher is killed",
        "By PR_SET_PDEATHSIG; with a process id namespace everything in it ends.",
    ),
    key(Section::Process, Name::Exact("nice"), Kind::Integer(-20, 19), "the caller's", "nice = 10").says(
        "the nice value",
        "-20 to 19, higher is nicer. Lowering it needs CAP_SYS_NICE. setpriority(2).",
    ),
    key(Section::Process, Name::Exact("oom-score-adjust"), Kind::Integer(-1000, 1000), "the caller's", "oom-score-adjust = 500").says(
        "how readily the kernel picks this program when memory runs out",
        "-1000 to 1000, higher is sooner. Lowering it needs CAP_SYS_RESOURCE. proc_pid_oom_score_adj(5).",
    ),
    key(Section::Process, Name::Exact("umask"), Kind::Mode, "the caller's", "umask = \"0077\"").says(
        "mode bits that new files do not get",
        "Octal. umask(2).",
    ),
    key(Section::Process, Name::Exact("working-directory"), Kind::Path, "the caller's if it is seen inside, else the home directory, else /", "working-directory = \"~\"").says(
        "where the program starts",
        "`~` and `${…}` expand. It must exist inside.",
    ),
    key(Section::Process, Name::Exact("timeout"), Kind::Duration, "none", "timeout = \"10m\"").says(
        "wall time after which the program is ended",
        "SIGTERM, and SIGKILL to everything in the sandbox 5 seconds later; exit status 128+15 or 128+9.",
    ),
    key(Section::Process, Name::Exact("write-xor-execute"), Kind::Bool, "false", "write-xor-execute = true").says(
        "nothing that the program can write can be executed",
        "What `[filesystem]` shows read-write, and every directory in memory or of the profile's own, is mounted without execution: \
         neither execve(2) nor mmap(2) with PROT_EXEC works on files there. What is downloaded or compiled cannot be run. Scripts can \
         still be read by an interpreter. `\"/\" = \"read-write\"` contradicts it.",
    ),
    key(Section::Process, Name::Exact("landlock"), Kind::Bool, "true with `[filesystem]` where the kernel has it", "landlock = true").says(
        "Landlock as a second wall behind the mounts",
        "The rules of `[filesystem]` are said to the kernel a second time, and hold whatever is mounted: what a program may open, \
         change, execute. Where a stricter path lies below one that gives more, the mounts alone hold, for Landlock takes nothing away; \
         `--dry-run` says how many such there are. Inside, nothing can be mounted any more. `true`: required; `false`: not used. \
         Linux 5.19 or later; landlock(7).",
    ),
    key(Section::Process, Name::Exact("nested"), Kind::Bool, "false", "nested = true").says(
        "the program makes sandboxes of its own, with mounts (bubblewrap, flatpak, Steam)",
        "A process that Landlock holds to files can mount nothing, not even in namespaces of its own. With `true` files are left to \
         the mounts alone, and Landlock keeps to sockets and signals. Browsers need no mounts for theirs.",
    ).warns("The second wall around files is left away."),
    // ------------------------------------------------------------------ user
    key(Section::User, Name::Exact("uid"), Kind::Id, "\"caller\"", "uid = \"root\"").says(
        "the user id seen inside a new user namespace",
        "`\"caller\"`: one's own; `\"root\"`: 0; or a number. On the host the program stays the caller. user_namespaces(7).",
    ),
    key(Section::User, Name::Exact("gid"), Kind::Id, "\"caller\"", "gid = \"root\"").says(
        "the group id seen inside a new user namespace",
        "As `uid`.",
    ),
    key(Section::User, Name::Exact("subordinate-ids"), Kind::Bool, "false", "subordinate-ids = true").says(
        "map the caller's ranges of /etc/subuid and /etc/subgid as the other ids inside",
        "Done by newuidmap(1) and newgidmap(1). With it programs inside can switch users, as package managers do.",
    ),
];

/// The exact key of that name.
#[must_use]
pub fn find(section: Section, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| {
        key.section == section && matches!(key.name, Name::Exact(exact) if exact == name)
    })
}

/// Keys of the document itself, outside of all tables, with one line about each.
///
/// `"inherit"` is no value of any of them: a layer that says nothing keeps what lower layers say.
pub static TOP: &[(&str, &str, &str)] = &[
    (
        "description",
        "description = \"Mozilla Firefox web browser\"",
        "one line that says what the profile is for",
    ),
    (
        "programs",
        "programs = [\"firefox\", \"firefox-esr\"]",
        "programs that take this profile when no --profile is given",
    ),
    (
        "extends",
        "extends = [\"desktop-app\", \"web-browser\"]",
        "profiles merged below this one, left to right",
    ),
    (
        "degrade",
        "degrade = [\"limits.memory-soft\"]",
        "rules that this host may fail to apply with a warning instead of an error; only rules that add strictness",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::document;
    use crate::profile::key::Kind;
    use crate::report::{Source, SourceKind, SourceMap};

    #[test]
    fn no_word_means_two_things() {
        for key in KEYS {
            if let Kind::Word(words) | Kind::Words(words) = key.kind {
                assert!(!words.contains(&"inherit"), "{}", key.example);
            }
        }
    }

    #[test]
    fn every_example_is_a_profile() {
        let mut sources = SourceMap::new();
        let mut check = |text: String| {
            let id = sources.add(Source {
                name: "example.toml".to_owned(),
                kind: SourceKind::Embedded,
                text: text.clone(),
            });
            let parsed = document::parse("example", id, &text);
            assert_eq!(parsed.diagnostics, [], "{text}");
            parsed.profile
        };
        for key in KEYS {
            let profile = check(format!("[{}]\n{}\n", key.section, key.example));
            assert_eq!(profile.entries.len(), 1, "{}", key.example);
        }
        for (name, example, _) in TOP {
            check(format!("{example}\n[limits]\npids = 1\n# {name}\n"));
        }
    }
}
