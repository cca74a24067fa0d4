//! The end of a plan: what the program gives up, last of all.

use super::compile::Builder;
use super::step::NamespaceKind;
use super::{Action, Note};
use crate::policy::Traced;
use crate::profile::key::Section;
use crate::profile::value::{Access, Value, View};
use crate::report::{Diagnostic, Site};
use crate::section::namespaces::Namespaces;
use crate::section::process::Process;
use crate::section::syscalls::{self, Company, FilterPlan};
use crate::section::user::{self, Groups};
use crate::section::{capabilities, rlimits};

/// Whether a rule of `[filesystem]` keeps something from the program.
fn takes_away(value: &Value) -> bool {
    match value {
        Value::View(view) if view.terms().execute == Some(false) => true,
        Value::View(view) => match view.plain() {
            View::Host(access) | View::Bind { access, .. } | View::Root { access, .. } => {
                *access != Access::ReadWrite
            }
            _ => true,
        },
        _ => true,
    }
}

impl Builder<'_> {
    /// Gives up what is not kept. Everything that needs a privilege is before this.
    pub(super) fn privileges(&mut self, decided: &Namespaces, process: &Process) {
        let init = decided.is_new(NamespaceKind::Pid) && process.init.value;
        let company = Company {
            init,
            terminal: self.has(|action| *action == Action::NewTerminal),
        };
        let filter = syscalls::lower(self.policy, company);
        let filter = self.take(filter).flatten();
        let in_user_namespace = decided.is_new(NamespaceKind::User)
            || decided
                .join
                .iter()
                .any(|(kind, ..)| *kind == NamespaceKind::User);
        let last = self.facts.machine.last_capability;
        let kept = capabilities::lower(self.policy, decided.is_new(NamespaceKind::User), last);
        self.drop_groups(decided);
        self.view_holds(kept.map(|kept| kept.keep), filter.as_ref());
        // Without CAP_SETPCAP the bounding set stays, and only no_new_privs keeps set-user-ID programs from using it.
        let bounding = in_user_namespace || self.facts.caller.has_capability(8);
        let explicit = kept.is_some_and(|kept| kept.explicit);
        let stuck_bounding = explicit && !bounding;
        // Nobody asked about capabilities and no exec can give any: one call for each would only cost time.
        let gains_nothing = filter.is_some()
            || process
                .no_new_privileges
                .as_ref()
                .is_some_and(|said| said.value);
        let bounding = bounding && (explicit || !gains_nothing);
        let unprivileged = !in_user_namespace && !self.facts.caller.has_capability(21);
        let programs = unprivileged && self.holds_programs(process);
        self.no_new_privileges(process, filter.is_some(), stuck_bounding, programs);
        self.landlock(process, self.mounts);
        self.execute(process, filter.as_ref());
        if init {
            let site = process.init.site;
            self.step(
                Action::Init,
                site,
                "reaps and forwards signals in the new pid namespace",
            );
        }
        let limits = rlimits::steps(self.policy, |key| self.may_degrade(Section::Limits, key));
        self.plan.steps.extend(limits);
        if let Some(said) = &process.cpu_affinity {
            let cpus = said.value.clone();
            self.attribute(Action::CpuAffinity { cpus }, "cpu-affinity", said.site);
        }
        if let Some(kept) = kept {
            let action = Action::Capabilities {
                keep: kept.keep,
                ambient: kept.keep != 0,
                bounding,
                last,
            };
            let because = if kept.explicit {
                ""
            } else {
                "those of the new user namespace are not handed on"
            };
            self.step(action, kept.site, because);
        }
        if let Some(mode) = &process.umask {
            self.step(Action::Umask { mode: mode.value }, mode.site, "");
        }
        self.working_directory(process);
        self.step(Action::CloseDescriptors, Site::DEFAULT, "");
        if let Some(filter) = filter {
            let site = self
                .policy
                .section(Section::Syscalls)
                .next()
                .map_or(Site::DEFAULT, |(_, _, rule)| rule.site);
            self.step(Action::Seccomp(filter), site, "");
        }
    }

    /// What becomes of the caller's supplementary groups.
    pub(super) fn groups(&self, decided: &Namespaces) -> Groups {
        let new = decided.is_new(NamespaceKind::User);
        let kinds = decided.join.iter().map(|(kind, ..)| *kind);
        let joined = kinds.into_iter().any(|kind| kind == NamespaceKind::User);
        let last = self.facts.machine.last_capability;
        let kept = capabilities::lower(self.policy, new, last).map(|kept| kept.keep);
        user::groups(self.policy, &self.facts.caller, (new, joined), kept)
    }

    /// Leaves them when everything is mounted, which they may have been needed for.
    fn drop_groups(&mut self, decided: &Namespaces) {
        match self.groups(decided) {
            Groups::Stay => {}
            Groups::Drop(Some(site)) => self.step(Action::DropGroups, site, ""),
            Groups::Drop(None) => self.step(
                Action::DropGroups,
                Site::DEFAULT,
                "with the privileges that are given up; `user.groups` keeps them",
            ),
            Groups::Stuck(site) => {
                let names = self.facts.caller.groups.iter().map(u32::to_string);
                let names = names.collect::<Vec<_>>().join(" ");
                let text = format!(
                    "the supplementary groups of this caller ({names}) cannot be dropped: that takes CAP_SETGID"
                );
                let help = "`user.subordinate-ids = true` drops them; else hide by path what these groups may reach";
                if self.may_degrade(Section::User, "groups") {
                    let help = Some(help.to_owned());
                    self.plan.warnings.push(Note { text, help, site });
                } else {
                    let error = Diagnostic::error(text, site, "asked for here");
                    self.errors.push(error.help(help).help(
                        "to run with them: --best-effort, or `degrade = [\"user.groups\"]` in the profile",
                    ));
                }
            }
        }
    }

    /// Warns when the program can undo the view: whoever has CAP_SYS_ADMIN over a mount namespace unmounts what hides, and
    /// makes writable what is read-only.
    fn view_holds(&mut self, keep: Option<u64>, filter: Option<&FilterPlan>) {
        const CAP_SYS_ADMIN: u32 = 21;
        let keeps = keep.map_or(self.facts.caller.is_privileged(), |keep| {
            keep & (1 << CAP_SYS_ADMIN) != 0
        });
        let forbidden = |call| {
            filter.is_some_and(|filter| {
                let native = filter.architectures.first().copied();
                let verdict =
                    native.and_then(|arch| filter.program.verdict_for(call, arch, [0; 6]));
                verdict.is_some_and(|verdict| !verdict.permits())
            })
        };
        let undone_by = ["umount2", "mount", "move_mount", "mount_setattr"];
        // Where Landlock grants no more than the mounts do, nothing is won by undoing them.
        let held = self
            .ruleset
            .as_ref()
            .is_some_and(|set| !set.handled.is_empty() && set.beyond.is_empty());
        if !keeps || held || undone_by.into_iter().all(forbidden) {
            return;
        }
        let mut rules = self.policy.section(Section::Filesystem);
        let Some((key, _, rule)) = rules.find(|(_, value, _)| takes_away(value)) else {
            return;
        };
        let text = format!("the program can undo `{key}`, since it keeps CAP_SYS_ADMIN");
        let help = "`capabilities.default = \"drop\"`, or `capabilities.sys_admin = \"drop\"`";
        let site = rule.site;
        self.plan.warnings.push(Note {
            text,
            help: Some(help.to_owned()),
            site,
        });
    }

    fn no_new_privileges(
        &mut self,
        process: &Process,
        filter: bool,
        stuck_bounding: bool,
        programs: bool,
    ) {
        let because = match (filter, stuck_bounding) {
            (true, _) => "a system call filter needs it",
            (false, true) => "an ordinary user cannot cut the bounding set",
            (false, false) if programs || (!self.mounts && self.ruleset.is_some()) => {
                "Landlock needs it without a user namespace"
            }
            (false, false) => "",
        };
        match &process.no_new_privileges {
            Some(Traced { value: true, site }) => self.step(Action::NoNewPrivileges, *site, ""),
            Some(Traced { value: false, site }) if !because.is_empty() => self.errors.push(
                Diagnostic::error(
                    format!("`process.no-new-privileges = false` cannot be: {because}"),
                    *site,
                    "asked for here",
                )
                .help("remove this key, or the rules of [syscalls] and [capabilities]"),
            ),
            None if !because.is_empty() => {
                self.step(Action::NoNewPrivileges, Site::DEFAULT, because)
            }
            _ => {}
        }
    }
}
