//! What a program needs to be started: its interpreters, the dynamic loader, and every library that this loads.
//!
//! Files are read, never run: no `ldd`, which starts what it looks at. What is in them was written by anybody, so that
//! every number is checked, every table has an end, and nothing is followed for ever. `elf`, `versions`, `cache`, `script`
//! and `text` are functions of bytes; `walk` and `load` look at the host as ld.so(8) and the kernel (execve(2)) do.

pub mod cache;
pub mod companion;
pub mod elf;
mod load;
pub mod script;
pub mod text;
pub mod versions;
pub mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Why a path belongs to a closure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// A program that was asked about.
    Program,
    /// What runs a script (`#!`).
    Interpreter,
    /// The dynamic loader (`PT_INTERP`).
    Loader,
    /// A library that the loader loads.
    Library,
    /// What the loader itself reads.
    LoaderFile,
    /// What a known program cannot start without, though none of its files says so.
    Companion,
    /// What is opened by name where it is there, and can be missed.
    Optional,
}

impl Part {
    /// One or two words.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Interpreter => "interpreter",
            Self::Loader => "loader",
            Self::Library => "library",
            Self::LoaderFile => "loader-file",
            Self::Companion => "companion",
            Self::Optional => "optional",
        }
    }
}

/// One path of a closure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The most telling of the reasons why it is here.
    pub part: Part,
    /// Who needs it, or why.
    pub because: String,
    /// Where it really is.
    pub real: PathBuf,
    /// The links on the way: where each is, and what it says.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Whether it is executed (execve(2)), not only read.
    pub executed: bool,
}

/// What programs need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// By the names under which they are opened.
    pub members: BTreeMap<PathBuf, Member>,
    /// What is not there: a library, an interpreter, a version of symbols. The program will not start.
    pub missing: Vec<String>,
    /// What cannot be known from the files.
    pub notes: BTreeSet<String>,
}

impl Closure {
    /// Every path that has to be there: names, the links on the way, and what they lead to, without what is optional.
    #[must_use]
    pub fn paths(&self) -> BTreeSet<&Path> {
        let needed = self
            .members
            .iter()
            .filter(|(_, member)| member.part != Part::Optional);
        needed
            .flat_map(|(name, member)| {
                let links = member.links.iter().map(|(at, _)| at.as_path());
                // What is below a directory that is a link has a name without that link too.
                let direct = member.links.is_empty().then_some(name.as_path());
                links.chain([member.real.as_path()]).chain(direct)
            })
            .collect()
    }
}
