//! Message buses in a plan: the filter that is started, and what this host lacks for what was asked for.

use super::companion::{Companion, Identity};
use super::compile::Builder;
use super::step::NamespaceKind;
use super::{Action, Note};
use crate::desktop::entry::escape;
use crate::desktop::exec::{self, Codes, Word};
use crate::profile::key::Section;
use crate::profile::value::Value;
use crate::report::{Diagnostic, Site};
use crate::section::dbus::accessibility::accessible;
use crate::section::dbus::address::Address;
use crate::section::dbus::{self, Lack, Mode};
use crate::section::desktop;
use crate::section::namespaces::Namespaces;

impl Builder<'_> {
    /// Has a program started beside the program, and a directory made in which they meet.
    pub(super) fn companion(&mut self, companion: Companion, site: Site, because: &str) {
        if !self.has(|action| *action == Action::RunDirectory) {
            self.step(Action::RunDirectory, site, because);
        }
        self.step(Action::StartCompanion(companion), site, because);
    }

    /// The filters of buses.
    pub(super) fn buses(&mut self, decided: &Namespaces) {
        if !dbus::asks(self.policy) {
            return;
        }
        let plans = dbus::plans(self.policy, self.facts);
        let Some(rules) = self.take(dbus::rules(self.policy)) else {
            return;
        };
        for plan in &plans {
            if let Some(lack) = &plan.lack {
                self.lacks_a_filter(plan, lack);
            }
        }
        let filtered = plans.iter().find(|plan| plan.mode == Mode::Filtered);
        let Some(site) = filtered.map(|plan| plan.site) else {
            return;
        };
        // Without mounts nobody can be shown a socket in another's place.
        if !self.mounts {
            return;
        }
        self.known_holes(site);
        let accessible = accessible(self.policy, self.facts, &plans);
        let identity = self.portals(decided);
        if let Some(companion) =
            dbus::companion(&plans, &rules, self.facts, accessible.as_ref(), identity)
        {
            self.companion(companion, site, "");
        }
    }

    /// As whom portals know the program, and the desktop entry in which newer ones look what it is.
    fn portals(&mut self, decided: &Namespaces) -> Option<Identity> {
        let portal = desktop::portal(self.policy, self.facts)?;
        let directory = |name: &str| self.facts.caller.directories.get(name);
        let instances = directory("XDG_RUNTIME_DIR")?.join(".flatpak");
        let entries = directory("XDG_DATA_HOME").map(|data| data.join("applications"));
        if let (true, Some(entries)) = (portal.wants_entry, entries) {
            let entry = Action::DesktopEntry {
                path: entries.join(format!("{}.desktop", portal.app)),
                text: entry(&self.request.name, &self.request.program.to_string_lossy()),
            };
            self.step(entry, portal.site, "portals look there what the program is");
        }
        Some(Identity {
            app: portal.app,
            network: !decided.is_new(NamespaceKind::Net),
            instances,
        })
    }

    fn lacks_a_filter(&mut self, plan: &dbus::Plan, lack: &Lack) {
        let key = plan.bus.key();
        let said = format!("`dbus.{key}` is \"none\" here");
        let no_bus = |why: &str| Note {
            text: format!("{said}: {why}"),
            help: None,
            site: plan.site,
        };
        match lack {
            Lack::Bus => self.plan.notes.push(no_bus(&format!(
                "there is no {key} bus at `{}`",
                plan.place.display()
            ))),
            Lack::Address(why) => self.plan.warnings.push(no_bus(&format!(
                "the address of the {key} bus cannot be used: {why}"
            ))),
            Lack::Proxy => {
                let why = "xdg-dbus-proxy, which filters, is not installed";
                let help = "install the package xdg-dbus-proxy, or say \"none\"";
                if self.may_degrade(Section::Dbus, key) {
                    // The program reaches less than it may: nobody has to be warned at every start.
                    let mut note = no_bus(why);
                    note.help = Some(help.to_owned());
                    self.plan.notes.push(note);
                } else {
                    self.errors.push(
                        Diagnostic::error(
                            format!("the {key} bus cannot be filtered: {why}"),
                            plan.site,
                            "asked for here",
                        )
                        .help(help)
                        .help(format!(
                            "to run without a {key} bus: --best-effort, or `degrade = [\"dbus.{key}\"]` in the profile"
                        )),
                    );
                }
            }
        }
    }

    fn known_holes(&mut self, site: Site) {
        let Some(proxy) = &self.facts.dbus.proxy else {
            return;
        };
        let lets: Vec<String> = proxy
            .holes
            .iter()
            .map(|hole| format!("{} ({})", hole.lets, hole.name))
            .collect();
        if lets.is_empty() {
            return;
        }
        let version = proxy.version.as_deref().unwrap_or("of unknown version");
        self.plan.warnings.push(Note {
            text: format!(
                "the filter of the bus, xdg-dbus-proxy {version}, has known holes unless its distribution has closed them: through it a program can {}",
                lets.join(", and ")
            ),
            help: Some("install xdg-dbus-proxy 0.1.8 or later, or your distribution's security update".to_owned()),
            site,
        });
    }

    /// A bus without a file is kept away by no mount.
    pub(super) fn abstract_buses(&mut self, decided: &Namespaces) {
        let apart = decided.is_new(NamespaceKind::Net)
            || self
                .ruleset
                .as_ref()
                .is_some_and(|ruleset| ruleset.scopes.abstract_sockets);
        if apart {
            return;
        }
        for plan in dbus::plans(self.policy, self.facts) {
            let Some(Address::Abstract(name)) = &plan.address else {
                continue;
            };
            if plan.mode == Mode::Host {
                continue;
            }
            let key = plan.bus.key();
            let text = format!(
                "the {key} bus can still be reached without a filter: it listens on the abstract socket `{}`",
                name.to_string_lossy()
            );
            let help = "`network.abstract-sockets = \"own\"` (Linux 6.12 or later), or `network.mode = \"none\"`";
            let allowed = self
                .policy
                .get(Section::Network, "abstract-sockets")
                .is_some_and(|said| *said.value != Value::Word("own"));
            if allowed || self.request.best_effort {
                self.plan.warnings.push(Note {
                    text,
                    help: Some(help.to_owned()),
                    site: plan.site,
                });
            } else {
                self.errors
                    .push(Diagnostic::error(text, plan.site, "asked for here").help(help));
            }
        }
    }
}

/// A desktop entry that says what a program is called, and is seen in no menu.
fn entry(name: &str, program: &str) -> String {
    let words = ["/usr/bin/env", "sandbox", "--", program].map(Word::of);
    // A command line that cannot be written is none: then the entry only names the program.
    let command =
        exec::write(&words, Codes::Known).unwrap_or_else(|_| "/usr/bin/env false".to_owned());
    let name = escape(name);
    format!(
        "[Desktop Entry]\nType=Application\nName={name}\nIcon={name}\nExec={command}\nNoDisplay=true\nX-Sandbox-Identity=true\n"
    )
}
