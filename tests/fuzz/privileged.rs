//! The decisions of the setuid program, against an independent reading of its rules; and that what makes a rule stricter never
//! allows more.

use std::collections::BTreeMap;

use sandbox::report::escape::is_harmful;
use sandbox_suid::accounts::Accounts;
use sandbox_suid::decide::{Order, Refusal, Request, Verdict, decide, usable};
use sandbox_suid::environment::{PATH, is_dangerous};
use sandbox_suid::pattern;
use sandbox_suid::rule::{self, Action, Rule, Target, Who};

/// One byte of a pattern.
enum Token {
    Any,
    One,
    Set(bool, Vec<(u8, u8)>),
    Byte(u8),
}

fn tokens(mut text: &[u8]) -> Vec<Token> {
    let mut out = Vec::new();
    while let [first, rest @ ..] = text {
        text = rest;
        out.push(match first {
            b'*' => Token::Any,
            b'?' => Token::One,
            b'\\' => {
                text = &rest[1..];
                Token::Byte(rest[0])
            }
            b'[' => {
                let negated = matches!(rest.first(), Some(b'!' | b'^'));
                let members = &rest[usize::from(negated)..];
                let end = 1 + members[1..]
                    .iter()
                    .position(|byte| *byte == b']')
                    .expect("closed");
                text = &members[end + 1..];
                let mut members = &members[..end];
                let mut ranges = Vec::new();
                loop {
                    members = match members {
                        [first, b'-', last, rest @ ..] => {
                            ranges.push((*first, *last));
                            rest
                        }
                        [one, rest @ ..] => {
                            ranges.push((*one, *one));
                            rest
                        }
                        [] => break,
                    };
                }
                Token::Set(negated, ranges)
            }
            byte => Token::Byte(*byte),
        });
    }
    out
}

/// By a table of how much of the argument the beginning of the pattern stands for.
fn fits(pattern: &[Token], argument: &[u8]) -> bool {
    let mut row: Vec<bool> = (0..=argument.len()).map(|length| length == 0).collect();
    for token in pattern {
        let mut next = vec![false; row.len()];
        for at in 0..row.len() {
            let last = at.checked_sub(1).map(|before| (before, argument[before]));
            next[at] = match (token, last) {
                (Token::Any, None) => row[at],
                (Token::Any, Some((before, byte))) => row[at] || (next[before] && byte != b'/'),
                (_, None) => false,
                (Token::Byte(own), Some((before, byte))) => row[before] && *own == byte,
                (Token::One, Some((before, byte))) => row[before] && byte != b'/',
                (Token::Set(negated, ranges), Some((before, byte))) => {
                    let has = |(first, last): &(u8, u8)| (*first..=*last).contains(&byte);
                    row[before] && byte != b'/' && ranges.iter().any(has) != *negated
                }
            };
        }
        row = next;
    }
    row[argument.len()]
}

fn parents(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'/').any(|part| part == b"..")
}

/// What a pattern allows: what it stands for, less what no wildcard gives away.
fn allows(pattern: &[u8], argument: &[u8]) -> bool {
    let is_control = |byte: &u8| *byte < 0x20 || *byte == 0x7f;
    let wild = matches!(pattern.first(), Some(b'*' | b'?' | b'['));
    let given_away = parents(argument) && !parents(pattern)
        || wild && matches!(argument.first(), Some(b'-' | b'.'))
        || argument.iter().any(is_control) && pattern != argument;
    !given_away && fits(&tokens(pattern), argument)
}

/// A pattern, and after its line arguments, a line each.
pub fn argument(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let own = lines.next().unwrap_or_default();
    if !pattern::is_valid(own) {
        // Whatever it is, nothing goes wrong; no rule has it.
        for argument in lines {
            let _ = pattern::matches(own, argument);
        }
        return;
    }
    let slashes = |text: &[u8]| text.iter().filter(|byte| **byte == b'/').count();
    let literal = tokens(own)
        .iter()
        .filter(|token| matches!(token, Token::Byte(b'/')))
        .count();
    for argument in lines.chain([own]) {
        let allowed = pattern::matches(own, argument);
        let shown = || {
            format!(
                "{:?} {:?}",
                own.escape_ascii().to_string(),
                argument.escape_ascii().to_string()
            )
        };
        assert_eq!(allowed, allows(own, argument), "{}", shown());
        if allowed {
            assert_eq!(slashes(argument), literal, "{}", shown());
        }
    }
}

