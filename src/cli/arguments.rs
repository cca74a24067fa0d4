//! The command lines of both programs, as plain data.
//!
//! Options that say something about the sandbox are kept as they were typed: together they are one more layer of the
//! same language as a profile, and are judged there, with the option as the place of every error. Only what has no
//! counterpart in a profile is checked here.

use std::ffi::{OsStr, OsString};

use clap::{ArgAction, Parser, Subcommand, ValueHint};

mod changes;
mod plain;
mod running;
mod shorthand;
mod typed;

use super::documents::Which;
use super::notice::When;
pub use changes::{Changes, Private};
pub use running::{Interval, Running};
pub use shorthand::Shorthand;
pub use typed::Typed;

const EXAMPLES: &str = "\
Examples:
  sandbox firefox                               the profile whose `programs` names firefox
  sandbox --profile build npm install           the profile `build`, whatever the program is
  sandbox --memory 3G --swap 3G --memory-soft 1G -- firefox --private-window
  sandbox --hide ~/Mail --net none ./untrusted  the default profile, and two more rules
  sandbox --no-profile --pids 10 bash           these rules and nothing else
  sandbox --copy ~/project claude               changes to ~/project are kept apart: sandboxctl diff claude
  sandbox --root debian /bin/sh                 in an imported root file system
  sandbox --dry-run firefox                     what would be done, and who asked for it

Everything after PROGRAM belongs to PROGRAM.";

const SIZES: &str = "\
Sizes are bytes, or binary: 64K, 512M, 3G, 1T (3G is 3 GiB). Memory can also be a part of this host's RAM: 25%. `max` \
lifts a limit that a profile sets. --swap is in addition to --memory.";

const LAUNCH_STATUS: &str = "\
Exit status:
  that of PROGRAM
  128+N  PROGRAM died of signal N
  125    the sandbox could not be set up; PROGRAM was not run
  126    PROGRAM cannot be executed
  127    PROGRAM was not found
  2      wrong usage, or a profile that is not valid";

const CONTROL_EXAMPLES: &str = "\
Examples:
  sandboxctl profiles                 every profile and where it comes from
  sandboxctl show firefox             what holds, and which line of which file says so
  sandboxctl check ./my.toml          every error of a profile, and whether this host can apply it
  sandboxctl explain memory-soft      what a key means
  sandboxctl attach --profile memlimit --caller
                                      put this shell, and what it starts, under the limits of `memlimit`
  sandboxctl desktop install firefox  its icon starts the sandbox from now on
  sandboxctl doctor                   what this host offers, and how to get what it lacks
  sandboxctl diff claude              what `sandbox --copy DIR claude` has changed; `apply` carries it onto the disk
  sandboxctl list                     what runs, and what it uses; `top` keeps looking
  sandboxctl kill --all firefox       ends every process of the sandbox `firefox`

Exit status: 0 all is well, 1 it is not (`check`, `doctor`) or something failed, 2 wrong usage or a profile that is not \
valid.";

/// Starts a program under the limits and the isolation that its profile declares
#[derive(Clone, Debug, Default, PartialEq, Eq, Parser)]
#[command(
    name = "sandbox",
    version,
    override_usage = "sandbox [OPTIONS] [--] PROGRAM [ARGS]...",
    max_term_width = 100,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{SIZES}\n\n{LAUNCH_STATUS}\n\nSee sandbox(1), sandbox.toml(5), `sandboxctl explain`."),
)]
pub struct Launch {
    /// The profile to apply, by its name or, with a slash in it, by its file; later ones win
    ///
    /// A name is searched for in `$XDG_CONFIG_HOME/sandbox/profiles`, `/etc/sandbox/profiles`,
    /// `/usr/local/share/sandbox/profiles`, `/usr/share/sandbox/profiles` and among the profiles that are part of this
    /// program. Several profiles are merged left to right. Without this option the profile whose `programs` names
    /// PROGRAM is taken, else `default`; with --root it is `container`.
    #[arg(long, value_name = "NAME|FILE", value_hint = ValueHint::AnyPath, help_heading = "Profile")]
    pub profile: Vec<String>,

