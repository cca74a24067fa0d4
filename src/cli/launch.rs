//! `sandbox`: profiles and options → policy → plan → the program.

use std::ffi::{OsStr, OsString};

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use crate::exec;
use crate::host;
use crate::kernel::Errno;
use crate::plan::{Plan, Request, outline, show};
use crate::policy::Policy;
use crate::profile::choose::{Chosen, for_program};
use crate::report::{Diagnostic, Diagnostics, SourceMap, escape};
use crate::section::syscalls::{self, Company};

use super::arguments::Launch;
use super::layer::{Flag, Said, layer};
use super::usage::usage;
use super::{answer, complain, ending, failed, fallback, inspect, status};

/// The program `sandbox`.
#[must_use]
pub fn main() -> i32 {
    let matches = match Launch::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return usage(error),
    };
    let launch = match Launch::from_arg_matches(&matches) {
        Ok(launch) => launch,
        Err(error) => return usage(error),
    };
    let mut sources = SourceMap::new();
    let mut ready = prepare(&launch, &matches, &mut sources, None);
    // While the program runs, the launcher is to be small.
    drop(matches);
    if launch.dry_run
        && let Ok(plan) = ready.as_ref().map(|ready| &ready.plan)
        && let Some(refused) = fallback::refused(plan)
    {
        ready = prepare_again(&launch, &mut sources, refused);
    }
    let error = match ready {
        Ok(ready) if launch.dry_run => return dry_run(&launch, &ready, &sources),
        Ok(ready) => match run(&launch, ready, &sources) {
            Ok(status) => return status,
            Err(error) => error,
        },
        Err(errors) => return errors.tell(&sources),
    };
    let Unstarted { error, plan } = *error;
    // Nothing was run. It may be that this host gives no user namespace: then Landlock may hold the same rules.
    if fallback::may_be(&error, &plan)
        && let Some(refused) = fallback::refused(&plan)
    {
        let text = format!(
            "sandbox: warning: this host gives you no user namespace: {}\n  [filesystem] is held with Landlock alone: what is hidden can still be seen to exist, and modes and times of own \
             files can be changed; `sandboxctl doctor` says what would help\n",
            escape::line(&refused.detail)
        );
        let mut sources = SourceMap::new();
        return match prepare_again(&launch, &mut sources, refused) {
            Err(errors) => errors.tell(&sources),
            Ok(ready) => {
                if !launch.quiet {
                    complain(&text);
                }
                run(&launch, ready, &sources).unwrap_or_else(|error| error.tell(&sources))
            }
        };
    }
    Unstarted { error, plan }.tell(&sources)
}

/// The same once more, knowing that there is no user namespace to be had.
fn prepare_again(
    launch: &Launch,
    sources: &mut SourceMap,
    refused: host::facts::Refused,
) -> Result<Ready, Refused> {
    // It was parsed before: only the order of the options is looked up.
    let matches = Launch::command().get_matches();
    prepare(launch, &matches, sources, Some(refused))
}

/// A launch that did not happen, and its plan.
struct Unstarted {
    error: exec::LaunchError,
    plan: Plan,
}

impl Unstarted {
    fn tell(&self, sources: &SourceMap) -> i32 {
        let told = failed::tell(&self.error, &self.plan, sources);
        complain(&told.text);
        told.status
    }
}

struct Refused {
    diagnostics: Diagnostics,
    status: i32,
}

impl Refused {
    fn tell(&self, sources: &SourceMap) -> i32 {
        inspect::tell(&self.diagnostics, sources);
        self.status
    }
}

/// The profile that is taken with `--root` when none is named.
const CONTAINER: &str = "container";

/// What is ready to be run.
struct Ready {
    policy: Policy,
    plan: Plan,
    warnings: Diagnostics,
    chosen: String,
    /// Whether the command line says everything.
    alone: bool,
}

