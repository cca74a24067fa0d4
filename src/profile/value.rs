//! The types that values of a profile can have.

mod attribute;

use std::fmt;
use std::time::Duration;

use crate::bpf;
use crate::report::Located;

pub use attribute::{CpuSet, IoPriority, Scheduler};

/// An amount of memory or storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Size {
    /// Bytes.
    Bytes(u64),
    /// Hundredths of a percent of this host's RAM: `"25%"` is 2500.
    OfRam(u32),
    /// No limit.
    Max,
}

/// A number of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Count {
    /// So many; 0 is a limit.
    Number(u64),
    /// No limit.
    Max,
}

/// CPU time in hundredths of a percent of one CPU: `"150%"` is 15000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cpu {
    /// So much.
    Share(u64),
    /// No limit.
    Max,
}

/// Numbers of CPUs or memory nodes, as ranges with both ends included: in order, apart from each other, never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Ranges(pub Vec<(u32, u32)>);

impl Ranges {
    /// The ranges in order, those that touch or overlap as one.
    #[must_use]
    pub fn of(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.sort_unstable();
        let mut apart: Vec<(u32, u32)> = Vec::new();
        for (first, last) in ranges {
            match apart.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last)
                }
                _ => apart.push((first, last)),
            }
        }
        Self(apart)
    }

    /// The kernel's way to write it (cpuset(7), list format): `0-3,7`. None for another text, or a range that runs
    /// backwards; the empty text is no ranges.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut ranges = Vec::new();
        for part in text.trim().split(',').filter(|_| !text.trim().is_empty()) {
            let number = |text: &str| {
                text.bytes()
                    .all(|byte| byte.is_ascii_digit())
                    .then(|| text.parse::<u32>().ok())
                    .flatten()
            };
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            ranges.push((first, last));
        }
        Some(Self::of(ranges))
    }

    /// Those that are not among others.
    #[must_use]
    pub fn without(&self, others: &Self) -> Self {
        let mut left = Vec::new();
        for &(first, last) in &self.0 {
            let mut next = first;
            let mut over = false;
            for &(from, to) in others
                .0
                .iter()
                .filter(|(from, to)| *to >= first && *from <= last)
            {
                if from > next {
                    left.push((next, from - 1));
                }
                match to.checked_add(1) {
                    Some(after) => next = next.max(after),
                    None => over = true,
                }
            }
            if !over && next <= last {
                left.push((next, last));
            }
        }
        Self(left)
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// How much may be read from and written to a block device in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rates {
    /// Bytes read.
    pub read: Option<u64>,
    /// Bytes written.
    pub write: Option<u64>,
    /// Read operations.
    pub read_operations: Option<u64>,
    /// Write operations.
    pub write_operations: Option<u64>,
}

impl Rates {
    /// The words for them in a profile, and each; whether it is counted in bytes.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, Option<u64>, bool); 4] {
        [
            ("read", self.read, true),
            ("write", self.write, true),
            ("read-operations", self.read_operations, false),
            ("write-operations", self.write_operations, false),
        ]
    }

    /// The smaller of each.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        let least = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self {
            read: least(self.read, other.read),
            write: least(self.write, other.write),
            read_operations: least(self.read_operations, other.read_operations),
            write_operations: least(self.write_operations, other.write_operations),
        }
    }
}

/// What becomes of one kind of namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// A new one.
    New,
    /// The caller's.
    Caller,
    /// An existing one, by the path of its file, e.g. `/proc/1234/ns/net`.
    Join(String),
    /// That of a running sandbox of the same user, by its name.
    Sandbox(String),
}

/// What may be done with a part of the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// It cannot be reached; where its parent is made by us, it does not exist.
    Hidden,
    /// It exists, empty and closed, also where its parent is made by us.
    Denied,
    /// Read and execute.
    ReadOnly,
    /// Everything that the file's own mode allows.
    ReadWrite,
}

/// What is seen at a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// What the host has there, with this access.
    Host(Access),
    /// A directory of this profile's own, empty at first and kept between runs.
    Private,
    /// An empty file system in memory, gone afterwards.
    Tmpfs {
        /// Its size; the kernel's default (half of the RAM) when not given.
        size: Option<Size>,
    },
    /// What the host has there; changes go to memory and are thrown away.
    Copy {
        /// How much may be changed; the kernel's default for a file system in memory (half of the RAM) when not given.
        size: Option<Size>,
    },
    /// What the host has there; changes are kept apart, to be reviewed afterwards.
    Overlay,
    /// Another path of the host.
    Bind {
        /// The other path, with `~` and `${…}` not yet expanded.
        source: String,
        /// What may be done with it.
        access: Access,
    },
    /// An imported root file system, or an archive of one.
    Root {
        /// Its name, its digest, or the path of an archive, with `~` and `${…}` not yet expanded.
        source: String,
        /// With [`Access::ReadWrite`] changes are thrown away.
        access: Access,
    },
    /// A file with this content.
    Text(String),
    /// One of the others, on terms.
    With(Box<View>, Terms),
}

/// What is said about a view beside what is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Whether what is there can be executed; as above it when not said.
    pub execute: Option<bool>,
    /// What is made first when the host has nothing there.
    pub create: Option<Create>,
    /// Whether it is an error that the host has nothing there.
    pub required: bool,
}

/// What is made where the host has nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Create {
    /// A directory with mode 0700.
    Directory,
    /// An empty file with mode 0600.
    File,
}

impl Create {
    /// The word for it in a profile.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Directory => "dir",
            Self::File => "file",
        }
    }
}

