//! The verbs of `sandboxctl` that are about running sandboxes.

use clap::{Subcommand, ValueHint};

/// What can be done with running sandboxes.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Running {
    /// List the running sandboxes; root sees everybody's
    ///
    /// Processes that `sandboxctl attach` has put under limits are shown too, as `attached`. They can be looked at, changed,
    /// signalled, frozen and waited for as sandboxes can, and are forgotten when none of them is left.
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Print the names alone, a line each
        #[arg(long, conflicts_with = "json")]
        names: bool,
    },

    /// Say everything about a running sandbox: processes, control group, limits and where they were set, namespaces
    State {
        /// The sandbox
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Change limits of a running sandbox
    ///
    /// All or none: where one is refused, those that were changed already are put back. They are judged together with the
    /// limits that are not changed. `max` lifts a limit. A memory limit below what is in use is refused, if the kernel
    /// cannot push the sandbox below it.
    Set {
        /// The sandbox
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: String,
        /// Keys of `[limits]` with their values: memory=4G pids=100 cpu=50%
        #[arg(value_name = "KEY=VALUE", required = true, value_hint = ValueHint::Other)]
        limits: Vec<String>,
        /// Also where the kernel then kills processes of the sandbox for want of memory (cgroup v2)
        #[arg(long)]
        force: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// List the processes of running sandboxes, with their numbers outside and inside
    Ps {
        /// The sandbox; without it, all
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Show the processes of running sandboxes as a tree
    Tree {
        /// The sandbox; without it, all
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Say once what running sandboxes use, and of which limits
    Stats {
        /// The sandbox; without it, all
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Watch what running sandboxes use: memory against its limits, swap, CPU, processes, pressure, I/O
    ///
    /// Keys: m, c, p, i, n sort by memory, CPU, processes, I/O, name; space redraws at once; q quits. Where standard output
    /// is no terminal, one table is printed.
    Top {
        /// The sandbox; without it, all
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: Option<String>,
        /// Seconds between two looks
        #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = interval)]
        interval: Interval,
    },

    /// Print what happens to running sandboxes, a line each, until they end or this is interrupted
    ///
    /// started, memory-limit (reclaimed at the limit), oom (the kernel killed processes at it), pids-limit (forks refused),
    /// throttled (held back at the CPU limit), frozen, thawed, exited. Without NAME, also of those that are started later.
    Events {
        /// The sandbox; without it, all, and those to come
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: Option<String>,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
        /// Seconds between two looks at what the kernel does not announce
        #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
        interval: Interval,
    },

    /// Wait until a sandbox has ended, and exit with its program's status
    ///
    /// The status is 125 where it cannot be known, as the launcher was killed. Of processes under `sandboxctl attach` only
    /// their parents know it: then it is 0 once none is left.
    Wait {
        /// The sandbox
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: String,
        /// Print how it ended as JSON
        #[arg(long)]
        json: bool,
    },

    /// Send a signal to a sandbox's program, or kill all of its processes
    ///
    /// A program that ends takes the rest of its sandbox along. `--all --signal KILL` leaves no process behind, also of a
    /// program that makes processes faster than they can be listed, if the sandbox has a control group or a pid namespace.
    Kill {
        /// The sandboxes
        #[arg(value_name = "NAME", required = true, value_hint = ValueHint::Other)]
        names: Vec<String>,
        /// The signal, by name or number
        #[arg(long, value_name = "SIGNAL", default_value = "TERM", value_parser = signal, value_hint = ValueHint::Other)]
        signal: i32,
        /// Signal every process of the sandbox, not the program alone
        #[arg(long)]
        all: bool,
    },

    /// Stop all processes of a sandbox, at once and completely, until they are thawed
    ///
    /// Needs a control group, which a sandbox with `[limits]` has.
    Freeze {
        /// The sandboxes
        #[arg(value_name = "NAME", required = true, value_hint = ValueHint::Other)]
        names: Vec<String>,
    },

    /// Let a frozen sandbox go on
    Thaw {
        /// The sandboxes
        #[arg(value_name = "NAME", required = true, value_hint = ValueHint::Other)]
        names: Vec<String>,
    },

    /// List the namespaces of running sandboxes, and which of them the host or other sandboxes share
    Namespaces {
        /// The sandbox; without it, all
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Print the policy that a running sandbox was started with, and the lines that say so
    Policy {
        /// The sandbox
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Say whether a sandbox or a profile allows something, and which line of which file says so
    ///
    /// QUESTION is a path (/etc, ~/.ssh), a system call (mount, "socket(AF_NETLINK)", @mount), a capability (cap_net_raw),
    /// HOST:PORT, a variable (HOME, $LANG), or a key (memory, process.umask); SECTION.KEY says which is meant where a word has
    /// several meanings. NAME is a running sandbox, whose recorded policy is asked, or else a profile. It is a question to the
    /// policy and nothing is tried: what is seen at paths is told from the files that this host has now.
    Why {
        /// The sandbox, or the profiles, and then the question
        #[arg(value_name = "NAME|PROFILE… QUESTION", required = true, value_hint = ValueHint::AnyPath)]
        words: Vec<String>,
        /// Ask this profile, whatever runs by that name; then only the question follows
        #[arg(long, value_name = "NAME|FILE", value_hint = ValueHint::AnyPath)]
        profile: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Time between two looks, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(pub u32);

fn interval(text: &str) -> Result<Interval, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds".to_owned())?;
    if !(0.1..=3600.0).contains(&seconds) {
        return Err("from 0.1 to 3600 seconds".to_owned());
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // in the range above
    Ok(Interval((seconds * 1000.0) as u32))
}

/// `TERM`, `SIGTERM`, `term`, `15`.
fn signal(text: &str) -> Result<i32, String> {
    const MOST: i32 = 64;
    if let Ok(number) = text.parse::<i32>() {
        return match number {
            1..=MOST => Ok(number),
            _ => Err(format!("signals are numbered 1 to {MOST}")),
        };
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    format!("SIG{name}")
        .parse::<nix::sys::signal::Signal>()
        .map(|signal| signal as i32)
        .map_err(|_| "no such signal; see `kill -l`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for text in ["TERM", "SIGTERM", "term", "sigterm", "15"] {
            assert_eq!(signal(text), Ok(15), "{text}");
        }
        for text in ["", "0", "65", "-9", "NONE", "SIG"] {
            assert!(signal(text).is_err(), "{text}");
        }
    }

    #[test]
    fn intervals_are_seconds() {
        assert_eq!(interval("0.5"), Ok(Interval(500)));
        for text in ["", "0", "nan", "inf", "-1", "1e9"] {
            assert!(interval(text).is_err(), "{text}");
        }
    }
}
