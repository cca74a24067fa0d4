//! Our copies: the same text, with every command line in it led through the launcher.

use super::entry::{Document, Entry, MAIN, escape};
use super::exec::{self, Codes, Piece, Word, Words};
use super::program::started;

/// The beginning of the keys by which our copies are known.
pub const MARK: &str = "X-Sandbox-";
/// What the command lines of our entries begin with. GLib passes over an entry whose first word is no program, and takes the
/// one that it replaces; this program is always there, and fails where the launcher is not.
pub const HOLDS: &str = "/usr/bin/env";
/// The second line of a shim.
pub const SHIM_MARK: &str =
    "# X-Sandbox-Shim: made by `sandboxctl desktop`, which also removes it.";

/// What our copies run, and what they say about themselves.
#[derive(Clone, Copy)]
pub struct Copy<'a> {
    /// Absolute path of `sandbox`.
    pub launcher: &'a str,
    /// The profile's name.
    pub profile: &'a str,
    /// By which name others know it, without its suffix; empty for none.
    pub app: &'a str,
    /// The file that is copied.
    pub source: &'a str,
    /// Its digest.
    pub sha256: &'a str,
    /// Where a program without a slash is, past our own shims.
    pub locate: &'a dyn Fn(&str) -> Option<String>,
}

/// Whether a file is one of our copies.
#[must_use]
pub fn is_marked(content: &[u8]) -> bool {
    content
        .split(|byte| *byte == b'\n')
        .any(|line| line.starts_with(b"X-Sandbox-Source=") || line == SHIM_MARK.as_bytes())
}

/// Whether a name needs no quotes anywhere. Others are passed over: desktops make do without.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
    !name.is_empty() && name.len() <= 128 && name.bytes().all(plain)
}

impl Copy<'_> {
    /// The command line that runs another one in the sandbox.
    #[must_use]
    pub fn command(&self, words: &Words) -> Words {
        let first = words.first().and_then(Word::text).unwrap_or_default();
        if first == self.launcher || first == "sandbox" {
            return words.clone();
        }
        // What cannot be told of `env` is run by `env`, inside.
        let (variables, mut rest) = match started(words) {
            Ok(started) => (started.variables, started.words),
            Err(_) => (Vec::new(), words.clone()),
        };
        let located = rest
            .first()
            .and_then(Word::text)
            .filter(|program| !program.contains('/'))
            .and_then(|program| (self.locate)(&program));
        if let (Some(path), Some(word)) = (located, rest.first_mut()) {
            *word = Word::of(path);
        }
        let mut all = [self.launcher, "--profile", self.profile, "--notify=always"]
            .map(Word::of)
            .to_vec();
        if is_plain(self.app) {
            all.push(Word::of(format!("--app-id={}", self.app)));
        }
        for variable in variables {
            all.push(Word::of("--env"));
            all.push(Word::of(variable));
        }
        if let Some(which) = documents(&rest) {
            all.push(Word::of(format!("--documents={which}")));
        }
        all.push(Word::of("--"));
        all.append(&mut rest);
        all
    }

    fn rewritten(&self, line: &Entry<'_>, codes: Codes) -> Result<String, String> {
        let group = String::from_utf8_lossy(line.group);
        let failed = |why: &str| format!("`Exec=` in [{group}]: {why}");
        if line.locale.starts_with(b"[$") {
            return Err(failed("`[$…]` makes KDE expand it"));
        }
        let value = std::str::from_utf8(line.value).map_err(|_| failed("it is not UTF-8"))?;
        let words = exec::parse(value, codes).map_err(|why| failed(&why))?;
        let mut command = self.command(&words);
        let through_launcher =
            command.first().and_then(Word::text).as_deref() == Some(self.launcher);
        // The bus has no second file to turn to.
        if codes == Codes::Known && through_launcher && !self.launcher.contains('=') {
            command.insert(0, Word::of(HOLDS));
        }
        exec::write(&command, codes).map_err(|why| failed(&why))
    }

    fn marks(&self) -> [(&'static str, String); 4] {
        [
            ("X-Sandbox-Source", escape(self.source)),
            ("X-Sandbox-Source-SHA256", self.sha256.to_owned()),
            ("X-Sandbox-Version", env!("CARGO_PKG_VERSION").to_owned()),
            ("X-Sandbox-Profile", self.profile.to_owned()),
        ]
    }

    /// Every `Exec` of a document, in whatever group: which of them counts is for readers to decide, who do not agree.
    fn rewrite(&self, document: &mut Document, codes: Codes) -> Result<(), String> {
        let mut changes = Vec::new();
        for line in document.entries() {
            match line.key {
                b"Exec" => changes.push((line.line, self.rewritten(&line, codes)?)),
                b"DBusActivatable" if line.value != b"false" => {
                    changes.push((line.line, "false".to_owned()));
                }
                key if key.starts_with(MARK.as_bytes()) => {
                    return Err("it is a copy of ours".to_owned());
                }
                _ => {}
            }
        }
        for (line, value) in changes {
            document.set(line, &value);
        }
        Ok(())
    }

    /// Our copy of a desktop entry. D-Bus activation is turned off in it: the launcher would ask the bus instead of running
    /// the command.
    ///
    /// # Errors
    /// A command line that cannot be led through the launcher without a guess.
    pub fn entry(&self, mut document: Document) -> Result<Vec<u8>, String> {
        self.rewrite(&mut document, Codes::Known)?;
        if !document.insert(MAIN, &self.marks()) {
            return Err("it has no group [Desktop Entry]".to_owned());
        }
        Ok(document.bytes())
    }

    /// Our copy of a D-Bus service file. It names no unit of systemd: the bus would start that one and ignore the command.
    ///
    /// # Errors
    /// As for an entry.
    pub fn service(&self, mut document: Document) -> Result<Vec<u8>, String> {
        self.rewrite(&mut document, Codes::Unknown)?;
        let units: Vec<usize> = document
            .entries()
            .filter(|line| line.key == b"SystemdService")
            .map(|line| line.line)
            .collect();
        for line in units {
            document.remove(line);
        }
        if !document.insert(super::service::GROUP, &self.marks()) {
            return Err("it has no group [D-BUS Service]".to_owned());
        }
        Ok(document.bytes())
    }

    /// A command that runs a program in its sandbox, for a directory of the search path.
    #[must_use]
    pub fn shim(&self, program: &str) -> Vec<u8> {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        format!(
            "#!/bin/sh\n{SHIM_MARK}\nexec {} --profile {} -- {} \"$@\"\n",
            quoted(self.launcher),
            quoted(self.profile),
            quoted(program),
        )
        .into_bytes()
    }
}

