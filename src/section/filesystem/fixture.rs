//! What other sections put into the view: sockets that something serves for this run, and sockets of the host that are shown or
//! kept away whatever `[filesystem]` says about the directories around them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::rule::Rule;
use super::{Draft, Item, Surroundings, What, world};
use crate::host::facts::PathKind;
use crate::profile::value::Access;
use crate::report::{Diagnostic, Site};

/// Something that another section puts into the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixture {
    /// Where: absolute, lexically normal. Symbolic links of the host on the way are followed.
    pub place: PathBuf,
    /// What.
    pub what: Fixed,
    /// The key that says it, with its section: `dbus.session`.
    pub key: String,
    /// Where that stands.
    pub site: Site,
}

/// What is put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// What is called so in the directory of the run when the child mounts its view: a socket, or a file, never a directory.
    Made(OsString),
    /// The socket or file that is there on the host; nothing where the host has none.
    Shown(Access),
    /// Nothing, where that of the host would be seen.
    Hidden,
}

/// What has to be looked at.
pub fn wanted(around: &Surroundings) -> impl Iterator<Item = PathBuf> {
    around.fixtures.iter().map(|fixture| fixture.place.clone())
}

/// Puts them into the table. Returns what they keep away, by the path on the host.
pub fn put(draft: &mut Draft, rules: &[Rule]) -> Vec<(PathBuf, Access, String, Site)> {
    let mut kept = Vec::new();
    for fixture in &draft.around.fixtures {
        let fact = draft.facts.path(&fixture.place);
        let place = fact.map_or_else(
            || fixture.place.clone(),
            |fact| world::host_place(&fixture.place, fact),
        );
        let kind = fact.map_or(PathKind::Missing, |fact| fact.kind);
        let what = match &fixture.what {
            Fixed::Made(name) => What::Made { name: name.clone() },
            Fixed::Shown(_) if kind == PathKind::Missing => continue,
            Fixed::Shown(access) => What::Show {
                source: place.clone(),
                access: *access,
                devices: false,
                directory: kind == PathKind::Directory,
            },
            Fixed::Hidden => What::Hidden,
        };
        if !matches!(fixture.what, Fixed::Shown(_)) {
            let because = format!("`{}` holds here too", fixture.key);
            kept.push((place.clone(), Access::Hidden, because, fixture.site));
            let normal = world::normal(&place).into_os_string();
            let at = |path: &Path| path.as_os_str() == normal;
            if let Some(rule) = rules.iter().find(|rule| {
                (at(&rule.place) || at(&rule.host)) && rule.layer.is_some() && !rule.hides()
            }) {
                contradiction(draft, fixture, rule);
                continue;
            }
        }
        // What is not seen needs no hiding, and may not even be there.
        let seen = kind != PathKind::Missing && shows(draft, &place);
        if what == What::Hidden && !seen {
            continue;
        }
        let item = Item {
            what,
            name: place.display().to_string(),
            site: fixture.site,
            because: format!("implied by {}", fixture.key),
            execute: None,
        };
        draft.table.insert(place, item);
    }
    kept
}

fn shows(draft: &Draft, place: &Path) -> bool {
    draft
        .shown(place)
        .is_some_and(|(source, _)| source == place)
}

fn contradiction(draft: &mut Draft, fixture: &Fixture, rule: &Rule) {
    draft.errors.push(
        Diagnostic::error(
            format!("two rules decide about `{}`", fixture.place.display()),
            rule.site,
            "this one, in [filesystem]",
        )
        .related(
            fixture.site,
            format!("`{}` decides about it too", fixture.key),
        )
        .help(format!(
            "remove `{}` from [filesystem] (`\"{0}\" = \"inherit\"`)",
            rule.key
        )),
    );
}
