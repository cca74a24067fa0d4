//! Faults while a program is launched: every system call of the launcher and of its children made to fail in turn.
//!
//! Whatever fails, the program is run with everything that was promised or not at all, the status and the words say so, and
//! nothing stays behind. `SANDBOX_TEST_FAULTS=all` tries every call with every error of the table (`all:2` only the calls of
//! process 2, as messages number them); else each call is tried with one, and of the calls that a process makes many times,
//! only some.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbox::bpf::Arch;

use super::attacks::STRICT;
use super::dbus::Bus;
use super::support::sandbox::Running;
use super::support::{Case, Finished, Need, Outcome, Scene, Traces, binary, case, own_path};

const USERNS: &[Need] = &[Need::UserNamespaces];
const BUS: &[Need] = &[
    Need::UserNamespaces,
    Need::Program("dbus-daemon"),
    Need::Program("xdg-dbus-proxy"),
];

pub fn cases() -> Vec<Case> {
    vec![
        case("calls_of_strict", USERNS, |scene| {
            each_call(scene, &Launch::new(scene, STRICT)?)
        }),
        case(
            "calls_with_limits",
            &[Need::UserNamespaces, Need::Limits],
            |scene| each_call(scene, &Launch::new(scene, &format!("{STRICT}{LIMITS}"))?),
        ),
        case(
            "calls_with_landlock",
            &[Need::UserNamespaces, Need::Landlock(1)],
            |scene| {
                let profile = STRICT.replace("[process]\n", "[process]\nlandlock = true\n");
                each_call(scene, &Launch::new(scene, &profile)?)
            },
        ),
        case("calls_under_a_silent_filter", USERNS, under_a_silent_filter),
        case("calls_with_a_keeper", USERNS, with_a_keeper),
        case("calls_with_a_filtered_bus", BUS, with_a_filtered_bus),
        case("calls_of_a_second_start", USERNS, of_a_second_start),
    ]
}

/// The filter forbids all that could tell of a failure once it is there.
fn under_a_silent_filter(scene: &Scene) -> Outcome {
    let silent = "sendto = \"kill\"\nclose_range = \"kill\"\ndup2 = \"kill\"\ndup3 = \"kill\"\n";
    let mut launch = Launch::new(scene, &format!("{STRICT}{silent}"))?;
    launch.always = &["close_range", "execve", "seccomp"];
    launch.mostly = Some(1);
    each_call(scene, &launch)
}

/// What gets a hidden name later is hidden by a process of its own, the third one.
fn with_a_keeper(scene: &Scene) -> Outcome {
    let rule = "\"~/secret\" = \"hidden\"\n";
    let profile = STRICT.replace(rule, &format!("{rule}\"~/late/**/.env*\" = \"hidden\"\n"));
    fs::create_dir_all(scene.home().join("late/deep"))?;
    let made = scene.home().join("late/deep/.env");
    let mut launch = Launch::new(scene, &profile)?;
    // Where nothing is hidden, this is waited for in vain.
    let patience = if wanted().is_some() { 3 } else { 1 };
    launch
        .deeds
        .push(format!("later@{}@{patience}", made.display()));
    launch.made = Some(made);
    launch.mostly = Some(KEEPER);
    each_call(scene, &launch)
}

/// The filter of a bus is a program beside the program, the third process.
fn with_a_filtered_bus(scene: &Scene) -> Outcome {
    let bus = Bus::start(scene)?;
    let profile =
        format!("{STRICT}[dbus]\n\"org.test.Good\" = \"talk\"\n[desktop]\nportals = true\n");
    let mut launch = Launch::new(scene, &profile)?;
    launch
        .line
        .extend(["--app-id", "org.test.App"].map(str::to_owned));
    let address = bus.address();
    let socket = address.trim_start_matches("unix:path=");
    // Where the bus was, the filter is.
    launch.others.push((
        format!("inode@{socket}"),
        fs::metadata(socket)?.ino().to_string(),
    ));
    launch.deeds.push(format!("connect@{socket}"));
    launch
        .variables
        .push(("DBUS_SESSION_BUS_ADDRESS", address.clone()));
    launch.mostly = Some(2);
    each_call(scene, &launch)
}

