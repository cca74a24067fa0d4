//! What a launch needs, in C form: values, made by [`super::prepare`] and carried out by the child.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use super::audit::Audit;
use super::filtered::InitFilter;
use super::join::Join;
use super::made::Made;
use super::overlay::OverlayOp;
use super::priority::Priority;
use super::share::Shared;
use crate::kernel::process;
use crate::kernel::slate::Slate;
use crate::plan::companion::Companion;
use crate::plan::step::IdRange;
use crate::profile::value::Create;
use crate::section::filesystem::later::Names;
use crate::section::limits::GroupPlan;

/// One thing that the child does, in C form.
#[derive(Debug)]
pub(super) enum Op {
    Join {
        file: OwnedFd,
        kind: libc::c_int,
    },
    Unshare(libc::c_int),
    NewSessionKeyring,
    Hostname(CString),
    LoopbackUp,
    PrivatePropagation,
    NewRoot {
        from: RootOp,
        attributes: u64,
        scratch: bool,
    },
    MakeDirectory {
        path: CString,
        place: Place,
        mode: u32,
    },
    MakeFile(Place),
    MakeLink {
        place: Place,
        target: CString,
    },
    MountHost {
        source: Place,
        target: Place,
        attributes: u64,
    },
    MountMade {
        name: CString,
        target: Place,
        attributes: u64,
    },
    MountOverlay {
        overlay: OverlayOp,
        target: Place,
    },
    Restrict {
        path: CString,
        read_only: bool,
    },
    MountNew {
        kind: CString,
        options: Vec<(CString, Option<CString>)>,
        target: Place,
        attributes: u64,
    },
    Mask {
        place: Place,
        directory: bool,
    },
    Text {
        target: Place,
        name: CString,
        content: Vec<u8>,
    },
    Seal {
        path: CString,
    },
    NoExecution {
        path: CString,
    },
    PivotRoot {
        read_only: bool,
    },
    AwaitKeeper,
    NewTerminal {
        attributes: Option<libc::termios>,
        size: Option<libc::winsize>,
        replace: [bool; 3],
    },
    NewSession,
    DropGroups,
    NoNewPrivileges,
    Landlock(super::landlock::Rules),
    DropBounding {
        keep: u64,
        last: u32,
    },
    KeepCapabilities {
        keep: u64,
        ambient: bool,
    },
    ResourceLimit {
        resource: u32,
        value: Option<u64>,
    },
    CpuAffinity(process::CpuMask),
    Umask(u32),
    WorkingDirectory(Vec<CString>),
    CloseDescriptors,
    Seccomp(Vec<libc::sock_filter>),
}

/// A path, taken apart: what lies beside another is reached through the same directory.
#[derive(Debug)]
pub(super) struct Place {
    pub parent: CString,
    /// One component; `.` for the root itself.
    pub name: CString,
}

/// What the new root is made of.
#[derive(Debug)]
pub(super) enum RootOp {
    Host,
    Directory(CString),
    Empty,
    Overlay(OverlayOp),
}

/// One operation, and the step that it belongs to.
#[derive(Debug)]
pub(super) struct Todo {
    pub step: u32,
    pub op: Op,
    /// Whether the launch goes on without it, with a word to the user.
    pub may_fail: bool,
}

/// How the program is found and started.
#[derive(Debug)]
pub(super) struct ExecOp {
    pub step: u32,
    pub candidates: Vec<CString>,
    pub arguments: Vec<CString>,
    pub environment: Vec<CString>,
}

/// Everything that a launch needs.
#[derive(Debug)]
pub struct Prepared {
    pub(super) clone_flags: u64,
    /// The step that asks for namespaces, when one does.
    pub(super) clone_step: Option<usize>,
    /// Namespaces that the launcher enters itself, since they count for its children: user first, then pid.
    pub(super) join_before: Vec<(u32, OwnedFd, libc::c_int)>,
    /// Namespaces of other sandboxes that the child is made in.
    pub(super) share: Vec<(u32, Shared)>,
    /// The sandbox that is entered, when none is made.
    pub(super) join: Option<Join>,
    /// The step that asks for a directory of the run.
    pub(super) run_directory: Option<usize>,
    /// Made in the directory of the run, before the child.
    pub(super) made: Vec<(usize, Made)>,
    /// Started beside the child.
    pub(super) companions: Vec<(usize, Companion)>,
    pub(super) own_directories: Vec<(u32, PathBuf)>,
    /// What rules have made before it is shown.
    pub(super) created: Vec<(u32, PathBuf, Create)>,
    pub(super) maps: Option<(u32, MapOp)>,
    pub(super) group: Option<(u32, GroupPlan)>,
    /// What is hidden when it appears, and the step that asks for it.
    pub(super) names: Option<(u32, Names)>,
    /// Set by the launcher while the child waits.
    pub(super) priorities: Vec<Priority>,
    /// Done by the child, in this order.
    pub(super) child: Vec<Todo>,
    /// Whether the child stays as process 1 beside the program.
    pub(super) init: bool,
    /// The step that asked for it; when nobody did, that of the program.
    pub(super) init_step: Option<u32>,
    /// Done by process 1 before it waits: it needs no capability and gets the same filter.
    pub(super) init_filter: Option<InitFilter>,
    /// Whether process 1 may give its memory back under that filter.
    pub(super) init_gives_back: bool,
    /// Where a failure under the filter is left.
    pub(super) slate: Option<Slate>,
    /// Done by what becomes the program, in this order.
    pub(super) program: Vec<Todo>,
    pub(super) execute: ExecOp,
    /// What is asked before the program is executed.
    pub(super) audit: Audit,
    pub(super) timeout: Option<Duration>,
    pub(super) die_with_parent: bool,
    pub(super) new_session: bool,
    pub(super) new_terminal: bool,
    /// Whether a step cuts capabilities, so that process 1 gives up its own too.
    pub(super) cuts_capabilities: bool,
    /// The caller's umask, which the program gets back.
    pub(super) umask: u32,
}

impl Prepared {
    /// Lets go of the namespaces that the child alone needs, once it has been made.
    pub(super) fn let_go(&mut self) {
        self.share = Vec::new();
        if (self.child.iter()).any(|todo| matches!(todo.op, Op::Join { .. })) {
            self.child = Vec::new();
        }
    }

    /// Gives back the memory of what the child alone needs, once the program has run for a while: the launcher may stay for
    /// days.
    pub(super) fn release(&mut self) {
        self.child = Vec::new();
        self.program = Vec::new();
        self.init_filter = None;
        self.slate = None;
        self.audit = Audit::default();
        self.made = Vec::new();
        self.created = Vec::new();
        self.own_directories = Vec::new();
        self.maps = None;
        self.group = None;
        self.companions = Vec::new();
        self.priorities = Vec::new();
        self.execute = ExecOp {
            step: self.execute.step,
            candidates: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
        };
    }
}

/// The id maps as text.
#[derive(Debug)]
pub(super) struct MapOp {
    pub uids: Vec<IdRange>,
    pub gids: Vec<IdRange>,
    pub deny_setgroups: bool,
    pub helpers: Option<(PathBuf, PathBuf)>,
}
