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
        match groups
            .iter_mut()
            .find(|(first, _)| first.help == refusal.help)
        {
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
fn refused(refusals: &[limits::Refusal]) -> Diagnostics {
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
fn not_applied(dropped: &[limits::Refusal]) -> Vec<Note> {
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
    /// The control group, or what keeps it from holding a limit.
    pub(super) fn limits(&mut self) {
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
                for (site, text, help) in lowered.remarks {
                    let note = Note { text, help, site };
                    // Where nothing can be done about it, it is no warning.
                    match note.help.is_some() {
                        true => self.plan.warnings.push(note),
                        false => self.plan.notes.push(note),
                    }
                }
                if let Some(group) = lowered.group {
                    let site = group
                        .writes
                        .first()
                        .map(|write| write.site)
                        .or(group.soft.as_ref().map(|soft| soft.site))
                        .unwrap_or(Site::DEFAULT);
                    self.step(Action::EnterGroup(group), site, "");
                }
            }
            Err(refusals) => self.errors.extend(refused(&refusals)),
        }
    }
}