/// It is run in the sandbox that is there already, or in one of its own.
fn of_a_second_start(scene: &Scene) -> Outcome {
    let profile = STRICT.replace("[process]\n", "[process]\nagain = \"join\"\n");
    let mut launch = Launch::new(scene, &profile)?;
    let first = launch.first(scene)?;
    launch.mostly = Some(1);
    let outcome = each_call(scene, &launch);
    // It is called after its program, which is this one.
    let own = own_path();
    let name = own.file_name().unwrap_or_default();
    let killed = scene.sandboxctl().args(["kill"]).args([name]).run()?;
    killed.succeeds()?;
    first.wait()?;
    outcome
}

/// The process that hides what gets a hidden name later, where there is one.
const KEEPER: usize = 2;

const LIMITS: &str = "[limits]\nmemory = \"256M\"\npids = 200\n";

/// What a call fails with, the likeliest first. A call that is not named here is not tried: it cannot fail, ends a process,
/// or has done its work when it fails, as close(2). An error that is an answer is left out below.
const ERRORS: &[(&str, &[i32])] = {
    use libc::{
        EACCES, EAGAIN, EBADF, EBUSY, EEXIST, EINTR, EINVAL, EIO, EMFILE, ENFILE, ENODEV, ENOENT,
        ENOMEM, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM, EROFS, ESRCH,
    };
    &[
        ("access", &[EACCES, ENOENT, EIO]),
        ("arch_prctl", &[EPERM]),
        ("bind", &[EACCES, ENOSPC]),
        ("bpf", &[EPERM, ENOSYS, ENOMEM]),
        // Not brk: the kernel answers with where the heap ends, never with an error.
        ("capget", &[EPERM, ENOSYS]),
        ("capset", &[EPERM, ENOSYS]),
        ("chdir", &[EACCES, ENOENT, EIO]),
        ("chmod", &[EPERM, EROFS]),
        ("clone", &[EAGAIN, ENOMEM, EPERM, ENOSPC]),
        ("clone3", &[EAGAIN, ENOMEM, EPERM, ENOSYS, ENOSPC]),
        ("close_range", &[ENOSYS, EPERM]),
        ("connect", &[EACCES, ENOENT]),
        ("dup2", &[EMFILE, EBUSY]),
        ("dup3", &[EMFILE, EBUSY]),
        ("execve", &[EACCES, ENOMEM, ENOENT, EPERM]),
        ("execveat", &[EACCES, ENOMEM, ENOENT, ENOSYS]),
        ("fchdir", &[EACCES]),
        ("fchmod", &[EPERM]),
        ("fchmodat", &[EPERM]),
        ("fchown", &[EPERM]),
        ("fcntl", &[EMFILE, EACCES, EAGAIN, EPERM]),
        ("flock", &[EAGAIN, EINTR, ENOMEM]),
        ("fsconfig", &[EPERM, EINVAL, EBUSY]),
        ("fsmount", &[EPERM, EMFILE]),
        ("fsopen", &[EPERM, ENODEV, ENOSYS]),
        ("fstat", &[EIO]),
        ("fstatfs", &[EIO, ENOSYS]),
        ("ftruncate", &[EIO]),
        ("getcwd", &[ENOENT, EACCES]),
        ("getdents64", &[EIO, ENOENT]),
        ("getgroups", &[EPERM]),
        ("getrandom", &[ENOSYS, EINTR]),
        ("getsockopt", &[EPERM]),
        ("ioctl", &[EIO, EPERM, EACCES]),
        ("keyctl", &[ENOSYS, EPERM, ENOMEM]),
        ("inotify_add_watch", &[ENOSPC, ENOMEM, EACCES]),
        ("inotify_init1", &[EMFILE, ENOMEM]),
        ("kill", &[EPERM, ESRCH]),
        ("landlock_add_rule", &[EBADF, ENOMEM, EPERM]),
        (
            "landlock_create_ruleset",
            &[ENOSYS, EOPNOTSUPP, EMFILE, EPERM],
        ),
        ("landlock_restrict_self", &[EPERM, ENOSYS]),
        ("lseek", &[EIO]),
        ("lstat", &[EACCES, EIO]),
        ("madvise", &[EINVAL]),
        ("memfd_create", &[EMFILE, ENOMEM, ENOSYS, EPERM]),
        ("mkdir", &[ENOSPC, EACCES, EROFS, EEXIST]),
        ("mkdirat", &[ENOSPC, EACCES, EROFS, EEXIST]),
        ("mknodat", &[EPERM, ENOSPC, EROFS]),
        ("mmap", &[ENOMEM]),
        ("mount", &[EPERM, ENOMEM, EBUSY, ENODEV]),
        ("mount_setattr", &[EPERM, ENOSYS, EINVAL]),
        ("move_mount", &[EPERM, ENOSYS, EBUSY]),
        ("mprotect", &[ENOMEM]),
        ("mremap", &[ENOMEM]),
        ("munmap", &[ENOMEM]),
        ("newfstatat", &[EACCES, EIO, ENOENT]),
        ("open", &[EACCES, EMFILE, EIO]),
        ("open_tree", &[EPERM, EMFILE, ENOSYS, ENOENT]),
        (
            "openat",
            &[EACCES, EMFILE, ENFILE, EIO, ENOENT, ENOMEM, EINTR],
        ),
        (
            "openat2",
            &[EACCES, EMFILE, ENOSYS, EIO, ENOENT, EAGAIN, EPERM],
        ),
        ("pidfd_getfd", &[EPERM, ENOSYS]),
        ("pidfd_open", &[EMFILE, ENOSYS, ESRCH]),
        ("pidfd_send_signal", &[EPERM, ENOSYS]),
        ("pipe2", &[EMFILE, ENFILE]),
        ("pivot_root", &[EPERM, EBUSY, EINVAL]),
        ("poll", &[EINTR, ENOMEM]),
        ("ppoll", &[EINTR, ENOMEM]),
        ("prctl", &[EPERM, EINVAL, ENOSYS]),
        ("pread64", &[EIO]),
        ("prlimit64", &[EPERM, EINVAL]),
        ("pwrite64", &[EIO, ENOSPC]),
        ("read", &[EIO, EINTR, EACCES]),
        ("readlink", &[EACCES, EIO, ENOENT]),
        ("readlinkat", &[EACCES, EIO, ENOENT]),
        ("recvfrom", &[EINTR, ENOMEM]),
        ("recvmsg", &[EINTR, ENOMEM]),
        ("rename", &[ENOSPC, EACCES]),
        ("renameat", &[ENOSPC, EACCES]),
        ("renameat2", &[ENOSPC, EACCES, ENOSYS]),
        ("rmdir", &[EBUSY, EACCES]),
        ("rt_sigaction", &[EINVAL]),
        ("rt_sigprocmask", &[EINVAL]),
        ("sched_getaffinity", &[EPERM]),
        ("sched_setaffinity", &[EPERM]),
        ("seccomp", &[EINVAL, ENOMEM, EACCES, ENOSYS]),
        ("sendmsg", &[EPERM, ENOMEM]),
        ("sendto", &[EPERM, ENOMEM]),
        ("setgid", &[EPERM]),
        ("setgroups", &[EPERM]),
        ("sethostname", &[EPERM]),
        ("setns", &[EPERM, EINVAL, ENOMEM]),
        ("setpgid", &[EPERM]),
        ("setpriority", &[EACCES]),
        ("setresgid", &[EPERM, EAGAIN]),
        ("setresuid", &[EPERM, EAGAIN]),
        ("setrlimit", &[EPERM]),
        ("setsid", &[EPERM]),
        ("setsockopt", &[EPERM]),
        ("setuid", &[EPERM]),
        ("sigaltstack", &[ENOMEM]),
        ("signalfd4", &[EMFILE, ENOMEM]),
        ("socket", &[EMFILE, EACCES, ENOMEM]),
        ("socketpair", &[EMFILE, ENOMEM]),
        ("stat", &[EACCES, EIO]),
        ("statfs", &[EACCES, EIO, ENOSYS]),
        ("statmount", &[ENOSYS, EPERM]),
        ("statx", &[EACCES, EIO, ENOENT, ENOSYS]),
        ("symlinkat", &[EACCES, ENOSPC, EROFS]),
        ("timerfd_create", &[EMFILE, ENOMEM]),
        ("timerfd_settime", &[EINVAL]),
        ("umount2", &[EBUSY, EPERM, EINVAL]),
        ("uname", &[EPERM]),
        ("unlink", &[EACCES, EBUSY]),
        ("unlinkat", &[EACCES, EBUSY]),
        ("unshare", &[EPERM, ENOSPC, ENOMEM]),
        ("wait4", &[EINTR]),
        ("waitid", &[EINTR]),
        ("write", &[EIO, ENOSPC, EINTR, EPERM]),
        ("writev", &[EIO, ENOSPC]),
    ]
};