    /// Set one key over all profiles: limits.memory=3G
    ///
    /// VALUE is TOML; what is not is taken as text, so that `--set limits.memory=3G` needs no quotes. A key that is no
    /// plain word is quoted as in TOML: `--set 'filesystem."~/.ssh"=hidden'`. `inherit` goes back to the default.
    #[arg(long, value_name = "SECTION.KEY=VALUE", value_hint = ValueHint::Other, help_heading = "Profile")]
    pub set: Vec<String>,

    /// Take no profile: only what this command line says holds
    #[arg(long, conflicts_with = "profile", help_heading = "Profile")]
    pub no_profile: bool,

    /// Take profiles of the system alone: nothing below a home directory is opened
    ///
    /// For administrators, who run a program for a user under a profile that this user is not to replace. Profiles are
    /// named by their names then, not by files.
    #[arg(long, help_heading = "Profile")]
    pub system_profiles: bool,

    /// Let rules that this host cannot apply pass with a warning, where they only add strictness
    ///
    /// Without this such a rule is an error and PROGRAM is not run. A profile allows it for single rules with
    /// `degrade = ["limits.memory-soft"]`.
    #[arg(long, help_heading = "Profile")]
    pub best_effort: bool,

    /// What this run is called, in its reports and for `sandboxctl`
    ///
    /// Without this option, a run is called by its program, with a number where that is taken.
    #[arg(long, value_name = "ID", value_parser = run_name, value_hint = ValueHint::Other, help_heading = "Profile")]
    pub name: Option<String>,

    /// The desktop entry that PROGRAM is started from, by its name without `.desktop`
    ///
    /// Desktops, compositors and portals know the program by it: it names the systemd scope that limits make, and the
    /// application for which portals keep documents and permissions (`desktop.portals`). Entries made by
    /// `sandboxctl desktop` say it. Without it portals call the program `sandbox.NAME`.
    #[arg(long, value_name = "ID", value_parser = app_id, value_hint = ValueHint::Other, help_heading = "Profile")]
    pub app_id: Option<String>,

    /// What stands for keys of a profile.
    #[command(flatten)]
    pub shorthand: Shorthand,

    /// Start a sandbox of its own even if the program runs already and its profile would have it join that one
    ///
    /// See `process.again`: profiles of browsers, mail programs and the like hand a second start into the running sandbox.
    #[arg(long, help_heading = "Profile")]
    pub new: bool,

    /// Print the plan, step by step with who asked for it, and run nothing
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,

    /// Print a report at the end: exit status, peak memory, limits that were hit
    #[arg(long, help_heading = "Output")]
    pub report: bool,

    /// Print the plan (--dry-run) or the report at the end as JSON
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Leave it running, and come back as soon as its program has been executed; prints the name
    ///
    /// What it writes goes to a log, which `sandboxctl logs NAME` shows. It reads nothing. That it could not be started is
    /// told as ever.
    #[arg(long, conflicts_with = "dry_run")]
    pub background: bool,

    /// Print errors only, no warnings
    #[arg(long, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,

    /// Print what is done
    #[arg(long, help_heading = "Output")]
    pub verbose: bool,

    /// When to tell by a desktop notification that a limit struck, or that PROGRAM could not be started
    ///
    /// `auto`: where nobody would see a message. That is so when standard error is no terminal, there is a session bus,
    /// and `sandbox` was started by a desktop entry or has no controlling terminal.
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        help_heading = "Output"
    )]
    pub notify: When,

    /// Show the program the files and directories that its arguments name: `all`, `none`, FIRST, or `FIRST,REST`
    ///
    /// What the profile says with `desktop.documents` holds for all arguments, and how; where it says nothing, they are shown
    /// read-only. FIRST is the number of the first argument that may name one, REST how many at the end do not: so desktop
    /// entries say which were chosen by whoever opens them. Not shown are: what the profile hides, names with a dot at
    /// their beginning, and what is reached through another user's link.
    #[arg(
        long,
        value_name = "WHICH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "all"
    )]
    pub documents: Option<Which>,

    /// The program, and what it is given; options of `sandbox` end here
    #[arg(
        value_name = "PROGRAM",
        required_unless_present = "root",
        num_args = 1..,
        trailing_var_arg = true,
        value_hint = ValueHint::CommandWithArguments
    )]
    pub command: Vec<OsString>,
}

