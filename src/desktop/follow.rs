//! Units of systemd that have `sandboxctl desktop refresh` run when packages change entries, and when a session begins. They are
//! plain files, enabled by a drop-in of the target: nothing but removing them is needed to be rid of them.

use super::digest;
use super::manifest::{Kind, Record};
use super::plan::Desired;

/// What the units are called.
pub const NAME: &str = "sandbox-desktop";
/// Stands for «our copy of …» in files that are made from nothing.
const SOURCE: &str = "sandboxctl desktop install --follow";

/// Where the units go, and what they say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Follow {
    /// The directory of units: `~/.config/systemd/user`.
    pub units: String,
    /// The target that wants them: `default.target`.
    pub target: String,
    /// The command line that refreshes, but for its program: `desktop refresh`.
    pub command: String,
    /// Absolute path of `sandboxctl`.
    pub control: String,
    /// Directories whose changes matter.
    pub watched: Vec<String>,
}

/// The files.
///
/// # Errors
/// A path that systemd would read as something else.
pub fn units(follow: &Follow) -> Result<Vec<Desired>, String> {
    let odd = |path: &&String| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
        !path.starts_with('/') || !path.bytes().all(plain)
    };
    let control = &follow.control;
    if odd(&control) {
        return Err(format!(
            "`{control}` cannot be written in a unit of systemd as it is"
        ));
    }
    let watched: String = (follow.watched.iter())
        .filter(|path| !odd(path))
        .map(|path| format!("PathChanged={path}\n"))
        .collect();
    let head = |what: &str| format!("[Unit]\nDescription={what}\nX-Sandbox-Source={SOURCE}\n");
    let service = format!(
        "{}\n[Service]\nType=oneshot\nExecStart={control} {}\n# 1: something could not be followed; the journal says what.\nSuccessExitStatus=1\n",
        head("Entries that start programs in sandboxes follow packages"),
        follow.command
    );
    let path = format!(
        "{}\n[Path]\n{watched}TriggerLimitIntervalSec=10s\nTriggerLimitBurst=5\n",
        head("Changes of desktop entries")
    );
    let wants = format!("[Unit]\nX-Sandbox-Source={SOURCE}\nWants={NAME}.path {NAME}.service\n");
    let files = [
        (format!("{}/{NAME}.service", follow.units), service),
        (format!("{}/{NAME}.path", follow.units), path),
        (
            format!("{}/{}.d/{NAME}.conf", follow.units, follow.target),
            wants,
        ),
    ];
    Ok(files
        .into_iter()
        .map(|(path, text)| desired(path, text.into_bytes()))
        .collect())
}

fn desired(path: String, content: Vec<u8>) -> Desired {
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    Desired {
        record: Record {
            path,
            kind: Kind::Unit,
            name,
            program: String::new(),
            profile: String::new(),
            source: String::new(),
            source_sha256: String::new(),
            sha256: digest(&content),
            backup: None,
        },
        content,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn follow(control: &str) -> Follow {
        Follow {
            units: "/h/.config/systemd/user".into(),
            target: "default.target".into(),
            command: "desktop refresh".into(),
            control: control.into(),
            watched: vec!["/usr/share/applications".into(), "/odd dir/%h".into()],
        }
    }

    #[test]
    fn units_run_a_refresh() {
        let files = units(&follow("/usr/bin/sandboxctl")).unwrap();
        let text = |end: &str| {
            let file = files
                .iter()
                .find(|file| file.record.path.ends_with(end))
                .unwrap();
            String::from_utf8(file.content.clone()).unwrap()
        };
        assert!(text(".service").contains("\nExecStart=/usr/bin/sandboxctl desktop refresh\n"));
        assert!(text(".path").contains("\nPathChanged=/usr/share/applications\n"));
        assert!(!text(".path").contains("odd"));
        assert!(
            text("default.target.d/sandbox-desktop.conf").contains("\nWants=sandbox-desktop.path ")
        );
        assert!(
            files
                .iter()
                .all(|file| super::super::copy::is_marked(&file.content))
        );
        for odd in [
            "/my apps/sandboxctl",
            "/a%h",
            "sandboxctl",
            "/a\nExecStart=/x",
        ] {
            assert!(units(&follow(odd)).is_err(), "{odd}");
        }
    }
}
