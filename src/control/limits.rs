//! Limits of a group that runs: what has to be written to change them, and writing it, all or nothing.

use nix::errno::Errno;

use super::sandbox::Refusal;
use crate::exec::group::Directories;
use crate::kernel::cgroup::{Directory, FileError};
use crate::profile::value::human_bytes;
use crate::report::escape;
use crate::section::limits::writes::{self, agrees};
use crate::section::limits::{LimitWrite, Limits, Version, control};

/// One file, before and after.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Changed {
    /// The key of `[limits]`.
    pub key: String,
    /// The file's name.
    pub file: String,
    /// What it said.
    pub before: String,
    /// What it says.
    pub after: String,
}

/// Keys that are written together: the files of one depend on the others.
const FAMILIES: &[&[&str]] = &[
    &["memory", "swap"],
    &["memory-soft", "memory-soft-mode"],
    &["cpu", "cpu-period", "cpu-burst"],
];

/// Whether a change of one key can change what is written for another.
fn is_related(one: &str, other: &str) -> bool {
    let label = |key| control::of(key).map(control::Control::label);
    one == other
        // Two paths may lie on one disk, whose smaller rates hold.
        || (label(one) == Some("PATH") && label(other) == Some("PATH"))
        || FAMILIES
            .iter()
            .any(|family| family.contains(&one) && family.contains(&other))
}

/// The hierarchy in which a group has a controller.
fn version(group: &Directories, controller: &str) -> Option<Version> {
    let known = group.of(controller).map(|(version, _)| version);
    // On v2 it may have more than those that it was made for.
    known.or_else(|| {
        let unified = group.each().find(|(version, _)| *version == Version::V2);
        let text = unified?.1.read("cgroup.controllers").ok()?;
        let has = text.split_whitespace().any(|name| name == controller);
        has.then_some(Version::V2)
    })
}

fn directory<'g>(group: &'g Directories, controller: &str) -> Option<&'g Directory> {
    match group.of(controller) {
        Some((_, directory)) => Some(directory),
        None => {
            let unified = group.each().find(|(version, _)| *version == Version::V2);
            unified.map(|(_, directory)| directory)
        }
    }
}

/// Gives a group of v2 the controllers that keys ask for and it was started without, where the group above can hand them
/// on. What cannot be had is told by [`plan`].
pub fn enable(group: &Directories, keys: &[String]) {
    for key in keys {
        if let Some(controller) = missing(group, key)
            && let Ok(above) = above(group)
        {
            // EBUSY: processes are in the group above itself; ENOENT: it has no such controller.
            let _ = above.write("cgroup.subtree_control", &format!("+{controller}"));
        }
    }
}

/// The controller of v2 that a key asks for and a group has in neither version.
fn missing(group: &Directories, key: &str) -> Option<&'static str> {
    let modified = control::MODIFIERS.iter().find(|(name, _)| *name == key);
    let control = control::of(modified.map_or(key, |(_, of)| of))?;
    let is_missing = writes::seat(control, &|controller| version(group, controller)).is_none();
    let controller = control.hold(Version::V2).controller;
    (is_missing && !controller.is_empty()).then_some(controller)
}

/// The group that holds one of v2.
fn above(group: &Directories) -> Result<Directory, String> {
    let unified = group.each().find(|(version, _)| *version == Version::V2);
    let (_, directory) = unified.ok_or("it has no part in the hierarchy of v2")?;
    let path = directory.path().parent().ok_or("there is no group above")?;
    let above = Directory::open(path).map_err(|error| error.to_string())?;
    match above.version() {
        Some(Version::V2) => Ok(above),
        _ => Err("there is no group of v2 above".to_owned()),
    }
}

/// Why a group cannot be given a controller while it runs.
fn why_missing(group: &Directories, controller: &str) -> String {
    let above = match above(group) {
        Ok(above) => above,
        Err(why) => return format!("it cannot be added now: {why}"),
    };
    let path = escape::os(above.path().as_os_str());
    let available = above.read("cgroup.controllers").unwrap_or_default();
    if !available.split_whitespace().any(|name| name == controller) {
        return format!(
            "the group above, `{path}`, has no controller `{controller}` to hand on: systemd hands it on with `Delegate=` (as root: `sandboxctl delegate USER`), and a host with cgroup v1 has it in a hierarchy of its own"
        );
    }
    match above.write("cgroup.subtree_control", &format!("+{controller}")) {
        Ok(()) => format!("the group above, `{path}`, hands it on now; try again"),
        Err(error) if error.errno == Errno::EBUSY => format!(
            "the group above, `{path}`, has processes of its own, so that it hands nothing on"
        ),
        Err(error) => format!("the group above does not hand it on: {error}"),
    }
}

