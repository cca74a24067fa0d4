//! Questions about system calls.

use super::{Answer, Cited, Part, Question, Verdict, cite, overruled};
use crate::bpf::{self, Action, Arch, Implied, Key, Program};
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::report::{Diagnostic, Diagnostics};
use crate::section::syscalls::{self, Company, Said};

/// What is needed to say anything.
struct Rules<'p> {
    policy: &'p Policy,
    said: Said,
    program: Program,
    implied: Vec<Implied>,
    arch: Arch,
}

/// What is answered to one call, and by which rule.
struct Decided {
    action: Action,
    rule: Option<Cited>,
    beaten: Vec<Cited>,
    notes: Vec<String>,
}

fn verdict(action: Action) -> Verdict {
    match action.permits() {
        true => Verdict::Allowed,
        false => Verdict::Denied,
    }
}

fn words(action: Action) -> String {
    match action {
        Action::Allow => "allowed".to_owned(),
        other => other.to_string(),
    }
}

fn rules(policy: &Policy) -> Result<Option<Rules<'_>>, Diagnostics> {
    let Some(said) = syscalls::said(policy)? else {
        return Ok(None);
    };
    let Some(plan) = syscalls::lower(policy, Company::default())? else {
        return Ok(None);
    };
    let Some(&arch) = plan.architectures.first() else {
        return Ok(None);
    };
    Ok(Some(Rules {
        policy,
        said,
        program: plan.program,
        implied: plan.implied,
        arch,
    }))
}

fn broken(error: &bpf::CompileError) -> Diagnostics {
    vec![Diagnostic::general(error.to_string())]
}

pub(super) fn answer(question: &Question, policy: &Policy) -> Result<Answer, Diagnostics> {
    let shown = match question {
        Question::Call(key) => key.to_string(),
        Question::Group(name) => name.clone(),
        _ => String::new(),
    };
    let Some(rules) = rules(policy)? else {
        return Ok(Answer::new(
            "system-call",
            shown,
            Verdict::Allowed,
            "there is no filter, as [syscalls] says nothing",
        ));
    };
    match question {
        Question::Call(Key::CallWithArguments(on)) => {
            let mut arguments = [0; 6];
            for condition in on.conditions() {
                let place = arguments.get_mut(usize::from(condition.index()));
                if let (Some(place), Some(value)) = (place, condition.example()) {
                    *place = value;
                }
            }
            let mut out = rules.exact(on.call(), arguments)?;
            out.question = shown;
            Ok(out)
        }
        Question::Call(key) => rules.call(key.call().unwrap_or_default()),
        _ => rules.group(&shown),
    }
}

/// The same, for a call with these arguments; `None` where there is no filter.
pub(super) fn with_arguments(
    call: &str,
    arguments: [u64; 6],
    policy: &Policy,
) -> Result<Option<Answer>, Diagnostics> {
    match rules(policy)? {
        Some(rules) => rules.exact(call, arguments).map(Some),
        None => Ok(None),
    }
}

