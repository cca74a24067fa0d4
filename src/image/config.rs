//! What is kept about a root beside its files: where it came from, and how its image wants to be run. Pure.

use serde::{Deserialize, Serialize};

use super::manifest::Run;
use super::{Ids, Ranges};
use crate::profile::read::path;
use crate::profile::write;

/// What is known about an imported root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// What it is: the image's id, or the digest of the archive before it was compressed.
    pub digest: String,
    /// `tar`, `docker-archive` or `oci`.
    pub form: String,
    /// The file or directory that it was imported from.
    pub source: String,
    /// What the image was called there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Seconds since 1970.
    pub imported: u64,
    /// Whether files kept their owners.
    #[serde(default)]
    pub owners_kept: bool,
    /// The subordinate ids that files belong to, if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subordinate: Option<Ranges>,
    /// Members of all layers.
    pub entries: u64,
    /// Bytes of all layers.
    pub bytes: u64,
    /// `K=V`
    #[serde(default)]
    pub environment: Vec<String>,
    /// The program and its first arguments.
    #[serde(default)]
    pub entrypoint: Vec<String>,
    /// Further arguments, or the program.
    #[serde(default)]
    pub command: Vec<String>,
    /// Where it starts.
    #[serde(default)]
    pub working_directory: Option<String>,
    /// As the image says it.
    #[serde(default)]
    pub user: Option<String>,
    /// As the image's /etc/passwd has it.
    #[serde(default)]
    pub uid: Option<u32>,
    /// As the image's /etc/passwd or /etc/group has it.
    #[serde(default)]
    pub gid: Option<u32>,
    /// The user's home directory, of the image's /etc/passwd.
    #[serde(default)]
    pub home: Option<String>,
}

/// A user of a root's /etc/passwd.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Account<'t> {
    name: &'t str,
    uid: u32,
    gid: u32,
    home: &'t str,
}

/// A number that somebody can have: the highest one means «none» to the kernel.
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id != u32::MAX)
}

fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let _password = fields.next()?;
        let uid = id(fields.next()?)?;
        let gid = id(fields.next()?)?;
        let _comment = fields.next()?;
        let home = fields.next()?;
        Some(Account {
            name,
            uid,
            gid,
            home,
        })
    })
}

impl Config {
    /// Takes what an image says about how it is to be run.
    pub fn take(&mut self, run: Run) {
        self.environment = run.env.unwrap_or_default();
        self.entrypoint = run.entrypoint.unwrap_or_default();
        self.command = run.cmd.unwrap_or_default();
        self.working_directory = run.working_dir.filter(|path| !path.is_empty());
        self.user = run.user.filter(|user| !user.is_empty());
    }

    /// Finds the user in the root's own files. Who is not there stays unknown, which is told.
    pub fn find_user(&mut self, passwd: &str, group: &str) -> Option<String> {
        let said = self.user.clone().unwrap_or_default();
        let (user, its_group) = said.split_once(':').unwrap_or((said.as_str(), ""));
        let user = if user.is_empty() { "0" } else { user };
        let number = id(user);
        let account = accounts(passwd).find(|account| match number {
            Some(uid) => account.uid == uid,
            None => account.name == user,
        });
        let uid = number.or(account.as_ref().map(|account| account.uid));
        let gid = match its_group {
            "" => account.as_ref().map(|account| account.gid).or(Some(0)),
            said => id(said).or_else(|| {
                let mut lines = group
                    .lines()
                    .map(|line| line.split(':').collect::<Vec<_>>());
                lines.find_map(|line| match line.as_slice() {
                    [name, _, gid, ..] if *name == said => id(gid),
                    _ => None,
                })
            }),
        };
        self.home = account
            .map(|account| account.home.to_owned())
            .filter(|home| home.starts_with('/'));
        if uid.is_none() || gid.is_none() {
            return Some(format!(
                "the image's user `{said}` is not in its /etc/passwd and /etc/group: the profile's user is taken"
            ));
        }
        // Without a word of the image the profile decides.
        if self.user.is_some() {
            (self.uid, self.gid) = (uid, gid);
        }
        None
    }

    /// Whose its files are.
    #[must_use]
    pub fn ids(&self) -> Ids {
        match (self.subordinate, self.owners_kept) {
            (Some(ranges), _) => Ids::Subordinate(ranges),
            (None, true) => Ids::Kept,
            (None, false) => Ids::Own,
        }
    }

    /// Notes whose its files are.
    pub fn set_ids(&mut self, ids: Ids) {
        self.owners_kept = ids != Ids::Own;
        self.subordinate = match ids {
            Ids::Subordinate(ranges) => Some(ranges),
            Ids::Own | Ids::Kept => None,
        };
    }