/// What is written to a group so that it has the limits `new` in the place of `old`, as far as they have to do with the
/// keys that change.
///
/// # Errors
/// The group has no controller for one of the keys, or nothing that can be written holds it.
pub fn plan(
    group: &Directories,
    old: &Limits,
    new: &Limits,
    keys: &[String],
) -> Result<Vec<LimitWrite>, Refusal> {
    for key in keys {
        check(group, new, key)?;
    }
    let all = |limits: &Limits| {
        let version = |controller: &str| version(group, controller);
        let lacks = |file: &str| {
            let controller = file.split('.').next().unwrap_or_default();
            directory(group, controller).is_some_and(|directory| !directory.has(file))
        };
        writes::writes(
            limits,
            writes::Group {
                version: &version,
                lacks: &lacks,
                may_fail: &|_| false,
            },
        )
    };
    let concerned = |write: &LimitWrite| keys.iter().any(|key| is_related(key, &write.key));
    let mut wanted: Vec<LimitWrite> = all(new).into_iter().filter(concerned).collect();
    for write in &mut wanted {
        if write.file == "io.max" {
            write.value = whole_rates(&write.value);
        }
    }
    for mut gone in all(old).into_iter().filter(concerned) {
        let same = |write: &LimitWrite| write.file == gone.file && entry(write) == entry(&gone);
        // The kernel sets the weight of an idle group itself.
        let is_idle = |write: &LimitWrite| write.file == "cpu.idle" && write.value == "1";
        let is_weight = matches!(gone.file.as_str(), "cpu.weight" | "cpu.shares");
        if wanted.iter().any(same) || (is_weight && wanted.iter().any(is_idle)) {
            continue;
        }
        gone.value = unlimited(&gone.file, &gone.value).ok_or_else(|| {
            Refusal::new(format!(
                "`limits.{}` can be changed, and not be taken away from what runs",
                gone.key
            ))
        })?;
        wanted.push(gone);
    }
    Ok(wanted)
}

/// Whether a key can be changed at all in this group.
fn check(group: &Directories, new: &Limits, key: &str) -> Result<(), Refusal> {
    if let Some((_, of)) = control::MODIFIERS
        .iter()
        .find(|(modifier, _)| *modifier == key)
    {
        return check(group, new, of);
    }
    let start = "it holds from the start of a sandbox to its end";
    let Some(control) = control::of(key) else {
        return Err(Refusal::new(format!(
            "`limits.{key}` is a limit of each process, not of the sandbox: {start}"
        )));
    };
    let seat = writes::seat(control, &|controller| version(group, controller));
    let Some(seat) = seat else {
        let controllers = [Version::V1, Version::V2].map(|at| control.hold(at).controller);
        let controller = controllers.into_iter().find(|name| !name.is_empty());
        return Err(Refusal::new(format!(
            "`limits.{key}` cannot be set: the sandbox's control group has no controller `{}`, as it was started without such a limit",
            controller.unwrap_or_default()
        ))
        .help(why_missing(group, control.hold(Version::V2).controller))
        .help(format!("start it with a limit of that kind, which can then be changed: --set limits.{key}=…")));
    };
    let by_us = match (key, seat) {
        ("memory-soft", _) => false,
        ("devices", _) | ("oom-group", Version::V1) => true,
        _ => !matches!(control.hold(seat).by, control::By::File { .. }),
    };
    if by_us && new.get(key).is_some() {
        return Err(Refusal::new(format!(
            "`limits.{key}` cannot be changed: {start}"
        )));
    }
    Ok(())
}

/// Files of several entries: lines that begin with a disk, a device, a resource or an interface.
fn has_entries(file: &str) -> bool {
    matches!(
        file,
        "io.max" | "rdma.max" | "misc.max" | "net_prio.ifpriomap"
    ) || file.starts_with("blkio.throttle.")
}

