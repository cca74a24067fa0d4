//! Which libraries the dynamic loader takes (ld.so(8)), found without running it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::cache::{self, Cache};
use super::elf::{self, Bytes, Elf};

/// Libraries of one program.
const MOST: usize = 4096;
/// A cache of an ordinary system has 100 KiB, of a large one a few MiB.
const LARGEST_CACHE: u64 = 64 << 20;
/// Where glibc's and musl's loaders look at last, over the distributions. A file of another machine is passed over.
const GLIBC: [&str; 12] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib/i386-linux-gnu",
    "/usr/lib/i386-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/lib32",
    "/usr/lib32",
];
const MUSL: [&str; 3] = ["/lib", "/usr/local/lib", "/usr/lib"];
/// Below each directory, files for better processors; which one is taken depends on the processor, so that all belong here.
const BETTER: [&str; 8] = [
    "glibc-hwcaps/x86-64-v4",
    "glibc-hwcaps/x86-64-v3",
    "glibc-hwcaps/x86-64-v2",
    "haswell/avx512_1",
    "haswell/x86_64",
    "haswell",
    "tls",
    "x86_64",
];
/// What `$LIB` and `$PLATFORM` stand for, over the distributions.
const LIB: [&str; 4] = [
    "lib/x86_64-linux-gnu",
    "lib/aarch64-linux-gnu",
    "lib64",
    "lib",
];
const PLATFORM: [&str; 3] = ["x86_64", "haswell", "aarch64"];

impl Bytes for File {
    fn read(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        let mut out = vec![0; length];
        self.read_exact_at(&mut out, offset).ok().map(|()| out)
    }
}

/// Opens a regular file for reading. No FIFO blocks it, no device reacts.
pub(super) fn open(path: &Path) -> std::io::Result<File> {
    let kind = std::fs::metadata(path)?;
    if !kind.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    Ok(file)
}

/// At most so many bytes of a file.
pub(super) fn whole(path: &Path, most: u64) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    open(path).ok()?.take(most).read_to_end(&mut out).ok()?;
    Some(out)
}

/// A file that is loaded.
#[derive(Clone, Debug)]
struct Object {
    path: PathBuf,
    elf: Rc<Elf>,
    /// Who asked for it.
    loader: Option<usize>,
}

/// Which kind of loader there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Glibc,
    Musl,
}

/// What files of this host say, as far as they were looked at.
#[derive(Default)]
pub(super) struct Library {
    cache: Option<Cache>,
    seen: BTreeMap<PathBuf, Option<Rc<Elf>>>,
}

impl Library {
    pub fn elf(&mut self, path: &Path) -> Option<Rc<Elf>> {
        if let Some(known) = self.seen.get(path) {
            return known.clone();
        }
        let read = open(path).ok().and_then(|file| elf::read(&file).ok());
        let read = read.map(Rc::new);
        self.seen.insert(path.to_owned(), read.clone());
        read
    }

    fn cache(&mut self) -> &Cache {
        self.cache.get_or_insert_with(|| {
            let bytes = whole(Path::new("/etc/ld.so.cache"), LARGEST_CACHE);
            bytes
                .and_then(|bytes| cache::read(&bytes).ok())
                .unwrap_or_default()
        })
    }
}

/// What came of loading a program.
#[derive(Default)]
pub(super) struct Loaded {
    /// Each library by the name under which it is opened, and who needs it.
    pub libraries: Vec<(PathBuf, PathBuf)>,
    pub missing: Vec<String>,
}

/// One program and what it loads.
pub(super) struct Load<'l> {
    library: &'l mut Library,
    kind: Kind,
    interpreter: Option<PathBuf>,
    objects: Vec<Object>,
    /// Names and sonames of what is there, and at which place.
    names: BTreeMap<Vec<u8>, usize>,
    queue: VecDeque<usize>,
    out: Loaded,
}

