//! The steps that a plan is made of. A closed set: what is not here cannot be done to a program.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::companion::Companion;
use crate::profile::value::{Access, CpuSet, Create, IoPriority, Scheduler};
use crate::report::Site;

/// One thing to do, who asked for it, and what follows if it cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What to do.
    pub action: Action,
    /// The rule that asked for it; [`Site::DEFAULT`] when it follows from another rule or from how we work.
    pub site: Site,
    /// Why, when no single rule says it: `implied by [syscalls]`. Empty otherwise.
    pub because: String,
    /// What follows if it fails.
    pub on_failure: OnFailure,
}

impl Step {
    /// Who carries it out, and when.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match &self.action {
            Action::JoinNamespace {
                kind: NamespaceKind::User | NamespaceKind::Pid,
                ..
            } => Phase::Before,
            Action::RunDirectory => Phase::Before,
            Action::Clone { .. } | Action::ShareNamespaces { .. } => Phase::Clone,
            Action::MapIds { .. }
            | Action::OwnDirectory { .. }
            | Action::Create { .. }
            | Action::EnterGroup(_)
            | Action::StartCompanion(_)
            | Action::Cookie { .. }
            | Action::WaylandContext { .. }
            | Action::DesktopEntry { .. }
            | Action::OomScoreAdjust { .. }
            | Action::Nice { .. }
            | Action::IoPriority { .. }
            | Action::Scheduler { .. }
            | Action::Timeout { .. } => Phase::Beside,
            Action::ResourceLimit { .. }
            | Action::CpuAffinity { .. }
            | Action::Umask { .. }
            | Action::WorkingDirectory { .. }
            | Action::Capabilities { .. }
            | Action::CloseDescriptors
            | Action::Seccomp(_)
            | Action::Execute { .. } => Phase::Program,
            _ => Phase::Child,
        }
    }
}

/// What follows if a step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Nothing is run.
    Fatal,
    /// A warning is printed; only for rules that add strictness and that `degrade` or `--best-effort` names.
    Warn,
}

/// Which process carries a step out, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The launcher, before there is a child.
    Before,
    /// The making of the child itself.
    Clone,
    /// The launcher, while the child waits.
    Beside,
    /// The child, before it becomes process 1 or the program.
    Child,
    /// The process that becomes the program, last.
    Program,
}

/// A kind of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamespaceKind {
    /// CLONE_NEWUSER
    User,
    /// CLONE_NEWNS
    Mount,
    /// CLONE_NEWPID
    Pid,
    /// CLONE_NEWIPC
    Ipc,
    /// CLONE_NEWUTS
    Uts,
    /// CLONE_NEWNET
    Net,
    /// CLONE_NEWCGROUP
    Cgroup,
    /// CLONE_NEWTIME
    Time,
}

/// One line of a uid_map or gid_map (user_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many.
    pub length: u32,
}

/// What the new root is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// The host's tree with all its mounts.
    Host,
    /// A directory of the host, by its canonical path, with all mounts below it.
    Directory(PathBuf),
    /// An empty file system in memory.
    Empty,
    /// Directories of the host on each other, with changes kept apart.
    Overlay(Overlay),
}

/// Directories that are seen as one, and where changes to them go (the kernel's overlayfs.rst).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// Directories of the host by their canonical paths, the topmost first. They are never changed.
    pub lower: Vec<PathBuf>,
    /// Where changes go.
    pub upper: Upper,
}

/// Where changes to an overlay go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upper {
    /// Into memory; they are gone with the sandbox. In a user namespace before Linux 6.6, where tmpfs keeps no `user.`
    /// attributes, a directory of a lower layer can be neither removed nor replaced: EIO.
    Memory {
        /// Bytes; half of the RAM when not given.
        size: Option<u64>,
    },
    /// Into `upper` in this directory of the host, which has an empty `work` beside it.
    Directory(PathBuf),
    /// Into the part of that name of the run's own store of changes: a [`Upper::Directory`] once the launcher has taken
    /// the run's name.
    Kept(String),
}