impl View {
    /// The view without its terms.
    #[must_use]
    pub fn plain(&self) -> &Self {
        match self {
            Self::With(view, _) => view.plain(),
            view => view,
        }
    }

    /// Its terms.
    #[must_use]
    pub fn terms(&self) -> Terms {
        match self {
            Self::With(_, terms) => *terms,
            _ => Terms::default(),
        }
    }

    /// The view on terms, where there are any.
    #[must_use]
    pub fn on(self, terms: Terms) -> Self {
        match terms == Terms::default() {
            true => self,
            false => Self::With(Box::new(self), terms),
        }
    }

    /// Whether it keeps away what the host has there, and shows nothing in its place.
    #[must_use]
    pub fn closes(&self) -> bool {
        matches!(self.plain(), Self::Host(Access::Hidden | Access::Denied))
    }
}

/// What happens to an environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Variable {
    /// The caller's value is passed on.
    Pass,
    /// The program does not get it.
    Unset,
    /// The program gets this value.
    Set(String),
}

/// What a value can be. Which one a key takes is said by its [`Kind`](super::key::Kind).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// An integer in the key's range.
    Integer(i64),
    /// Bytes or a part of the RAM.
    Size(Size),
    /// A number of things.
    Count(Count),
    /// CPU time.
    Cpu(Cpu),
    /// A span of time.
    Duration(Duration),
    /// File mode bits, from octal text.
    Mode(u32),
    /// One of the words that the key allows.
    Word(&'static str),
    /// Free text.
    Text(String),
    /// Several words or texts.
    List(Vec<Located<String>>),
    /// What becomes of a namespace.
    Namespace(Namespace),
    /// What is seen at a path.
    View(View),
    /// What a system call is answered.
    Syscall(bpf::Action),
    /// Whether a capability is kept.
    Keep(bool),
    /// What happens to a variable.
    Variable(Variable),
    /// What may be done with a device.
    Device(Access),
    /// An id as seen inside.
    Id(Id),
    /// CPUs or memory nodes.
    Ranges(Ranges),
    /// How fast a device may be used.
    Rates(Rates),
    /// The place in the queue for the disk.
    IoPriority(IoPriority),
    /// How the CPUs are shared out.
    Scheduler(Scheduler),
    /// CPUs.
    CpuSet(CpuSet),
}

impl Value {
    /// The imported root that it shows, as it is said.
    #[must_use]
    pub fn root(&self) -> Option<&String> {
        match self {
            Self::View(view) => match view.plain() {
                View::Root { source, .. } => Some(source),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the program could only do more if a rule with this value were not applied.
    #[must_use]
    pub fn only_adds_strictness(&self) -> bool {
        match self {
            Self::Bool(on) => *on,
            Self::Integer(_)
            | Self::Size(_)
            | Self::Count(_)
            | Self::Cpu(_)
            | Self::Duration(_)
            | Self::Ranges(_)
            | Self::Rates(_) => true,
            Self::Word(word) => !matches!(*word, "host" | "caller" | "pass" | "allow"),
            Self::Namespace(namespace) => *namespace == Namespace::New,
            Self::View(view) => {
                let terms = view.terms();
                (view.closes() || *view.plain() == View::Host(Access::ReadOnly))
                    && terms.execute != Some(true)
                    && terms.create.is_none()
            }
            Self::Syscall(action) => *action != bpf::Action::Allow,
            Self::Keep(keep) => !keep,
            Self::IoPriority(priority) => priority.only_adds_strictness(),
            Self::Scheduler(scheduler) => {
                matches!(scheduler, Scheduler::Batch | Scheduler::Idle)
            }
            Self::CpuSet(_) => true,
            Self::Mode(_)
            | Self::Text(_)
            | Self::List(_)
            | Self::Variable(_)
            | Self::Device(_)
            | Self::Id(_) => false,
        }
    }
}

/// A user or group id as seen inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Id {
    /// The caller's own.
    Caller,
    /// A number; `root` is 0.
    Number(u32),
}

const UNITS: [(u64, &str); 4] = [
    (1 << 40, "T"),
    (1 << 30, "G"),
    (1 << 20, "M"),
    (1 << 10, "K"),
];

/// Bytes with the largest unit that divides them: `3G`, `1536M`, `1000`.
#[must_use]
pub fn exact_bytes(bytes: u64) -> String {
    for (unit, name) in UNITS {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}

/// Bytes for people: `3.0 GiB`, `412.5 MiB`, `12 B`.
#[must_use]
pub fn human_bytes(bytes: u64) -> String {
    for (unit, name) in UNITS {
        if bytes >= unit {
            // Tenths are enough for people; precision beyond 2^53 bytes does not matter.
            #[allow(clippy::cast_precision_loss)]
            let scaled = bytes as f64 / unit as f64;
            return format!("{scaled:.1} {name}iB");
        }
    }
    format!("{bytes} B")
}

fn hundredths(f: &mut fmt::Formatter<'_>, n: u64) -> fmt::Result {
    match (n / 100, n % 100) {
        (whole, 0) => write!(f, "{whole}%"),
        (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
        (whole, part) => write!(f, "{whole}.{part:02}%"),
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Bytes(bytes) => f.write_str(&exact_bytes(bytes)),
            Self::OfRam(part) => hundredths(f, part.into()),
            Self::Max => f.write_str("max"),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Max => f.write_str("max"),
        }
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Share(share) => hundredths(f, share),
            Self::Max => f.write_str("max"),
        }
    }
}

impl Access {
    /// The word for it in a profile.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Denied => "denied",
            Self::ReadOnly => "read-only",
            Self::ReadWrite => "read-write",
        }
    }
}
