//! Which processes are meant, and whether they may be put under limits.

use nix::unistd::{geteuid, getppid};

use crate::exec::group::{others_attached, sandbox_of};
use crate::host::cgroup::memberships;
use crate::host::login_name;
use crate::kernel::peer::Peer;
use crate::kernel::stat::Stat;
use crate::kernel::{Errno, capability};
use crate::plan::attach::Attachment;
use crate::report::{Diagnostic, escape};

/// A process number on a command line.
pub(super) fn number(text: &str) -> Result<i32, String> {
    match text.parse::<i32>() {
        Ok(pid) if pid > 0 && !text.starts_with('+') => Ok(pid),
        _ => Err("a process is named by its number, as ps(1) and `$$` have it".to_owned()),
    }
}

/// The processes that were named, each once.
pub(super) fn choose(pids: &[i32], caller: bool, uid: u32) -> Result<Vec<Peer>, Diagnostic> {
    if caller {
        let peer = find_caller()?;
        check(&peer, uid)?;
        return Ok(vec![peer]);
    }
    let mut chosen: Vec<Peer> = Vec::new();
    for &pid in pids {
        if chosen.iter().any(|peer| peer.pid() == pid) {
            continue;
        }
        if pid.cast_unsigned() == std::process::id() {
            return Err(
                Diagnostic::general(format!("process {pid} is this sandboxctl itself"))
                    .help("the shell that calls it is meant by --caller"),
            );
        }
        let peer = Peer::open(pid).map_err(|errno| cannot_open(pid, errno))?;
        check(&peer, uid)?;
        chosen.push(peer);
    }
    Ok(chosen)
}

/// Whether a process is the one that a privileged caller of ours looked at before: its number may be another's by now.
pub(super) fn check_expected(
    peer: &Peer,
    owner: Option<u32>,
    started: Option<u64>,
) -> Result<(), Diagnostic> {
    let same = started.is_none_or(|started| peer.stat.started == started);
    let own = owner.is_none_or(|owner| peer.users.first() == Some(&owner));
    if same && own {
        return Ok(());
    }
    Err(Diagnostic::general(format!(
        "process {} is not the one that was meant: that one has ended, or belongs to another user",
        peer.pid()
    )))
}

/// Programs that run a command for somebody else, and wait for it.
const BETWEEN: &[&str] = &["sudo", "doas", "su", "pkexec"];

/// The process that called us: our parent, or where that is one that gave us root's rights, the one that called it.
fn find_caller() -> Result<Peer, Diagnostic> {
    let gone = || {
        Diagnostic::general("the process that called sandboxctl has ended")
            .help("name the process by its number")
    };
    let parent = getppid();
    let mut peer = Peer::open(parent.as_raw()).map_err(|_| gone())?;
    // A parent that ends is replaced at once, so that what was opened was the parent.
    if getppid() != parent {
        return Err(gone());
    }
    for _ in 0..4 {
        // Only what root runs: its name is anybody's to choose.
        let is_roots = peer.users.iter().all(|user| *user == 0);
        if !is_roots || !geteuid().is_root() || !BETWEEN.contains(&peer.stat.name.as_str()) {
            break;
        }
        let above = Peer::open(peer.stat.parent).map_err(|_| gone())?;
        // It was the parent when we looked, if it was there before its child.
        let still = Stat::of(peer.pid()).is_ok_and(|now| now.parent == above.pid());
        if !still || above.stat.started > peer.stat.started {
            return Err(gone());
        }
        peer = above;
    }
    Ok(peer)
}

fn cannot_open(pid: i32, errno: Errno) -> Diagnostic {
    match errno {
        Errno::ESRCH => Diagnostic::general(format!("there is no process {pid}")),
        Errno::EINVAL | Errno::ENOENT => thread(pid),
        errno => Diagnostic::general(format!("cannot open process {pid}: {}", errno.desc())),
    }
}

fn thread(pid: i32) -> Diagnostic {
    Diagnostic::general(format!("{pid} is a thread of a process, not a process"))
        .help("a process is moved with all its threads: name it by its own number (`Tgid` in /proc/NUMBER/status)")
}