/// Whether the launcher is told by this error what it has asked: then it is right to go by it. A file is not there, or the
/// caller cannot reach it; the kernel has no such capability.
fn is_answer(site: &Site, errno: i32) -> bool {
    match site.name {
        "newfstatat" | "statx" => matches!(errno, libc::ENOENT | libc::EACCES) && site.process == 0,
        "prctl" => errno == libc::EINVAL && site.process == 0,
        _ => false,
    }
}

/// Whether the launcher, looking for what a rule names, is told by this error that it is not there: then nothing is hidden
/// there. All else has to hold.
fn tells_of_nothing(site: &Site, errno: i32) -> bool {
    errno == libc::ENOENT && site.name == "openat" && site.process == 0
}

/// Whether the process that hides what gets a name later is told by this error that a directory or a name is gone, or closed to
/// the program too: then nothing is to be hidden there.
fn tells_the_keeper_of_nothing(site: &Site, errno: i32) -> bool {
    site.process == KEEPER
        && match site.name {
            "openat" | "openat2" => matches!(errno, libc::ENOENT | libc::EACCES),
            "fchdir" | "inotify_add_watch" => errno == libc::EACCES,
            // It was removed while it was read.
            "getdents64" => errno == libc::ENOENT,
            // Of what is open, the kernel never says so.
            "newfstatat" => matches!(errno, libc::ENOENT | libc::EACCES),
            "statx" => errno == libc::ENOENT,
            "fcntl" => errno == libc::EACCES,
            _ => false,
        }
}

