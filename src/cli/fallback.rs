//! A host that gives an ordinary user no user namespace: found out when one is refused, by trying.

use crate::exec::LaunchError;
use crate::host;
use crate::host::facts::Refused;
use crate::kernel::{Errno, capability};
use crate::plan::step::NamespaceKind;
use crate::plan::{Action, Plan};
use crate::report::escape;

/// Why this host gives no user namespace, when a launch seems to have failed for want of one.
pub(super) fn instead(error: &LaunchError, plan: &Plan) -> Option<Refused> {
    // Nothing was run: Landlock may hold the same rules.
    may_be(error, plan).then(|| refused(plan)).flatten()
}

/// What is to be known when it is then tried without.
pub(super) fn warning(refused: &Refused) -> String {
    format!(
        "sandbox: warning: this host gives you no user namespace: {}\n  [filesystem] is held with Landlock alone: what is hidden can still be seen to exist, and modes and times of own \
         files can be changed; `sandboxctl doctor` says what would help\n",
        escape::line(&refused.detail)
    )
}

/// Whether a failure looks like that. Where AppArmor holds user namespaces, they are made, and all that they are good
/// for is refused.
fn may_be(error: &LaunchError, plan: &Plan) -> bool {
    let Some(step) = error.step.and_then(|number| plan.steps.get(number)) else {
        return false;
    };
    let made_there = matches!(
        step.action,
        Action::Clone { .. }
            | Action::MapIds { .. }
            | Action::Hostname { .. }
            | Action::LoopbackUp
            | Action::UnshareCgroupNamespace
            | Action::PrivatePropagation
            | Action::NewRoot { .. }
            | Action::MountHost { .. }
            | Action::MountTmpfs { .. }
    );
    let refused = matches!(
        error.errno,
        None | Some(
            Errno::EPERM
                | Errno::EACCES
                | Errno::ENOSPC
                | Errno::EUSERS
                | Errno::ENOSYS
                | Errno::EINVAL
        )
    );
    made_there && refused
}

/// Tries whether the user namespace that a plan makes can be had; says why not. Nobody asks for a caller who needs none.
pub(super) fn refused(plan: &Plan) -> Option<Refused> {
    const CAP_SYS_ADMIN: u64 = 1 << 21;
    let makes_one = plan.steps.iter().any(|step| {
        matches!(&step.action, Action::Clone { namespaces } if namespaces.contains(&NamespaceKind::User))
    });
    let privileged = capability::effective().is_ok_and(|held| held & CAP_SYS_ADMIN != 0);
    if !makes_one || privileged {
        return None;
    }
    host::doctor::user_namespace_refused()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{OnFailure, Step};
    use crate::report::Site;

    fn plan(action: Action) -> Plan {
        Plan {
            steps: vec![Step {
                action,
                site: Site::DEFAULT,
                because: String::new(),
                on_failure: OnFailure::Fatal,
            }],
            ..Plan::default()
        }
    }

    #[test]
    fn refusals_of_what_a_user_namespace_is_good_for_are_looked_into() {
        let hostname = || Action::Hostname {
            name: "x".to_owned(),
        };
        let clone = || Action::Clone {
            namespaces: vec![NamespaceKind::User],
        };
        for (action, errno, expected) in [
            // As AppArmor has it since Ubuntu 23.10: the namespace is made, and no capability counts in it.
            (Action::PrivatePropagation, Errno::EACCES, true),
            (hostname(), Errno::EPERM, true),
            (Action::LoopbackUp, Errno::EPERM, true),
            // By a sysctl, by a filter, or by a kernel without them.
            (clone(), Errno::EPERM, true),
            (clone(), Errno::ENOSPC, true),
            (clone(), Errno::EINVAL, true),
            // What has another reason is told as it is.
            (clone(), Errno::ENOMEM, false),
            (hostname(), Errno::ENAMETOOLONG, false),
            (Action::NoNewPrivileges, Errno::EPERM, false),
        ] {
            let error = LaunchError::at_step(0, errno);
            let plan = plan(action);
            assert_eq!(
                may_be(&error, &plan),
                expected,
                "{errno} at {:?}",
                plan.steps
            );
            // Of a plan that has no such step nothing is known.
            assert!(!may_be(&error, &Plan::default()));
        }
    }

    #[test]
    fn what_is_lost_without_is_told() {
        let text = warning(&Refused {
            detail: "AppArmor\u{1b}[31m says no".to_owned(),
            fix: Vec::new(),
        });
        assert!(text.contains("AppArmor\\x1b[31m says no"), "{text}");
        assert!(text.contains("Landlock alone") && text.contains("sandboxctl doctor"));
    }
}