/// Whether the process can be put under limits, and may be by this user.
fn check(peer: &Peer, uid: u32) -> Result<(), Diagnostic> {
    let pid = peer.pid();
    let name = escape::line(&peer.stat.name).into_owned();
    let refuse = |what: String| {
        Err(Diagnostic::general(format!(
            "process {pid} ({name}) {what}"
        )))
    };
    if peer.stat.kernel {
        return refuse("is a thread of the kernel, which no limit binds".to_owned());
    }
    if pid == 1 {
        return refuse(
            "is the init process: its limits would be those of all that it starts".to_owned(),
        );
    }
    if peer.stat.state == 'Z' {
        return refuse("has ended, and waits for its parent to notice (a zombie)".to_owned());
    }
    if !peer.leads {
        return Err(thread(pid));
    }
    if uid != 0
        && let Some(other) = peer.users.iter().find(|user| **user != uid)
    {
        let owner = login_name(*other).unwrap_or_else(|| other.to_string());
        return refuse(format!("runs with the rights of the user `{owner}`"))
            .map_err(|wrong| wrong.help("only root puts other users' processes under limits"));
    }
    let groups = peer.groups().unwrap_or_default();
    let groups = memberships(groups.as_bytes());
    if uid != 0
        && let Some((path, owner)) = others_attached(&groups, uid)
    {
        let owner = login_name(owner).unwrap_or_else(|| owner.to_string());
        return refuse(format!("is under limits that the user `{owner}` put on it"))
            .map_err(|wrong| wrong.help(format!("they are those of {}", path.display())));
    }
    let sandbox = groups.iter().find_map(|line| sandbox_of(&line.group));
    if let Some(sandbox) = sandbox {
        return refuse(format!("is in a sandbox already ({sandbox})")).map_err(|wrong| {
            wrong.help("moving it out would lift that one's limits; they are changed with: sandboxctl set NAME KEY=VALUE")
        });
    }
    Ok(())
}

/// Whether the attributes of the plan can be set, before anything is.
pub(super) fn check_attributes(peer: &Peer, plan: &Attachment) -> Result<(), Diagnostic> {
    const SYS_NICE: u64 = 1 << 23;
    const SYS_RESOURCE: u64 = 1 << 24;
    let own = capability::effective().unwrap_or(0);
    let may_raise = own & SYS_RESOURCE != 0;
    let pid = peer.pid();
    let refuse = |site, what: String, needs: &str| {
        Err(
            Diagnostic::error(format!("process {pid}: {what}"), site, "asked for here")
                .help(format!("needs {needs}: as root it can be done")),
        )
    };
    for limit in &plan.resources {
        // Without a number the process may not be asked either, and setting it says so.
        let hard = peer.hard_limit(limit.resource).unwrap_or(None);
        if let Some(hard) = hard
            && !may_raise
            && limit.value.is_none_or(|value| value > hard)
        {
            let what = format!("`{}` would be more than its hard limit, {hard}", limit.name);
            return refuse(limit.site, what, "CAP_SYS_RESOURCE");
        }
    }
    if let (Some(wanted), Ok(now)) = (&plan.nice, peer.nice())
        && own & SYS_NICE == 0
        && wanted.value < now
    {
        let what = format!("`nice` would fall from {now} to {}", wanted.value);
        return refuse(wanted.site, what, "CAP_SYS_NICE");
    }
    if let (Some(wanted), Ok(now)) = (&plan.oom_score_adjust, peer.oom_score_adjust())
        && wanted.value < now
    {
        let what = format!(
            "`oom-score-adjust` would fall from {now} to {}",
            wanted.value
        );
        return refuse(wanted.site, what, "CAP_SYS_RESOURCE");
    }
    Ok(())
}

/// Sets the attributes of the plan. That the process has ended meanwhile is no error.
pub(super) fn set_attributes(peer: &Peer, plan: &Attachment) -> Result<(), Diagnostic> {
    let pid = peer.pid();
    let done = |result: Result<(), Errno>, key: &str, site| match result {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(Diagnostic::error(
            format!("process {pid}: `{key}` cannot be set: {}", errno.desc()),
            site,
            "asked for here",
        )),
    };
    for limit in &plan.resources {
        if peer.is_there() {
            let set = peer.set_limit(limit.resource, limit.value);
            done(set, limit.name, limit.site)?;
        }
    }
    if let Some(nice) = plan.nice.as_ref().filter(|_| peer.is_there()) {
        done(peer.set_nice(nice.value), "nice", nice.site)?;
    }
    if let Some(adjust) = plan.oom_score_adjust.as_ref().filter(|_| peer.is_there()) {
        let set = peer.set_oom_score_adjust(adjust.value);
        done(set, "oom-score-adjust", adjust.site)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_named_by_plain_numbers() {
        assert_eq!(number("4711"), Ok(4711));
        for wrong in [
            "",
            "0",
            "-1",
            "+1",
            "self",
            "1/2",
            "a",
            "99999999999",
            " 1",
            "1 ",
        ] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn init_and_what_others_run_are_refused() {
        let init = choose(&[1], false, 0).map(drop);
        assert!(init.is_err_and(|wrong| wrong.message.contains("init process")));
        let own = std::process::id().cast_signed();
        let own = choose(&[own], false, 0).map(drop);
        assert!(own.is_err_and(|wrong| wrong.message.contains("sandboxctl itself")));
        let none = choose(&[i32::MAX], false, 0).map(drop);
        assert!(none.is_err_and(|wrong| wrong.message.contains("there is no process")));
        let parent = std::os::unix::process::parent_id().cast_signed();
        let somebody = geteuid().as_raw() + 1;
        let other = choose(&[parent], false, somebody).map(drop);
        assert!(other.is_err_and(|wrong| wrong.message.contains("runs with the rights of")));
    }
}