impl<'l> Load<'l> {
    pub fn new(library: &'l mut Library, program: &Path, elf: Rc<Elf>) -> Self {
        let path_of = |bytes: &Vec<u8>| PathBuf::from(OsStr::from_bytes(bytes));
        let interpreter = elf.interpreter.as_ref().map(path_of);
        let name = interpreter.as_ref().and_then(|path| path.file_name());
        let musl = name.is_some_and(|name| name.as_bytes().starts_with(b"ld-musl-"));
        let mut load = Self {
            library,
            kind: if musl { Kind::Musl } else { Kind::Glibc },
            interpreter,
            objects: Vec::new(),
            names: BTreeMap::new(),
            queue: VecDeque::new(),
            out: Loaded::default(),
        };
        // The loader is there already, by the name that libraries call it.
        if let Some(path) = load.interpreter.clone()
            && let Some(loader) = load.library.elf(&path)
        {
            load.objects.push(Object {
                path: path.clone(),
                elf: loader.clone(),
                loader: None,
            });
            load.names.extend(loader.name.clone().map(|name| (name, 0)));
            let own = path.file_name().map(|name| name.as_bytes().to_vec());
            load.names.extend(own.map(|name| (name, 0)));
        }
        load.add(program, elf, None, None);
        load
    }

    /// Something that is loaded once the program runs, such as a module.
    pub fn add_library(&mut self, path: &Path) {
        if let Some(elf) = self.library.elf(path) {
            self.add(path, elf, self.program(), None);
        }
    }

    /// The program among the objects.
    fn program(&self) -> Option<usize> {
        let loader = self.interpreter.as_ref();
        let own = |one: &Object| one.loader.is_none() && Some(&one.path) != loader;
        self.objects.iter().position(own)
    }

    fn add(&mut self, path: &Path, elf: Rc<Elf>, loader: Option<usize>, name: Option<&[u8]>) {
        let at = self.objects.len();
        self.names
            .extend(elf.name.clone().map(|soname| (soname, at)));
        self.names.extend(name.map(|name| (name.to_owned(), at)));
        self.objects.push(Object {
            path: path.to_owned(),
            elf,
            loader,
        });
        self.queue.push_back(at);
    }

    /// Loads what is named, and what that names, breadth first as the loader does.
    pub fn run(mut self) -> Loaded {
        while let Some(at) = self.queue.pop_front() {
            let Some(object) = self.objects.get(at).cloned() else {
                continue;
            };
            for name in &object.elf.needed {
                if !self.load(name, at, &object) {
                    self.out.missing.push(format!(
                        "`{}` needs the library `{}`, which is nowhere that the loader looks",
                        object.path.display(),
                        String::from_utf8_lossy(name)
                    ));
                }
                if self.objects.len() > MOST {
                    self.out
                        .missing
                        .push(format!("more than {MOST} libraries are not followed"));
                    return self.out;
                }
            }
            for name in &object.elf.wanted {
                self.load(name, at, &object);
            }
        }
        self.versions();
        self.out
    }

    /// Whether it is there.
    fn load(&mut self, name: &[u8], by: usize, object: &Object) -> bool {
        if self.names.contains_key(name) {
            return true;
        }
        let stem = name.split(|byte| *byte == b'.').next().unwrap_or_default();
        let own = [
            &b"libc"[..],
            b"libpthread",
            b"librt",
            b"libm",
            b"libdl",
            b"libutil",
            b"libxnet",
        ];
        if self.kind == Kind::Musl && own.contains(&stem) {
            // musl's loader is all of these itself.
            return true;
        }
        let found = self.find(name, by, object);
        let Some(first) = found.first() else {
            return false;
        };
        let elf = self.library.elf(first);
        for path in &found {
            let entry = (path.clone(), object.path.clone());
            self.out.libraries.push(entry);
        }
        if let Some(elf) = elf {
            self.add(first, elf, Some(by), Some(name));
        }
        for better in found.iter().skip(1) {
            if let Some(elf) = self.library.elf(better) {
                self.add(better, elf, Some(by), None);
            }
        }
        true
    }

