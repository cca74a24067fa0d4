//! What of a policy can be put on a process that runs already, as a value: its limits, and a few attributes. Pure.

use super::limits::{not_applied, refused};
use super::{Action, Note};
use crate::host::Facts;
use crate::policy::{Policy, Traced};
use crate::profile::key::Section;
use crate::report::{Diagnostic, Diagnostics, Site};
use crate::section::limits::{self, GroupPlan, Limits};
use crate::section::process::Process;
use crate::section::rlimits;

/// What is put on the processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachment {
    /// The group that they are moved to.
    pub group: Option<GroupPlan>,
    /// Resource limits of each process.
    pub resources: Vec<ResourceLimit>,
    /// The nice value.
    pub nice: Option<Traced<i32>>,
    /// The OOM score adjustment.
    pub oom_score_adjust: Option<Traced<i32>>,
    /// Rules that only a program that is started can be given.
    pub left_out: Vec<(String, Site)>,
    /// Limits that this host cannot hold and that may be dropped; a soft limit without effect.
    pub warnings: Vec<Note>,
}

/// A resource limit of a process (getrlimit(2)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceLimit {
    /// The key of `[limits]`.
    pub name: &'static str,
    /// The kernel's number for it.
    pub resource: u32,
    /// `None` is no limit.
    pub value: Option<u64>,
    /// The rule.
    pub site: Site,
}

/// What is asked for beside the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish<'a> {
    /// What the group is for.
    pub name: &'a str,
    /// Whether every rule that only adds strictness may be dropped with a warning.
    pub best_effort: bool,
    /// Whether rules that a running process cannot be given are left out.
    pub limits_only: bool,
}

/// The attributes of `[process]` that can be set from outside.
const ATTRIBUTES: &[&str] = &["nice", "oom-score-adjust"];

impl Attachment {
    /// Takes from the policy what a running process can be given.
    ///
    /// # Errors
    /// Rules that it cannot be given, unless they may be left out; nothing to be put on it; limits that this host cannot
    /// hold.
    pub fn of(policy: &Policy, facts: &Facts, wish: Wish<'_>) -> Result<Self, Diagnostics> {
        let mut errors = Diagnostics::new();
        let may_degrade = |key: &str| {
            policy.may_degrade(Section::Limits, key)
                || (wish.best_effort && policy.only_adds_strictness(Section::Limits, key))
        };
        let process = Process::of(policy);
        let mut attachment = Self {
            resources: resources(policy),
            nice: process.nice,
            oom_score_adjust: process.oom_score_adjust,
            left_out: left_out(policy),
            ..Self::default()
        };
        if !wish.limits_only {
            errors.extend(unfit(&attachment.left_out));
        }
        match Limits::of(policy, facts.machine.memory) {
            Err(wrong) => errors.extend(wrong),
            Ok(limits) => {
                let yielded = limits.yielded.iter().map(|(key, limit)| Note {
                    text: format!(
                        "`{key}` has no effect: `memory` was set below it by a later layer"
                    ),
                    help: None,
                    site: limit.site,
                });
                attachment.warnings.extend(yielded);
                match limits::lower(&limits, facts, wish.name, may_degrade) {
                    Ok(lowered) => {
                        attachment.warnings.extend(not_applied(&lowered.dropped));
                        let remarks = lowered.remarks.into_iter();
                        let remarks = remarks.map(|(site, text, help)| Note { text, help, site });
                        attachment.warnings.extend(remarks);
                        if let Some(group) = &lowered.group {
                            errors.extend(unattended(&limits, group));
                        }
                        attachment.group = lowered.group;
                    }
                    Err(refusals) => errors.extend(refused(&refusals)),
                }
            }
        }
        if errors.is_empty() && attachment.is_empty() && attachment.warnings.is_empty() {
            errors.push(
                Diagnostic::general(format!(
                    "`{}` has no limit that a running process could be put under",
                    policy.name
                ))
                .help("add one with --memory, --pids, --cpu or --set limits.KEY=VALUE"),
            );
        }
        if errors.is_empty() {
            Ok(attachment)
        } else {
            Err(errors)
        }
    }

    fn is_empty(&self) -> bool {
        self.group.is_none()
            && self.resources.is_empty()
            && self.nice.is_none()
            && self.oom_score_adjust.is_none()
    }
}