/// Whether a fault is that what gets a hidden name later is seen, or that it could not be made at all.
fn is_later(fault: &str, end: &str) -> bool {
    fault.starts_with("later@") && fault.ends_with(end)
}

/// Whether the launcher could not look at the bus: there is none inside then, filtered or not.
fn is_without_a_bus(site: &Site, errno: i32, fault: &str) -> bool {
    site.name == "statx"
        && site.process == 0
        && matches!(errno, libc::EIO | libc::ENOSYS)
        && fault.starts_with("connect@")
        && fault.ends_with(": ENOENT, not ok")
}

/// Whether a fault is that what a rule hides is seen.
fn is_secret(fault: &str) -> bool {
    fault == "the secret is read" || fault.contains("/secret/token: ")
}

/// A call that a launch makes: of which process, its name and number, and how many times.
struct Site {
    process: usize,
    name: &'static str,
    number: i32,
    times: u32,
}

/// A launch and what it may do.
struct Launch {
    /// The launcher with its options.
    line: Vec<String>,
    deeds: Vec<String>,
    /// Deeds, and what each of them would answer outside.
    others: Vec<(String, String)>,
    variables: Vec<(&'static str, String)>,
    /// A file that the program makes each time.
    made: Option<PathBuf>,
    /// The process whose calls are tried rather than those of the others: a third of them, unless all are.
    mostly: Option<usize>,
    /// Calls that are tried with every error in any case.
    always: &'static [&'static str],
    record: String,
}

