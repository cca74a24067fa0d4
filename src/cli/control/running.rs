//! The verbs about running sandboxes: which file does which, and what they have in common.

use crate::control::sandbox::{self, Refusal, Sandbox};
use crate::report::escape;

use super::super::arguments::Running;
use super::super::{complain, status};
use super::{
    events, list, namespaces, policy, ps, set, signal, state, stats, top, tree, wait, why,
};

/// Does it.
pub(super) fn run(verb: Running) -> Result<(), i32> {
    match verb {
        Running::List { json, names } => list::list(json, names),
        Running::State { name, json } => state::state(&name, json),
        Running::Set {
            name,
            limits,
            force,
            json,
        } => set::set(&name, &limits, force, json),
        Running::Ps { name, json } => ps::ps(name.as_deref(), json),
        Running::Tree { name, json } => tree::tree(name.as_deref(), json),
        Running::Stats { name, json } => stats::stats(name.as_deref(), json),
        Running::Top { name, interval } => top::top(name.as_deref(), interval),
        Running::Events {
            name,
            json,
            interval,
        } => events::events(name.as_deref(), json, interval),
        Running::Wait { name, json } => wait::wait(&name, json),
        Running::Kill { names, signal, all } => signal::kill(&names, signal, all),
        Running::Freeze { names } => signal::freeze(&names),
        Running::Thaw { names } => signal::thaw(&names),
        Running::Namespaces { name, json } => namespaces::namespaces(name.as_deref(), json),
        Running::Policy { name, json } => policy::policy(&name, json),
        Running::Why {
            words,
            profile,
            json,
        } => why::why(words, profile, json),
    }
}

/// Tells why something is not done; the exit status.
pub(super) fn refuse(refusal: &Refusal) -> i32 {
    let mut text = format!("sandboxctl: {}\n", escape::line(&refusal.message));
    for line in &refusal.help {
        text.push_str(&format!("  help: {}\n", escape::line(line)));
    }
    complain(&text);
    status::NO
}

/// The sandbox of that name, or all. What is passed over is told.
pub(super) fn chosen(name: Option<&str>) -> Result<Vec<Sandbox>, i32> {
    match name {
        Some(name) => Ok(vec![sandbox::find(name).map_err(|error| refuse(&error))?]),
        None => {
            let all = sandbox::all();
            for reason in &all.passed_over {
                complain(&format!("sandboxctl: warning: {}\n", escape::line(reason)));
            }
            Ok(all.sandboxes)
        }
    }
}

/// Does something to each sandbox named, and goes on where one refuses.
pub(super) fn each(
    names: &[String],
    mut act: impl FnMut(&Sandbox) -> Result<(), Refusal>,
) -> Result<(), i32> {
    let mut worst = Ok(());
    for name in names {
        let done = sandbox::find(name).and_then(|sandbox| act(&sandbox));
        if let Err(refusal) = done {
            worst = Err(refuse(&refusal));
        }
    }
    worst
}

/// The program with its arguments, as one would type it.
pub(super) fn command(sandbox: &Sandbox) -> String {
    let Some(record) = &sandbox.record else {
        return String::new();
    };
    let mut words = vec![record.program.clone()];
    words.extend(record.arguments.iter().cloned());
    words.join(" ")
}

/// Whether several users' sandboxes are seen: root's view.
pub(super) fn sees_everybody() -> bool {
    nix::unistd::geteuid().is_root()
}

/// What is printed where nothing runs.
pub(super) const NONE: &str = "no sandbox is running\n";