fn entry(write: &LimitWrite) -> Option<&str> {
    has_entries(&write.file)
        .then(|| write.value.split(' ').next())
        .flatten()
}

/// A line of io.max with all its rates: those that are left out would stay as they were.
fn whole_rates(line: &str) -> String {
    let mut words = line.split(' ');
    let mut whole = words.next().unwrap_or_default().to_owned();
    let said: Vec<(&str, &str)> = words.filter_map(|word| word.split_once('=')).collect();
    for name in ["rbps", "wbps", "riops", "wiops"] {
        let rate = said.iter().find(|(said, _)| *said == name);
        let rate = rate.map_or("max", |(_, rate)| rate);
        whole.push_str(&format!(" {name}={rate}"));
    }
    whole
}

/// What is written to a file so that it holds no limit; `value` is one that it holds. None where there is no such thing.
fn unlimited(file: &str, value: &str) -> Option<String> {
    let name = value.split(' ').next().unwrap_or_default();
    let text = match file {
        "memory.limit_in_bytes"
        | "memory.memsw.limit_in_bytes"
        | "memory.soft_limit_in_bytes"
        | "cpu.cfs_quota_us" => "-1",
        "cpu.cfs_period_us" => "100000",
        "memory.max" | "memory.high" | "memory.swap.max" | "memory.zswap.max" | "pids.max"
        | "cpu.max" => "max",
        "memory.low" | "memory.min" | "memory.oom.group" | "cpu.idle" | "cpu.max.burst"
        | "cpu.cfs_burst_us" | "net_cls.classid" => "0",
        "memory.zswap.writeback" => "1",
        "memory.swappiness" => "60",
        "cpu.weight" | "io.weight" | "io.bfq.weight" | "blkio.bfq.weight" | "blkio.weight" => "100",
        "cpu.shares" => "1024",
        "io.max" => return Some(whole_rates(name)),
        "rdma.max" => return Some(format!("{name} hca_handle=max hca_object=max")),
        "misc.max" => return Some(format!("{name} max")),
        "net_prio.ifpriomap" => return Some(format!("{name} 0")),
        _ if file.starts_with("blkio.throttle.") => return Some(format!("{name} 0")),
        _ if file.starts_with("hugetlb.") && file.ends_with(".limit_in_bytes") => "-1",
        _ if file.starts_with("hugetlb.") => "max",
        _ => return None,
    };
    Some(text.to_owned())
}

/// What is written to a file so that it is again as it reads now.
fn as_it_is(write: &LimitWrite, read: &str) -> String {
    if let Some(name) = entry(write) {
        let line = read
            .lines()
            .find(|line| line.split(' ').next() == Some(name));
        let line = line.map(str::to_owned);
        return line
            .or_else(|| unlimited(&write.file, &write.value))
            .unwrap_or_default();
    }
    let read = read.trim();
    match read.lines().next() {
        // To clear a list takes a write of something.
        None => "\n".to_owned(),
        Some(line) => line.strip_prefix("default ").unwrap_or(line).to_owned(),
    }
}

/// Whether a file says what was written, or nothing where that is what was written.
fn holds(write: &LimitWrite, read: &str) -> bool {
    let is_absent = |name: &str| {
        !read
            .lines()
            .any(|line| line.split(' ').next() == Some(name))
    };
    agrees(&write.file, &write.value, read)
        || entry(write).is_some_and(|name| {
            unlimited(&write.file, &write.value).as_deref() == Some(write.value.as_str())
                && is_absent(name)
        })
}

struct Step<'a> {
    write: &'a LimitWrite,
    directory: &'a Directory,
    /// What puts it back.
    before: String,
}

