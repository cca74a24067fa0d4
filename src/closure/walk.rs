//! From the name of a program to everything that it takes to start it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::companion::{self, Companion};
use super::elf::{self, Bytes};
use super::load::{self, Library, Load};
use super::{Closure, Member, Part, script};
use crate::host::facts::PathKind;
use crate::host::paths;

/// The kernel goes no further from one script to the next (ELOOP, execve(2)).
const DEEPEST: usize = 5;
/// Files that are looked at in the directories of companions.
const MOST_FILES: usize = 20_000;
const LARGEST_TEXT: u64 = 65_536;

/// What is known beside the files.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Programs; one without a slash is looked for in `path`.
    pub programs: Vec<PathBuf>,
    /// The directories that programs are looked for in: `PATH`.
    pub path: Vec<PathBuf>,
    /// Whether only what the files themselves name is wanted.
    pub only_needed: bool,
}

/// Finds the closure.
///
/// # Errors
/// A program that cannot be found, read, or run at all.
pub fn closure(request: &Request) -> Result<Closure, String> {
    let mut walk = Walk {
        request,
        library: Library::default(),
        out: Closure::default(),
        done: BTreeSet::new(),
        files: 0,
    };
    for program in &request.programs {
        let shown = program.display();
        let path = walk
            .which(program)
            .ok_or_else(|| format!("`{shown}` was not found"))?;
        walk.program(&path, Part::Program, "", 0)
            .map_err(|why| format!("`{shown}`: {why}"))?;
    }
    walk.out.missing.sort();
    walk.out.missing.dedup();
    Ok(walk.out)
}

struct Walk<'r> {
    request: &'r Request,
    library: Library,
    out: Closure,
    /// Programs that were followed.
    done: BTreeSet<PathBuf>,
    /// Files of companions that were looked at.
    files: usize,
}

