//! Whether a policy allows something, and which rule says so. The same functions decide here that make the plan.

mod call;
mod path;
pub mod question;
#[cfg(test)]
mod tests;

pub use question::Question;

use std::ffi::OsStr;

use super::compile;
use crate::host::Facts;
use crate::plan::step::NamespaceKind;
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::table;
use crate::profile::value::{Namespace, Value, Variable};
use crate::profile::write;
use crate::report::{Diagnostics, Site};
use crate::section::capabilities;
use crate::section::environment;

/// What a question comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Yes.
    Allowed,
    /// No.
    Denied,
    /// It depends; the answer says on what.
    Partly,
    /// It is no question of yes and no: a value.
    Set,
}

/// A rule, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cited {
    /// `filesystem."/etc" = "read-only"`; or what follows from where it stands, in words.
    pub rule: String,
    /// [`Site::DEFAULT`] where nobody has written it.
    pub site: Site,
}

/// What may be done with a path, as far as its own mode allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Can {
    /// Read it, or list it.
    pub read: bool,
    /// Change it, or what is in it.
    pub write: bool,
    /// Run it, or go into it.
    pub execute: bool,
}

/// A part of what was asked about that has an answer of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub what: String,
    /// What happens to it.
    pub verdict: Verdict,
    /// In the policy's words.
    pub says: String,
    /// By which rule.
    pub rule: Option<Cited>,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was asked about: `path`, `system-call`, `capability`, `address`, `variable`, `key`.
    pub kind: &'static str,
    /// What was asked, as it was understood.
    pub question: String,
    /// Yes or no.
    pub verdict: Verdict,
    /// What happens, in a few words.
    pub says: String,
    /// Of a path.
    pub can: Option<Can>,
    /// The rule that decides; `None`: none is about it, and the default holds.
    pub rule: Option<Cited>,
    /// Rules that would have decided without that one, the next one first.
    pub beaten: Vec<Cited>,
    /// Exceptions and members.
    pub parts: Vec<Part>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

