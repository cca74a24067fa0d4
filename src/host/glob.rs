//! Patterns → paths, without following a link on the way.
//!
//! The directories before the first pattern are found as the caller finds them. From there on nothing is followed:
//! a link can be matched, never passed. `*` and `?` match names that start with a dot too, since a rule that hides
//! must not miss them; `**` stands for any number of directories, at the end for everything in one. What only
//! looks like a file system (/proc, /sys) and what would have to be fetched from elsewhere (autofs, NFS, SMB, FUSE)
//! is not searched unless a pattern starts in it, and a note says so.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::sys::statfs::fstatfs;

use super::facts::{PathFact, PathKind};
use super::paths::{self, Directory, Walker};
use super::remote;
use crate::kernel::{at, status};
use crate::report::{Diagnostic, Diagnostics};
use crate::section::pattern::{Part, Parts};
use crate::tree::{self, PathMap, PathSet};

/// Directories below the first pattern.
const DEEPEST: usize = 16;
/// Names that are read for all patterns together.
const MOST_NAMES: usize = 100_000;

/// What a policy's paths and patterns come to on this host.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The paths, and what the patterns match.
    pub paths: PathMap<PathFact>,
    /// What each pattern matches, in the order of the paths.
    pub globs: PathMap<Vec<PathBuf>>,
    /// Where was not searched, and why.
    pub notes: Vec<String>,
}