impl Walk<'_> {
    /// Where a program is that somebody names.
    fn which(&self, name: &Path) -> Option<PathBuf> {
        if name.as_os_str().as_bytes().contains(&b'/') {
            return std::path::absolute(name).ok();
        }
        let absolute = self.request.path.iter().filter(|at| at.is_absolute());
        let mut candidates = absolute.map(|at| at.join(name));
        candidates.find(|path| {
            let found = std::fs::metadata(path);
            found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        })
    }

    /// Adds a path under the name by which it is opened; says where it really is.
    fn add(&mut self, path: &Path, part: Part, because: &str, executed: bool) -> Option<PathBuf> {
        if let Some(member) = self.out.members.get_mut(path) {
            member.executed |= executed;
            if part < member.part {
                member.part = part;
                because.clone_into(&mut member.because);
            }
            return Some(member.real.clone());
        }
        let fact = paths::probe(&[path.to_owned()]).remove(path)?;
        let real = fact.canonical?;
        self.out.members.insert(
            path.to_owned(),
            Member {
                part,
                because: because.to_owned(),
                real: real.clone(),
                links: fact.links,
                executed: executed && fact.kind == PathKind::File,
            },
        );
        Some(real)
    }

    fn program(
        &mut self,
        path: &Path,
        part: Part,
        because: &str,
        depth: usize,
    ) -> Result<(), String> {
        if depth > DEEPEST {
            return Err("the interpreters of its script are scripts again, more often than the kernel takes".to_owned());
        }
        let real = self
            .add(path, part, because, true)
            .ok_or_else(|| "it is not there".to_owned())?;
        if !self.done.insert(path.to_owned()) {
            return Ok(());
        }
        let file = load::open(&real).map_err(|error| format!("it cannot be read: {error}"))?;
        let length = file.metadata().map_or(0, |found| found.len()).min(512);
        let start = file
            .read(0, usize::try_from(length).unwrap_or(0))
            .unwrap_or_default();
        if elf::is_elf(&start) {
            elf::read(&file).map_err(str::to_owned)?;
            self.binary(path, &real);
            return Ok(());
        }
        match script::read(&start) {
            None => Err("it is neither an ELF file nor a script with an interpreter; a shell may run it, the kernel does not".to_owned()),
            Some(Err(why)) => Err(why.to_owned()),
            Some(Ok(line)) => self.script(path, &line, depth),
        }
    }

    fn script(&mut self, path: &Path, line: &script::Shebang, depth: usize) -> Result<(), String> {
        let interpreter = PathBuf::from(OsStr::from_bytes(&line.interpreter));
        let because = path.display().to_string();
        self.out.notes.insert(format!(
            "`{because}` is a script: which programs and files it uses cannot be told from it"
        ));
        if !interpreter.is_absolute() {
            return Err(format!(
                "its interpreter `{}` is no absolute path",
                interpreter.display()
            ));
        }
        self.program(&interpreter, Part::Interpreter, &because, depth + 1)
            .map_err(|why| format!("its interpreter `{}`: {why}", interpreter.display()))?;
        if interpreter.file_name() != Some(OsStr::new("env")) {
            return Ok(());
        }
        let named = line.argument.as_deref().and_then(script::of_env);
        let Some(named) = named else {
            self.out
                .notes
                .insert(format!("what env(1) starts for `{because}` cannot be told"));
            return Ok(());
        };
        let named = PathBuf::from(OsStr::from_bytes(&named));
        match self.which(&named) {
            Some(found) => self
                .program(&found, Part::Interpreter, &because, depth + 1)
                .map_err(|why| format!("its interpreter `{}`: {why}", found.display())),
            None => {
                let text = format!(
                    "`{because}` is run by `{}`, which is not in the PATH",
                    named.display()
                );
                self.out.missing.push(text);
                Ok(())
            }
        }
    }

    fn binary(&mut self, path: &Path, real: &Path) {
        let Some(elf) = self.library.elf(real) else {
            return;
        };
        let by = path.display().to_string();
        let glibc = elf.interpreter.is_some() && !is_musl(elf.interpreter.as_deref());
        if let Some(name) = &elf.interpreter {
            let loader = PathBuf::from(OsStr::from_bytes(name));
            if self.add(&loader, Part::Loader, &by, false).is_none() {
                let text = format!(
                    "`{by}` needs the loader `{}`, which is not there",
                    loader.display()
                );
                self.out.missing.push(text);
            }
        }
        let companions = if self.request.only_needed {
            Vec::new()
        } else {
            companion::of_program(real)
        };
        let modules: Vec<PathBuf> = companions
            .iter()
            .flat_map(|one| self.companion(one))
            .collect();
        let mut extra: Vec<PathBuf> = Vec::new();
        if glibc {
            for name in ["/etc/ld.so.cache", "/etc/ld.so.preload"] {
                self.add(Path::new(name), Part::LoaderFile, &by, false);
            }
            // Loaded into every program, before its own libraries.
            let preloaded =
                load::whole(Path::new("/etc/ld.so.preload"), LARGEST_TEXT).unwrap_or_default();
            let names = preloaded.split(|byte| byte.is_ascii_whitespace() || *byte == b':');
            extra.extend(
                names
                    .filter(|name| name.starts_with(b"/"))
                    .map(|name| PathBuf::from(OsStr::from_bytes(name))),
            );
        }
        for path in &extra {
            self.add(path, Part::Library, "/etc/ld.so.preload", false);
        }
        let mut load = Load::new(&mut self.library, real, elf);
        let modules: Vec<_> = modules.into_iter().chain(extra).collect();
        for module in modules {
            load.add_library(&module);
        }
        let loaded = load.run();
        self.out.missing.extend(loaded.missing);
        for (library, by) in loaded.libraries {
            self.add(&library, Part::Library, &by.display().to_string(), false);
            self.optional(&library);
        }
    }

    /// Adds what a known program opens, and gives the modules in it that load libraries in their turn.
    fn companion(&mut self, one: &Companion) -> Vec<PathBuf> {
        let part = if one.needed {
            Part::Companion
        } else {
            Part::Optional
        };
        let Some(real) = self.add(&one.path, part, one.what, false) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        if one.needed {
            self.modules(&real, &mut found, 0);
        }
        found
    }

    /// ELF files in a directory. No link is followed, and nothing is counted twice.
    fn modules(&mut self, directory: &Path, found: &mut Vec<PathBuf>, depth: usize) {
        let Ok(entries) = std::fs::read_dir(directory) else {
            return;
        };
        for entry in entries.flatten() {
            self.files += 1;
            if self.files > MOST_FILES || depth > 16 {
                self.out.notes.insert(format!(
                    "`{}` has more files than are looked at; libraries that those need may be missing here",
                    directory.display()
                ));
                return;
            }
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                self.modules(&entry.path(), found, depth + 1);
                continue;
            }
            let name = entry.file_name();
            let module = name.as_bytes().windows(3).any(|part| part == b".so");
            let program = || {
                entry
                    .metadata()
                    .is_ok_and(|found| found.permissions().mode() & 0o111 != 0)
            };
            if kind.is_file() && (module || program()) {
                found.push(entry.path());
            }
        }
    }

    /// What a library opens where it is there.
    fn optional(&mut self, library: &Path) {
        if self.request.only_needed {
            return;
        }
        let name = library
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for one in companion::of_library(&name) {
            self.companion(&one);
        }
        if name != "libc.so.6" {
            return;
        }
        let text = load::whole(Path::new("/etc/nsswitch.conf"), LARGEST_TEXT).unwrap_or_default();
        let directory = library.parent().unwrap_or(library);
        for service in companion::services(&String::from_utf8_lossy(&text)) {
            let path = directory.join(format!("libnss_{service}.so.2"));
            self.add(&path, Part::Optional, "names of users and hosts", false);
        }
    }
}

fn is_musl(interpreter: Option<&[u8]>) -> bool {
    interpreter.is_some_and(|path| path.windows(9).any(|part| part == b"/ld-musl-"))
}
