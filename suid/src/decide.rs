//! The decision: who asks for which rule with which arguments, and what follows. Values in, a verdict out.

use std::collections::BTreeMap;

use crate::accounts::{Accounts, User, id};
use crate::environment::{self, Origin};
use crate::pattern;
use crate::rule::{Action, Directory, Extra, Rule, Run, Supplementary, Target, TargetGroup, Who};
use crate::show::show;

/// What the caller asks for, as the kernel tells it: nothing here is believed because the caller says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Supplementary groups of the process.
    pub groups: Vec<u32>,
    /// The rule's name.
    pub name: Vec<u8>,
    /// Further arguments.
    pub arguments: Vec<Vec<u8>>,
    /// The environment.
    pub environment: Vec<Vec<u8>>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Become somebody and execute a program.
    Run(RunOrder),
    /// Put the caller's process under limits.
    LimitCaller,
}

/// A program to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOrder {
    /// Target user id.
    pub uid: u32,
    /// Target group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Capabilities that are kept, by their numbers.
    pub capabilities: Vec<u32>,
    /// Absolute path.
    pub program: String,
    /// With argument 0.
    pub arguments: Vec<Vec<u8>>,
    /// `NAME=value`.
    pub environment: Vec<Vec<u8>>,
    /// Where it starts; none: where the caller is.
    pub directory: Option<String>,
    /// The umask.
    pub umask: u32,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'r> {
    /// It is granted.
    Allow {
        /// By this rule.
        rule: &'r Rule,
        /// This is to be done.
        order: Order,
    },
    /// It is refused.
    Refuse(Refusal),
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Exit status: 127 where there is no such rule for this caller, 126 otherwise.
    pub status: i32,
    /// What the caller is told.
    pub told: String,
    /// What is logged.
    pub logged: String,
}

/// More is no request that a rule could be meant for.
const MOST_ARGUMENTS: usize = crate::rule::ANY;
/// Bytes of all arguments together.
const MOST_BYTES: usize = 128 * 1024;

impl Refusal {
    /// The same words whether there is no such rule or it is somebody else's: a caller learns no names.
    fn unknown(name: &[u8], logged: String) -> Self {
        Self {
            status: 127,
            told: format!(
                "you have no rule `{}`; `sandbox-suid --list` shows yours, and the administrator of this system makes them",
                show(&String::from_utf8_lossy(name))
            ),
            logged,
        }
    }

    fn refused(told: String, logged: String) -> Self {
        Self {
            status: 126,
            told,
            logged,
        }
    }
}

/// Judges a request.
#[must_use]
pub fn decide<'r>(
    rules: &'r BTreeMap<String, Rule>,
    accounts: &Accounts,
    request: &Request,
) -> Verdict<'r> {
    match judge(rules, accounts, request) {
        Ok((rule, order)) => Verdict::Allow { rule, order },
        Err(refusal) => Verdict::Refuse(refusal),
    }
}

/// The rules that a caller may use, in the order of their names.
#[must_use]
pub fn usable<'r>(
    rules: &'r BTreeMap<String, Rule>,
    accounts: &Accounts,
    request: &Request,
) -> Vec<&'r Rule> {
    rules
        .values()
        .filter(|rule| is_named(&rule.who, accounts, request).is_ok())
        .collect()
}

fn judge<'r>(
    rules: &'r BTreeMap<String, Rule>,
    accounts: &Accounts,
    request: &Request,
) -> Result<(&'r Rule, Order), Refusal> {
    if request.uid == u32::MAX || request.gid == u32::MAX {
        return Err(Refusal::refused(
            "the kernel names no caller".to_owned(),
            "the caller has the id -1".to_owned(),
        ));
    }
    let rule = std::str::from_utf8(&request.name)
        .ok()
        .and_then(|name| rules.get(name))
        .ok_or_else(|| Refusal::unknown(&request.name, "there is no such rule".to_owned()))?;
    is_named(&rule.who, accounts, request).map_err(|why| Refusal::unknown(&request.name, why))?;
    let order = match &rule.action {
        Action::LimitCaller => {
            if !request.arguments.is_empty() {
                return Err(too_many(0, request.arguments.len(), &rule.name));
            }
            Order::LimitCaller
        }
        Action::Run(run) => {
            check_arguments(&run.extra, &request.arguments, &rule.name)?;
            Order::Run(order(run, accounts, request)?)
        }
    };
    Ok((rule, order))
}

/// Whether the caller is one that the rule is for.
fn is_named(who: &Who, accounts: &Accounts, request: &Request) -> Result<(), String> {
    let user = |name: &String| -> Result<bool, String> {
        if name == "*" {
            return Ok(true);
        }
        match id(name).or_else(|| accounts.user(name).map(|user| user.uid)) {
            Some(uid) => Ok(uid == request.uid),
            None => Err(format!(
                "the rule names the user `{name}`, who is not in /etc/passwd"
            )),
        }
    };
    let group = |name: &String| -> Result<bool, String> {
        match id(name).or_else(|| accounts.group(name).map(|group| group.gid)) {
            Some(gid) => Ok(gid == request.gid || request.groups.contains(&gid)),
            None => Err(format!(
                "the rule names the group `{name}`, which is not in /etc/group"
            )),
        }
    };
    // Who was made a member after this session began is one all the same, where that takes something away.
    let listed: Vec<u32> = accounts
        .user_by_id(request.uid)
        .map(|user| accounts.groups_of(user))
        .unwrap_or_default();
    let is_listed = |name: &String| {
        id(name)
            .or_else(|| accounts.group(name).map(|group| group.gid))
            .is_some_and(|gid| listed.contains(&gid))
    };
    // An exception that cannot be judged excepts everybody.
    for name in &who.except_users {
        if user(name)? {
            return Err("the caller is excepted by `except-users`".to_owned());
        }
    }
    for name in &who.except_groups {
        if group(name)? || is_listed(name) {
            return Err("the caller is excepted by `except-groups`".to_owned());
        }
    }
    // A name that nobody has allows nobody.
    let named = who.users.iter().any(|name| user(name) == Ok(true))
        || who.groups.iter().any(|name| group(name) == Ok(true));
    if named {
        Ok(())
    } else {
        Err("the caller is not named by `users` or `groups`".to_owned())
    }
}