/// Looks at paths, finds what patterns match, and looks at that too.
///
/// # Errors
/// A pattern that leads deeper than 16 directories or, with the others, to more than 100,000 names.
pub fn look(paths: &[PathBuf], globs: &[PathBuf]) -> Result<Seen, Diagnostics> {
    let mut seen = Seen::default();
    let mut search = Search {
        names: 0,
        read: PathMap::new(),
        notes: BTreeSet::new(),
        walker: Walker::default(),
    };
    let mut errors = Diagnostics::new();
    for glob in globs {
        match search.find(glob) {
            Ok(found) => {
                let found = found.into_iter().collect();
                seen.globs.insert(glob.clone(), found);
            }
            Err(why) => errors.push(
                Diagnostic::general(format!("`{}` cannot be searched: {why}", glob.display()))
                    .help("let the pattern start in a smaller directory"),
            ),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let found = seen.globs.values().flatten();
    let mut all: Vec<&Path> = paths.iter().chain(found).map(PathBuf::as_path).collect();
    tree::sort(&mut all, |path| path);
    all.dedup_by(|path, before| tree::same(path, before));
    seen.paths = paths::probe_with(&mut search.walker, &all);
    seen.notes.extend(search.notes);
    Ok(seen)
}

/// Names in a directory, and whether each may be one.
type Names = Rc<Vec<(OsString, bool)>>;

struct Search {
    names: usize,
    /// The directories that were read, their names, and which of them may be directories: no more than are counted.
    read: PathMap<Names>,
    notes: BTreeSet<String>,
    /// It knows the directories that patterns start in.
    walker: Walker,
}

/// Where a search started, and what it has found.
struct Find {
    kind: String,
    found: PathSet,
}

impl Search {
    fn find(&mut self, glob: &Path) -> Result<PathSet, String> {
        let (start, pattern) = Parts::new(glob)?.split();
        let (fact, directory) = self.walker.look(&start);
        if let Some(error) = fact.error {
            self.pass_over(&start, Errno::from_raw(error))?;
        }
        if pattern.is_empty() {
            // Quoted characters only.
            return Ok(fact.canonical.map(|_| start).into_iter().collect());
        }
        let (Some(directory), PathKind::Directory) = (directory, fact.kind) else {
            return Ok(PathSet::default());
        };
        let told = |error: Errno| format!("`{}`: {}", start.display(), error.desc());
        self.walker.ask(&directory).map_err(told)?;
        let kind = self.walker.kind(&directory).map_err(told)?.to_owned();
        let mut find = Find {
            kind,
            found: PathSet::default(),
        };
        self.descend(&mut find, &directory, &start, &pattern, 0)?;
        Ok(find.found)
    }

    fn note(&mut self, path: &Path, why: &str) {
        self.notes.insert(format!(
            "`{}` is not searched for matches: {why}",
            path.display()
        ));
    }

    /// What others have closed is closed to the program too; anything else might be there to be found.
    fn pass_over(&mut self, path: &Path, error: Errno) -> Result<(), String> {
        match error {
            Errno::EACCES | Errno::EREMOTE => self.note(path, error.desc()),
            _ => return Err(format!("`{}`: {}", path.display(), error.desc())),
        }
        Ok(())
    }

    fn descend(
        &mut self,
        find: &mut Find,
        directory: &Directory,
        at: &Path,
        parts: &[Part],
        depth: usize,
    ) -> Result<(), String> {
        let Some((part, rest)) = parts.split_first() else {
            return Ok(());
        };
        // Before any name in it is looked for: that alone could mount something.
        match self.walker.kind(directory) {
            Ok(kind) => {
                if let Some(why) = foreign(kind, &find.kind) {
                    self.note(at, why);
                    return Ok(());
                }
            }
            Err(error) => return Err(format!("`{}`: {}", at.display(), error.desc())),
        }
        if depth > DEEPEST {
            return Err(format!(
                "`{}` is more than {DEEPEST} directories deep",
                at.display()
            ));
        }
        if let Part::Name(name) = part {
            return self.enter(find, directory, at, name, rest, depth);
        }
        let any = matches!(part, Part::Any) && !rest.is_empty();
        if any {
            // No directory at all.
            self.descend(find, directory, at, rest, depth)?;
        }
        let names = self.read(directory, at)?;
        let onward = if any { parts } else { rest };
        for (name, may_be_directory) in names.iter() {
            // A file leads nowhere: most names of a deep search need no further look.
            if part.matches(name) && (*may_be_directory || onward.is_empty()) {
                self.enter(find, directory, at, name, onward, depth)?;
            }
        }
        Ok(())
    }

    /// Goes on below a name that matches, or has found it when nothing more is to be matched.
    fn enter(
        &mut self,
        find: &mut Find,
        directory: &Directory,
        at: &Path,
        name: &OsStr,
        rest: &[Part],
        depth: usize,
    ) -> Result<(), String> {
        let path = at.join(name);
        let fd = match paths::reference(&directory.fd, name) {
            Ok(fd) => fd,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            // What is wrong with it is told when it is looked at.
            Err(_) if rest.is_empty() => {
                find.found.insert(path);
                return Ok(());
            }
            Err(error) => return self.pass_over(&path, paths::own_lock(&directory.fd, error)),
        };
        if rest.is_empty() {
            find.found.insert(path);
            return Ok(());
        }
        match paths::directory(fd) {
            Some(found) => self.descend(find, &found, &path, rest, depth + 1),
            None => Ok(()),
        }
    }

    /// The names in a directory; too many are an error. Fifty patterns about one directory read it once.
    fn read(&mut self, directory: &Directory, path: &Path) -> Result<Names, String> {
        if let Some(names) = self.read.get(path) {
            return Ok(names.clone());
        }
        let open = match at::open_names(directory.fd.as_fd()) {
            Ok(open) => open,
            Err(error) => {
                self.pass_over(path, paths::own_lock(&directory.fd, error))?;
                return Ok(Rc::default());
            }
        };
        let mut names = Vec::new();
        let (before, most) = (self.names, MOST_NAMES);
        let read = at::entries(open.as_fd(), |entry| {
            let name = OsStr::from_bytes(entry.name).to_owned();
            names.push((name, entry.may_be_directory()));
            before + names.len() <= most
        });
        read.map_err(|error| format!("`{}`: {}", path.display(), error.desc()))?;
        self.names += names.len();
        if self.names > MOST_NAMES {
            return Err(format!(
                "more than {MOST_NAMES} names up to `{}`",
                path.display()
            ));
        }
        names.sort();
        let names = Rc::new(names);
        self.read.insert(path.to_owned(), names.clone());
        Ok(names)
    }
}

/// Names of file systems, as [`foreign`] takes them; empty for all that need not be told apart. For who cannot read the mount
/// table: where the kernel tells no other way, the file system is asked itself, once.
#[derive(Default)]
pub(crate) struct Kinds(BTreeMap<(u32, u32), &'static str>);

impl Kinds {
    /// That of an open file. One that does not answer is named as one that somebody else keeps.
    ///
    /// # Errors
    /// statx(2), fstatfs(2).
    pub(crate) fn of(&mut self, file: BorrowedFd<'_>) -> nix::Result<&'static str> {
        let device = status::of(file)?.device;
        // Every file system without a disk has major number 0.
        if device.0 != 0 {
            return Ok("");
        }
        if let Some(known) = self.0.get(&device) {
            return Ok(known);
        }
        let magic = match status::magic(file)? {
            Some(magic) => Some(magic),
            None if !status::answers(file, remote::PATIENCE)? => None,
            None => u64::try_from(fstatfs(file)?.filesystem_type().0).ok(),
        };
        let name = magic.map_or("fuse", remote::name_of);
        self.0.insert(device, name);
        Ok(name)
    }
}

/// Why a file system is not searched, in a search that started in one of another kind.
pub(crate) fn foreign(kind: &str, start: &str) -> Option<&'static str> {
    match kind {
        "proc" | "sysfs" => Some("it is made up by the kernel"),
        "autofs" => Some("it would have to be mounted"),
        _ if kind == start => None,
        _ if remote::is_remote(kind) => Some("it is on another file system that may not answer"),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn found(root: &Path, glob: &str) -> Vec<String> {
        let glob = crate::section::expand::literal(root, true).join(glob);
        let mut seen = look(&[], std::slice::from_ref(&glob)).unwrap();
        assert!(seen.notes.is_empty(), "{:?}", seen.notes);
        let found = seen.globs.remove(&glob).unwrap();
        for path in &found {
            assert!(seen.paths.contains_key(path), "a match is looked at too");
        }
        found
            .iter()
            .map(|path| {
                path.strip_prefix(root)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect()
    }

    fn tree() -> tempfile::TempDir {
        let root = tempfile::Builder::new()
            .prefix("odd [*] name")
            .tempdir()
            .unwrap();
        let at = root.path();
        fs::create_dir_all(at.join("a/b/c")).unwrap();
        fs::create_dir_all(at.join(".dot")).unwrap();
        for file in [
            "a/x.key",
            "a/b/y.key",
            "a/b/c/.z.key",
            ".dot/k.key",
            "top.key",
        ] {
            fs::write(at.join(file), "").unwrap();
        }
        symlink("..", at.join("a/loop")).unwrap();
        symlink("/etc", at.join("out")).unwrap();
        root
    }

    #[test]
    fn a_star_matches_one_name_dots_and_links_included() {
        let root = tree();
        assert_eq!(found(root.path(), "*"), [".dot", "a", "out", "top.key"]);
        assert_eq!(found(root.path(), "*/*.key"), [".dot/k.key", "a/x.key"]);
        assert_eq!(found(root.path(), "a/?/y.key"), ["a/b/y.key"]);
        assert_eq!(found(root.path(), "[ab]/b"), ["a/b"]);
    }

    #[test]
    fn two_stars_match_any_depth_and_follow_nothing() {
        let root = tree();
        assert_eq!(
            found(root.path(), "**/*.key"),
            [
                ".dot/k.key",
                "a/b/c/.z.key",
                "a/b/y.key",
                "a/x.key",
                "top.key"
            ]
        );
        assert_eq!(
            found(root.path(), "**/b/**/*.key"),
            ["a/b/c/.z.key", "a/b/y.key"]
        );
        assert_eq!(found(root.path(), "a/**"), ["a/b", "a/loop", "a/x.key"]);
        assert!(
            found(root.path(), "out/passwd*").contains(&"out/passwd".to_owned()),
            "before the first pattern links are followed"
        );
        assert!(
            found(root.path(), "ou*/passwd").is_empty(),
            "after it they are not"
        );
    }

    #[test]
    fn names_that_are_no_text_are_matched() {
        let root = tempfile::tempdir().unwrap();
        let odd = OsStr::from_bytes(b"k\xff\xfe.key");
        fs::write(root.path().join(odd), "").unwrap();
        assert_eq!(found(root.path(), "*.key").len(), 1);
        assert_eq!(found(root.path(), "k??.key").len(), 1);
        assert_eq!(found(root.path(), "x*.key").len(), 0);
    }

    #[test]
    fn what_is_too_deep_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("d/".repeat(DEEPEST + 2))).unwrap();
        let errors = look(&[], &[root.path().join("**/x")]).unwrap_err();
        assert!(
            errors[0].message.contains("more than 16 directories deep"),
            "{}",
            errors[0].message
        );
    }

    #[test]
    fn what_may_not_answer_is_told_by_its_kind() {
        for kind in ["nfs4", "fuse.sshfs", "smb3", "cifs"] {
            assert!(foreign(kind, "").is_some());
            // Where the pattern starts the caller has gone by himself.
            assert!(foreign(kind, kind).is_none());
        }
        assert!(foreign("nfs", "fuse").is_some());
        assert!(foreign("tmpfs", "").is_none());
        // Every name in there would be mounted.
        assert!(foreign("autofs", "autofs").is_some());
    }

    #[test]
    fn a_directory_is_read_once_for_all_patterns() {
        let root = tempfile::tempdir().unwrap();
        for at in 0..1_500 {
            fs::write(root.path().join(format!("f{at}")), "").unwrap();
        }
        // A hundred times these names are more than are read.
        let globs: Vec<_> = (0..100)
            .map(|at| root.path().join(format!("*{at}")))
            .collect();
        let seen = look(&[], &globs).unwrap();
        assert_eq!(seen.globs.get(&globs[99]).map(Vec::len), Some(15));
    }

    #[test]
    fn proc_is_not_searched() {
        let seen = look(&[], &["/proc/*/mem".into()]).unwrap();
        assert_eq!(seen.globs.get(Path::new("/proc/*/mem")), Some(&Vec::new()));
        assert_eq!(
            seen.notes,
            ["`/proc` is not searched for matches: it is made up by the kernel"]
        );
        assert!(look(&[], &["/nowhere/*".into()]).unwrap().notes.is_empty());
    }
}