/// Parts with a line of `--` between them: a request (the caller's ids in the first line, the rule's name, then arguments, and
/// variables with `$` before them), /etc/passwd, /etc/group, and files of rules.
pub fn verdict(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split("\n--\n");
    let mut lines = parts.next().unwrap_or_default().split('\n');
    let mut ids = lines
        .next()
        .unwrap_or_default()
        .split(' ')
        .map_while(|id| id.parse().ok());
    let mut asked = Request {
        uid: ids.next().unwrap_or(1000),
        gid: ids.next().unwrap_or(1000),
        groups: ids.take(8).collect(),
        name: lines.next().unwrap_or_default().into(),
        ..Request::default()
    };
    for line in lines {
        match line.strip_prefix('$') {
            Some(variable) => asked.environment.push(variable.into()),
            None => asked.arguments.push(line.into()),
        }
    }
    let (passwd, group) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let accounts = Accounts::read(passwd, group);
    let mut files = Vec::new();
    for (number, text) in parts.take(4).enumerate() {
        match rule::read(&format!("{number}.toml"), text) {
            Ok(rules) => files.push(rules),
            Err(faults) => {
                assert!(!faults.is_empty());
                let harmless = |text: &str| !text.chars().any(is_harmful);
                assert!(
                    faults.iter().all(|fault| harmless(&fault.message)),
                    "{faults:?}"
                );
            }
        }
    }
    let count: usize = files.iter().map(Vec::len).sum();
    let Ok(rules) = rule::join(files) else {
        return;
    };
    assert_eq!(rules.len(), count);
    let verdict = decide(&rules, &accounts, &asked);
    assert_eq!(verdict, decide(&rules, &accounts, &asked));
    let named = std::str::from_utf8(&asked.name)
        .ok()
        .and_then(|name| rules.get(name));
    let is_somebody = asked.uid != u32::MAX && asked.gid != u32::MAX;
    let may = named.filter(|rule| is_somebody && is_for(&rule.who, &accounts, &asked));
    if is_somebody {
        let usable = usable(&rules, &accounts, &asked);
        for rule in rules.values() {
            let listed = usable.iter().any(|one| one.name == rule.name);
            assert_eq!(
                listed,
                is_for(&rule.who, &accounts, &asked),
                "{:?} {asked:?}",
                rule.who
            );
        }
    }
    match &verdict {
        Verdict::Refuse(refusal) => {
            assert!(!refusal.told.chars().any(is_harmful), "{refusal:?}");
            assert_eq!(
                refusal.status == 127,
                is_somebody && may.is_none(),
                "{refusal:?} {asked:?}"
            );
            if refusal.status == 127 {
                // Nobody learns whether there is such a rule for others.
                let nothing = decide_alone(&BTreeMap::new(), &accounts, &asked);
                assert_eq!(
                    nothing.map(|refusal| refusal.told),
                    Some(refusal.told.clone())
                );
            }
        }
        Verdict::Allow { rule, order } => {
            assert_eq!(Some(*rule), may, "{asked:?}");
            granted(rule, order, &asked);
        }
    }
    if let Some(rule) = named {
        stricter(
            rule,
            &accounts,
            &asked,
            matches!(verdict, Verdict::Allow { .. }),
        );
    }
}

fn decide_alone(
    rules: &BTreeMap<String, Rule>,
    accounts: &Accounts,
    asked: &Request,
) -> Option<Refusal> {
    match decide(rules, accounts, asked) {
        Verdict::Refuse(refusal) => Some(refusal),
        Verdict::Allow { .. } => None,
    }
}

/// A number as accounts have it: digits without zeros before them, and not -1.
fn id(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text && number != u32::MAX).then_some(number)
}

/// Whether a rule is for a caller: named, and not excepted; an exception that nobody can judge excepts everybody.
fn is_for(who: &Who, accounts: &Accounts, asked: &Request) -> bool {
    let user = |name: &String| id(name).or_else(|| accounts.user(name).map(|user| user.uid));
    let group = |name: &String| id(name).or_else(|| accounts.group(name).map(|group| group.gid));
    let listed = accounts
        .user_by_id(asked.uid)
        .map(|user| accounts.groups_of(user))
        .unwrap_or_default();
    let has = |gid: u32| asked.gid == gid || asked.groups.contains(&gid);
    let named = who
        .users
        .iter()
        .any(|name| name == "*" || user(name) == Some(asked.uid))
        || who.groups.iter().any(|name| group(name).is_some_and(has));
    let excepted = who
        .except_users
        .iter()
        .any(|name| name == "*" || user(name).is_none_or(|uid| uid == asked.uid))
        || who
            .except_groups
            .iter()
            .any(|name| group(name).is_none_or(|gid| has(gid) || listed.contains(&gid)));
    named && !excepted
}