fn too_many(most: usize, given: usize, name: &str) -> Refusal {
    let told = if most == 0 {
        format!("`{name}` takes no arguments, and {given} were given")
    } else {
        format!("`{name}` takes at most {most} arguments, and {given} were given")
    };
    Refusal::refused(told.clone(), told)
}

fn check_arguments(extra: &Extra, given: &[Vec<u8>], name: &str) -> Result<(), Refusal> {
    if given.len() > extra.max || given.len() > MOST_ARGUMENTS {
        return Err(too_many(extra.max, given.len(), name));
    }
    if given.len() < extra.min {
        let told = format!(
            "`{name}` needs at least {} arguments, and {} were given",
            extra.min,
            given.len()
        );
        return Err(Refusal::refused(told.clone(), told));
    }
    if given
        .iter()
        .map(|argument| argument.len() + 1)
        .sum::<usize>()
        > MOST_BYTES
    {
        let told = format!("the arguments of `{name}` are too long");
        return Err(Refusal::refused(told.clone(), told));
    }
    for (at, argument) in given.iter().enumerate() {
        let fits = extra
            .patterns
            .iter()
            .any(|pattern| pattern::matches(pattern.as_bytes(), argument));
        let free = extra.patterns.is_empty() && (extra.options || argument.first() != Some(&b'-'));
        if fits || free {
            continue;
        }
        let shown = show(&String::from_utf8_lossy(argument));
        let told = format!(
            "argument {} of `{name}` (`{shown}`) is not one that the rule allows",
            at + 1
        );
        return Err(Refusal::refused(told.clone(), told));
    }
    Ok(())
}

/// The caller's own words for what only the administrator can mend.
fn broken(why: String) -> Refusal {
    Refusal::refused(
        "the rule cannot be carried out; ask the administrator of this system, whose log says why"
            .to_owned(),
        why,
    )
}

fn order(run: &Run, accounts: &Accounts, request: &Request) -> Result<RunOrder, Refusal> {
    let (uid, user): (u32, Option<&User>) = match &run.user {
        Target::Caller => (request.uid, accounts.user_by_id(request.uid)),
        Target::Id(uid) => (*uid, accounts.user_by_id(*uid)),
        Target::Name(name) => {
            let user = accounts
                .user(name)
                .ok_or_else(|| broken(format!("there is no user `{name}` in /etc/passwd")))?;
            (user.uid, Some(user))
        }
    };
    let gid = match &run.group {
        TargetGroup::Caller => request.gid,
        TargetGroup::Id(gid) => *gid,
        TargetGroup::Primary => match (user, &run.user) {
            (Some(user), _) => user.gid,
            (None, Target::Caller) => request.gid,
            (None, _) if uid == 0 => 0,
            (None, _) => {
                return Err(broken(format!(
                    "user {uid} is not in /etc/passwd, so that its group is not known"
                )));
            }
        },
        TargetGroup::Name(name) => accounts
            .group(name)
            .map(|group| group.gid)
            .ok_or_else(|| broken(format!("there is no group `{name}` in /etc/group")))?,
    };
    let groups = match &run.supplementary {
        Supplementary::None => Vec::new(),
        Supplementary::Target => user
            .map(|user| accounts.groups_of(user))
            .unwrap_or_default(),
        Supplementary::List(names) => names
            .iter()
            .map(|name| {
                id(name)
                    .or_else(|| accounts.group(name).map(|group| group.gid))
                    .ok_or_else(|| broken(format!("there is no group `{name}` in /etc/group")))
            })
            .collect::<Result<_, _>>()?,
    };
    let directory = match &run.directory {
        Directory::Caller => None,
        Directory::Path(path) => Some(path.clone()),
        Directory::Home => Some(
            user.map(|user| user.home.clone())
                .filter(|home| home.starts_with('/'))
                .ok_or_else(|| {
                    broken(format!("user {uid} has no home directory in /etc/passwd"))
                })?,
        ),
    };
    let origin = Origin {
        uid: request.uid,
        gid: request.gid,
        name: accounts
            .user_by_id(request.uid)
            .map(|user| user.name.clone()),
    };
    let mut arguments = vec![run.program.clone().into_bytes()];
    arguments.extend(
        run.arguments
            .iter()
            .map(|argument| argument.clone().into_bytes()),
    );
    arguments.extend(request.arguments.iter().cloned());
    Ok(RunOrder {
        uid,
        gid,
        groups,
        capabilities: run.capabilities.clone(),
        program: run.program.clone(),
        arguments,
        environment: environment::build(run, user, uid, &origin, &request.environment),
        directory,
        umask: run.umask,
    })
}
