//! The bus of assistive technologies (AT-SPI). On it every program may ask every other one for its texts, and press its buttons; so
//! that through the filter a program only makes itself known, and answers.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::address::Address;
use super::rule::Bus;
use super::{Mode, Plan, runtimes};
use crate::host::Facts;
use crate::plan::companion::Word;
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::report::Site;
use crate::section::desktop::names::shows_accessibility;
use crate::section::filesystem::{Fixed, Fixture};

/// What the filter's socket is called, in the directory of the run and below the runtime directory inside.
const SOCKET: &str = "at-spi-bus";
/// Who keeps the list of programs and of those who listen to them.
const REGISTRY: &str = "org.a11y.atspi.Registry";
/// What a program has to ask of it.
const CALLS: &[&str] = &[
    "org.a11y.atspi.Socket.Embed@/org/a11y/atspi/accessible/root",
    "org.a11y.atspi.Socket.Unembed@/org/a11y/atspi/accessible/root",
    "org.a11y.atspi.Registry.GetRegisteredEvents@/org/a11y/atspi/registry",
    "org.a11y.atspi.DeviceEventController.GetKeystrokeListeners@/org/a11y/atspi/registry/deviceeventcontroller",
    "org.a11y.atspi.DeviceEventController.GetDeviceEventListeners@/org/a11y/atspi/registry/deviceeventcontroller",
    "org.a11y.atspi.DeviceEventController.NotifyListenersSync@/org/a11y/atspi/registry/deviceeventcontroller",
    "org.a11y.atspi.DeviceEventController.NotifyListenersAsync@/org/a11y/atspi/registry/deviceeventcontroller",
];
/// What it is told: that somebody listens.
const SIGNALS: &str = "org.a11y.atspi.Registry.*@/org/a11y/atspi/registry";

/// That bus, behind a filter of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accessible {
    /// Where it listens on the host.
    address: Address,
    /// Where it is seen inside.
    pub place: PathBuf,
    site: Site,
}

/// What becomes of it; `None` where it is not asked for, where the session bus has no filter, or where there is none.
#[must_use]
pub fn accessible(policy: &Policy, facts: &Facts, plans: &[Plan]) -> Option<Accessible> {
    let asked = shows_accessibility(policy)
        && plans
            .iter()
            .any(|plan| plan.bus == Bus::Session && plan.mode == Mode::Filtered);
    let found = facts.dbus.accessibility.as_ref().filter(|_| asked)?;
    let runtime = runtimes(&facts.caller).into_iter().next()?;
    let address = OsStr::new(found.as_ref().ok()?);
    let address = Address::parse(address, Some(&runtime)).ok()?;
    let said = policy.get(Section::Desktop, "accessibility")?;
    Some(Accessible {
        address,
        place: runtime.join(SOCKET),
        site: said.site,
    })
}

impl Accessible {
    /// What the filter is told about it.
    #[must_use]
    pub fn arguments(&self) -> Vec<Word> {
        let mut all = vec![
            Word::text(self.address.text()),
            Word::run("", SOCKET),
            Word::text("--filter"),
            // Programs are known there by their unique names.
            Word::text("--sloppy-names"),
        ];
        all.extend(
            CALLS
                .iter()
                .map(|call| Word::text(format!("--call={REGISTRY}={call}"))),
        );
        all.push(Word::text(format!("--broadcast={REGISTRY}={SIGNALS}")));
        all
    }

    /// Its socket in the view.
    #[must_use]
    pub fn fixture(&self) -> Fixture {
        Fixture {
            place: self.place.clone(),
            what: Fixed::Made(SOCKET.into()),
            key: "desktop.accessibility".to_owned(),
            site: self.site,
        }
    }

    /// As the program's environment says it.
    #[must_use]
    pub fn variable(place: &Path) -> (OsString, OsString) {
        let address = Address::Path(place.to_owned()).text();
        ("AT_SPI_BUS_ADDRESS".into(), address)
    }
}
