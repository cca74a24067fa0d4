//! Packages that are followed by systemd: where its units go, and that it is told.

use std::path::{Path, PathBuf};

use crate::cli::complain;
use crate::cli::notice::session_bus;
use crate::desktop::follow::{Follow, NAME};
use crate::desktop::scan::Scope;
use crate::kernel::systemd;
use crate::report::escape;

/// Where units of systemd go, and what they are to look at: what packages write.
pub(super) fn how_to_follow(scope: &Scope, launcher: &str) -> Follow {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let own = scope.config.first().cloned().unwrap_or_default();
    let (units, target, command) = match scope.system {
        true => (
            "/etc/systemd/system".into(),
            "multi-user.target",
            "desktop refresh --system",
        ),
        false => (
            own.join("systemd/user"),
            "default.target",
            "desktop refresh",
        ),
    };
    let theirs = scope.data.iter().filter(|path| **path != scope.own_data);
    let mut watched: Vec<String> = theirs
        .flat_map(|data| [data.join("applications"), data.join("dbus-1/services")])
        .map(text)
        .collect();
    let others = scope
        .config
        .iter()
        .filter(|path| **path != own || scope.system);
    watched.extend(others.map(|config| text(config.join("autostart"))));
    Follow {
        units: text(units),
        target: target.to_owned(),
        command: command.to_owned(),
        control: text(Path::new(launcher).with_file_name("sandboxctl")),
        watched,
    }
}

/// Has the service manager read units anew, and starts or stops ours. Without it they hold from the next start on.
pub(super) fn tell_manager(system: bool, start: bool) {
    let bus = match system {
        true => Some("unix:path=/run/dbus/system_bus_socket".to_owned()),
        false => session_bus(),
    };
    let unit = format!("{NAME}.path");
    let told = bus.ok_or_else(|| "there is no bus".to_owned());
    let told = told.and_then(|bus| systemd::reload_units(&bus, &unit, start));
    match told {
        Err(why) if start => complain(&format!(
            "sandboxctl: packages are followed from the next log-in on: {}\n",
            escape::line(&why)
        )),
        _ => {}
    }
}