impl Answer {
    fn new(
        kind: &'static str,
        question: String,
        verdict: Verdict,
        says: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            question,
            verdict,
            says: says.into(),
            can: None,
            rule: None,
            beaten: Vec::new(),
            parts: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Names the rule of a key, and what it overruled.
    fn by(mut self, policy: &Policy, section: Section, key: &str) -> Self {
        self.rule = cite(policy, section, key);
        self.beaten.extend(overruled(policy, section, key));
        self
    }
}

/// Answers a question from the policy. The facts must know of the path that is asked about.
///
/// # Errors
/// The policy cannot be carried out here, so that nothing can be said about it.
pub fn answer(question: &Question, policy: &Policy, facts: &Facts) -> Result<Answer, Diagnostics> {
    match question {
        Question::Path(path) => path::answer(path, policy, facts),
        Question::Call(_) | Question::Group(_) => call::answer(question, policy),
        Question::Capability(name, number) => capability(name, *number, policy, facts),
        Question::Address { host, port } => address(host, *port, policy, facts),
        Question::Variable(name) => Ok(variable(name, policy, facts)),
        Question::Key(section, key) => Ok(plain(*section, key, policy)),
    }
}

/// A rule as a profile writes it.
fn said(section: Section, key: &str, value: Option<&Value>) -> String {
    let value = value.map_or_else(|| "\"inherit\"".to_owned(), Value::to_toml);
    format!("{section}.{} = {value}", write::key(key))
}

fn cite(policy: &Policy, section: Section, key: &str) -> Option<Cited> {
    let rule = policy.rules.get(section, key)?;
    rule.value.as_ref()?;
    Some(Cited {
        rule: said(section, key, rule.value.as_ref()),
        site: rule.site,
    })
}

/// What lower layers said about a key.
fn overruled(policy: &Policy, section: Section, key: &str) -> Vec<Cited> {
    let rule = policy.rules.get(section, key);
    let before = rule.into_iter().flat_map(|rule| &rule.overruled);
    before
        .map(|before| Cited {
            rule: said(section, key, before.value.as_ref()),
            site: before.site,
        })
        .collect()
}

fn capability(
    name: &str,
    number: u32,
    policy: &Policy,
    facts: &Facts,
) -> Result<Answer, Diagnostics> {
    let question = format!("CAP_{}", name.to_ascii_uppercase());
    let answer = |verdict, says: &str| Answer::new("capability", question.clone(), verdict, says);
    let namespaces = compile::decide(policy, facts)?;
    let new = namespaces.is_new(NamespaceKind::User);
    let last = facts.machine.last_capability;
    if number > last {
        return Ok(answer(
            Verdict::Denied,
            "there is no such capability on this kernel",
        ));
    }
    let has = new || facts.caller.has_capability(number);
    let mut out = match capabilities::lower(policy, new, last) {
        None if has => answer(Verdict::Allowed, "the caller has it, and nothing drops it"),
        None => answer(Verdict::Denied, "the caller does not have it"),
        Some(kept) if kept.keep & (1 << number) == 0 => answer(Verdict::Denied, "dropped"),
        Some(_) if has => answer(Verdict::Allowed, "kept"),
        Some(_) => answer(
            Verdict::Denied,
            "it would be kept, but the caller does not have it",
        ),
    };
    if cite(policy, Section::Capabilities, name).is_some() {
        out = out.by(policy, Section::Capabilities, name);
        out.beaten
            .extend(cite(policy, Section::Capabilities, "default"));
    } else {
        out = out.by(policy, Section::Capabilities, "default");
        if out.rule.is_none() && (new || policy.mentions(Section::Capabilities)) {
            out.notes.push(
                if new {
                    "by default those of a new user namespace are not handed on"
                } else {
                    "by default `[capabilities]` drops what it does not name"
                }
                .to_owned(),
            );
        }
    }
    if new && out.verdict == Verdict::Allowed {
        out.notes.push(
            "it counts in the sandbox's user namespace only, and gives nothing on the host"
                .to_owned(),
        );
    }
    Ok(out)
}

fn address(host: &str, port: u16, policy: &Policy, facts: &Facts) -> Result<Answer, Diagnostics> {
    let question = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let answer = |verdict, says: &str| Answer::new("address", question.clone(), verdict, says);
    let namespaces = compile::decide(policy, facts)?;
    let own = host == "localhost" || host == "::1" || host.starts_with("127.");
    let mut out = if namespaces.is_new(NamespaceKind::Net) && own {
        answer(
            Verdict::Partly,
            "services inside of the sandbox only: it has a loopback interface of its own",
        )
    } else if namespaces.is_new(NamespaceKind::Net) {
        answer(
            Verdict::Denied,
            "the sandbox has no network but a loopback interface of its own",
        )
    } else if let Some(Value::Namespace(Namespace::Join(path))) = policy
        .get(Section::Namespaces, "net")
        .map(|said| said.value)
    {
        let says = format!("as the network of `{path}` has it, which is joined");
        answer(Verdict::Partly, &says)
    } else if let Some((_, name, _)) =
        (namespaces.share.iter()).find(|(kind, ..)| *kind == NamespaceKind::Net)
    {
        let says = format!("as the sandbox `{name}` has it, whose network is shared");
        answer(Verdict::Partly, &says)
    } else if own {
        answer(
            Verdict::Allowed,
            "the host's own services can be reached: it is the caller's network",
        )
    } else {
        answer(Verdict::Allowed, "it is the caller's network")
    };
    let mode = cite(policy, Section::Network, "mode");
    let key = cite(policy, Section::Namespaces, "net");
    (out.rule, out.beaten) = match (key, mode) {
        (Some(key), mode) => (Some(key), mode.into_iter().collect()),
        (None, mode) => (mode, Vec::new()),
    };
    for (section, key) in [(Section::Namespaces, "net"), (Section::Network, "mode")] {
        out.beaten.extend(overruled(policy, section, key));
    }
    // AF_INET6, AF_INET; SOCK_STREAM
    let family = if host.contains(':') { 10 } else { 2 };
    for (name, arguments) in [("socket", [family, 1, 0, 0, 0, 0]), ("connect", [0; 6])] {
        let by = call::with_arguments(name, arguments, policy)?;
        if let Some(denied) = by.filter(|denied| denied.verdict == Verdict::Denied) {
            out.beaten = out.rule.take().into_iter().chain(out.beaten).collect();
            out.verdict = Verdict::Denied;
            out.says = format!(
                "the system call `{}` is answered {}",
                denied.question, denied.says
            );
            out.rule = denied.rule;
            out.notes.extend(denied.notes);
            return Ok(out);
        }
    }
    if out.verdict != Verdict::Denied {
        out.notes
            .push("rules of a firewall are not looked at".to_owned());
    }
    Ok(out)
}

fn variable(name: &str, policy: &Policy, facts: &Facts) -> Answer {
    let answer = |verdict, says: String| Answer::new("variable", format!("${name}"), verdict, says);
    let has = facts.caller.variable(name.as_ref()).is_some();
    let passed = |how: &str| match has {
        true => answer(Verdict::Allowed, format!("passed on{how}")),
        false => answer(
            Verdict::Allowed,
            format!("passed on{how}; it is not set at present"),
        ),
    };
    let clean = environment::is_clean(policy);
    let Some((key, said)) = environment::rule_for(policy, OsStr::new(name)) else {
        let out = match clean.value {
            true => answer(
                Verdict::Denied,
                "not passed on: no rule names it".to_owned(),
            ),
            false => passed(""),
        };
        return out.by(policy, Section::Environment, "default");
    };
    let mut out = match said.value {
        Variable::Pass => passed(""),
        Variable::Unset => answer(Verdict::Denied, "not passed on".to_owned()),
        Variable::Set(_) if key.contains('*') && !has => answer(
            Verdict::Denied,
            "not set: the pattern sets only what the caller has".to_owned(),
        ),
        Variable::Set(text) => answer(Verdict::Set, format!("set to {}", write::quoted(text))),
    }
    .by(policy, Section::Environment, key);
    out.beaten
        .extend(cite(policy, Section::Environment, "default"));
    out
}

/// A key that is asked for by its name.
fn plain(section: Section, key: &str, policy: &Policy) -> Answer {
    let question = format!("{section}.{}", write::key(key));
    let rule = policy.get(section, key);
    let says = match &rule {
        Some(said) => said.value.to_toml(),
        None => match table::find(section, key) {
            Some(entry) => format!("the default: {}", entry.default),
            None => "no rule".to_owned(),
        },
    };
    Answer::new("key", question, Verdict::Set, says).by(policy, section, key)
}