/// Writes limits to a group that runs. Those that hold already are left out.
///
/// The kernel wants some of them in an order that hangs on what holds now (v1: the sum of memory and swap is raised before
/// memory, and lowered after it; both versions: a quota before its burst), so that what it refuses is tried again once
/// others are written.
///
/// # Errors
/// What the kernel refuses; what was written is put back. On v2, where the kernel would kill, a memory limit that it
/// cannot push the group below, unless `force`.
pub fn apply(
    group: &Directories,
    limits: &[LimitWrite],
    force: bool,
) -> Result<Vec<Changed>, Refusal> {
    let mut pending = Vec::new();
    for write in limits {
        let directory = directory(group, write.controller).ok_or_else(|| {
            Refusal::new(format!(
                "the group has no controller `{}`",
                write.controller
            ))
        })?;
        let read = directory
            .read(&write.file)
            .map_err(|error| refused(write, &error, directory))?;
        if !holds(write, &read) {
            let before = as_it_is(write, &read);
            pending.push(Step {
                write,
                directory,
                before,
            });
        }
    }
    if !force {
        for step in &pending {
            make_room(step)?;
        }
    }
    let mut done: Vec<Step<'_>> = Vec::new();
    while !pending.is_empty() {
        let mut later = Vec::new();
        let mut first = None;
        let tried = pending.len();
        for step in pending {
            match step.directory.write(&step.write.file, &step.write.value) {
                Ok(()) => done.push(step),
                Err(error) => {
                    first.get_or_insert_with(|| refused(step.write, &error, step.directory));
                    later.push(step);
                }
            }
        }
        if later.len() == tried {
            put_back(&done);
            return Err(first.unwrap_or_else(|| Refusal::new("the kernel refuses")));
        }
        pending = later;
    }
    for step in &done {
        let read = step.directory.read(&step.write.file).unwrap_or_default();
        if !holds(step.write, &read) {
            put_back(&done);
            let path = step.directory.path().join(&step.write.file);
            return Err(Refusal::new(format!(
                "`{}` is {} after {} was written (limits.{})",
                escape::os(path.as_os_str()),
                escape::line(read.trim()),
                step.write.value,
                step.write.key
            )));
        }
    }
    Ok(done
        .into_iter()
        .map(|step| {
            let read = step.directory.read(&step.write.file).unwrap_or_default();
            Changed {
                key: step.write.key.clone(),
                file: step.write.file.clone(),
                before: step.before.trim().to_owned(),
                after: as_it_is(step.write, &read).trim().to_owned(),
            }
        })
        .collect())
}