impl Rules<'_> {
    /// The policy's rule of a rule of the filter.
    fn cited(&self, rule: &bpf::Rule) -> Option<Cited> {
        let at = |own: &bpf::Rule| std::ptr::eq(own, rule);
        let at = self.said.filter.rules.iter().position(at)?;
        let (key, _) = self.said.keys.get(at)?;
        cite(self.policy, Section::Syscalls, key)
    }

    fn all(&self, rules: &[&bpf::Rule]) -> Vec<Cited> {
        rules.iter().filter_map(|rule| self.cited(rule)).collect()
    }

    fn default(&self) -> Option<Cited> {
        cite(self.policy, Section::Syscalls, "default")
    }

    /// What is answered to a call with these arguments; without them, to one that no rule on arguments is about.
    fn decide(&self, call: &str, arguments: Option<[u64; 6]>) -> Result<Decided, Diagnostics> {
        let speaking =
            bpf::speaking(&self.said.filter, self.arch, call).map_err(|error| broken(&error))?;
        let holds = |rule: &bpf::Rule| match (&rule.key, arguments) {
            (Key::CallWithArguments(on), Some(arguments)) => on
                .conditions()
                .iter()
                .all(|condition| condition.holds(&arguments)),
            _ => false,
        };
        let conditional: Vec<&bpf::Rule> = speaking
            .conditional
            .iter()
            .copied()
            .filter(|rule| holds(rule))
            .collect();
        let mut order = conditional
            .into_iter()
            .chain(speaking.otherwise)
            .chain(speaking.beaten.iter().copied());
        let decider = order.next();
        let weaker: Vec<&bpf::Rule> = order.collect();
        let mut decided = Decided {
            action: decider.map_or(self.said.filter.default, |rule| rule.action),
            rule: decider.and_then(|rule| self.cited(rule)),
            beaten: Vec::new(),
            notes: Vec::new(),
        };
        match decider {
            None => decided.rule = self.default(),
            Some(_) => {
                if let Some(key) = decider.and_then(|rule| self.key(rule)) {
                    decided
                        .beaten
                        .extend(overruled(self.policy, Section::Syscalls, key));
                }
                decided.beaten.extend(self.all(&weaker));
                decided.beaten.extend(self.default());
            }
        }
        let implied = self.implied.iter().find(|implied| {
            let mut calls = implied.call.split([',', ' ']);
            calls.any(|name| name == call)
        });
        let real = match (arguments, implied) {
            (Some(arguments), _) => self.program.verdict_for(call, self.arch, arguments),
            (None, Some(implied)) => Some(implied.action),
            (None, None) if speaking.conditional.is_empty() => {
                self.program.verdict_for(call, self.arch, [0; 6])
            }
            (None, None) => None,
        };
        if let Some(real) = real.filter(|real| *real != decided.action) {
            decided.action = real;
            decided.beaten = decided
                .rule
                .take()
                .into_iter()
                .chain(decided.beaten)
                .collect();
            let because = implied.map_or("so that the rules cannot be walked around", |implied| {
                implied.because.as_str()
            });
            decided.notes.push(format!("implied: {because}"));
        }
        Ok(decided)
    }

    fn key(&self, rule: &bpf::Rule) -> Option<&str> {
        let at = |own: &bpf::Rule| std::ptr::eq(own, rule);
        let at = self.said.filter.rules.iter().position(at)?;
        self.said.keys.get(at).map(|(key, _)| key.as_str())
    }

    fn exact(&self, call: &str, arguments: [u64; 6]) -> Result<Answer, Diagnostics> {
        let decided = self.decide(call, Some(arguments))?;
        Ok(self.told(call, decided))
    }

    fn told(&self, call: &str, decided: Decided) -> Answer {
        let mut out = Answer::new(
            "system-call",
            call.to_owned(),
            verdict(decided.action),
            words(decided.action),
        );
        out.rule = decided.rule;
        out.beaten = decided.beaten;
        out.notes = decided.notes;
        if self.arch.number(call).is_none() {
            out.notes
                .push(format!("{} has no such call", self.arch.name()));
        }
        if decided.action.permits() {
            out.notes
                .push("the filter lets it pass; the kernel's own checks still hold".to_owned());
        }
        out
    }

    fn call(&self, call: &str) -> Result<Answer, Diagnostics> {
        let mut out = self.told(call, self.decide(call, None)?);
        let speaking =
            bpf::speaking(&self.said.filter, self.arch, call).map_err(|error| broken(&error))?;
        for rule in speaking.conditional {
            out.parts.push(Part {
                what: rule.key.to_string(),
                verdict: verdict(rule.action),
                says: words(rule.action),
                rule: self.cited(rule),
            });
        }
        if out.parts.iter().any(|part| part.verdict != out.verdict) {
            out.verdict = Verdict::Partly;
            out.says = format!("{}, but for certain arguments", out.says);
        }
        Ok(out)
    }

    fn group(&self, name: &str) -> Result<Answer, Diagnostics> {
        let members = bpf::groups()
            .find(|group| group.name == name)
            .map(|group| group.members())
            .unwrap_or_default();
        // Calls with the same answer by the same rule are told together.
        let mut parts: Vec<(Part, Vec<&str>)> = Vec::new();
        for call in members {
            if self.arch.number(call).is_none() {
                continue;
            }
            let one = self.call(call)?;
            let same = parts.iter_mut().find(|(part, _)| {
                part.verdict == one.verdict && part.says == one.says && part.rule == one.rule
            });
            match same {
                Some((_, calls)) => calls.push(call),
                None => parts.push((
                    Part {
                        what: String::new(),
                        verdict: one.verdict,
                        says: one.says,
                        rule: one.rule,
                    },
                    vec![call],
                )),
            }
        }
        let is = |verdict| parts.iter().all(|(part, _)| part.verdict == verdict);
        let verdict = match () {
            () if is(Verdict::Allowed) => Verdict::Allowed,
            () if is(Verdict::Denied) => Verdict::Denied,
            () => Verdict::Partly,
        };
        let says = match parts.as_slice() {
            [(part, _)] => part.says.clone(),
            _ if verdict == Verdict::Partly => "some of its calls are allowed".to_owned(),
            _ if verdict == Verdict::Allowed => "all of its calls are allowed".to_owned(),
            _ => "none of its calls is allowed".to_owned(),
        };
        let mut out = Answer::new("system-call", name.to_owned(), verdict, says);
        out = out.by(self.policy, Section::Syscalls, name);
        let alone = parts.len() == 1;
        for (mut part, calls) in parts {
            if alone {
                out.rule = part.rule.take().or(out.rule);
            }
            part.what = calls.join(" ");
            out.parts.push(part);
        }
        Ok(out)
    }
}
