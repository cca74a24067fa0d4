//! `sandboxctl rules`: the administrator's side of sandbox-suid(8).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueHint};
use sandbox_suid::accounts::{Accounts, User, id};
use sandbox_suid::decide::{Order, Request, RunOrder, Verdict, decide};
use sandbox_suid::rule::{self, Action, CAPABILITIES, Fault, Rule, Target};
use sandbox_suid::show::show;
use sandbox_suid::{RULES, trust};
use serde_json::json;

use super::flag::Flag;
use super::layer::{Said, layer};
use super::{answer, complain, status};
use crate::profile::search::Library;
use crate::report::SourceMap;
use crate::rules::{Concern, Weight, import, review};

/// What is done with rules.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Rules {
    /// List all rules: who may use them, what they run and as whom
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Find faults and dangerous rules: a writable program, a shell with arguments of the caller's, a missing account
    ///
    /// Without FILE the installed rules are checked, with the owners and modes of their files.
    Check {
        /// Files that are not installed yet
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Say what would come of it if USER called the rule NAME with these arguments, and why; nothing is run
    Test {
        /// The user, by name or number
        #[arg(value_name = "USER", value_hint = ValueHint::Username)]
        user: String,
        /// The rule
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: String,
        /// Arguments
        #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true, value_hint = ValueHint::Other)]
        arguments: Vec<OsString>,
        /// A file of rules that is not installed yet
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },

    /// Turn a suid.conf into rules, and print them; comments say what changed and why
    Import {
        /// Such as /etc/suid.conf
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },

    /// Make a symbolic link to sandbox-suid with the name of a rule, so that users call the rule by it (as root)
    InstallLink {
        /// The rule
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: String,
        /// Where
        #[arg(long, value_name = "DIR", default_value = "/usr/local/bin", value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
}

/// Carries a verb out.
///
/// # Errors
/// The exit status: 1 when something is wrong with rules or a request is refused, 2 for a file that cannot be read.
pub fn run(verb: &Rules) -> Result<(), i32> {
    match verb {
        Rules::List { json } => list(*json),
        Rules::Check { files, json } => check(files, *json),
        Rules::Test {
            user,
            name,
            arguments,
            file,
        } => test(user, name, arguments, file.as_deref()),
        Rules::Import { file } => import_file(file),
        Rules::InstallLink { name, directory } => install_link(name, directory),
    }
}

fn fail(status: i32, text: &str) -> i32 {
    complain(&format!("sandboxctl: {text}\n"));
    status
}

type All = BTreeMap<String, Rule>;

/// Files and their texts: those that are named, else the installed ones, which must be root's alone.
fn texts(files: &[PathBuf]) -> Result<Vec<(String, String)>, i32> {
    if files.is_empty() {
        return trust::rules(RULES)
            .map_err(|why| fail(status::NO, &format!("the rules cannot be used: {why}")));
    }
    files
        .iter()
        .map(|path| {
            let name = show(&path.to_string_lossy());
            std::fs::read_to_string(path)
                .map(|text| (name.clone(), text))
                .map_err(|error| fail(status::USAGE, &format!("cannot read {name}: {error}")))
        })
        .collect()
}

fn load(files: &[PathBuf]) -> Result<Result<All, Vec<Fault>>, i32> {
    let mut faults = Vec::new();
    let mut all = Vec::new();
    for (name, text) in texts(files)? {
        match rule::read(&name, &text) {
            Ok(rules) => all.push(rules),
            Err(wrong) => faults.extend(wrong),
        }
    }
    Ok(match (faults.is_empty(), rule::join(all)) {
        (true, Ok(rules)) => Ok(rules),
        (true, Err(wrong)) => Err(wrong),
        (false, _) => Err(faults),
    })
}

fn told(faults: &[Fault]) -> i32 {
    for fault in faults {
        complain(&format!("{}: {}\n", fault.place, fault.message));
    }
    complain(
        "sandboxctl: one fault makes all rules unusable, so that no rule means what nobody meant\n",
    );
    status::NO
}

fn accounts() -> Result<Accounts, i32> {
    let read = |path| trust::text(path).map_err(|why| fail(status::NO, &why));
    Ok(Accounts::read(&read("/etc/passwd")?, &read("/etc/group")?))
}

fn names(rule: &Rule) -> String {
    let who = &rule.who;
    let mut words: Vec<String> = who
        .users
        .iter()
        .map(|name| {
            if name == "*" {
                "everybody".to_owned()
            } else {
                name.clone()
            }
        })
        .collect();
    words.extend(who.groups.iter().map(|name| format!("@{name}")));
    words.extend(who.except_users.iter().map(|name| format!("not {name}")));
    words.extend(who.except_groups.iter().map(|name| format!("not @{name}")));
    words.join(", ")
}

fn target(user: &Target) -> String {
    match user {
        Target::Caller => "the caller".to_owned(),
        Target::Name(name) => name.clone(),
        Target::Id(0) => "root".to_owned(),
        Target::Id(id) => id.to_string(),
    }
}

fn list(as_json: bool) -> Result<(), i32> {
    let rules = load(&[])?.map_err(|faults| told(&faults))?;
    if as_json {
        let all: Vec<_> = rules
            .values()
            .map(|rule| {
                let program = match &rule.action {
                    Action::Run(run) => Some(&run.program),
                    Action::LimitCaller => None,
                };
                json!({
                    "name": rule.name,
                    "place": rule.place,
                    "description": rule.description,
                    "users": rule.who.users,
                    "groups": rule.who.groups,
                    "except_users": rule.who.except_users,
                    "except_groups": rule.who.except_groups,
                    "action": if program.is_some() { "run" } else { "limit-caller" },
                    "program": program,
                    "profile": rule.profile,
                    "limits": rule.limits,
                })
            })
            .collect();
        return answer(&format!("{:#}\n", json!(all)));
    }
    if rules.is_empty() {
        return answer(&format!(
            "there are no rules; they belong into {RULES}/*.toml, see sandbox-suid(8)\n"
        ));
    }
    let mut text = String::new();
    for rule in rules.values() {
        let what = match &rule.action {
            Action::Run(run) => format!("runs {} as {}", run.program, target(&run.user)),
            Action::LimitCaller => "limits the process that calls it".to_owned(),
        };
        let _ = writeln!(
            text,
            "{}\n  for    {}\n  what   {what}\n  place  {}",
            rule.name,
            names(rule),
            rule.place
        );
        if !rule.description.is_empty() {
            let _ = writeln!(text, "  about  {}", show(&rule.description));
        }
    }
    answer(&text)
}

/// What is wrong with a profile in the system's directories.
fn wrong_profile(name: &str) -> Option<String> {
    let mut sources = SourceMap::new();
    // Without a user's directory: what counts for a rule.
    super::inspect::resolve(
        &[name.to_owned()],
        &Library::standard(None, 0),
        None,
        &mut sources,
    )
    .err()
    .map(|errors| {
        errors
            .first()
            .map_or_else(String::new, |error| error.message.clone())
    })
}

/// What is wrong with a limit: the profile language judges it.
fn wrong_limit(key: &str, value: &str) -> Option<String> {
    let said = Said {
        options: vec![(Flag::Set, format!("limits.{key}={value}"))],
        ..Said::default()
    };
    layer(&said, &mut SourceMap::new())
        .err()
        .and_then(|errors| errors.first().map(|error| error.message.clone()))
}

fn check(files: &[PathBuf], as_json: bool) -> Result<(), i32> {
    let rules = match load(files)? {
        Ok(rules) => rules,
        Err(faults) if as_json => {
            let all: Vec<_> = faults
                .iter()
                .map(|fault| json!({"weight": "fault", "rule": null, "place": fault.place, "message": fault.message, "help": ""}))
                .collect();
            answer(&format!("{:#}\n", json!(all)))?;
            return Err(status::NO);
        }
        Err(faults) => return Err(told(&faults)),
    };
    let accounts = accounts()?;
    let program = |path: &str| match trust::program(path) {
        Ok(trust::Found::File(_)) => None,
        Ok(trust::Found::Missing) => Some(format!("{path} is not installed")),
        Err(wrong) => Some(wrong),
    };
    let world = review::World {
        accounts: &accounts,
        program: &program,
        profile: &wrong_profile,
        limit: &wrong_limit,
    };
    let concerns: Vec<Concern> = rules
        .values()
        .flat_map(|rule| review(rule, &world))
        .collect();
    let worst = concerns.iter().map(|concern| concern.weight).max();
    if as_json {
        let all: Vec<_> = concerns
            .iter()
            .map(|concern| {
                json!({
                    "weight": if concern.weight == Weight::Danger { "danger" } else { "doubt" },
                    "rule": concern.rule,
                    "place": concern.place,
                    "message": concern.message,
                    "help": concern.help,
                })
            })
            .collect();
        answer(&format!("{:#}\n", json!(all)))?;
    } else {
        let mut text = String::new();
        for concern in &concerns {
            let word = if concern.weight == Weight::Danger {
                "danger"
            } else {
                "doubt"
            };
            let _ = writeln!(
                text,
                "{word}: {}: {} ({})\n  {}",
                concern.rule,
                show(&concern.message),
                concern.place,
                concern.help
            );
        }
        if concerns.is_empty() {
            let count = rules.len();
            let noun = if count == 1 { "rule" } else { "rules" };
            let _ = writeln!(text, "{count} {noun}, nothing to object to");
        }
        answer(&text)?;
    }
    if worst == Some(Weight::Danger) {
        Err(status::NO)
    } else {
        Ok(())
    }
}

fn user(accounts: &Accounts, name: &str) -> Result<User, i32> {
    let found = match id(name) {
        Some(uid) => Some(accounts.user_by_id(uid).cloned().unwrap_or(User {
            name: String::new(),
            uid,
            gid: uid,
            home: String::new(),
            shell: String::new(),
        })),
        None => accounts.user(name).cloned(),
    };
    found.ok_or_else(|| {
        fail(
            status::USAGE,
            &format!("there is no user `{}` in /etc/passwd", show(name)),
        )
    })
}

fn test(name: &str, rule: &str, arguments: &[OsString], file: Option<&Path>) -> Result<(), i32> {
    let files: Vec<PathBuf> = file.into_iter().map(Path::to_path_buf).collect();
    let rules = load(&files)?.map_err(|faults| told(&faults))?;
    let accounts = accounts()?;
    let user = user(&accounts, name)?;
    let request = Request {
        uid: user.uid,
        gid: user.gid,
        groups: accounts.groups_of(&user),
        name: rule.as_bytes().to_vec(),
        arguments: arguments
            .iter()
            .map(|argument| argument.clone().into_vec())
            .collect(),
        environment: Vec::new(),
    };
    match decide(&rules, &accounts, &request) {
        Verdict::Refuse(refusal) => {
            let mut text = format!("refused: {}\n", show(&refusal.logged));
            if refusal.told != refusal.logged {
                let _ = writeln!(text, "  the caller is told: {}", show(&refusal.told));
            }
            answer(&text)?;
            Err(status::NO)
        }
        Verdict::Allow { rule, order } => {
            let mut text = format!("allowed, by the rule at {}\n", rule.place);
            match &order {
                Order::LimitCaller => {
                    text.push_str("  the process that calls is put under limits\n");
                }
                Order::Run(order) => text.push_str(&described(order)),
            }
            if let Some(profile) = &rule.profile {
                let _ = writeln!(text, "  profile      {profile}");
            }
            for (key, value) in &rule.limits {
                let _ = writeln!(text, "  limit        {key} = {value}");
            }
            answer(&text)
        }
    }
}

fn described(order: &RunOrder) -> String {
    let shown = |bytes: &[u8]| show(&String::from_utf8_lossy(bytes));
    let mut text = String::new();
    let command: Vec<String> = order
        .arguments
        .iter()
        .map(|argument| format!("{:?}", shown(argument)))
        .collect();
    let _ = writeln!(text, "  program      {}", order.program);
    let _ = writeln!(text, "  arguments    {}", command.join(" "));
    let _ = writeln!(
        text,
        "  as           uid {}, gid {}, groups {:?}",
        order.uid, order.gid, order.groups
    );
    if !order.capabilities.is_empty() {
        let names: Vec<&str> = order
            .capabilities
            .iter()
            .filter_map(|number| CAPABILITIES.get(*number as usize).copied())
            .collect();
        let _ = writeln!(text, "  capabilities {}", names.join(", "));
    }
    let _ = writeln!(
        text,
        "  directory    {}",
        order
            .directory
            .as_deref()
            .map_or("the caller's".to_owned(), show)
    );
    let _ = writeln!(text, "  umask        {:04o}", order.umask);
    for variable in &order.environment {
        let _ = writeln!(text, "  environment  {}", shown(variable));
    }
    text
}

fn import_file(file: &Path) -> Result<(), i32> {
    let name = show(&file.to_string_lossy());
    let bytes = std::fs::read(file)
        .map_err(|error| fail(status::USAGE, &format!("cannot read {name}: {error}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| fail(status::USAGE, &format!("{name} is not UTF-8")))?;
    let imported = import(&name, &text);
    answer(&imported.text)?;
    for (line, why) in &imported.failed {
        complain(&format!("{name}:{line}: not taken over: {}\n", show(why)));
    }
    if imported.failed.is_empty() {
        Ok(())
    } else {
        Err(status::NO)
    }
}

/// Where packages and `make install` put the setuid program.
const PROGRAMS: [&str; 2] = ["/usr/bin/sandbox-suid", "/usr/local/bin/sandbox-suid"];

fn install_link(name: &str, directory: &Path) -> Result<(), i32> {
    if !rule::is_name(name) || name == "sandbox-suid" {
        return Err(fail(
            status::USAGE,
            &format!("`{}` cannot be a rule's name", show(name)),
        ));
    }
    let rules = load(&[])?.map_err(|faults| told(&faults))?;
    if !rules.contains_key(name) {
        return Err(fail(
            status::NO,
            &format!("there is no rule `{name}` in {RULES}; sandboxctl rules list"),
        ));
    }
    let program = PROGRAMS
        .iter()
        .find(|path| Path::new(path).exists())
        .ok_or_else(|| {
            fail(
                status::NO,
                &format!(
                    "sandbox-suid is installed at neither {}",
                    PROGRAMS.join(" nor ")
                ),
            )
        })?;
    let link = directory.join(name);
    let shown = show(&link.to_string_lossy());
    match std::os::unix::fs::symlink(program, &link) {
        Ok(()) => {
            let _ = writeln!(std::io::stdout(), "{shown} -> {program}");
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            if std::fs::read_link(&link).is_ok_and(|target| target == Path::new(program)) {
                let _ = writeln!(std::io::stdout(), "{shown} -> {program} (it was there)");
                return Ok(());
            }
            Err(fail(
                status::NO,
                &format!("{shown} is there already, and is something else"),
            ))
        }
        Err(error) => Err(fail(status::NO, &format!("cannot make {shown}: {error}"))),
    }
}