/// Which arguments of a command are what the user opens, for `--documents`: those alone are shown to the program because
/// they are named. None when there are no arguments.
fn documents(words: &Words) -> Option<String> {
    let arguments = words.get(1..).filter(|words| !words.is_empty())?;
    let is_document =
        |word: &Word| matches!(word.0.as_slice(), [Piece::Code('f' | 'F' | 'u' | 'U')]);
    let mut places = arguments.iter().enumerate();
    let Some((place, _)) = places.find(|(_, word)| is_document(word)) else {
        return Some("none".to_owned());
    };
    let (before, after) = arguments.split_at(place);
    let after = after.get(1..).unwrap_or_default();
    // Where launchers differ in how many arguments they make of a code, nothing can be counted. With an icon there are two.
    let counted = |word: &Word| match word.0.as_slice() {
        [Piece::Code('c' | 'k')] => Some(1),
        [Piece::Code('i')] => Some(2),
        pieces if pieces.iter().any(|piece| matches!(piece, Piece::Code(_))) => None,
        _ => Some(1),
    };
    let count = |words: &[Word]| words.iter().map(counted).sum::<Option<usize>>();
    match (count(before), count(after)) {
        (Some(before), Some(0)) => Some(format!("{}", before + 1)),
        (Some(before), Some(after)) => Some(format!("{},{after}", before + 1)),
        _ => Some("none".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn copied(text: &str) -> Result<String, String> {
        let locate = |name: &str| Some(format!("/usr/bin/{name}"));
        let copy = Copy {
            app: "org.b.C",
            launcher: "/opt/my apps/sandbox",
            profile: "firefox",
            source: "/usr/share/applications/a.desktop",
            sha256: "00",
            locate: &locate,
        };
        let document = Document::parse(text.as_bytes()).unwrap();
        copy.entry(document)
            .map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn only_what_starts_code_changes() {
        let out = copied(
            "# comment\n[Desktop Entry]\nName[de]=Füchsin\nExec=env A=b firefox %u\nTryExec=firefox\nDBusActivatable=true\n\
             Actions=new;\n\n[Desktop Action new]\nName=New\nExec=\"/usr/bin/firefox\" --new-window %u\n",
        )
        .unwrap();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            out,
            format!(
                "# comment\n[Desktop Entry]\nX-Sandbox-Source=/usr/share/applications/a.desktop\nX-Sandbox-Source-SHA256=00\n\
                 X-Sandbox-Version={version}\nX-Sandbox-Profile=firefox\nName[de]=Füchsin\n\
                 Exec=/usr/bin/env \"/opt/my apps/sandbox\" --profile firefox --notify=always --app-id=org.b.C --env A=b --documents=1 -- /usr/bin/firefox %u\n\
                 TryExec=firefox\nDBusActivatable=false\nActions=new;\n\n[Desktop Action new]\nName=New\n\
                 Exec=/usr/bin/env \"/opt/my apps/sandbox\" --profile firefox --notify=always --app-id=org.b.C --documents=2 -- /usr/bin/firefox --new-window %u\n"
            )
        );
    }

    #[test]
    fn no_reader_finds_a_command_that_was_not_rewritten() {
        let out = copied(
            "[Desktop Entry]\nExec=evil\nExec=firefox\n Exec = evil2 \nExec[de]=evil3\n[Desktop Entry]\nExec=evil4\n\
             [X Shortcut Group]\nExec=evil5\nDBusActivatable=1\n",
        )
        .unwrap();
        for line in out
            .lines()
            .filter(|line| line.contains("evil") || line.contains("firefox"))
        {
            assert!(
                line.contains("/opt/my apps/sandbox") || line.starts_with("X-"),
                "{line}"
            );
        }
        assert!(out.contains("DBusActivatable=false"));
        for text in [
            "[Desktop Entry]\nExec[$e]=firefox\nExec=firefox\n",
            "[Desktop Entry]\nExec=firefox\n[Desktop Action a]\nExec=a; b\n",
            "[Desktop Entry]\nX-Sandbox-Source=/x\nExec=firefox\n",
            "Exec=firefox\n",
        ] {
            assert!(copied(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_the_user_opens_is_told_from_what_the_entry_says() {
        let which = |text: &str| documents(&exec::parse(text, Codes::Known).unwrap());
        for (text, expected) in [
            ("a", None),
            ("a b", Some("none")),
            ("a %U", Some("1")),
            ("a -b /etc/x %F", Some("3")),
            ("a %f -b /etc/x", Some("1,2")),
            ("a -c %c %i %U", Some("5")),
            ("a %d %U", Some("none")),
            ("a --file=%f", Some("none")),
        ] {
            assert_eq!(which(text).as_deref(), expected, "{text}");
        }
    }
}