impl Launch {
    fn new(scene: &Scene, profile: &str) -> Result<Launch, Box<dyn std::error::Error>> {
        scene.write("home/secret/token", "top secret")?;
        let home = scene.home().display().to_string();
        let profile = scene.write("faults.toml", profile)?.display().to_string();
        let deeds = [
            format!("read@{home}/secret/token"),
            format!("read@/..{home}/secret/token"),
            "create@/usr/sandbox-faults-attack".to_owned(),
            "create@/var/tmp/sandbox-faults-attack".to_owned(),
            "status@Seccomp_filters".to_owned(),
            "status@NoNewPrivs".to_owned(),
            "status@CapEff".to_owned(),
            "status@CapPrm".to_owned(),
            "status@CapInh".to_owned(),
            "status@CapBnd".to_owned(),
            "status@Uid".to_owned(),
            "status@Groups".to_owned(),
            "stat@/dev/kmsg".to_owned(),
            "call@add_key@0@0@0@0@0".to_owned(),
            "limit@Max open files".to_owned(),
        ];
        let line = vec![
            binary("sandbox").display().to_string(),
            "--profile".to_owned(),
            profile,
        ];
        let namespaces = ["net", "pid", "user", "mnt"].map(|kind| {
            let outside = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap_or_default();
            (format!("ns@{kind}"), outside.display().to_string())
        });
        Ok(Launch {
            line,
            deeds: deeds.to_vec(),
            others: namespaces.to_vec(),
            variables: Vec::new(),
            made: None,
            mostly: None,
            always: &[],
            record: scene.folder().join("calls").display().to_string(),
        })
    }

    /// One that stays until it is ended, once it has said where it is.
    fn first(&self, scene: &Scene) -> std::io::Result<Running> {
        let own = own_path().display().to_string();
        let record = scene.folder().join("first").display().to_string();
        // Behind the same filter as the second: who is less confined is not joined.
        let mut run = scene
            .command(&own)
            .limit(Duration::from_secs(4 * 3600))
            .args(["probe", "inject", &record, "none"])
            .args(&self.line)
            .args(["--", &own, "probe", "do", "where", "wait@14400"])
            .spawn()?;
        run.wait_for("where: ")?;
        Ok(run)
    }

    fn run(&self, scene: &Scene, place: &str) -> std::io::Result<Finished> {
        let own = own_path().display().to_string();
        if let Some(made) = &self.made {
            let _ = fs::remove_file(made);
        }
        let mut command = scene.command(&own);
        for (name, value) in &self.variables {
            command = command.env(name, value);
        }
        let out = command
            .limit(Duration::from_secs(if scene.host.is_virtual() {
                120
            } else {
                20
            }))
            .args(["probe", "inject", &self.record, place])
            .args(&self.line)
            .args(["--", &own, "probe", "do"])
            .args(&self.deeds)
            .args(self.others.iter().map(|(deed, _)| deed))
            .run();
        if let Some(made) = &self.made {
            let _ = fs::remove_file(made);
        }
        out
    }

    /// The calls of a launch in which nothing fails.
    fn sites(&self) -> Result<Vec<Site>, Box<dyn std::error::Error>> {
        let arch = Arch::native().ok_or("no architecture that is known")?;
        let text = fs::read_to_string(&self.record)?;
        let mut sites = Vec::new();
        for line in text.lines() {
            let numbers: Vec<i32> = line
                .split(' ')
                .map(str::parse)
                .collect::<Result<_, _>>()
                .map_err(|_| format!("`{line}` in what was counted"))?;
            let &[process, number, times] = numbers.as_slice() else {
                return Err(format!("`{line}` in what was counted").into());
            };
            if let Some(name) = arch.call(u32::try_from(number)?) {
                sites.push(Site {
                    process: usize::try_from(process)?,
                    name,
                    number,
                    times: u32::try_from(times)?,
                });
            }
        }
        Ok(sites)
    }
}

/// What `SANDBOX_TEST_FAULTS` asks for: every call, of all processes or of one.
fn wanted() -> Option<Option<usize>> {
    let wish = std::env::var("SANDBOX_TEST_FAULTS").ok()?;
    match wish.strip_prefix("all:") {
        Some(process) => process.parse().ok().map(Some),
        None => (wish == "all").then_some(None),
    }
}

/// Everything below a folder, so that what stays behind is seen.
fn listing(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
            found.push(entry.path().display().to_string());
        }
    }
    found.sort();
    found
}