/// What a /proc shows (proc(5), mount options).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcOptions {
    /// Nothing but processes: `subset=pid`.
    pub only_processes: bool,
    /// How processes of other users are hidden: a word that `hidepid=` takes.
    pub hide: Option<&'static str>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    // ------------------------------------------------------- Before
    /// Make a directory for this run alone, in which companions make sockets; it is removed at the end.
    RunDirectory,
    // ------------------------------------------------------- Beside
    /// Make a directory of the caller's own with mode 0700, and its parents, if it is missing.
    OwnDirectory {
        /// Absolute path on the host.
        path: PathBuf,
    },
    /// Make a directory with mode 0700, or an empty file with mode 0600, and parents with mode 0700, if it is missing:
    /// through no link, and in no directory of another user's but root's.
    Create {
        /// Absolute path on the host, without links.
        path: PathBuf,
        /// What.
        what: Create,
    },
    // -------------------------------------------------------- Clone
    /// Have the child made in namespaces of a running sandbox of the same user.
    ShareNamespaces {
        /// What that sandbox is called.
        sandbox: String,
        /// Of net, ipc and uts.
        kinds: Vec<NamespaceKind>,
        /// Whether the user namespace that they belong to has to be entered first, for want of privilege.
        below: bool,
    },
    /// Make the child, in these new namespaces.
    Clone {
        /// Sorted by kind.
        namespaces: Vec<NamespaceKind>,
    },
    /// Write the id maps of the new user namespace.
    MapIds {
        /// uid_map
        uids: Vec<IdRange>,
        /// gid_map
        gids: Vec<IdRange>,
        /// Forbid setgroups(2) first, as a caller without privilege must.
        deny_setgroups: bool,
        /// newuidmap and newgidmap, when the maps hold more than the caller's own ids.
        helpers: Option<(PathBuf, PathBuf)>,
    },
    /// Put the child into its control group, with these limits.
    EnterGroup(crate::section::limits::GroupPlan),
    /// Write a file with a cookie for X servers into the directory of this run.
    Cookie {
        /// In the directory of this run: one component.
        name: OsString,
        /// Of which file and for which display it is a copy; else it is a new one.
        copy: Option<(PathBuf, u32)>,
    },
    /// Make a socket in the directory of this run, and tell a Wayland compositor that who connects there is sandboxed
    /// (security-context-v1).
    WaylandContext {
        /// The compositor's own socket.
        compositor: PathBuf,
        /// In the directory of this run: one component.
        name: OsString,
        /// The sandbox engine.
        engine: String,
        /// The program.
        app: String,
    },
    /// Write a desktop entry into the caller's own directory, if there is none, and leave it there.
    DesktopEntry {
        /// Absolute.
        path: PathBuf,
        /// What is in it.
        text: String,
    },
    /// Start a program beside the program, and wait until it serves.
    StartCompanion(Companion),
    // -------------------------------------------------------- Child
    /// Enter an existing namespace.
    JoinNamespace {
        /// Its kind.
        kind: NamespaceKind,
        /// Its file.
        path: PathBuf,
    },
    /// Join a new, empty session keyring.
    NewSessionKeyring,
    /// Make a new control group namespace, now that the child is in its group.
    UnshareCgroupNamespace,
    /// Set the host name.
    Hostname {
        /// hostname(7)
        name: String,
    },
    /// Bring the loopback interface up.
    LoopbackUp,
    /// Stop mounts from spreading to and from the host.
    PrivatePropagation,
    /// Make the new root. Everything below is relative to it.
    NewRoot {
        /// What it is made of.
        from: Root,
        /// [`Access::ReadOnly`] or [`Access::ReadWrite`].
        access: Access,
    },
    /// Make a directory, and its parents, in a tree that is ours, if it is missing.
    MakeDirectory {
        /// Inside.
        path: PathBuf,
        /// Mode bits.
        mode: u32,
    },
    /// Make an empty file in a tree that is ours, as a place to mount on, if it is missing.
    MakeFile {
        /// Inside.
        path: PathBuf,
    },
    /// Make a symbolic link in a tree that is ours.
    MakeLink {
        /// Inside.
        path: PathBuf,
        /// What it says.
        target: PathBuf,
    },
    /// Show a path of the host, with all mounts below it.
    MountHost {
        /// Canonical path on the host.
        source: PathBuf,
        /// Inside; has no symbolic link.
        target: PathBuf,
        /// [`Access::ReadOnly`] or [`Access::ReadWrite`].
        access: Access,
        /// Whether device nodes below it work.
        devices: bool,
    },
    /// Show a file or a socket of the directory of this run; where it is a symbolic link, what that leads to on the host.
    MountMade {
        /// In the directory of this run: one component.
        name: OsString,
        /// Inside; has no symbolic link.
        target: PathBuf,
        /// [`Access::ReadOnly`] or [`Access::ReadWrite`].
        access: Access,
    },
    /// Show directories of the host on each other, with changes kept apart.
    MountOverlay {
        /// Which, and where changes go.
        overlay: Overlay,
        /// Inside; has no symbolic link.
        target: PathBuf,
    },
    /// Change the access to a part of what is seen already, with all mounts below it.
    Restrict {
        /// Inside.
        path: PathBuf,
        /// [`Access::ReadOnly`] or [`Access::ReadWrite`].
        access: Access,
    },
    /// Mount an empty file system in memory.
    MountTmpfs {
        /// Inside.
        target: PathBuf,
        /// Bytes; the kernel's default when not given.
        size: Option<u64>,
        /// Mode bits of its root.
        mode: u32,
    },
    /// Mount the process information of the new pid namespace.
    MountProc {
        /// Inside.
        target: PathBuf,
        /// What it shows.
        options: ProcOptions,
    },
    /// Mount an own instance of devpts.
    MountDevpts {
        /// Inside.
        target: PathBuf,
    },
    /// Mount the POSIX message queues of the new IPC namespace.
    MountMqueue {
        /// Inside.
        target: PathBuf,
    },
    /// Cover a path with something empty and closed.
    Mask {
        /// Inside.
        path: PathBuf,
        /// Whether it is a directory.
        directory: bool,
    },
    /// Show a file with this content.
    MountText {
        /// Inside.
        target: PathBuf,
        /// The content.
        content: String,
    },
    /// Make a tree of ours unwritable now that everything in it is made; not the mounts below it.
    Seal {
        /// Inside.
        path: PathBuf,
    },
    /// Let nothing be executed that is mounted at a path now, or below it.
    NoExecution {
        /// Inside.
        path: PathBuf,
    },
    /// Make the new root the root, and let go of the old one.
    PivotRoot,
    /// Let nothing run in the view before a process of the launcher looks after the directories in which something with one of
    /// these names may appear; it covers what gets one, as long as the sandbox lives.
    KeepAway(crate::section::filesystem::later::Names),
    /// Open a pseudo-terminal, and make its other end standard input, output and error where these are terminals.
    NewTerminal,
    /// Start a session without a terminal.
    NewSession,
    // ------------------------------------------------ Child, before the program is forked
    /// Set a resource limit (setrlimit(2)), soft and hard.
    ResourceLimit {
        /// The RLIMIT_ constant.
        resource: u32,
        /// Its name in a profile.
        name: &'static str,
        /// The kernel's units; `None` is no limit.
        value: Option<u64>,
    },
    /// Set the nice value.
    Nice {
        /// -20 to 19
        value: i32,
    },
    /// Set the I/O priority.
    IoPriority {
        /// Class and level.
        value: IoPriority,
    },
    /// Set the scheduler.
    Scheduler {
        /// Policy and priority.
        value: Scheduler,
    },
    /// Bind it to CPUs, each of which must be one that it may run on.
    CpuAffinity {
        /// Their numbers.
        cpus: CpuSet,
    },
    /// Set the OOM score adjustment.
    OomScoreAdjust {
        /// -1000 to 1000
        value: i32,
    },
    /// Set the umask.
    Umask {
        /// Mode bits
        mode: u32,
    },
    /// Change the working directory, and check that it is inside.
    WorkingDirectory {
        /// Candidates, the best first; the first that exists inside is taken.
        candidates: Vec<PathBuf>,
    },
    /// Leave all supplementary groups.
    DropGroups,
    /// Set no_new_privs.
    NoNewPrivileges,
    /// Hold files, sockets and signals with Landlock. Nothing can be mounted after it.
    Landlock(crate::section::landlock::Ruleset),
    /// Take the given capabilities from all sets but those that are kept.
    Capabilities {
        /// Bit n for capability n.
        keep: u64,
        /// Whether kept ones are put into the ambient set, so that they survive exec.
        ambient: bool,
        /// Whether the bounding set is cut too, which needs CAP_SETPCAP.
        bounding: bool,
        /// The highest capability that the kernel knows.
        last: u32,
    },
    /// Make a process 1 that reaps and forwards signals, beside the program.
    Init,
    // ------------------------------------------------------ Program
    /// Close all descriptors above 2.
    CloseDescriptors,
    /// Install the system call filter.
    Seccomp(crate::section::syscalls::FilterPlan),
    /// Become the program.
    Execute {
        /// As it is looked up inside: a path, or a name to be searched in `PATH`.
        program: OsString,
        /// With argument 0.
        arguments: Vec<OsString>,
        /// In order.
        environment: Vec<(OsString, OsString)>,
    },
    /// End everything after this time.
    Timeout {
        /// Wall time.
        after: Duration,
    },
    /// Kill the child when the launcher dies.
    DieWithParent,
}