/// Puts back what changed, the last first; again once others are, as in [`apply`].
fn put_back(done: &[Step<'_>]) {
    for _ in 0..2 {
        for step in done.iter().rev() {
            // Nobody can be told more than that the change was refused.
            let _ = step.directory.write(&step.write.file, &step.before);
        }
    }
}

/// Puts the limits back to what they were before [`apply`].
pub fn undo(group: &Directories, limits: &[LimitWrite], changed: &[Changed]) {
    let steps: Vec<Step<'_>> = changed
        .iter()
        .filter_map(|changed| {
            let write = limits
                .iter()
                .find(|write| write.file == changed.file && write.key == changed.key)?;
            let before = match changed.before.as_str() {
                "" => "\n".to_owned(),
                before => before.to_owned(),
            };
            let directory = directory(group, write.controller)?;
            Some(Step {
                write,
                directory,
                before,
            })
        })
        .collect();
    put_back(&steps);
}

/// v2 takes a memory limit below what is in use, and kills until it fits. So what is above it is reclaimed first, as v1
/// does by itself.
fn make_room(step: &Step<'_>) -> Result<(), Refusal> {
    const TRIES: u32 = 5;
    let limit = match step.write.file.as_str() {
        "memory.max" => step.write.value.parse::<u64>().ok(),
        _ => None,
    };
    let Some(limit) = limit else { return Ok(()) };
    let used = || step.directory.number("memory.current").unwrap_or(0);
    for _ in 0..TRIES {
        let excess = used().saturating_sub(limit);
        if excess == 0 {
            return Ok(());
        }
        // EAGAIN: not all of it could be.
        let _ = step.directory.write("memory.reclaim", &excess.to_string());
    }
    match used() {
        used if used <= limit => Ok(()),
        used => Err(in_use(used, limit)
            .help("with --force the limit is set, and the kernel kills processes of the sandbox until they fit")),
    }
}

fn in_use(used: u64, limit: u64) -> Refusal {
    Refusal::new(format!(
        "`limits.memory` cannot be {}: {} are in use, and cannot be swapped out or dropped",
        human_bytes(limit),
        human_bytes(used)
    ))
    .help("end processes of the sandbox, let it have more swap, or set a limit above what it uses")
}

/// What the kernel's refusal means.
fn refused(write: &LimitWrite, error: &FileError, directory: &Directory) -> Refusal {
    let used = |file| directory.number(file).unwrap_or(0);
    let asked = write.value.parse().unwrap_or(0);
    match (write.file.as_str(), error.errno) {
        ("memory.limit_in_bytes", Errno::EBUSY) => in_use(used("memory.usage_in_bytes"), asked),
        ("memory.memsw.limit_in_bytes", Errno::EBUSY) => Refusal::new(format!(
            "`limits.{}` cannot be set: {} of memory and swap are in use, more than the {} that they may be together then",
            write.key,
            human_bytes(used("memory.memsw.usage_in_bytes")),
            human_bytes(asked)
        ))
        .help("end processes of the sandbox, or set limits above what it uses"),
        (file, errno) => {
            let refusal = Refusal::new(format!("`limits.{}` cannot be set: {error}", write.key));
            match (file, errno) {
                (_, Errno::EACCES | Errno::EPERM) => {
                    refusal.help("only the user whose sandbox it is may change it, and root")
                }
                ("cpuset.cpus" | "cpuset.mems", _) => {
                    refusal.help("there are not so many for this group: see cpuset.cpus.effective and cpuset.mems.effective of the group above")
                }
                ("cpu.cfs_quota_us", Errno::EINVAL) => {
                    refusal.help("a group above this one allows less CPU time")
                }
                (_, Errno::ENODEV | Errno::ENXIO) => refusal.help("there is no such device"),
                (_, Errno::ENOENT) => refusal.help("this kernel has no such file"),
                _ => refusal,
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::report::Site;

    fn write(file: &str, value: &str) -> LimitWrite {
        LimitWrite {
            key: "x".to_owned(),
            controller: "memory",
            file: file.to_owned(),
            value: value.to_owned(),
            may_fail: false,
            site: Site::DEFAULT,
        }
    }

    #[test]
    fn what_is_read_is_put_back_as_the_kernel_takes_it() {
        for (file, value, read, expected) in [
            ("memory.max", "5", "max\n", "max"),
            ("cpu.max", "5 6", "max 100000\n", "max 100000"),
            ("cpuset.cpus", "1", "\n", "\n"),
            ("io.weight", "5", "default 100\n8:0 7\n", "100"),
            (
                "io.max",
                "8:0 rbps=1",
                "7:0 rbps=2 wbps=max\n8:0 rbps=3 wbps=max\n",
                "8:0 rbps=3 wbps=max",
            ),
            (
                "io.max",
                "8:0 rbps=1",
                "",
                "8:0 rbps=max wbps=max riops=max wiops=max",
            ),
            (
                "blkio.throttle.read_bps_device",
                "8:0 1",
                "8:16 2\n",
                "8:0 0",
            ),
            ("misc.max", "sev 1", "sev 7\n", "sev 7"),
        ] {
            assert_eq!(as_it_is(&write(file, value), read), expected, "{file}");
        }
    }

    #[test]
    fn an_entry_that_is_gone_is_no_limit() {
        assert!(holds(&write("io.max", &whole_rates("8:0")), "7:0 rbps=1\n"));
        assert!(!holds(
            &write("io.max", &whole_rates("8:0 rbps=5")),
            "7:0 rbps=1\n"
        ));
        assert!(holds(&write("blkio.throttle.read_bps_device", "8:0 0"), ""));
        assert!(holds(
            &write("memory.limit_in_bytes", "-1"),
            "9223372036854771712\n"
        ));
    }

    #[test]
    fn limits_that_depend_on_each_other_are_written_together() {
        for (one, other) in [("memory", "swap"), ("cpu", "cpu-burst"), ("/a", "/b")] {
            assert!(
                is_related(one, other) && is_related(other, one),
                "{one} {other}"
            );
        }
        for (one, other) in [("memory", "pids"), ("memory", "memory-soft"), ("/a", "cpu")] {
            assert!(!is_related(one, other), "{one} {other}");
        }
    }

    #[test]
    fn every_file_of_a_limit_that_can_be_taken_away_knows_how() {
        for control in control::CONTROLS {
            for version in [Version::V1, Version::V2] {
                let control::By::File { files, .. } = control.hold(version).by else {
                    continue;
                };
                for file in files {
                    let file = control::named(file, "2MB");
                    let fixed = file.starts_with("cpuset.") || file.starts_with("devices.");
                    assert_eq!(unlimited(&file, "x").is_none(), fixed, "{file}");
                }
            }
        }
    }
}