impl Launch {
    /// The program, as it was typed. The parser never lets it be missing; a value made by hand may.
    #[must_use]
    pub fn program(&self) -> Option<&OsStr> {
        self.command.first().map(OsString::as_os_str)
    }

    /// What the program is given, without its own name.
    #[must_use]
    pub fn arguments(&self) -> &[OsString] {
        self.command.get(1..).unwrap_or_default()
    }
}

/// Looks after profiles and running sandboxes, explains the language, and says what this host offers
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(
    name = "sandboxctl",
    version,
    max_term_width = 100,
    after_help = CONTROL_EXAMPLES,
    disable_help_subcommand = true,
)]
pub struct Control {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What `sandboxctl` can do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// List the profiles, where each comes from, and the programs that take it
    Profiles {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Show what a profile amounts to: every value, the line that says it, and what that line overruled
    ///
    /// Several profiles are merged left to right, as `sandbox --profile A --profile B` does.
    Show {
        /// Profiles, by name or, with a slash, by file
        #[arg(value_name = "NAME|FILE", required = true, value_hint = ValueHint::AnyPath)]
        profiles: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Show the defaults too, of keys that nobody set
        #[arg(long)]
        all: bool,
    },

    /// Check profiles: all errors in their files, and whether this host can apply them
    ///
    /// Nothing is run. Each profile is checked by itself.
    Check {
        /// Profiles, by name or, with a slash, by file
        #[arg(value_name = "NAME|FILE", required = true, value_hint = ValueHint::AnyPath)]
        profiles: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Name also the rules of shipped profiles that find nothing to do on this host
        #[arg(long)]
        verbose: bool,
    },

    /// Explain a key or a section of the profile language
    ///
    /// `limits.memory`, `memory`, `filesystem`, `"~/.ssh"`, `@mount`: whatever can stand in a profile. Without KEY, all
    /// sections and keys are listed.
    Explain {
        /// A section, a key, or both with a dot between
        #[arg(value_name = "KEY", value_hint = ValueHint::Other)]
        key: Option<String>,
    },

    /// Print the JSON schema of profiles, for editors
    Schema,

    /// Say what this host offers to sandboxes, and the exact fix for what it lacks
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Put running processes under the limits of a profile
    ///
    /// The processes, with all their threads, are moved to a control group of their own that has these limits, and so is
    /// everything that they start from then on. With cgroup v2 and systemd this needs no privilege, not even for a login
    /// shell; elsewhere it needs root, or control groups that `sandboxctl delegate` gave to the user. The group is gone
    /// when the last process in it is; on cgroup v1 the next sandbox that is started removes it. Only limits can be put on
    /// a running process: rules of the profile about files, namespaces, system calls and so on are an error, or are left
    /// out with --limits-only. Several processes share one group, beside that of the first.
    Attach(super::attach::Attach),
    /// Run a program in a running sandbox, under all of its restrictions
    ///
    /// It enters the sandbox's control group first and then its namespaces, and gets the same environment, limits,
    /// capabilities and system call filter as the sandbox's own program, as they were when the sandbox was started. It has a
    /// terminal of its own where the caller has one, and ends with `sandboxctl`. Exit status as of `sandbox`.
    Join {
        /// Be root inside, where the profile allows it (`user.join-as-root`)
        ///
        /// With no more capabilities than the profile keeps.
        #[arg(long)]
        as_root_inside: bool,
        /// The sandbox, as `sandboxctl list` calls it
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: String,
        /// The program and its arguments; without one $SHELL if it is there inside, else /bin/sh
        #[arg(
            value_name = "PROGRAM",
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_hint = ValueHint::CommandWithArguments
        )]
        command: Vec<OsString>,
    },

    /// Show what a sandbox in the background has written
    ///
    /// A log stays when its sandbox has ended, until another of that name is started with `sandbox --background`.
    Logs {
        /// The sandbox
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: String,
        /// Go on with what is added, until the sandbox ends
        #[arg(long, short)]
        follow: bool,
    },

    /// What is about running sandboxes.
    #[command(flatten)]
    Running(Running),

    /// List the files that programs need to start: interpreters, the dynamic loader, libraries
    ///
    /// The files are read as the kernel and the dynamic loader read them, and nothing is run. With --profile it is a profile
    /// in which these paths are all that there is. What a program opens later by itself cannot be told from its file, but
    /// for what is known of a few (Python, Perl, git, …). Libraries for better processors are listed beside the plain
    /// ones. LD_LIBRARY_PATH is not looked at. Exit status: 1 when something that is needed is missing.
    Closure(super::closure::Options),
    /// What is about changes that sandboxes made.
    #[command(flatten)]
    Changes(Changes),

    /// Import, list, show and remove root file systems for `sandbox --root NAME`
    Root {
        /// What to do.
        #[command(subcommand)]
        verb: super::root::RootVerb,
    },

    /// Have icons, files, links and D-Bus start programs in their sandboxes
    Desktop {
        /// What to do.
        #[command(subcommand)]
        verb: super::desktop::Desktop,
    },

    /// Give a user a control group subtree, so that limits work without root (to be run as root, once)
    ///
    /// Needed where neither cgroup v2 delegation nor the systemd user manager gives users a subtree: on cgroup v1 above
    /// all. It lasts until the host restarts.
    Delegate {
        /// The user, by name or number
        #[arg(value_name = "USER", value_hint = ValueHint::Username)]
        user: String,
        /// Take the subtree away again
        #[arg(long, action = ArgAction::SetTrue)]
        remove: bool,
        /// cgroup v2: also move this process of the user, such as a login shell, into the subtree
        ///
        /// On v2 a user may move a process only within the part of the tree that was given: sandboxes can be limited
        /// when they are started from what lies in it already.
        #[arg(long, value_name = "PID", conflicts_with = "remove", value_hint = ValueHint::Other)]
        pid: Option<i32>,
    },

    /// Groups with limits that an administrator makes once, and users put their processes into (cgroup v1)
    #[command(subcommand)]
    Group(super::group::Group),

    /// Work with the rules of sandbox-suid, by which users run a few privileged commands
    #[command(subcommand)]
    Rules(super::rules::Rules),
}

