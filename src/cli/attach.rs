//! `sandboxctl attach`: limits for processes that run already.

mod target;

use std::path::{Component, Path};

use clap::{Args, ValueHint};
use serde_json::{Value as Json, json};

use crate::control::attached;
use crate::control::record::{Layer, Limit, ProcessId};
use crate::exec::group::{
    Attached, Group, GroupDirectory, GroupError, Running, outside_of_attached, sweep,
};
use crate::host;
use crate::host::cgroup::{Membership, memberships};
use crate::kernel::peer::Peer;
use crate::plan::attach::{Attachment, Wish};
use crate::plan::{Note, show};
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value::human_bytes;
use crate::report::{Diagnostic, Diagnostics, Site, SourceMap, escape};

use super::layer::{Flag, Said, layer};
use super::{answer, inspect, status};

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Attach {
    /// Which limits.
    #[command(flatten)]
    limits: WantedLimits,

    /// The processes, by number
    #[arg(value_name = "PID", value_parser = target::number, required_unless_present = "caller", allow_negative_numbers = true, value_hint = ValueHint::Other)]
    processes: Vec<i32>,

    /// The process that calls: the shell that this is typed in
    ///
    /// Of what `sudo` and the like put in between, the process that called them.
    #[arg(long, conflicts_with = "processes")]
    caller: bool,

    /// Also everything that descends from these processes and runs already
    #[arg(long)]
    tree: bool,

    /// What systemd's scope is called, where one is made
    #[arg(long, value_name = "ID", value_parser = super::arguments::run_name, value_hint = ValueHint::Other)]
    name: Option<String>,

    /// Leave out rules of the profile that only a program which is started can be given
    #[arg(long)]
    limits_only: bool,

    /// Let limits that this host cannot hold pass with a warning
    #[arg(long)]
    best_effort: bool,

    /// Refuse a process that is not this user's (for sandbox-suid)
    #[arg(long, value_name = "UID", hide = true)]
    owner: Option<u32>,

    /// Refuse a process that did not start at this time, in ticks since boot (for sandbox-suid)
    #[arg(long, value_name = "TICKS", hide = true)]
    started: Option<u64>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The limits that a command line asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct WantedLimits {
    /// The profile whose limits are applied, by its name or, with a slash in it, by its file; later ones win
    #[arg(long, value_name = "NAME|FILE", value_hint = ValueHint::AnyPath)]
    profile: Vec<String>,

    /// Set one key over all profiles: limits.memory=3G
    #[arg(long, value_name = "SECTION.KEY=VALUE", value_hint = ValueHint::Other)]
    set: Vec<String>,

    /// The most memory that the processes may use together (limits.memory)
    #[arg(long, value_name = "SIZE", value_hint = ValueHint::Other)]
    memory: Option<String>,

    /// Swap space in addition to the memory; 0 forbids swapping (limits.swap)
    #[arg(long, value_name = "SIZE", value_hint = ValueHint::Other)]
    swap: Option<String>,

    /// Memory to be pushed back to when the host runs short of it (limits.memory-soft)
    #[arg(long, value_name = "SIZE", value_hint = ValueHint::Other)]
    memory_soft: Option<String>,

    /// The most processes and threads at the same time (limits.pids)
    #[arg(long, value_name = "NUMBER", value_hint = ValueHint::Other)]
    pids: Option<String>,

    /// CPU time as a part of one CPU: 150% is one and a half (limits.cpu)
    #[arg(long, value_name = "PERCENT", value_hint = ValueHint::Other)]
    cpu: Option<String>,

    /// Take profiles of the system alone: nothing below a home directory is opened
    #[arg(long)]
    system_profiles: bool,
}

/// Does it, and says what was done.
///
/// # Errors
/// The exit status: 2 for what is wrong with the command line or a profile, 1 for what cannot be done.
pub(super) fn run(options: &Attach) -> Result<(), i32> {
    let mut sources = SourceMap::new();
    match carry_out(options, &mut sources) {
        Ok(text) => answer(&text),
        Err(refused) => {
            inspect::tell(&refused.diagnostics, &sources);
            Err(refused.status)
        }
    }
}

/// What is looked at beside the control groups.
const PROBED: host::Scope = host::Scope {
    user_directories: false,
    subordinate_ids: false,
    groups: false,
    memory: true,
    terminals: false,
    release: false,
    landlock: false,
};

struct Refused {
    diagnostics: Diagnostics,
    status: i32,
}

fn no(diagnostic: Diagnostic) -> Refused {
    Refused {
        diagnostics: vec![diagnostic],
        status: status::NO,
    }
}

fn carry_out(options: &Attach, sources: &mut SourceMap) -> Result<String, Refused> {
    let policy = policy(&options.limits, sources).map_err(|diagnostics| Refused {
        diagnostics,
        status: status::USAGE,
    })?;
    let mut facts = host::probe(PROBED).map_err(no)?;
    let uid = facts.caller.uid;
    facts.caller.user = host::login_name(uid).unwrap_or_else(|| uid.to_string());
    let named = target::choose(&options.processes, options.caller, uid).map_err(no)?;
    for peer in &named {
        target::check_expected(peer, options.owner, options.started).map_err(no)?;
    }
    let own = named.first().ok_or_else(|| {
        no(Diagnostic::general(
            "there is no process to be put under limits",
        ))
    })?;
    let (groups, slice) = surroundings(own).map_err(no)?;
    facts.cgroup = inspect::control_groups_at(&policy, &facts.caller, &groups);
    // What earlier ones left; on cgroup v1 nobody is told when a group becomes empty.
    sweep(facts.cgroup.legacy.iter().filter_map(|at| at.parent()));
    let name = options.name.clone().unwrap_or_else(|| policy.name.clone());
    let wish = Wish {
        name: &name,
        best_effort: options.best_effort,
        limits_only: options.limits_only,
    };
    let plan = Attachment::of(&policy, &facts, wish).map_err(|diagnostics| Refused {
        diagnostics,
        status: status::NO,
    })?;
    let running = Running {
        named,
        tree: options.tree,
    };
    for peer in &running.named {
        target::check_attributes(peer, &plan).map_err(no)?;
    }
    let mut done = Done::default();
    if let Some(group) = &plan.group {
        let attached = Group::attach(group, &running, &slice).map_err(|error| no(told(error)))?;
        done.of_group(attached).map_err(|error| no(told(error)))?;
    } else {
        done.processes = running.everyone();
    }
    if !done.places.is_empty() {
        done.register(options.name.clone(), &policy, sources);
    }
    for peer in &done.processes {
        let all = target::set_attributes(peer, &plan);
        all.map_err(|wrong| no(done.partly(wrong)))?;
    }
    if options.json {
        return Ok(format!("{:#}\n", done.json(&plan, sources)));
    }
    for warning in plan.warnings.iter().chain(&done.warnings) {
        super::complain(&format!("warning: {}\n", show::warning(warning, sources)));
    }
    Ok(done.text(&plan, sources))
}

/// The processes that are named, each checked; see [`target::choose`].
///
/// # Errors
/// One that there is not, or that is not the caller's.
pub(super) fn choose(processes: &[i32], caller: bool) -> Result<Vec<Peer>, Diagnostic> {
    target::choose(processes, caller, nix::unistd::getuid().as_raw())
}

/// The policy of the profiles and limits that were asked for.
///
/// # Errors
/// What is wrong with them, or that nothing was asked for.
pub(super) fn policy(
    options: &WantedLimits,
    sources: &mut SourceMap,
) -> Result<Policy, Diagnostics> {
    let sets = options.set.iter().map(|text| (Flag::Set, text.clone()));
    let shorthand = [
        (Flag::Memory, &options.memory),
        (Flag::Swap, &options.swap),
        (Flag::MemorySoft, &options.memory_soft),
        (Flag::Pids, &options.pids),
        (Flag::Cpu, &options.cpu),
    ];
    let shorthand = shorthand
        .into_iter()
        .filter_map(|(flag, text)| Some((flag, text.clone()?)));
    let said = Said {
        options: sets.chain(shorthand).collect(),
        ..Said::default()
    };
    let command_line = layer(&said, sources)?;
    if options.profile.is_empty() && command_line.is_none() {
        return Err(vec![
            Diagnostic::general("nothing says which limits the processes are to be put under")
                .help("name a --profile (`memlimit` is one for this), or say --memory, --pids, --cpu, --set …"),
        ]);
    }
    let library = match options.system_profiles {
        true => inspect::system_library(&options.profile).map_err(|error| vec![error])?,
        false => inspect::library(),
    };
    let resolved = inspect::resolve(&options.profile, &library, command_line, sources)?;
    inspect::tell(&resolved.warnings, sources);
    Ok(resolved.policy)
}

/// The groups that a process is in, without those that an earlier `attach` made, and the slice of systemd's that it
/// belongs to.
fn surroundings(peer: &Peer) -> Result<(Vec<Membership>, String), Diagnostic> {
    let text = peer.groups().map_err(|errno| {
        Diagnostic::general(format!(
            "cannot tell the control groups of process {}: {}",
            peer.pid(),
            errno.desc()
        ))
    })?;
    let mut groups = memberships(text.as_bytes());
    for line in &mut groups {
        line.group = outside_of_attached(&line.group);
    }
    let unified = groups
        .iter()
        .find(|line| line.controllers.is_empty() && !line.named);
    let slice = unified.and_then(|line| slice(&line.group));
    // A user's manager has its own slices below that.
    let slice = match slice {
        Some(slice) if nix::unistd::geteuid().is_root() => slice,
        None if nix::unistd::geteuid().is_root() => "system.slice".to_owned(),
        _ => "app.slice".to_owned(),
    };
    Ok((groups, slice))
}

/// The innermost slice of the system's manager that a group lies in.
fn slice(group: &Path) -> Option<String> {
    let names = group.components().filter_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    names
        .take_while(|name| name.ends_with(".slice"))
        .last()
        .map(str::to_owned)
}

fn told(error: GroupError) -> Diagnostic {
    let message = match &error.key {
        Some(key) => format!("`limits.{key}` cannot be applied: {}", error.message),
        None => error.message,
    };
    let mut told = if error.site.is_default() {
        Diagnostic::general(message)
    } else {
        Diagnostic::error(message, error.site, "asked for here")
    };
    told.help = error.help;
    told
}

/// What has been done.
#[derive(Default)]
struct Done {
    processes: Vec<Peer>,
    paths: Vec<String>,
    unit: Option<String>,
    places: Vec<GroupDirectory>,
    memory_soft: Option<u64>,
    /// What `sandboxctl list` calls it.
    name: Option<String>,
    watcher: Option<i32>,
    warnings: Vec<Note>,
}

impl Done {
    /// Leaves the group to its processes.
    fn of_group(&mut self, attached: Attached) -> Result<(), GroupError> {
        let Attached { mut group, moved } = attached;
        self.paths = group
            .paths()
            .map(|path| path.display().to_string())
            .collect();
        self.unit = group.unit().map(str::to_owned);
        self.places = group.directories().places();
        self.memory_soft = group.soft_limit();
        self.warnings = group
            .warnings()
            .iter()
            .map(|error| Note {
                text: error.to_string(),
                help: error.help.first().cloned(),
                site: error.site,
            })
            .collect();
        self.processes = moved;
        let watcher = group.leave_watcher();
        group.leave();
        self.watcher = watcher.map_err(|mut error| {
            error.help.push("the other limits hold, and stay; without a soft limit: --set limits.memory-soft=max".to_owned());
            error
        })?;
        Ok(())
    }

    /// Writes down what others must know to find the group. That it cannot be is no reason against limits that hold.
    fn register(&mut self, name: Option<String>, policy: &Policy, sources: &SourceMap) {
        let Some(first) = self.processes.first() else {
            return;
        };
        let limits = policy
            .section(Section::Limits)
            .map(|(key, value, rule)| Limit {
                key: key.to_owned(),
                value: value.to_json(),
                origin: sources.position(rule.site).to_string(),
                applied: !self.warnings.iter().any(|note| note.site == rule.site),
            });
        let layers = policy.layers.iter().map(|layer| Layer {
            name: layer.name.clone(),
            source: sources.get(layer.site.source).name.clone(),
        });
        let record = attached::Attached {
            name,
            profile: policy.name.clone(),
            layers: layers.collect(),
            process: ProcessId {
                pid: first.pid(),
                started: first.stat.started,
            },
            group: self.places.clone(),
            unit: self.unit.clone(),
            limits: limits.collect(),
            memory_soft: self.memory_soft,
            policy: crate::policy::show::json(policy, sources),
        };
        match record.register() {
            Ok(name) => self.name = Some(name),
            Err(why) => self.warnings.push(Note {
                text: format!("`sandboxctl list` will not show these processes: {why}"),
                help: None,
                site: Site::DEFAULT,
            }),
        }
    }

    /// What went wrong after the limits of the group hold.
    fn partly(&self, wrong: Diagnostic) -> Diagnostic {
        match self.paths.first() {
            Some(path) => wrong.help(format!("the limits of the group hold: {path}")),
            None => wrong,
        }
    }

    fn text(&self, plan: &Attachment, sources: &SourceMap) -> String {
        let mut text = String::new();
        let mut line = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        const SHOWN: usize = 12;
        let many = self.processes.len();
        for peer in self.processes.iter().take(SHOWN) {
            let name = escape::line(&peer.stat.name).into_owned();
            line(format!(
                "process {} ({name}) is under limits now",
                peer.pid()
            ));
        }
        if many > SHOWN {
            line(format!("and {} processes more", many - SHOWN));
        }
        for (what, key, site) in self.limits(plan) {
            line(format!("  {what}  ({key}, {})", sources.position(site)));
        }
        for path in &self.paths {
            line(format!("  group {}", escape::line(path)));
        }
        if let Some(unit) = &self.unit {
            line(format!("  unit {}", escape::line(unit)));
        }
        if let Some(name) = &self.name {
            line(format!(
                "  name {name} (sandboxctl list, stats, set, kill, wait)"
            ));
        }
        if let Some(pid) = self.watcher {
            line(format!(
                "  process {pid} (sandbox-soft) holds memory-soft, and ends with the group"
            ));
        }
        if !self.paths.is_empty() {
            let held: u64 = self.processes.iter().map(Peer::resident).sum();
            line(format!(
                "note: what {} in memory already ({}) is counted where it was; what is used from now on is counted here",
                if many == 1 { "it holds" } else { "they hold" },
                human_bytes(held)
            ));
        }
        if !plan.left_out.is_empty() {
            line(format!(
                "note: {} rules of the profile are for programs that are started, and were left out (--limits-only)",
                plan.left_out.len()
            ));
        }
        if let Some(undo) = self.undo() {
            line(format!("to lift a limit again: {undo}"));
        }
        text
    }

    /// How the limits are got rid of.
    fn undo(&self) -> Option<String> {
        let pid = self.processes.first().map_or(0, Peer::pid);
        let first = self.paths.first()?;
        if self.unit.is_some() {
            return Some(format!(
                "write `max` to its file in {}",
                escape::line(first)
            ));
        }
        let above = self
            .paths
            .iter()
            .filter_map(|path| Path::new(path).parent());
        let back = above.map(|path| {
            let path = path.display().to_string();
            format!("echo {pid} > {}/cgroup.procs", escape::line(&path))
        });
        Some(back.collect::<Vec<_>>().join("; "))
    }

    /// What holds, the key that asked for it, and its place.
    fn limits(&self, plan: &Attachment) -> Vec<(String, String, Site)> {
        let mut all = Vec::new();
        if let Some(group) = &plan.group {
            let dropped = |site: Site| self.warnings.iter().any(|note| note.site == site);
            for write in &group.writes {
                if !dropped(write.site) {
                    let what = format!("{} = {}", write.file, write.value);
                    all.push((what, format!("limits.{}", write.key), write.site));
                }
            }
            if let Some(soft) = &group.soft {
                let what = format!("memory.reclaim down to {} under pressure", soft.bytes);
                all.push((what, "limits.memory-soft".to_owned(), soft.site));
            }
        }
        for limit in &plan.resources {
            let value = limit
                .value
                .map_or("max".to_owned(), |value| value.to_string());
            let what = format!("{} = {value} for each process", limit.name);
            all.push((what, format!("limits.{}", limit.name), limit.site));
        }
        if let Some(nice) = &plan.nice {
            let what = format!("nice = {}", nice.value);
            all.push((what, "process.nice".to_owned(), nice.site));
        }
        if let Some(adjust) = &plan.oom_score_adjust {
            let what = format!("oom_score_adj = {}", adjust.value);
            all.push((what, "process.oom-score-adjust".to_owned(), adjust.site));
        }
        all
    }

    fn json(&self, plan: &Attachment, sources: &SourceMap) -> Json {
        let place = |site: Site| {
            let place = sources.position(site);
            let known = |number: usize| (number > 0).then_some(number);
            json!({"source": place.name, "line": known(place.line), "column": known(place.column)})
        };
        let notes = plan.warnings.iter().chain(&self.warnings);
        json!({
            "processes": self.processes.iter().map(|peer| json!({
                "pid": peer.pid(), "name": peer.stat.name,
            })).collect::<Vec<_>>(),
            "groups": self.paths,
            "unit": self.unit,
            "name": self.name,
            "watcher": self.watcher,
            "limits": self.limits(plan).iter().map(|(what, key, site)| json!({
                "key": key, "what": what, "place": place(*site),
            })).collect::<Vec<_>>(),
            "left_out": plan.left_out.iter().map(|(key, _)| key).collect::<Vec<_>>(),
            "warnings": notes.map(|note| show::note_json(note, sources)).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::slice;
    use std::path::Path;

    #[test]
    fn slices_are_those_of_the_systems_manager() {
        let of = |path: &str| slice(Path::new(path));
        let user = Some("user-7.slice".to_owned());
        assert_eq!(of("/user.slice/user-7.slice/session-3.scope"), user);
        let below = "/user.slice/user-7.slice/user@7.service/app.slice/a.scope";
        assert_eq!(of(below), user);
        assert_eq!(of("/"), None);
        assert_eq!(of("/init.scope"), None);
    }
}
