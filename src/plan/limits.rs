//! `[limits]` in a plan: the control group, and one message for all limits that cannot be had for the same reason.

use super::compile::Builder;
use super::{Action, Note};
use crate::profile::key::Section;
use crate::report::{Diagnostic, Diagnostics, Site};
use crate::section::limits::{self, Limits};

/// Limits that cannot be held for want of the same thing, together.
fn by_cause(refusals: &[limits::Refusal]) -> Vec<(&limits::Refusal, Vec<&limits::Refusal>)> {
    let mut groups: Vec<(&limits::Refusal, Vec<&limits::Refusal>)> = Vec::new();
    for refusal in refusals {
        // Where nothing helps, only the reason says whether it is the same.
        let same = |first: &limits::Refusal| {
            first.reason == refusal.reason || (!first.help.is_empty() && first.help == refusal.help)
        };
        match groups.iter_mut().find(|(first, _)| same(first)) {
            Some((_, others)) => others.push(refusal),
            None => groups.push((refusal, Vec::new())),
        }
    }
    groups
}

fn names(first: &limits::Refusal, others: &[&limits::Refusal], quote: char) -> String {
    let names: Vec<String> = std::iter::once(&first)
        .chain(others)
        .map(|refusal| format!("{quote}{}.{}{quote}", refusal.section, refusal.key))
        .collect();
    names.join(", ")
}

/// One error for all limits that are refused for want of the same thing.
pub(super) fn refused(refusals: &[limits::Refusal]) -> Diagnostics {
    by_cause(refusals)
        .into_iter()
        .map(|(first, others)| {
            let mut error = Diagnostic::error(
                format!(
                    "{} cannot be applied on this host: {}",
                    names(first, &others, '`'),
                    first.reason
                ),
                first.site,
                "asked for here",
            );
            for other in &others {
                error = error.related(other.site, "and here");
            }
            error.help.clone_from(&first.help);
            error.help(format!(
                "to run without {}: --best-effort, or `degrade = [{}]` in the profile",
                if others.is_empty() { "it" } else { "them" },
                names(first, &others, '"')
            ))
        })
        .collect()
}

/// One warning for all limits that are dropped for want of the same thing.
pub(super) fn not_applied(dropped: &[limits::Refusal]) -> Vec<Note> {
    by_cause(dropped)
        .into_iter()
        .map(|(first, others)| {
            let verb = if others.is_empty() { "is" } else { "are" };
            Note {
                text: format!(
                    "{} {verb} not applied: {}",
                    names(first, &others, '`'),
                    first.reason
                ),
                help: first.help.first().cloned(),
                site: first.site,
            }
        })
        .collect()
}

impl Builder<'_> {
    /// The control group, or what keeps it from holding a limit. `view`: whether the program gets mounts of its own, in
    /// which control groups are read-only.
    pub(super) fn limits(&mut self, view: bool) {
        let limits = Limits::of(self.policy, self.facts.machine.memory);
        let Some(limits) = self.take(limits) else {
            return;
        };
        for (key, limit) in &limits.yielded {
            self.plan.notes.push(Note {
                text: format!("`{key}` has no effect: `memory` was set below it by a later layer"),
                help: None,
                site: limit.site,
            });
        }
        let may_degrade = |key: &str| self.may_degrade(Section::Limits, key);
        match limits::lower(&limits, self.facts, &self.request.name, may_degrade) {
            Ok(lowered) => {
                self.plan.warnings.extend(not_applied(&lowered.dropped));
                let without = lowered.dropped.iter().map(|refusal| refusal.site);
                self.plan.without.extend(without);
                for (site, text, help) in lowered.remarks {
                    let note = Note { text, help, site };
                    // Where nothing can be done about it, it is no warning.
                    match note.help.is_some() {
                        true => self.plan.warnings.push(note),
                        false => self.plan.notes.push(note),
                    }
                }
                if let Some(mut group) = lowered.group {
                    group.application.clone_from(&self.request.app);
                    let written = group.writes.first().map(|write| write.site);
                    let asked = || limits.iter().next().map(|(.., limit)| limit.site);
                    let site = written.or_else(asked).unwrap_or(Site::DEFAULT);
                    if !view {
                        self.plan.notes.push(Note {
                            text: "the limits hold against accidents only: without a file-system view the program can \
                                   write to its control group as its user can"
                                .to_owned(),
                            help: None,
                            // Not of the rule: those of shipped profiles are passed over.
                            site: Site::DEFAULT,
                        });
                    }
                    self.step(Action::EnterGroup(group), site, "");
                }
            }
            Err(refusals) => self.errors.extend(refused(&refusals)),
        }
    }
}