fn each_call(scene: &Scene, launch: &Launch) -> Outcome {
    let good = launch.run(scene, "none")?;
    good.succeeds()?;
    let again = launch.run(scene, "none")?;
    let expected: Vec<(&String, String)> = launch
        .deeds
        .iter()
        .map(|deed| (deed, good.answer(deed)))
        .collect();
    for (deed, answer) in &expected {
        assert_eq!(&again.answer(deed), answer, "{deed}");
    }
    let others: Vec<&(String, String)> = launch
        .others
        .iter()
        .filter(|(deed, outside)| good.answer(deed) != *outside)
        .collect();
    let before = (listing(&scene.runtime()), listing(&scene.home()));
    let wish = wanted();
    let all = wish.is_some();
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut ran, mut refused, mut missed, mut turn) = (0, 0, 0, 0_usize);
    let mut swept = 0;
    let mut wrong = Vec::new();
    for site in launch.sites()? {
        let Some((_, errors)) = ERRORS.iter().find(|(name, _)| *name == site.name) else {
            continue;
        };
        if wish.flatten().is_some_and(|only| only != site.process) {
            continue;
        }
        let all = all || launch.always.contains(&site.name);
        for time in 1..=site.times {
            // The first is the one that starts the launcher.
            let starts = site.name == "execve" && site.process == 0 && time == 1;
            let often = time > 3 && time + 2 < site.times && !time.is_multiple_of(7);
            if starts || (often && !all) {
                continue;
            }
            turn += 1;
            let each = match launch.mostly {
                None => 1,
                Some(process) if process == site.process => 3,
                Some(_) => 17,
            };
            if !turn.is_multiple_of(each) && !all {
                continue;
            }
            let some = if all {
                errors
            } else {
                let one = turn / each % errors.len();
                &errors[one..=one]
            };
            for &errno in some {
                if is_answer(&site, errno) {
                    continue;
                }
                let place = format!("{}:{}:{time}:{errno}", site.process, site.number);
                let name = format!(
                    "call {time} of {} by process {} fails with {:?}",
                    site.name,
                    site.process,
                    nix::errno::Errno::from_raw(errno)
                );
                let traces = Traces::take();
                let mut faults = Vec::new();
                match launch.run(scene, &place) {
                    Err(error) => faults.push(error.to_string()),
                    Ok(out) => {
                        let hit = fs::read_to_string(&launch.record)?.ends_with("hit\n");
                        missed += u32::from(!hit);
                        let has_run = out.stdout().contains(": ");
                        ran += u32::from(has_run && hit);
                        refused += u32::from(!has_run);
                        faults.extend(
                            judge(&site, &out, has_run, &expected, &others)
                                .into_iter()
                                .filter(|fault| {
                                    let nothing = tells_of_nothing(&site, errno)
                                        && (is_secret(fault)
                                            || is_later(fault, ": EROFS, not closed"));
                                    let later = tells_the_keeper_of_nothing(&site, errno)
                                        && is_later(fault, ": seen, not closed");
                                    !nothing && !later && !is_without_a_bus(&site, errno, fault)
                                }),
                        );
                        if hit && (!has_run || out.code() != 0) {
                            told.entry(on_a_line(&out)).or_default().push(name.clone());
                        }
                    }
                }
                // A group whose launcher died, or was not let remove it, is left to the next launch.
                let unremoved = matches!(site.name, "mmap" | "mremap" | "unlinkat");
                if unremoved && traces.has_groups(Duration::from_millis(500)) {
                    swept += 1;
                    launch.run(scene, "none")?;
                }
                faults.extend(traces.clean_up_after(Duration::from_millis(1500)));
                let mut after = (listing(&scene.runtime()), listing(&scene.home()));
                if after.0 != before.0 {
                    // A record is only removed under a lock; one that could not be locked goes with the next launch that ends.
                    launch.run(scene, "none")?;
                    after.0 = listing(&scene.runtime());
                }
                for (now, then) in [(&after.0, &before.0), (&after.1, &before.1)] {
                    for path in now.iter().filter(|path| !then.contains(path)) {
                        let _ = fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
                        // What may not be removed stays. Without $XDG_RUNTIME_DIR, directories of runs lie in this one,
                        // which is never removed.
                        let stays = matches!(site.name, "unlink" | "unlinkat" | "rmdir")
                            || site.process == 0
                                && matches!(site.name, "openat" | "newfstatat")
                                && path.ends_with("/.local/state/sandbox/run/.run");
                        if !stays {
                            faults.push(format!("left behind: {path}"));
                        }
                    }
                }
                if !faults.is_empty() {
                    wrong.push(format!("{name} ({place})\n  {}", faults.join("\n  ")));
                }
            }
        }
    }
    println!(
        "faults: {ran} ran, {refused} were refused, {missed} did not come to that call; {swept} left a control group, which \
         the next launch removed"
    );
    if let Ok(path) = std::env::var("SANDBOX_TEST_FAULTS_TOLD") {
        let lines = told
            .iter()
            .map(|(line, places)| format!("{line}\n    {} e.g. {}\n", places.len(), places[0]));
        fs::write(path, lines.collect::<String>())?;
    }
    let some = wish.flatten().is_some();
    assert!(
        some || (ran > 0 && refused > 0),
        "ran {ran}, refused {refused}"
    );
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} faults are not borne:\n{}",
        wrong.len(),
        wrong.join("\n")
    )
    .into())
}

