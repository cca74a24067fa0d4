//! The group that a plan asks for, as a value that can be shown.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::report::{Site, escape};

/// How the sandbox gets its control group, and what is written to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupPlan {
    /// Where the group comes from.
    pub way: Way,
    /// What the group is for: the profile's or the sandbox's name in [a-z0-9_.-]. The directory's own name is made fresh
    /// for each run.
    pub name: String,
    /// The controllers that hold the limits.
    pub controllers: BTreeSet<String>,
    /// What is written, in this order.
    pub writes: Vec<LimitWrite>,
    /// What the supervisor holds itself, where no file does.
    pub soft: Option<SoftLimit>,
}

/// Where the group comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Way {
    /// A directory in each v1 hierarchy.
    Legacy {
        /// One for each hierarchy.
        places: Vec<Place>,
    },
    /// A directory in the v2 hierarchy.
    Unified {
        /// The group that gets a child.
        parent: PathBuf,
        /// Controllers to be enabled for the children of these groups first, from the top down.
        enable: Vec<(PathBuf, BTreeSet<String>)>,
    },
    /// A delegated scope of systemd, in which the group is made.
    Scope {
        /// The socket of the bus.
        bus: PathBuf,
        /// The slice that the scope is made in.
        slice: &'static str,
        /// Whether it is the system's manager rather than the user's.
        system: bool,
    },
}

/// Where a group is made in one v1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The controllers of the hierarchy.
    pub controllers: BTreeSet<String>,
    /// The group that gets a child.
    pub parent: PathBuf,
    /// Whether the launch goes on without it: it holds no limit, but makes killing and counting exact.
    pub optional: bool,
}

/// One file and what is written to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitWrite {
    /// The key of `[limits]` that asked for it.
    pub key: &'static str,
    /// The controller whose file it is.
    pub controller: &'static str,
    /// The file's name.
    pub file: &'static str,
    /// What is written.
    pub value: String,
    /// Whether a failure is a warning.
    pub may_fail: bool,
    /// The rule.
    #[serde(skip)]
    pub site: Site,
}

/// A soft limit that the supervisor holds: under memory pressure of the host it reclaims down to this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SoftLimit {
    /// What the group is pushed back to.
    pub bytes: u64,
    /// Whether a failure is a warning.
    pub may_fail: bool,
    /// The rule.
    #[serde(skip)]
    pub site: Site,
}

/// `name` in the letters that a group's name may have; never empty, never with a dot in front.
#[must_use]
pub fn plain_name(name: &str) -> String {
    let plain: String = name
        .chars()
        .take(64)
        .map(|letter| match letter.to_ascii_lowercase() {
            letter @ ('a'..='z' | '0'..='9' | '_' | '.' | '-') => letter,
            _ => '_',
        })
        .collect();
    match plain.trim_start_matches(['.', '-']) {
        "" => "sandbox".to_owned(),
        name => name.to_owned(),
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Legacy { places } => {
                f.write_str("cgroup v1, a group below")?;
                for (at, place) in places.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    write!(
                        f,
                        "{comma} {}",
                        escape::line(&place.parent.to_string_lossy())
                    )?;
                }
                Ok(())
            }
            Self::Unified { parent, enable } => {
                write!(
                    f,
                    "cgroup v2, a group below {}",
                    escape::line(&parent.to_string_lossy())
                )?;
                for (group, controllers) in enable {
                    write!(
                        f,
                        "; enabling {} in {}",
                        list(controllers),
                        escape::line(&group.to_string_lossy())
                    )?;
                }
                Ok(())
            }
            Self::Scope { slice, system, .. } => {
                let whose = if *system {
                    "the system's"
                } else {
                    "the user's"
                };
                write!(
                    f,
                    "cgroup v2, a delegated scope in {slice} of {whose} systemd"
                )
            }
        }
    }
}

/// Words with commas.
pub(super) fn list(words: &BTreeSet<String>) -> String {
    words
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(",")
}

impl fmt::Display for LimitWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} (limits.{})", self.file, self.value, self.key)
    }
}

/// The way, then a line for each limit.
impl fmt::Display for GroupPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.way)?;
        for write in &self.writes {
            write!(f, "\n{write}")?;
        }
        if let Some(soft) = &self.soft {
            write!(
                f,
                "\nmemory.reclaim down to {} under memory pressure (limits.memory-soft)",
                soft.bytes
            )?;
        }
        Ok(())
    }
}
