//! The own process, made harmless before anything is read: what a caller can leave behind for a setuid program is its
//! arguments, environment, descriptors, signals, timers, limits, umask and working directory.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;

use crate::decide::Request;
use crate::system;

/// What the caller handed over.
#[derive(Clone, Debug)]
pub struct Call {
    /// With argument 0.
    pub arguments: Vec<Vec<u8>>,
    /// Who calls, with the environment; the name and arguments of the rule are not filled in.
    pub request: Request,
    /// Whether we run as root.
    pub privileged: bool,
    /// The limits that were reset, as they were: who stays who they are keeps theirs.
    pub limits: Vec<Limit>,
}

/// A resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The RLIMIT_ constant.
    pub resource: u32,
    /// The soft limit.
    pub soft: u64,
    /// The hard limit.
    pub hard: u64,
}

/// More is no call that a person or a program makes.
const MOST_VARIABLES: usize = 4096;

/// No limit, linux/resource.h
const NONE: u64 = u64::MAX;

/// What a caller's tiny limits would make fail half-way, or leave behind cut short: the resource, its name for ulimit, and
/// what is needed.
const LIMITS: &[(u32, &str, u64)] = &[
    (libc::RLIMIT_FSIZE, "file size", NONE),
    (libc::RLIMIT_AS, "virtual memory", NONE),
    (libc::RLIMIT_DATA, "data size", NONE),
    (libc::RLIMIT_CPU, "CPU time", NONE),
    // As many as the hard limit allows, which a root without CAP_SYS_RESOURCE cannot raise.
    (libc::RLIMIT_NPROC, "user processes", 1024),
    (libc::RLIMIT_NOFILE, "open files", 1024),
    (libc::RLIMIT_STACK, "stack size", 8 << 20),
];

/// Gives the process what is needed; a higher hard limit stays. Returns what it was.
fn reset_limit(resource: u32, wanted: u64) -> io::Result<Limit> {
    let (soft, hard) = system::limit(resource)?;
    let highest = hard.max(wanted);
    let now = match resource {
        libc::RLIMIT_NPROC => highest,
        _ => wanted,
    };
    system::set_limit(resource, now, highest)?;
    Ok(Limit {
        resource,
        soft,
        hard,
    })
}

/// Takes everything over, and resets what can be reset.
///
/// # Errors
/// What cannot be made harmless, for people.
pub fn sanitise() -> Result<Call, String> {
    let say = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| format!("{what}: {error}")
    };
    system::fill_standard_descriptors().map_err(say("cannot open /dev/null"))?;
    system::close_others().map_err(say("cannot close descriptors"))?;
    system::reset_signals();
    system::set_umask(0o022);
    system::forbid_dumps().map_err(say("cannot make this process undumpable"))?;
    let arguments: Vec<Vec<u8>> = std::env::args_os().map(OsString::into_vec).collect();
    if arguments.first().is_none_or(Vec::is_empty) {
        return Err("started without a name (argument 0)".to_owned());
    }
    let environment: Vec<Vec<u8>> = std::env::vars_os()
        .take(MOST_VARIABLES)
        .map(|(name, value)| {
            let mut entry = name.into_vec();
            entry.push(b'=');
            entry.extend(value.into_vec());
            entry
        })
        .collect();
    let ids = system::ids().map_err(say("cannot tell the own ids"))?;
    let [uid, effective, _] = ids.uids;
    let [gid, ..] = ids.gids;
    let privileged = effective == 0;
    let mut limits = Vec::new();
    if privileged {
        // What is read here must not be dumped.
        // The hard limit stays: the program may be one whose profile sets a limit of its own.
        let core = system::limit(libc::RLIMIT_CORE).map_err(say("cannot forbid core dumps"))?;
        system::set_limit(libc::RLIMIT_CORE, 0, core.1).map_err(say("cannot forbid core dumps"))?;
        for (resource, name, wanted) in LIMITS {
            let limit = reset_limit(*resource, *wanted).map_err(|error| {
                format!("cannot reset the limit `{name}` that this process was started with: {error}; call from a shell without it")
            })?;
            limits.push(limit);
        }
        system::clear_inheritable().map_err(say("cannot clear inheritable capabilities"))?;
    }
    Ok(Call {
        arguments,
        request: Request {
            uid,
            gid,
            groups: system::groups().map_err(say("cannot tell the own groups"))?,
            environment,
            ..Request::default()
        },
        privileged,
        limits,
    })
}