/// What is said, on a line, for who reads all of it.
fn on_a_line(out: &Finished) -> String {
    let text = out.stderr().replace(
        "sandbox: the sandbox could not be set up; nothing was run",
        "…",
    );
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    format!("[{}] {}", out.code(), lines.join(" | "))
}

/// What is wrong with how a launch ended in which a call has failed.
fn judge(
    site: &Site,
    out: &Finished,
    has_run: bool,
    expected: &[(&String, String)],
    others: &[&(String, String)],
) -> Vec<String> {
    let mut faults = Vec::new();
    let (stdout, stderr) = (out.stdout(), out.stderr());
    if stdout.contains("top secret") {
        faults.push("the secret is read".to_owned());
    }
    if stderr.contains("panicked") || stderr.contains("RUST_BACKTRACE") {
        faults.push(format!("a panic: {stderr}"));
    }
    if !has_run {
        if out.code() == 0 {
            faults.push("success is reported, and nothing was run".to_owned());
        }
        // Without memory, or before there is a program, the libraries speak; without a working stream nobody can.
        let memory = matches!(site.name, "mmap" | "mprotect" | "mremap" | "munmap");
        let linker = stderr.contains("error while loading shared libraries") || out.code() == 127;
        let mute = site.name == "write" || site.name == "writev";
        let words = stderr.split_whitespace().count();
        if words < 5 && !memory && !linker && !mute {
            faults.push(format!(
                "status {}, and it is not told why: {stderr:?}",
                out.code()
            ));
        }
        if stderr.contains("nothing was run") && !stderr.contains("help: ") {
            faults.push(format!("it is not told what to do: {stderr}"));
        }
        return faults;
    }
    if stderr.contains("nothing was run") {
        faults.push(format!("it has run, and it is told: {stderr}"));
    }
    // It is said by then that nothing is hidden any more, or that it could not be looked after.
    let killed = out.code() == 137 && stderr.contains("; the program is ended")
        || out.code() == 125 && stderr.contains("if the program had begun, it was killed");
    let unwatched = stderr.contains(" are seen: it is not watched, since ");
    for (deed, answer) in expected {
        let now = out.answer(deed);
        let borne = killed && now.starts_with("no answer to")
            || unwatched && deed.starts_with("later@") && now == "seen";
        if now != *answer && !borne {
            let now = now.lines().next().unwrap_or_default();
            faults.push(format!("{deed}: {now}, not {answer}"));
        }
    }
    for (deed, outside) in others {
        if out.answer(deed) == *outside {
            faults.push(format!("{deed} is that outside"));
        }
    }
    if out.code() != 0 && stderr.split_whitespace().count() < 5 {
        faults.push(format!(
            "it has run, and the status is {}: {stderr:?}",
            out.code()
        ));
    }
    faults
}