/// The name under which a run is found.
pub(super) fn run_name(text: &str) -> Result<String, String> {
    crate::control::name::check(text).map(|()| text.to_owned())
}

/// The name of a desktop entry.
fn app_id(text: &str) -> Result<String, String> {
    match text {
        "" => Err("it is empty".to_owned()),
        _ if text.len() > 255 => Err("it is longer than 255 bytes".to_owned()),
        _ if text
            .chars()
            .any(|letter| letter == '/' || letter.is_control()) =>
        {
            Err("a name of a desktop entry has no `/` and no control characters".to_owned())
        }
        _ => Ok(text.strip_suffix(".desktop").unwrap_or(text).to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::profile::key::{Kind, Section};
    use crate::profile::table;
    use clap::CommandFactory;
    use clap::error::ErrorKind;
    use std::os::unix::ffi::OsStringExt;

    fn launch(arguments: &[&str]) -> Result<Launch, clap::Error> {
        Launch::try_parse_from(std::iter::once("sandbox").chain(arguments.iter().copied()))
    }

    #[test]
    fn definitions_are_consistent() {
        Launch::command().debug_assert();
        Control::command().debug_assert();
    }

    #[test]
    fn options_end_at_the_program() {
        let parsed = launch(&[
            "--ro", "/a", "--ro", "/b", "prog", "--memory", "3G", "--", "-x", "--help",
        ])
        .unwrap();
        assert_eq!(parsed.shorthand.ro, ["/a", "/b"]);
        assert_eq!(parsed.shorthand.memory, None);
        assert_eq!(parsed.program(), Some(OsStr::new("prog")));
        assert_eq!(parsed.arguments(), ["--memory", "3G", "--", "-x", "--help"]);
    }

    #[test]
    fn a_double_hyphen_ends_the_options_once() {
        let parsed = launch(&["--dry-run", "--", "-odd", "--", "--version"]).unwrap();
        assert!(parsed.dry_run);
        assert_eq!(parsed.command, ["-odd", "--", "--version"]);
    }

    #[test]
    fn a_mistyped_option_is_never_taken_for_the_program() {
        let error = launch(&["--memroy", "3G", "firefox"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownArgument);
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--memory"), "{error}");
    }

    #[test]
    fn wrong_usage_is_status_2_and_help_is_status_0() {
        for (arguments, status) in [
            (&[][..], 2),
            (&["--dry-run"], 2),
            (&["--net", "bridge", "true"], 2),
            (&["--no-profile", "--profile", "a", "true"], 2),
            (&["--quiet", "--verbose", "true"], 2),
            (&["--name", "../x", "true"], 2),
            (&["--background", "--dry-run", "true"], 2),
            (&["--memory", "1G", "--memory", "2G", "true"], 2),
            (&["--help"], 0),
            (&["--version"], 0),
        ] {
            assert_eq!(
                launch(arguments).unwrap_err().exit_code(),
                status,
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn programs_need_not_be_utf_8() {
        let odd = OsString::from_vec(vec![b'a', 0xff]);
        let parsed =
            Launch::try_parse_from([OsString::from("sandbox"), odd.clone(), odd.clone()]).unwrap();
        assert_eq!(parsed.command, [odd.clone(), odd]);
    }

    #[test]
    fn network_modes_are_those_of_the_table() {
        let key = table::find(Section::Network, "mode").unwrap();
        let Kind::Word(words) = key.kind else {
            panic!("network.mode takes words");
        };
        let command = Launch::command();
        let option = command
            .get_arguments()
            .find(|arg| arg.get_id() == "net")
            .unwrap();
        let known: Vec<_> = option
            .get_possible_values()
            .iter()
            .map(|v| v.get_name().to_owned())
            .collect();
        assert_eq!(known, words);
    }

    #[test]
    fn keys_that_help_texts_name_exist() {
        let command = Launch::command();
        let mut named = 0;
        for help in command.get_arguments().filter_map(clap::Arg::get_help) {
            let help = help.to_string();
            for (at, _) in help.match_indices('(') {
                let inside = help[at + 1..].split(')').next().unwrap();
                if let Some((section, key)) = inside.split_once('.')
                    && let Some(section) = Section::by_name(section)
                {
                    assert!(table::find(section, key).is_some(), "{inside}");
                    named += 1;
                }
            }
        }
        assert!(named >= 8, "only {named} options name their key");
    }

    #[test]
    fn names_of_runs() {
        for good in ["a", "web-1", "A_b+c.d"] {
            assert_eq!(run_name(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            ".",
            "..",
            "-a",
            "a/b",
            "a b",
            "ä",
            "a\n",
            &"x".repeat(65),
        ] {
            assert!(run_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn verbs() {
        let parse = |arguments: &[&str]| {
            Control::try_parse_from(std::iter::once("sandboxctl").chain(arguments.iter().copied()))
        };
        assert_eq!(
            parse(&["show", "a", "./b.toml", "--all"]).unwrap().verb,
            Verb::Show {
                profiles: vec!["a".to_owned(), "./b.toml".to_owned()],
                json: false,
                all: true
            }
        );
        assert_eq!(
            parse(&["explain"]).unwrap().verb,
            Verb::Explain { key: None }
        );
        assert_eq!(
            parse(&["delegate", "joe", "--remove"]).unwrap().verb,
            Verb::Delegate {
                user: "joe".to_owned(),
                remove: true,
                pid: None,
            }
        );
        for wrong in [
            &[][..],
            &["show"],
            &["check"],
            &["delegate"],
            &["attach"],
            &["state"],
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }
}