    /// Whether the loader takes this file for that program: others it passes over.
    fn suits(&mut self, path: &Path, object: &Object) -> bool {
        self.library.elf(path).is_some_and(|elf| {
            let own = &object.elf;
            (elf.wide, elf.little, elf.machine) == (own.wide, own.little, own.machine)
        })
    }

    /// The file for every processor first, then those for better ones.
    fn in_directory(&mut self, directory: &Path, name: &[u8], object: &Object) -> Vec<PathBuf> {
        let plain = [directory.join(OsStr::from_bytes(name))];
        let better = BETTER
            .iter()
            .map(|sub| directory.join(sub).join(OsStr::from_bytes(name)));
        let all: Vec<PathBuf> = plain.into_iter().chain(better).collect();
        all.into_iter()
            .filter(|path| self.suits(path, object))
            .collect()
    }

    fn find(&mut self, name: &[u8], by: usize, object: &Object) -> Vec<PathBuf> {
        if name.contains(&b'/') {
            let mut all = expand(name, &object.path).into_iter();
            return all
                .find(|path| self.suits(path, object))
                .into_iter()
                .collect();
        }
        for directory in self.search(by, object) {
            let found = self.in_directory(&directory, name, object);
            if !found.is_empty() {
                return found;
            }
        }
        if self.kind == Kind::Glibc {
            let found = self.in_cache(name, object);
            if !found.is_empty() {
                return found;
            }
        }
        if object.elf.no_default {
            return Vec::new();
        }
        for directory in self.usual() {
            let found = self.in_directory(&directory, name, object);
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    fn in_cache(&mut self, name: &[u8], object: &Object) -> Vec<PathBuf> {
        let entries = self.library.cache().get(name).cloned().unwrap_or_default();
        let mut plain = Vec::new();
        let mut better = Vec::new();
        for entry in entries {
            let path = PathBuf::from(OsStr::from_bytes(&entry.path));
            let usual = path
                .parent()
                .is_some_and(|parent| GLIBC.iter().any(|at| parent == Path::new(at)));
            if (object.elf.no_default && usual) || !self.suits(&path, object) {
                continue;
            }
            match entry.special {
                true => better.push(path),
                false if plain.is_empty() => plain.push(path),
                false => {}
            }
        }
        plain.into_iter().chain(better).collect()
    }

    /// The directories that the files themselves name: DT_RPATH of this one and of those that asked for it, unless it has a
    /// DT_RUNPATH, which stands for itself alone.
    fn search(&self, by: usize, object: &Object) -> Vec<PathBuf> {
        let mut out = Vec::new();
        let musl = self.kind == Kind::Musl;
        if object.elf.runpath.is_none() || musl {
            let mut seen = BTreeSet::new();
            let mut at = Some(by);
            // The program's own counts for everything.
            let program = self.program();
            let mut chain = Vec::new();
            while let Some(one) = at.filter(|one| seen.insert(*one)) {
                chain.push(one);
                at = self.objects.get(one).and_then(|object| object.loader);
            }
            chain.extend(program.filter(|program| !seen.contains(program)));
            for one in chain.iter().filter_map(|at| self.objects.get(*at)) {
                let both = one
                    .elf
                    .runpath
                    .as_ref()
                    .filter(|_| musl)
                    .or(match &one.elf.runpath {
                        Some(_) => None,
                        None => one.elf.rpath.as_ref(),
                    });
                out.extend(
                    both.into_iter()
                        .flat_map(|path| directories(path, &one.path)),
                );
            }
        }
        if !musl && let Some(path) = &object.elf.runpath {
            out.extend(directories(path, &object.path));
        }
        out
    }

    fn usual(&self) -> Vec<PathBuf> {
        if self.kind == Kind::Glibc {
            return GLIBC.map(PathBuf::from).to_vec();
        }
        let said = self.interpreter.as_ref().and_then(|path| {
            let arch = path.file_stem()?.to_str()?.strip_prefix("ld-musl-")?;
            // Only the extension `.1` is cut off by file_stem when it is `.so.1`.
            let arch = arch.strip_suffix(".so").unwrap_or(arch);
            whole(&PathBuf::from(format!("/etc/ld-musl-{arch}.path")), 65_536)
        });
        match said {
            Some(text) => text
                .split(|byte| matches!(byte, b':' | b'\n'))
                .filter(|part| part.starts_with(b"/"))
                .map(|part| PathBuf::from(OsStr::from_bytes(part)))
                .collect(),
            None => MUSL.map(PathBuf::from).to_vec(),
        }
    }

    /// Whether each file has the versions that others need of it.
    fn versions(&mut self) {
        for object in &self.objects {
            for (file, version) in &object.elf.versions_needed {
                let of = self.names.get(file).and_then(|at| self.objects.get(*at));
                // One without versions is taken, with a warning.
                let Some(of) = of.filter(|of| !of.elf.versions.is_empty()) else {
                    continue;
                };
                if !of.elf.versions.contains(version) {
                    self.out.missing.push(format!(
                        "`{}` needs the version {} of `{}`, which does not have it",
                        object.path.display(),
                        String::from_utf8_lossy(version),
                        of.path.display()
                    ));
                }
            }
        }
    }
}

/// A search path as directories. Empty ones would be the working directory of whoever starts the program.
fn directories(path: &[u8], of: &Path) -> Vec<PathBuf> {
    path.split(|byte| *byte == b':')
        .take(1024)
        .flat_map(|part| expand(part, of))
        .filter(|path| path.is_absolute())
        .collect()
}

/// A path with `$ORIGIN`, `$LIB` and `$PLATFORM`, all ways in which it may be meant.
fn expand(text: &[u8], of: &Path) -> Vec<PathBuf> {
    if text.len() > 4096 {
        return Vec::new();
    }
    let origin = of.parent().unwrap_or(of).as_os_str().as_bytes().to_vec();
    let mut all = vec![text.to_vec()];
    for (name, values) in [
        ("ORIGIN", vec![origin]),
        ("LIB", LIB.map(|text| text.as_bytes().to_vec()).to_vec()),
        (
            "PLATFORM",
            PLATFORM.map(|text| text.as_bytes().to_vec()).to_vec(),
        ),
    ] {
        all = all
            .iter()
            .flat_map(|text| replaced(text, name, &values))
            .collect();
    }
    all.into_iter()
        .map(|text| PathBuf::from(OsStr::from_bytes(&text)))
        .collect()
}

fn replaced(text: &[u8], name: &str, values: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let (long, short) = (format!("${{{name}}}"), format!("${name}"));
    let is_there = |mark: &str| text.windows(mark.len()).any(|part| part == mark.as_bytes());
    if !is_there(&long) && !is_there(&short) {
        return vec![text.to_vec()];
    }
    let with = |value: &Vec<u8>| {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.first() {
            let mark = [&long, &short]
                .into_iter()
                .find(|mark| rest.starts_with(mark.as_bytes()));
            match mark.and_then(|mark| rest.get(mark.len()..)) {
                Some(after) if out.len() < 65_536 => {
                    out.extend_from_slice(value);
                    rest = after;
                }
                _ => {
                    out.push(*first);
                    rest = rest.get(1..).unwrap_or_default();
                }
            }
        }
        out
    };
    values.iter().map(with).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_and_platforms_are_put_in() {
        let of = Path::new("/opt/app/bin/prog");
        let texts = |text: &str| -> Vec<String> {
            let all = directories(text.as_bytes(), of);
            all.iter().map(|path| path.display().to_string()).collect()
        };
        assert_eq!(
            texts("$ORIGIN/../lib:${ORIGIN}:/a"),
            ["/opt/app/bin/../lib", "/opt/app/bin", "/a"]
        );
        assert!(texts("/x/$LIB").contains(&"/x/lib64".to_owned()));
        assert_eq!(texts("/x/$PLATFORM").len(), PLATFORM.len());
        assert_eq!(texts(":relative:"), [""; 0]);
        assert!(texts(&"$ORIGIN".repeat(600)).is_empty());
    }
}