/// Limits that somebody has to hold who stays: nobody does.
fn unattended(limits: &Limits, group: &GroupPlan) -> Diagnostics {
    let refuse = |key: &str, why: &str| {
        let site = limits.get(key).map_or(Site::DEFAULT, |limit| limit.site);
        Diagnostic::error(
            format!("`limits.{key}` cannot be put on a running process: {why}"),
            site,
            "asked for here",
        )
        .help(format!("leave it out: --set limits.{key}=inherit"))
    };
    let mut all = Diagnostics::new();
    if group.kill_at_oom {
        all.push(refuse(
            "oom-group",
            "on cgroup v1 the launcher itself kills the group, and no launcher stays with it",
        ));
    }
    if group.devices.is_some() {
        all.push(refuse(
            "devices",
            "which devices it may use is told from the view that a program is started in",
        ));
    }
    all
}

fn resources(policy: &Policy) -> Vec<ResourceLimit> {
    let steps = rlimits::steps(policy, |_| false).into_iter();
    let limits = steps.filter_map(|step| match step.action {
        Action::ResourceLimit {
            resource,
            name,
            value,
        } => Some(ResourceLimit {
            name,
            resource,
            value,
            site: step.site,
        }),
        _ => None,
    });
    limits.collect()
}

fn left_out(policy: &Policy) -> Vec<(String, Site)> {
    let sections = Section::ALL.into_iter();
    let rules = sections
        .filter(|section| *section != Section::Limits)
        .flat_map(|section| {
            policy
                .section(section)
                .filter(move |(key, ..)| section != Section::Process || !ATTRIBUTES.contains(key))
                .map(move |(key, _, rule)| (format!("{section}.{key}"), rule.key_site))
        });
    rules.collect()
}

/// One error for all rules that are not for a running process: a profile may have hundreds.
fn unfit(rules: &[(String, Site)]) -> Option<Diagnostic> {
    const SHOWN: usize = 8;
    let (_, first) = rules.first()?;
    let names: Vec<&str> = rules
        .iter()
        .take(SHOWN)
        .map(|(name, _)| name.as_str())
        .collect();
    let more = match rules.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(
        Diagnostic::error(
            format!(
                "a running process can be given limits, not {}{more}",
                names.join(", ")
            ),
            *first,
            "only for a program that is started",
        )
        .help("--limits-only leaves out what is no limit")
        .help("to have all of the profile: start the program with `sandbox`"),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::profile::value::{Count, Size, Value};
    use crate::section::limits::tests::policy;

    fn with(section: Section, key: &str, value: Value) -> Policy {
        let mut policy = policy(&[("open-files", Value::Count(Count::Number(9)))]);
        let said = policy.rules.get(Section::Limits, "open-files");
        let mut rule = said.unwrap().clone();
        rule.value = Some(value);
        policy.rules.insert((section, key.to_owned()), rule);
        policy
    }

    fn of(policy: &Policy, limits_only: bool) -> Result<Attachment, Diagnostics> {
        let wish = Wish {
            name: "a",
            limits_only,
            ..Wish::default()
        };
        Attachment::of(policy, &Facts::default(), wish)
    }

    #[test]
    fn limits_and_attributes_that_can_be_set_from_outside_are_taken() {
        let all = of(&with(Section::Process, "nice", Value::Integer(5)), false).unwrap();
        assert_eq!(all.nice.map(|nice| nice.value), Some(5));
        assert_eq!(all.resources[0].name, "open-files");
        assert!(all.left_out.is_empty());
    }

    #[test]
    fn other_rules_are_an_error_until_they_may_be_left_out() {
        for (section, key) in [
            (Section::Namespaces, "pid"),
            (Section::Process, "no-new-privileges"),
            (Section::Syscalls, "ptrace"),
        ] {
            let policy = with(section, key, Value::Bool(true));
            let wrong = of(&policy, false).unwrap_err();
            let name = format!("{section}.{key}");
            assert!(wrong[0].message.ends_with(&name), "{}", wrong[0].message);
            let right = of(&policy, true).unwrap();
            assert_eq!(right.left_out.len(), 1);
            assert_eq!(right.left_out[0].0, name);
        }
    }

    #[test]
    fn a_policy_without_a_limit_is_an_error() {
        let wrong = of(&policy(&[]), true).unwrap_err();
        assert!(wrong[0].message.contains("has no limit"));
    }

    #[test]
    fn limits_that_the_host_cannot_hold_are_errors() {
        let wrong = of(&policy(&[("memory", Value::Size(Size::Bytes(1)))]), false).unwrap_err();
        assert!(
            wrong[0]
                .message
                .starts_with("`limits.memory` cannot be applied on this host")
        );
    }
}
