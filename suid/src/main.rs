//! `sandbox-suid NAME [ARGUMENT…]`: runs an administrator's rule for its caller. See sandbox-suid(8).

use std::collections::BTreeMap;
use std::io::Write;

use sandbox_suid::accounts::Accounts;
use sandbox_suid::carry::{self, Failure};
use sandbox_suid::decide::{self, Order, Request, Verdict};
use sandbox_suid::journal::{self, Entry};
use sandbox_suid::rule::{self, Rule};
use sandbox_suid::sanitise::{Call, Limit, sanitise};
use sandbox_suid::show::show;
use sandbox_suid::{RULES, system, trust};

/// The name under which the rule's name is the first argument.
const OWN_NAME: &[u8] = b"sandbox-suid";
const USAGE: &str = "usage: sandbox-suid NAME [ARGUMENT…]
       sandbox-suid --list

Runs the rule NAME that the administrator of this system has made for you, see
sandbox-suid(8). A symbolic link NAME -> sandbox-suid does the same.

  --list     your rules
  --help     this text
  --version  the version
";

fn main() {
    std::process::exit(serve());
}

/// Says something on what the caller gave as standard error: never as root, whom the kernel would let write to more than the
/// caller, such as to files of /proc. After this nothing can be done but to end.
fn complain(text: &str) {
    if system::become_caller().is_ok() {
        // Whoever does not read it misses nothing else.
        let _ = writeln!(std::io::stderr(), "sandbox-suid: {text}");
    }
}

fn usage() -> i32 {
    if system::become_caller().is_ok() {
        let _ = write!(std::io::stderr(), "{USAGE}");
    }
    2
}

fn serve() -> i32 {
    let call = match sanitise() {
        Ok(call) => call,
        Err(why) => {
            complain(&why);
            return 126;
        }
    };
    let mut arguments = call.arguments.iter();
    let called = arguments.next().map(Vec::as_slice).unwrap_or_default();
    let called = called
        .rsplit(|byte| *byte == b'/')
        .next()
        .unwrap_or_default();
    let mut rest: Vec<Vec<u8>> = arguments.cloned().collect();
    let name = if called == OWN_NAME {
        match rest.first().map(Vec::as_slice) {
            None => return usage(),
            Some(b"--help") => return print(USAGE),
            Some(b"--version") => {
                return print(concat!("sandbox-suid ", env!("CARGO_PKG_VERSION"), "\n"));
            }
            Some(b"--list") => return list(&call),
            Some(option) if option.starts_with(b"-") => {
                complain(&format!(
                    "unknown option `{}`",
                    show(&String::from_utf8_lossy(option))
                ));
                return usage();
            }
            Some(_) => rest.remove(0),
        }
    } else {
        called.to_vec()
    };
    if !call.privileged {
        return unprivileged();
    }
    let request = Request {
        name,
        arguments: rest,
        ..call.request
    };
    answer(&request, &call.limits)
}

fn print(text: &str) -> i32 {
    if system::become_caller().is_err() {
        return 126;
    }
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

fn unprivileged() -> i32 {
    if system::has_no_new_privileges() {
        complain(
            "not run as root: this process may gain no rights (no_new_privs), as inside a sandbox",
        );
    } else {
        complain(
            "not run as root: the file must be root's and have mode 4755 (chmod u+s), on a file system without nosuid",
        );
    }
    126
}

type Known = (BTreeMap<String, Rule>, Accounts);

/// The rules and the accounts, or what is wrong with them, for the administrator.
fn load() -> Result<Known, String> {
    let mut files = Vec::new();
    for (path, text) in trust::rules(RULES)? {
        let rules = rule::read(&path, &text).map_err(|faults| first(&faults))?;
        files.push(rules);
    }
    let rules = rule::join(files).map_err(|faults| first(&faults))?;
    let accounts = Accounts::read(&trust::text("/etc/passwd")?, &trust::text("/etc/group")?);
    Ok((rules, accounts))
}

fn first(faults: &[rule::Fault]) -> String {
    faults.first().map_or_else(String::new, |fault| {
        format!("{}: {}", fault.place, fault.message)
    })
}

fn log(request: &Request, accounts: &Accounts, allowed: bool, reason: &str) -> Result<(), String> {
    journal::write(&Entry {
        uid: request.uid,
        user: accounts
            .user_by_id(request.uid)
            .map(|user| user.name.as_str()),
        name: &request.name,
        arguments: &request.arguments,
        allowed,
        reason,
    })
}

/// What only the administrator can mend: the log has it, and root is told.
fn broken(request: &Request, accounts: &Accounts, why: &str) -> i32 {
    let logged = log(request, accounts, false, why);
    if request.uid == 0 {
        complain(&show(why));
    } else {
        complain(
            "this cannot be carried out; the administrator of this system finds the reason in its log",
        );
    }
    if request.uid == 0
        && let Err(why) = logged
    {
        complain(&format!("and it cannot be logged: {why}"));
    }
    126
}

fn answer(request: &Request, limits: &[Limit]) -> i32 {
    let (rules, accounts) = match load() {
        Ok(known) => known,
        Err(why) => return broken(request, &Accounts::default(), &why),
    };
    match decide::decide(&rules, &accounts, request) {
        Verdict::Refuse(refusal) => {
            // That it is refused does not depend on whether it can be logged.
            let _ = log(request, &accounts, false, &refusal.logged);
            complain(&refusal.told);
            if request.uid == 0 && refusal.logged != refusal.told {
                complain(&format!("  {}", refusal.logged));
            }
            refusal.status
        }
        Verdict::Allow { rule, order } => {
            let logged = log(request, &accounts, true, &format!("rule at {}", rule.place));
            if let (Err(why), true) = (logged, rule.must_log) {
                return broken(
                    request,
                    &accounts,
                    &format!("the rule asks to be logged (`log`), and cannot be: {why}"),
                );
            }
            let failure = match order {
                Order::LimitCaller => match carry::limit_caller(rule, request.uid) {
                    Ok(()) => return 0,
                    Err(failure) => failure,
                },
                Order::Run(order) => carry::run(rule, &order, request.uid, limits),
            };
            failed(request, &accounts, &failure)
        }
    }
}

fn failed(request: &Request, accounts: &Accounts, failure: &Failure) -> i32 {
    if failure.public {
        let _ = log(request, accounts, false, &failure.message);
        complain(&show(&failure.message));
        return failure.status;
    }
    broken(request, accounts, &failure.message);
    failure.status
}

/// The caller's own rules.
fn list(call: &Call) -> i32 {
    if !call.privileged {
        return unprivileged();
    }
    let (rules, accounts) = match load() {
        Ok(known) => known,
        Err(why) => return broken(&call.request, &Accounts::default(), &why),
    };
    let mut text = String::new();
    for rule in decide::usable(&rules, &accounts, &call.request) {
        let what = if rule.description.is_empty() {
            match &rule.action {
                rule::Action::Run(run) => format!("runs {}", run.program),
                rule::Action::LimitCaller => "limits the process that calls it".to_owned(),
            }
        } else {
            rule.description.clone()
        };
        text.push_str(&format!("{:16} {}\n", rule.name, show(&what)));
    }
    if text.is_empty() {
        text.push_str("you have no rules\n");
    }
    print(&text)
}