/// What is granted is what the rule says, and nothing of the caller's but what the rule takes.
fn granted(rule: &Rule, order: &Order, asked: &Request) {
    let (run, order) = match (&rule.action, order) {
        (Action::LimitCaller, Order::LimitCaller) => return assert!(asked.arguments.is_empty()),
        (Action::Run(run), Order::Run(order)) => (run, order),
        other => panic!("{other:?}"),
    };
    assert!(order.program.starts_with('/') && order.program == run.program);
    assert!(order.uid != u32::MAX && order.gid != u32::MAX && !order.groups.contains(&u32::MAX));
    match &run.user {
        Target::Caller => assert_eq!(order.uid, asked.uid),
        Target::Id(uid) => assert_eq!(order.uid, *uid),
        Target::Name(_) => {}
    }
    assert_eq!(
        (order.umask, &order.capabilities),
        (run.umask, &run.capabilities)
    );
    let fixed = 1 + run.arguments.len();
    assert_eq!(order.arguments[0], run.program.as_bytes());
    assert!(
        order.arguments[1..fixed]
            .iter()
            .eq(run.arguments.iter().map(String::as_bytes))
    );
    assert_eq!(order.arguments[fixed..], asked.arguments);
    assert!((run.extra.min..=run.extra.max).contains(&asked.arguments.len()));
    for argument in &asked.arguments {
        let by_pattern = run
            .extra
            .patterns
            .iter()
            .any(|pattern| allows(pattern.as_bytes(), argument));
        let free =
            run.extra.patterns.is_empty() && (run.extra.options || !argument.starts_with(b"-"));
        assert!(by_pattern || free, "{argument:?} of {:?}", run.extra);
    }
    let mut before: &[u8] = b"";
    for entry in &order.environment {
        let at = entry
            .iter()
            .position(|byte| *byte == b'=')
            .expect("a variable");
        let (name, value) = (&entry[..at], &entry[at + 1..]);
        assert!(before < name, "once each, in order");
        before = name;
        let name = std::str::from_utf8(name).expect("text");
        const OURS: [&str; 8] = [
            "PATH",
            "HOME",
            "USER",
            "LOGNAME",
            "SHELL",
            "SANDBOX_UID",
            "SANDBOX_GID",
            "SANDBOX_USER",
        ];
        if let Some(set) = run.set.get(name) {
            assert_eq!(value, set.as_bytes(), "{name}");
        } else if OURS.contains(&name) {
            assert!(name != "PATH" || value == PATH.as_bytes());
        } else {
            assert!(!is_dangerous(name), "{name}");
            let theirs: Vec<&Vec<u8>> = (asked.environment.iter())
                .filter(|theirs| {
                    theirs.starts_with(name.as_bytes()) && theirs.get(name.len()) == Some(&b'=')
                })
                .collect();
            assert_eq!(theirs, [entry], "{name}");
            let kept = |keep: &String| {
                keep == name
                    || keep
                        .strip_suffix('*')
                        .is_some_and(|start| name.starts_with(start))
            };
            assert!(run.keep.iter().any(kept), "{name}");
        }
    }
}

/// Rules that differ from this one by being stricter.
fn stricter(rule: &Rule, accounts: &Accounts, asked: &Request, allowed: bool) {
    let judged = |rule: Rule| {
        let rules = BTreeMap::from([(rule.name.clone(), rule)]);
        decide_alone(&rules, accounts, asked).is_none()
    };
    assert_eq!(judged(rule.clone()), allowed);
    let with = |change: &dyn Fn(&mut Rule)| {
        let mut rule = rule.clone();
        change(&mut rule);
        judged(rule)
    };
    let uid = asked.uid.to_string();
    assert!(!with(&|rule| rule.who.except_users.push(uid.clone())));
    assert!(!with(&|rule| rule
        .who
        .except_groups
        .push(asked.gid.to_string())));
    assert!(!with(&|rule| rule
        .who
        .except_users
        .push("no:body".to_owned())));
    assert!(!with(&|rule| rule
        .who
        .except_groups
        .push("no:body".to_owned())));
    assert!(!with(
        &|rule| (rule.who.users, rule.who.groups) = Default::default()
    ));
    let run = |change: &dyn Fn(&mut rule::Run)| {
        with(&|rule| {
            if let Action::Run(run) = &mut rule.action {
                change(run);
            }
        })
    };
    let fewer = [
        with(&|rule| drop(rule.who.users.pop())),
        with(&|rule| drop(rule.who.groups.pop())),
        run(&|run| run.extra.max = run.extra.max.saturating_sub(1)),
        run(&|run| run.extra.min = run.extra.min.saturating_add(1)),
        run(&|run| run.extra.options = false),
        run(&|run| {
            if run.extra.patterns.len() > 1 {
                run.extra.patterns.pop();
            }
        }),
        // From no pattern to one.
        run(&|run| {
            if run.extra.patterns.is_empty() {
                run.extra.patterns.push("[!-.]*".to_owned());
            }
        }),
    ];
    assert!(
        allowed || fewer.iter().all(|allows| !allows),
        "{fewer:?} {rule:?} {asked:?}"
    );
    if allowed {
        // Who is named once more is allowed all the same.
        assert!(with(&|rule| rule.who.users.push(uid.clone())));
    }
}
