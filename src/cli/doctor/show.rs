//! The answers as lines for people, and as JSON for programs. Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::host::doctor::Findings;
use crate::report::escape;

use super::limits::Answer;
use super::{Check, Group, State, is_fit};

/// Lines, group by group.
pub(super) fn text(found: &Findings, checks: &[Check], limits: &Answer) -> String {
    let facts = &found.facts;
    let mut text = format!(
        "Linux {} on {}, for `{}` (uid {}{}{})\n",
        escape::line(&facts.machine.kernel),
        escape::line(&found.architecture),
        escape::line(&facts.caller.user),
        facts.caller.uid,
        if facts.caller.is_privileged() {
            ", privileged"
        } else {
            ""
        },
        if found.nested {
            ", in a user namespace"
        } else {
            ""
        }
    );
    let width = checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or(0);
    for group in Group::ALL {
        let _ = writeln!(text, "\n{}", group.word());
        if group == Group::Limits {
            text.push_str(&ways(limits));
        }
        let mut told: &[String] = &[];
        for check in checks.iter().filter(|check| check.group == group) {
            let line = format!(
                "  {:7}  {:width$}  {}",
                check.state.word(),
                check.name,
                escape::line(&check.detail)
            );
            let _ = writeln!(text, "{}", line.trim_end());
            if !check.costs.is_empty() {
                let _ = writeln!(text, "           costs: {}", check.costs);
            }
            // One cause often has several lacks.
            if !check.fix.is_empty() && check.fix == told {
                text.push_str("           fix:   the same\n");
                continue;
            }
            if !check.fix.is_empty() {
                told = &check.fix;
            }
            for line in &check.fix {
                let _ = writeln!(text, "           fix:   {}", escape::line(line));
            }
        }
    }
    let missing: Vec<&str> = checks
        .iter()
        .filter(|check| check.needed && check.state == State::Missing)
        .map(|check| check.name)
        .collect();
    text.push('\n');
    if !missing.is_empty() {
        let _ = writeln!(
            text,
            "this host is not fit for most profiles: {} missing",
            missing.join(", ")
        );
        return text;
    }
    let refused: Vec<&str> = limits.refused.iter().map(Answer::label).collect();
    if refused.is_empty() {
        text.push_str("this host is fit for profiles with and without limits\n");
    } else {
        let _ = writeln!(
            text,
            "this host is fit for profiles, but not for those that set {}",
            refused.join(", ")
        );
    }
    text
}

/// The ways to a control group, one below the other in the order in which they are tried.
fn ways(limits: &Answer) -> String {
    let mut text = "  ways to a control group, in this order:\n".to_owned();
    let width = limits
        .ways
        .iter()
        .map(|offer| offer.name.len())
        .max()
        .unwrap_or(0);
    for (at, offer) in limits.ways.iter().enumerate() {
        let mark = match (offer.taken, offer.applies) {
            (true, _) => "taken",
            (false, true) => "",
            (false, false) => "no",
        };
        let _ = writeln!(
            text,
            "  {mark:7}  {}. {:width$}  {}: {}",
            at + 1,
            offer.name,
            offer.about,
            escape::line(&offer.why)
        );
    }
    text
}

/// The document that sandboxctl(1) describes.
pub(super) fn json(found: &Findings, checks: &[Check], limits: &Answer) -> Value {
    let facts = &found.facts;
    let list: Vec<Value> = checks
        .iter()
        .map(|check| {
            json!({
                "name": check.name,
                "group": check.group.word(),
                "state": check.state.word(),
                "needed": check.needed,
                "detail": check.detail,
                "costs": check.costs,
                "fix": check.fix,
            })
        })
        .collect();
    let refused: Vec<Value> = limits
        .refused
        .iter()
        .map(|refusal| json!({ "limit": Answer::label(refusal), "reason": refusal.reason, "fix": refusal.help }))
        .collect();
    json!({
        "fit": is_fit(checks),
        "kernel": { "release": facts.machine.kernel, "architecture": found.architecture },
        "user": {
            "name": facts.caller.user,
            "uid": facts.caller.uid,
            "privileged": facts.caller.is_privileged(),
            "nested": found.nested,
        },
        "checks": list,
        "limits": {
            "layout": limits.layout,
            "way": limits.way_word(),
            "controllers": limits.controllers,
            "refused": refused,
            "ways": limits.ways.iter().map(|offer| json!({
                "name": offer.name,
                "about": offer.about,
                "applies": offer.applies,
                "taken": offer.taken,
                "why": offer.why,
            })).collect::<Vec<_>>(),
        },
    })
}
