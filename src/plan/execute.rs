//! `[execute]` in a plan: one more ruleset of Landlock, or why there can be none.

use std::path::Path;

use super::compile::Builder;
use super::{Action, Note};
use crate::profile::key::Section;
use crate::section::execute::{self, Word};
use crate::section::landlock::{FILES_SINCE, Rights, Ruleset};
use crate::section::process::Process;
use crate::section::syscalls::FilterPlan;

impl Builder<'_> {
    /// Whether a ruleset is to be made.
    pub(super) fn holds_programs(&self, process: &Process) -> bool {
        execute::asks(self.policy) && self.no_programs_held(process).is_none()
    }

    /// Why Landlock cannot hold programs here, and what would help.
    fn no_programs_held(&self, process: &Process) -> Option<(&'static str, &'static str)> {
        let off = process.landlock.as_ref().is_some_and(|said| !said.value);
        Some(match self.facts.machine.landlock {
            _ if off => ("`process.landlock` is false", "remove that key"),
            0 => (
                "this kernel has no Landlock (CONFIG_SECURITY_LANDLOCK, and `landlock` in lsm=), or an outer sandbox forbids it",
                "",
            ),
            abi if abi < FILES_SINCE => (
                "this kernel's Landlock lets no file be moved between directories; Linux 5.19 is the first that does",
                "",
            ),
            _ if process.nested.value => (
                "with it no sandbox inside could mount anything, which `process.nested` is there for",
                "remove one of the two",
            ),
            _ => return None,
        })
    }

    /// The step.
    pub(super) fn execute(&mut self, process: &Process, filter: Option<&FilterPlan>) {
        if !self.policy.mentions(Section::Execute) {
            return;
        }
        let lowered = execute::lower(self.policy, self.facts);
        let Some(lowered) = self.take(lowered) else {
            return;
        };
        let site = lowered.site;
        for (site, text) in lowered.notes {
            self.tell(site, text);
        }
        if !execute::asks(self.policy) {
            self.tell(
                site,
                "[execute] has no effect: everything is allowed by default".to_owned(),
            );
            return;
        }
        if let Some((why, help)) = self.no_programs_held(process) {
            self.give_up(Section::Execute, "default", site, why, help);
            return;
        }
        for rule in lowered.unheld {
            if self.programs_denied.contains(&rule.place) && !rule.map {
                continue;
            }
            let why = match (rule.map, self.mounted) {
                (true, _) => format!(
                    "`{}` above it is allowed, and with it what is there",
                    rule.above
                ),
                (_, true) => format!(
                    "`{}` above it is allowed, Landlock takes nothing away, and there is nothing of the host's to be mounted there",
                    rule.above
                ),
                _ => format!(
                    "`{}` above it is allowed, and Landlock takes nothing away",
                    rule.above
                ),
            };
            let help =
                "let `default` be \"deny\", and allow the directories and programs beside it";
            self.give_up(Section::Execute, &rule.key, rule.site, &why, help);
        }
        let all = lowered.said.get(Path::new("/"));
        if all.is_some_and(|said| said.word != Word::Deny) {
            // Whatever is denied can be copied to where it is not.
            self.tell(
                site,
                "`default` allows what nobody named: a program that is denied by its path can be run as a copy"
                    .to_owned(),
            );
        } else if self.mounted {
            self.tell(
                site,
                "what [execute] does not allow is mounted so that it cannot be mapped for execution either, but for the \
                 usual directories of libraries: name others that programs load from, \"DIR\" = \"map\""
                    .to_owned(),
            );
        } else {
            self.tell(
                site,
                "without a view of its own ([filesystem], or namespaces.pid = true) a loader that may run can be handed any program that can be read"
                    .to_owned(),
            );
        }
        // Programs in memory have no path that Landlock could know.
        let call = |name| {
            filter.is_some_and(|filter| {
                let native = filter.architectures.first().copied();
                let verdict =
                    native.and_then(|arch| filter.program.verdict_for(name, arch, [0; 6]));
                verdict.is_some_and(|verdict| !verdict.permits())
            })
        };
        if !call("memfd_create") {
            self.tell(
                site,
                "what a program makes in memory can be executed from there: `memfd_create = \"deny\"` in [syscalls] prevents it"
                    .to_owned(),
            );
        }
        let ruleset = Ruleset {
            abi: self.facts.machine.landlock,
            handled: Rights::EXECUTE | Rights::REFER,
            rules: lowered.rules,
            ..Ruleset::default()
        };
        self.step(Action::Landlock(ruleset), site, "");
    }

    fn tell(&mut self, site: crate::report::Site, text: String) {
        self.plan.notes.push(Note {
            text,
            help: None,
            site,
        });
    }
}