    /// The program and its arguments that the image wants to be run.
    #[must_use]
    pub fn program(&self) -> Vec<&str> {
        self.entrypoint
            .iter()
            .chain(&self.command)
            .map(String::as_str)
            .collect()
    }

    /// What the image says, as a profile: it is a layer like others. What a profile cannot say is left out.
    #[must_use]
    pub fn profile(&self) -> String {
        let mut out = String::new();
        let mut variables: Vec<(&str, &str)> = Vec::new();
        for said in &self.environment {
            if let Some((name, value)) = said.split_once('=')
                && is_variable(name)
                && value != "inherit"
                && !value.contains('\0')
            {
                variables.retain(|(before, _)| *before != name);
                variables.push((name, value));
            }
        }
        if let Some(home) = &self.home
            && !home.contains('\0')
            && !variables.iter().any(|(name, _)| *name == "HOME")
        {
            variables.push(("HOME", home));
        }
        if !variables.is_empty() {
            out.push_str("[environment]\n");
        }
        for (name, value) in variables {
            out.push_str(&format!(
                "{} = {}\n",
                write::key(name),
                write::quoted(value)
            ));
        }
        if let Some(said) = &self.working_directory
            && said.starts_with('/')
            && !said.contains(|c: char| c.is_control() || matches!(c, '*' | '?' | '['))
            && !said.split('/').any(|name| name == "..")
            && path::value(said).is_ok()
        {
            out.push_str(&format!(
                "[process]\nworking-directory = {}\n",
                write::quoted(said)
            ));
        }
        // The ids that the files have are ids of this map.
        if self.subordinate.is_some() {
            out.push_str("[user]\nuid = 0\ngid = 0\nsubordinate-ids = true\n");
        }
        // With owners kept, one id that is mapped would be none of theirs.
        if let (Some(uid), Some(gid), false) = (self.uid, self.gid, self.owners_kept) {
            out.push_str(&format!("[user]\nuid = {uid}\ngid = {gid}\n"));
        }
        out
    }
}

/// Whether a name can stand for one variable in a profile.
fn is_variable(name: &str) -> bool {
    name != "default"
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::profile::document::parse;
    use crate::report::{Source, SourceKind, SourceMap};

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:34:web:/srv:/bin/false\n";
    const GROUP: &str = "root:x:0:\nstaff:x:50:web\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        for (user, uid, gid, home) in [
            (None, None, None, Some("/root")),
            (Some("web"), Some(33), Some(34), Some("/srv")),
            (Some("33"), Some(33), Some(34), Some("/srv")),
            (Some("web:staff"), Some(33), Some(50), Some("/srv")),
            (Some("web:7"), Some(33), Some(7), Some("/srv")),
            (Some("1234"), Some(1234), Some(0), None),
        ] {
            let mut config = Config {
                user: user.map(str::to_owned),
                ..Config::default()
            };
            assert_eq!(config.find_user(PASSWD, GROUP), None, "{user:?}");
            assert_eq!(
                (config.uid, config.gid, config.home.as_deref()),
                (uid, gid, home),
                "{user:?}"
            );
        }
        for user in ["nobody", "web:nobody", "4294967295", "web:4294967295"] {
            let mut config = Config {
                user: Some(user.to_owned()),
                ..Config::default()
            };
            assert!(config.find_user(PASSWD, GROUP).unwrap().contains(user));
            assert_eq!(config.uid, None);
        }
    }

    #[test]
    fn what_an_image_says_is_always_a_good_profile() {
        let config = Config {
            environment: [
                "PATH=/bin",
                "A=\"q\"\n\\\u{1b}",
                "A*=x",
                "default=x",
                "NO",
                "B=inherit",
                "=x",
                "1=2",
                "C=a=b",
            ]
            .map(str::to_owned)
            .into(),
            working_directory: Some("/srv/ü \"x\"".to_owned()),
            home: Some("/root".to_owned()),
            uid: Some(33),
            gid: Some(0),
            ..Config::default()
        };
        let text = config.profile();
        let mut sources = SourceMap::new();
        let source = sources.add(Source {
            name: "image".into(),
            kind: SourceKind::Default,
            text: text.clone().into(),
        });
        let parsed = parse("image", source, &text);
        assert!(
            parsed.diagnostics.is_empty(),
            "{text}\n{:?}",
            parsed.diagnostics
        );
        let profile = parsed.profile;
        let keys: Vec<&str> = profile
            .entries
            .iter()
            .map(|entry| entry.key.value.as_str())
            .collect();
        assert_eq!(
            keys,
            ["PATH", "A", "C", "HOME", "working-directory", "uid", "gid"]
        );
        for bad in ["relative", "/a/../b", "/a*", "/a\nb", "/a/${HOME}"] {
            let config = Config {
                working_directory: Some(bad.to_owned()),
                ..Config::default()
            };
            assert_eq!(config.profile(), "", "{bad}");
        }
    }
}