/// The options that say rules, in the order in which they were typed.
fn said(matches: &ArgMatches) -> Result<Said, Diagnostic> {
    let mut options: Vec<(usize, Flag, String)> = Vec::new();
    for flag in Flag::ALL {
        let id = flag.name().replace('-', "_");
        if matches.value_source(&id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let places = matches.indices_of(&id).into_iter().flatten();
        let values = matches.get_many::<String>(&id).into_iter().flatten();
        options.extend(
            places
                .zip(values)
                .map(|(place, value)| (place, flag, value.clone())),
        );
    }
    options.sort_by_key(|(place, ..)| *place);
    // Only what an option names can be relative to it.
    let here = match options.is_empty() {
        true => None,
        false => std::env::current_dir()
            .ok()
            .and_then(|path| path.into_os_string().into_string().ok()),
    };
    Ok(Said {
        options: options
            .into_iter()
            .map(|(_, flag, value)| (flag, value))
            .collect(),
        working_directory: here,
    })
}

fn prepare(
    launch: &Launch,
    matches: &ArgMatches,
    sources: &mut SourceMap,
    no_user_namespaces: Option<host::facts::Refused>,
) -> Result<Ready, Refused> {
    let wrong = |diagnostics| Refused {
        diagnostics,
        status: status::USAGE,
    };
    let said = said(matches).map_err(|error| wrong(vec![error]))?;
    let command_line = layer(&said, sources).map_err(wrong)?;
    let library = inspect::library();
    let program = launch.program().unwrap_or_else(|| OsStr::new(""));
    let (names, chosen) = if !launch.profile.is_empty() {
        (launch.profile.clone(), String::new())
    } else if launch.no_profile {
        (Vec::new(), String::new())
    } else {
        let chosen = if launch.shorthand.root.is_some() {
            // The program is one of that root's: its name says nothing about it.
            Chosen {
                name: CONTAINER.to_owned(),
                reason: "--root was given".to_owned(),
            }
        } else {
            for_program(&program.to_string_lossy(), &library, sources).map_err(wrong)?
        };
        let why = format!("profile `{}`: {}", chosen.name, chosen.reason);
        (vec![chosen.name], why)
    };
    if names.is_empty() && command_line.is_none() {
        return Err(wrong(vec![
            Diagnostic::general("nothing says what the sandbox is to be: --no-profile was given, and no option that sets a rule")
                .help("say rules with --memory, --net, --ro, --set …, or name a --profile"),
        ]));
    }
    let resolved = inspect::resolve(&names, &library, command_line, sources).map_err(wrong)?;
    let request = Request {
        program: program.to_owned(),
        arguments: launch.arguments().to_vec(),
        name: launch.name.clone().unwrap_or_else(|| run_name(program)),
        best_effort: launch.best_effort,
    };
    let plan = inspect::plan(&resolved.policy, &request, no_user_namespaces);
    let (plan, _) = plan.map_err(|diagnostics| {
        // Rules that make no filter anywhere are the profile's fault, not the host's.
        let status = match syscalls::lower(&resolved.policy, Company::default()) {
            Ok(_) => status::NOT_SET_UP,
            Err(_) => status::USAGE,
        };
        Refused {
            diagnostics,
            status,
        }
    })?;
    Ok(Ready {
        policy: resolved.policy,
        plan,
        warnings: resolved.warnings,
        chosen,
        alone: names.is_empty(),
    })
}

/// What a run is called when nobody names it: its program's file name.
fn run_name(program: &OsStr) -> String {
    let file = std::path::Path::new(program).file_name().unwrap_or(program);
    file.to_string_lossy().into_owned()
}

fn dry_run(launch: &Launch, ready: &Ready, sources: &SourceMap) -> i32 {
    let text = if launch.json {
        let mut plan = show::to_json(&ready.plan, sources);
        if let Some(fields) = plan.as_object_mut() {
            fields.insert("profile".to_owned(), ready.policy.name.clone().into());
        }
        format!("{plan:#}\n")
    } else {
        if !launch.quiet {
            inspect::tell(&ready.warnings, sources);
        }
        let profile = if ready.alone {
            "the command line alone"
        } else {
            &ready.policy.name
        };
        let why = if ready.chosen.is_empty() {
            String::new()
        } else {
            format!(" ({})", escape::line(&ready.chosen))
        };
        format!(
            "plan for {} under {}{why}; nothing is run\n{}",
            escape::os(launch.program().unwrap_or_else(|| OsStr::new(""))),
            escape::line(profile),
            outline::text(
                &ready.plan,
                sources,
                outline::Style {
                    every: launch.verbose,
                    paint: inspect::paint(),
                }
            )
        )
    };
    answer(&text).err().unwrap_or(status::OK)
}

fn run(launch: &Launch, ready: Ready, sources: &SourceMap) -> Result<i32, Box<Unstarted>> {
    drop(ready.policy);
    if !launch.quiet {
        inspect::tell(&ready.warnings, sources);
        for warning in &ready.plan.warnings {
            complain(&format!(
                "sandbox: warning: {}\n",
                show::warning(warning, sources)
            ));
        }
    }
    if launch.verbose {
        if !ready.chosen.is_empty() {
            complain(&format!("sandbox: {}\n", escape::line(&ready.chosen)));
        }
        let style = outline::Style {
            every: true,
            ..outline::Style::default()
        };
        complain(&outline::text(&ready.plan, sources, style));
    }
    let mut tell = |remark| {
        if launch.quiet {
            return;
        }
        let text = match remark {
            exec::Remark::Group(text) => text,
            exec::Remark::Event(event) if launch.verbose => event.to_string(),
            // The report at the end says it.
            exec::Remark::Event(_) => return,
            exec::Remark::Dropped { step, errno } => dropped(&ready.plan, step, errno, sources),
        };
        complain(&format!("sandbox: warning: {}\n", escape::line(&text)));
    };
    let outcome =
        exec::prepare(&ready.plan).and_then(|prepared| exec::launch(&prepared, &mut tell));
    match outcome {
        Ok(outcome) => {
            for leftover in &outcome.leftovers {
                complain(&format!("sandbox: {}\n", escape::line(leftover)));
            }
            let program: OsString = launch
                .program()
                .unwrap_or_else(|| OsStr::new(""))
                .to_owned();
            let ending = ending::Report::of(&outcome, &ready.plan, sources, &program);
            if launch.json {
                complain(&format!("{}\n", ending.to_json()));
            } else if launch.report {
                complain(&ending.full());
            } else if !launch.quiet {
                complain(&ending.remarks());
            }
            Ok(outcome.ending.status())
        }
        Err(error) => Err(Box::new(Unstarted {
            error,
            plan: ready.plan,
        })),
    }
}

/// A step that was passed over, in words.
fn dropped(plan: &Plan, step: usize, errno: Errno, sources: &SourceMap) -> String {
    let Some(step) = plan.steps.get(step) else {
        return format!("a rule is not applied: {}", errno.desc());
    };
    let place = if step.site.is_default() {
        String::new()
    } else {
        format!(" ({})", sources.position(step.site))
    };
    format!(
        "not done: {}{place}: {errno:?} ({})",
        step.action.describe(),
        errno.desc()
    )
}
