//! `sandbox`: profiles and options → policy → plan → the program.

use std::ffi::OsStr;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use crate::control::{registry, share};
use crate::exec;
use crate::kernel::Errno;
use crate::plan::{Action, Plan, Request, outline, show};
use crate::policy::Policy;
use crate::profile::choose::{Chosen, for_program};
use crate::report::render::{Style, render};
use crate::report::{Diagnostic, Diagnostics, SourceMap, escape};
use crate::section::syscalls::{self, Company};

use super::arguments::Launch;
use super::background::{self, Side};
use super::layer::{Flag, Said, layer};
use super::notice::{Notifier, When};
use super::registered::{self, Registered};
use super::usage::usage;
use super::{answer, complain, ending, failed, inspect, status};

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
    if launch.dry_run {
        let mut sources = SourceMap::new();
        return match prepare(&launch, &matches, &mut sources) {
            Ok(ready) => dry_run(&launch, &ready, &sources),
            Err(errors) => refuse(&errors, &sources),
        };
    }
    let mut notifier = Notifier::new(launch.notify, &shown_name(&launch));
    if launch.notify == When::Always && !notifier.can_send() && !launch.quiet {
        complain(
            "sandbox: warning: --notify always: there is no session bus (DBUS_SESSION_BUS_ADDRESS)\n",
        );
    }
    // Before the host is looked at: what is there then is hidden from the program.
    registry::make_place();
    let mut sources = SourceMap::new();
    let ready = prepare(&launch, &matches, &mut sources);
    // While the program runs, the launcher is to be small.
    drop(matches);
    match ready {
        Ok(ready) => match registered::take_name(&launch) {
            Ok(registered) => run(&launch, ready, &sources, registered, &mut notifier),
            Err(status) => status,
        },
        Err(errors) => {
            notifier.failed(&render(
                &errors.diagnostics,
                &sources,
                Style { colour: false },
            ));
            refuse(&errors, &sources)
        }
    }
}

fn refuse(errors: &Refused, sources: &SourceMap) -> i32 {
    inspect::tell(&errors.diagnostics, sources);
    errors.status
}

/// The program as a notification calls it.
fn shown_name(launch: &Launch) -> String {
    let program = launch.program().unwrap_or_else(|| OsStr::new(""));
    escape::line(&run_name(program)).into_owned()
}

struct Refused {
    diagnostics: Diagnostics,
    status: i32,
}

/// The profile that is taken with `--root` when none is named.
const CONTAINER: &str = "container";

/// What is ready to be run.
struct Ready {
    policy: Policy,
    plan: Plan,
    warnings: Diagnostics,
    chosen: String,
    /// The one profile of the library that was asked for.
    asked: Option<String>,
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
    let (plan, _) = inspect::plan(&resolved.policy, &request).map_err(|diagnostics| {
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
        asked: match names.as_slice() {
            [name] if !name.contains('/') => Some(name.clone()),
            _ => None,
        },
        alone: names.is_empty(),
    })
}

/// What a run is called when nobody names it: its program's file name.
fn run_name(program: &OsStr) -> String {
    let file = Path::new(program).file_name().unwrap_or(program);
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

fn run(
    launch: &Launch,
    ready: Ready,
    sources: &SourceMap,
    mut registered: Registered,
    notifier: &mut Notifier,
) -> i32 {
    registered.keep(ready.policy);
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
    let shared = match share(&ready.plan) {
        Ok(shared) => shared,
        Err(refused) => {
            inspect::tell(&[*refused], sources);
            return status::NOT_SET_UP;
        }
    };
    let mut background = None;
    if launch.background {
        match background::detach() {
            Ok(Side::Background(ours)) => background = Some(ours),
            Ok(Side::Foreground(status)) | Err(status) => {
                registered.leave();
                return status;
            }
        }
    }
    if let Some(background) = &background {
        let Some(name) = registered.name() else {
            complain(
                "sandbox: nothing can be started in the background, as no record of it can be written; --verbose says why\n",
            );
            return status::NOT_SET_UP;
        };
        if let Err(status) = background.write_to_log(name) {
            return status;
        }
    }
    let name = registered.name().unwrap_or_default().to_owned();
    let reader = ending::Reader {
        profile: ready.asked,
        directory: inspect::own_profiles(),
        may_change: Some(may_change),
    };
    let mut diary = ending::Diary::default();
    let mut tell = |remark| {
        let text = match remark {
            exec::Remark::Started(started) => {
                registered.started(launch, &started, &ready.plan, sources);
                if let Some(background) = &mut background {
                    background.started(&name);
                }
                return;
            }
            exec::Remark::Event(event) => {
                diary.note(event);
                if let Some((kind, text)) = ending::notice_of(event, &ready.plan, sources, &reader)
                {
                    notifier.happened(kind, &text);
                }
                // The terminal is the program's now; the report at the end says it.
                if launch.verbose {
                    complain(&format!(
                        "sandbox: {}\r\n",
                        escape::line(&event.to_string())
                    ));
                }
                return;
            }
            exec::Remark::Group(text) => text,
            exec::Remark::Dropped { step, errno } => dropped(&ready.plan, step, errno, sources),
        };
        if !launch.quiet {
            complain(&format!("sandbox: warning: {}\n", escape::line(&text)));
        }
    };
    let outcome = exec::prepare_sharing(&ready.plan, shared)
        .and_then(|prepared| exec::launch(&prepared, &mut tell));
    match outcome {
        Ok(outcome) => {
            // It may have ended before anybody could say that it was started.
            if let Some(background) = &mut background {
                background.started(&name);
            }
            registered.ended(&outcome);
            for leftover in &outcome.leftovers {
                complain(&format!("sandbox: {}\n", escape::line(leftover)));
            }
            let program = launch.program().unwrap_or_else(|| OsStr::new(""));
            let report =
                ending::Report::of(&outcome, &ready.plan, sources, program, &reader, &diary);
            if launch.json {
                complain(&format!("{}\n", report.to_json()));
            } else if launch.report {
                complain(&report.full());
            } else if !launch.quiet {
                complain(&report.remarks());
            }
            for (kind, text) in report.notices() {
                if !notifier.has_told(kind) {
                    notifier.happened(kind, &text);
                }
            }
            outcome.ending.status()
        }
        Err(error) => {
            if let Some(background) = &background {
                background.failed(&name);
            }
            let told = failed::tell(&error, &ready.plan, sources);
            complain(&told.text);
            notifier.failed(&told.text);
            told.status
        }
    }
}

/// Opens the namespaces of other sandboxes that a plan shares. Nothing else has been done yet.
fn share(plan: &Plan) -> Result<Vec<exec::Shared>, Box<Diagnostic>> {
    let mut opened = Vec::new();
    for step in &plan.steps {
        let Action::ShareNamespaces {
            sandbox,
            kinds,
            below,
        } = &step.action
        else {
            continue;
        };
        let shared = share::open(sandbox, kinds, *below).map_err(|refusal| {
            let told = Diagnostic::error(refusal.message, step.site, "shared by this");
            Box::new(refusal.help.into_iter().fold(told, Diagnostic::help))
        })?;
        opened.push(shared);
    }
    Ok(opened)
}

/// Whether a profile's file is one that the caller edits: what a package has installed is not.
fn may_change(path: &Path) -> bool {
    use nix::unistd::{AccessFlags, access};
    !path.starts_with("/usr") && access(path, AccessFlags::W_OK).is_ok()
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
