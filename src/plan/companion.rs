//! Programs of the host that run beside the program, outside of its sandbox, and serve it through sockets in the directory of
//! the run: a filter of a message bus, a display server of its own.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A program that the launcher starts for the time of a run. It is started when the child waits in its control group, gets
/// nothing but what is said here, and ends with the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Companion {
    /// What it is for people: `D-Bus proxy`.
    pub name: String,
    /// Where it is. Found in directories of the system, never through the caller's `PATH`; at the start it must belong to root
    /// or to the caller, and nobody else may write to it.
    pub program: PathBuf,
    /// Its arguments, without argument 0.
    pub arguments: Vec<Word>,
    /// Its whole environment.
    pub environment: Vec<(OsString, Word)>,
    /// How it tells that it serves.
    pub ready: Ready,
    /// How it is ended.
    pub stop: Stop,
    /// What follows when it ends before the program.
    pub loss: Loss,
    /// As whom those know it that look at who talks to them; `None`: as a program of the caller's.
    pub identity: Option<Identity>,
}

/// As whom the desktop's portals know a companion, and with it the program for which it speaks. They look at the root
/// directory of who talks to them, for the file that Flatpak puts there (flatpak-metadata(5), `/.flatpak-info`): whom it names is
/// handed documents one by one, and is asked for permissions of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The application.
    pub app: String,
    /// Whether it has a network.
    pub network: bool,
    /// Where instances of Flatpak are described, absolute: `$XDG_RUNTIME_DIR/.flatpak`.
    pub instances: PathBuf,
}

impl Identity {
    /// What stands in the file. Nothing in it has to be escaped: what an application may be called and numbers in
    /// hexadecimal have no letters that mean something there.
    #[must_use]
    pub fn info(&self, instance: &str) -> String {
        let network = if self.network {
            "\n[Context]\nshared=network;\n"
        } else {
            ""
        };
        format!(
            "[Application]\nname={}\n\n[Instance]\ninstance-id={instance}\n{network}",
            self.app
        )
    }
}

/// A text that may end in a path in the directory of the run, which nobody knows before there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    before: OsString,
    name: Option<OsString>,
}

impl Word {
    /// A text as it is.
    pub fn text(text: impl Into<OsString>) -> Self {
        Self {
            before: text.into(),
            name: None,
        }
    }

    /// `before`, and behind it the path of what is called `name` in the directory of the run; of that directory itself when
    /// `name` is empty.
    pub fn run(before: impl Into<OsString>, name: impl Into<OsString>) -> Self {
        Self {
            before: before.into(),
            name: Some(name.into()),
        }
    }

    /// The text, now that the directory of the run is known. Without one nothing is put in its place.
    #[must_use]
    pub fn fill(&self, run: &Path) -> OsString {
        let mut text = self.before.clone();
        match &self.name {
            None => {}
            Some(name) if name.is_empty() => text.push(run),
            Some(name) => text.push(run.join(name)),
        }
        text
    }

    /// The text for people, who are not told what that directory is called.
    #[must_use]
    pub fn shown(&self) -> OsString {
        self.fill(Path::new(SHOWN))
    }
}

/// How people are told of the directory of a run.
pub const SHOWN: &str = "RUN";

/// How a companion tells that it serves. It does so on descriptor 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// It writes a byte, and keeps the descriptor: when the launcher is gone, so is the other end.
    Byte,
    /// It writes a number and a line feed, as X servers do after `-displayfd 3`. The launcher then makes a symbolic link
    /// `name` in the directory of the run to `target` with the number behind it, so that a
    /// [`super::Action::MountMade`] can show what it leads to.
    Number {
        /// In the directory of the run.
        name: OsString,
        /// Absolute, e.g. `/tmp/.X11-unix/X`.
        target: PathBuf,
    },
}

/// How a companion is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// By SIGKILL: it leaves nothing behind.
    Kill,
    /// By SIGTERM, and SIGKILL when it is still there a second later: it has something to tidy up.
    Terminate,
}

/// What follows when a companion ends before the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It is told.
    Told,
    /// It is told, and the program is killed.
    EndsProgram,
}

/// Whether something may be called this in the directory of a run: one component, not too long for a socket's path.
#[must_use]
pub fn is_name(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    !bytes.is_empty() && bytes.len() <= 32 && !bytes.starts_with(b".") && !bytes.contains(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_filled_with_the_directory_of_the_run() {
        let run = Path::new("/run/user/5/sandbox/.run/1a");
        for (word, expected) in [
            (Word::text("--filter"), "--filter"),
            (Word::run("", "bus"), "/run/user/5/sandbox/.run/1a/bus"),
            (
                Word::run("-auth=", "cookie"),
                "-auth=/run/user/5/sandbox/.run/1a/cookie",
            ),
            (Word::run("", ""), "/run/user/5/sandbox/.run/1a"),
        ] {
            assert_eq!(word.fill(run), expected);
        }
        assert_eq!(Word::run("", "bus").shown(), "RUN/bus");
    }

    #[test]
    fn names_are_one_component() {
        for (name, expected) in [("bus", true), ("", false), ("a/b", false), ("..", false)] {
            assert_eq!(is_name(OsStr::new(name)), expected, "{name}");
        }
    }
}
