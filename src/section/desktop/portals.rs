//! What `portals` comes to on this host: as whom portals know the program, and whether their dialogs and documents work.

use super::application::is_ours;
use super::flag;
use crate::host::Facts;
use crate::policy::Policy;
use crate::report::Site;
use crate::section::dbus::{self, Mode, rule::Bus};

/// The program as an application of portals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portal {
    /// What they call it.
    pub app: String,
    /// Whether documents that were handed to it can be shown.
    pub documents: bool,
    /// Whether the desktop's dialogs can be had, and what is chosen in them is seen inside.
    pub dialogs: bool,
    /// Whether a desktop entry has to be made, as there is none of that name.
    pub wants_entry: bool,
    /// The rule.
    pub site: Site,
    /// What does not work.
    pub notes: Vec<String>,
}

/// What becomes of the program for portals; `None` where they are not asked for, or not through a filter, which is what they
/// know it by.
#[must_use]
pub fn portal(policy: &Policy, facts: &Facts) -> Option<Portal> {
    let said = flag(policy, "portals").filter(|said| said.value)?;
    let found = facts.desktop.portals.as_ref()?;
    let filtered = dbus::plans(policy, facts)
        .iter()
        .any(|plan| plan.bus == Bus::Session && plan.mode == Mode::Filtered);
    if !filtered {
        return None;
    }
    let app = facts.desktop.app.clone();
    let mut notes = Vec::new();
    if let Some(why) = &found.no_documents {
        notes.push(format!(
            "programs get no documents from portals, and show their own file dialogs: {why}"
        ));
    } else if !found.dialogs {
        notes.push("programs show their own file dialogs: xdg-desktop-portal, or a part of it that shows dialogs (xdg-desktop-portal-gtk, -kde, -gnome …), is not installed".to_owned());
    }
    if !found.entry && !is_ours(&app) {
        notes.push(format!(
            "no desktop entry is called `{app}`: newer portals answer none that they find no entry for"
        ));
    }
    Some(Portal {
        documents: found.no_documents.is_none(),
        dialogs: found.no_documents.is_none() && found.dialogs,
        wants_entry: !found.entry && is_ours(&app),
        app,
        site: said.site,
        notes,
    })
}
