//! Where records are kept: a function of who asks and of two directories. Nothing is looked at here.

use std::path::{Path, PathBuf};

/// Where root keeps its records.
pub const OF_ROOT: &str = "/run/sandbox";

/// Where the directories of users are (`pam_systemd`(8)); one for each, named by its number.
pub const OF_USERS: &str = "/run/user";

/// The name of our directory in a runtime directory.
pub const NAME: &str = "sandbox";

/// The same below the directory of a user's state (`~/.local/state`), which is there also without a session.
pub const BELOW_STATE: &str = "sandbox/run";

/// The directories in which a user's records may be, the best first: the first that can be had is written to, all are read.
/// `runtime` is `$XDG_RUNTIME_DIR`, `state` is `$XDG_STATE_HOME` or `~/.local/state`; what is not absolute does not count.
#[must_use]
pub fn of(uid: u32, runtime: Option<&Path>, state: Option<&Path>) -> Vec<PathBuf> {
    if uid == 0 {
        return vec![PathBuf::from(OF_ROOT)];
    }
    let absolute = |path: &&Path| path.is_absolute();
    let usual = Path::new(OF_USERS).join(uid.to_string()).join(NAME);
    let runtime = runtime.filter(absolute).map(|path| path.join(NAME));
    let state = state.filter(absolute).map(|path| path.join(BELOW_STATE));
    let mut places: Vec<PathBuf> = Vec::new();
    for place in runtime.into_iter().chain([usual]).chain(state) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_has_a_place() {
        let of = |uid, runtime: Option<&str>, state: Option<&str>| {
            let places = super::of(uid, runtime.map(Path::new), state.map(Path::new));
            let texts = places.iter().map(|path| path.display().to_string());
            texts.collect::<Vec<_>>()
        };
        assert_eq!(of(0, Some("/run/user/5"), None), ["/run/sandbox"]);
        assert_eq!(
            of(5, Some("/x"), Some("/h/.local/state")),
            [
                "/x/sandbox",
                "/run/user/5/sandbox",
                "/h/.local/state/sandbox/run"
            ]
        );
        assert_eq!(of(5, Some("/run/user/5"), None), ["/run/user/5/sandbox"]);
        assert_eq!(of(5, Some("run"), Some("")), ["/run/user/5/sandbox"]);
    }
}
