//! `sandbox`: profiles and options → policy → plan → the program.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::control::registry;
use crate::exec;
use crate::host;
use crate::plan::{Action, Plan, Request, outline, show};
use crate::policy::Policy;
use crate::profile::Profile;
use crate::profile::choose::{Chosen, for_program};
use crate::profile::key::Section;
use crate::report::render::{Style, render};
use crate::report::{Diagnostic, Diagnostics, SourceMap, escape};
use crate::section::syscalls::{self, Company};

use super::arguments::{Launch, Typed};
use super::documents::{self, Document, Which};
use super::inspect::Roots;
use super::layer::{Flag, Said, layer};
use super::notice::{Notifier, When};
use super::registered;
use super::run::Run;
use super::usage::usage;
use super::{answer, complain, failed, fallback, inspect, root, second, status};

/// The program `sandbox`.
#[must_use]
pub fn main() -> i32 {
    let Typed { mut launch, rules } = match typed() {
        Ok(typed) => typed,
        Err(error) => return usage(error),
    };
    if launch.dry_run {
        let mut sources = SourceMap::new();
        return match prepare_for_show(&mut launch, &rules, &mut sources) {
            Ok(ready) => {
                let asked = ready.again.as_deref().filter(|_| !launch.new);
                match asked.and_then(|asked| second::find(&launch, asked).ok()) {
                    Some(sandbox) => second::tell(&launch, &ready, &sandbox, &sources),
                    None => dry_run(&launch, &ready, &sources),
                }
            }
            Err(errors) => errors.tell(&sources),
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
    match prepare(&mut launch, rules, &mut sources, None) {
        Ok(ready) => {
            if reaches_the_launcher(&ready.plan)
                && let Err(error) = exec::itself::keep_out_of_reach()
            {
                let told = failed::tell(&error, &ready.plan, &sources);
                complain(&told.text);
                return told.status;
            }
            let (turn, others) = loop {
                match second::place(&launch, &ready) {
                    second::Place::Own(turn, others) => break (turn, others),
                    second::Place::In(sandbox) => {
                        if let Some(status) = second::run(&launch, &ready, &sandbox, &mut notifier)
                        {
                            return status;
                        }
                    }
                }
            };
            second::warn_of_another(&launch, &ready, &others, &sources);
            drop(others);
            match registered::take_name(&launch) {
                Ok(registered) => {
                    drop(turn);
                    Run::new(&mut launch, registered, &mut notifier).carry_out(ready, sources)
                }
                Err(status) => status,
            }
        }
        Err(errors) => {
            notifier.failed(&errors.text(&sources));
            errors.tell(&sources)
        }
    }
}

/// The command line of this process.
fn typed() -> Result<Typed, clap::Error> {
    Typed::of(&std::env::args_os().collect::<Vec<_>>())
}

/// Whether nothing but the view stands between the program and the file of the launcher: Landlock holds by whatever way a
/// file is reached, a view only by its paths.
fn reaches_the_launcher(plan: &Plan) -> bool {
    let has = |found: &dyn Fn(&Action) -> bool| plan.steps.iter().any(|step| found(&step.action));
    has(&|action| matches!(action, Action::NewRoot { .. }))
        && !has(&|action| matches!(action, Action::Landlock(rules) if !rules.handled.is_empty()))
}

/// The plan that would be carried out: where there is no user namespace to be had, the one without.
fn prepare_for_show(
    launch: &mut Launch,
    rules: &[(Flag, String)],
    sources: &mut SourceMap,
) -> Result<Ready, Refused> {
    let ready = prepare(launch, rules.to_vec(), sources, None)?;
    match fallback::refused(&ready.plan) {
        Some(refused) => {
            *sources = SourceMap::new();
            prepare(launch, rules.to_vec(), sources, Some(refused))
        }
        None => Ok(ready),
    }
}

/// The same once more, knowing that there is no user namespace to be had.
pub(super) fn prepare_again(
    launch: &Launch,
    sources: &mut SourceMap,
    refused: host::facts::Refused,
) -> Result<Ready, Refused> {
    // It was read before: only the options that say rules are looked up, which were not kept for this.
    let rules = match typed() {
        Ok(typed) => typed.rules,
        Err(error) => {
            return Err(Refused {
                diagnostics: vec![Diagnostic::general(error.to_string())],
                status: status::USAGE,
            });
        }
    };
    prepare(&mut launch.clone(), rules, sources, Some(refused))
}

/// The program as a notification calls it.
fn shown_name(launch: &Launch) -> String {
    let program = launch.program().unwrap_or_else(|| OsStr::new(""));
    escape::line(&run_name(program)).into_owned()
}

/// A launch that the policy or this host makes impossible.
pub(super) struct Refused {
    diagnostics: Diagnostics,
    status: i32,
}

impl Refused {
    /// Says why; returns the exit status.
    pub(super) fn tell(&self, sources: &SourceMap) -> i32 {
        inspect::tell(&self.diagnostics, sources);
        self.status
    }

    /// Why, without colours.
    pub(super) fn text(&self, sources: &SourceMap) -> String {
        render(&self.diagnostics, sources, Style { colour: false })
    }
}

/// The profile that is taken with `--root` when none is named.
const CONTAINER: &str = "container";

/// What is ready to be run.
pub(super) struct Ready {
    /// The rules.
    pub policy: Policy,
    /// What is to be done.
    pub plan: Plan,
    /// What was found wrong with the profiles that stops nothing.
    pub warnings: Diagnostics,
    /// Which profile was taken and why, when nobody named one.
    pub chosen: String,
    /// The one profile of the library that was asked for.
    pub asked: Option<String>,
    /// Whether the command line says everything.
    alone: bool,
    /// Roots in use, which nobody removes meanwhile.
    pub roots: Roots,
    /// What a second start is compared with; none if it is to have a sandbox of its own.
    pub again: Option<String>,
    /// Documents among the arguments that are shown because they were named.
    pub documents: Vec<Document>,
}

/// What the options say.
fn said(options: Vec<(Flag, String)>) -> Result<Said, Diagnostic> {
    // Only what an option names can be relative to it.
    let here = match options.is_empty() {
        true => None,
        false => std::env::current_dir()
            .ok()
            .and_then(|path| path.into_os_string().into_string().ok()),
    };
    let root = options.iter().rev().find(|(flag, _)| *flag == Flag::Root);
    let image = match root {
        Some((_, argument)) => root::image_of(argument)?,
        None => None,
    };
    Ok(Said {
        image,
        options,
        working_directory: here,
    })
}

#[inline(never)] // what it needs of the stack is not to stay with who waits for the program
fn prepare(
    launch: &mut Launch,
    rules: Vec<(Flag, String)>,
    sources: &mut SourceMap,
    no_user_namespaces: Option<host::facts::Refused>,
) -> Result<Ready, Refused> {
    let wrong = |diagnostics| Refused {
        diagnostics,
        status: status::USAGE,
    };
    let said = said(rules).map_err(|error| wrong(vec![error]))?;
    let command_line = layer(&said, sources).map_err(wrong)?;
    let library = match launch.system_profiles {
        true => inspect::system_library(&launch.profile).map_err(|error| wrong(vec![error]))?,
        false => inspect::library(),
    };
    let program = launch
        .program()
        .unwrap_or_else(|| OsStr::new(""))
        .to_owned();
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
    let mut resolved = inspect::resolve(&names, &library, command_line, sources).map_err(wrong)?;
    let again = match no_user_namespaces {
        None => second::asked_for(launch, &resolved.policy, &names, &library, sources),
        // Such a sandbox holds less than was asked for.
        Some(_) => None,
    };
    let (with_documents, documents) =
        show_documents(launch, said, &resolved.policy, sources).map_err(wrong)?;
    if let Some(with_documents) = with_documents {
        resolved =
            inspect::resolve(&names, &library, Some(with_documents), sources).map_err(wrong)?;
    }
    // A dry run changes nothing: what was not imported yet stays so.
    let (dry_run, quiet) = (launch.dry_run, launch.quiet);
    let obtain = |source: &str| match dry_run {
        true => root::find(source),
        false => root::obtain(source, quiet),
    };
    let roots = inspect::roots(&mut resolved, obtain, sources).map_err(|diagnostics| Refused {
        diagnostics,
        status: status::NOT_SET_UP,
    })?;
    if launch.command.is_empty() {
        launch.command =
            image_program(&resolved.policy, &roots).map_err(|error| wrong(vec![error]))?;
    }
    let program = launch.program().unwrap_or_else(|| OsStr::new(""));
    let request = Request {
        program: program.to_owned(),
        arguments: launch.arguments().to_vec(),
        name: launch.name.clone().unwrap_or_else(|| run_name(program)),
        app: launch.app_id.clone(),
        best_effort: launch.best_effort,
    };
    let plan = inspect::plan(&resolved.policy, &roots, &request, no_user_namespaces);
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
        asked: match names.as_slice() {
            [name] if !name.contains('/') => Some(name.clone()),
            _ => None,
        },
        alone: names.is_empty(),
        roots,
        again,
        documents,
    })
}

/// The command line's layer once more, with the documents among the arguments; none when there is none to be shown.
/// Arguments that reach one through links name it itself afterwards.
fn show_documents(
    launch: &mut Launch,
    mut said: Said,
    policy: &Policy,
    sources: &mut SourceMap,
) -> Result<(Option<Profile>, Vec<Document>), Diagnostics> {
    let which = launch
        .documents
        .unwrap_or(Which::From { first: 1, rest: 0 });
    let Some(shown) = documents::shown(policy, launch.documents) else {
        return Ok((None, Vec::new()));
    };
    if launch.arguments().is_empty() {
        return Ok((None, Vec::new()));
    }
    let scope = host::Scope {
        user_directories: true,
        ..host::Scope::NOTHING
    };
    let caller = host::probe(scope).map_err(|error| vec![error])?.caller;
    let found = documents::find(policy, &caller, launch.arguments(), which, shown);
    for warning in found.warnings.iter().filter(|_| !launch.quiet) {
        complain(&format!("sandbox: warning: {}\n", escape::line(warning)));
    }
    for (index, argument) in found.replaced {
        // The program comes first.
        if let Some(place) = launch.command.get_mut(index + 1) {
            *place = argument;
        }
    }
    if found.options.is_empty() {
        return Ok((None, found.shown));
    }
    // What was typed is said later, and holds.
    said.options.splice(0..0, found.options);
    Ok((layer(&said, sources)?, found.shown))
}

/// What the image at `/` says is to be run.
fn image_program(policy: &Policy, roots: &Roots) -> Result<Vec<OsString>, Diagnostic> {
    let root = policy
        .get(Section::Filesystem, "/")
        .and_then(|said| roots.get(said.value.root()?));
    let program = root
        .map(|held| held.root.config.program())
        .unwrap_or_default();
    if program.is_empty() {
        let why = match root {
            Some(_) => "the root does not say what is to be run",
            None => "a directory does not say what is to be run",
        };
        return Err(
            Diagnostic::general(format!("no PROGRAM was given, and {why}"))
                .help("such as: sandbox --root NAME /bin/sh"),
        );
    }
    Ok(program.into_iter().map(OsString::from).collect())
}

/// What a run is called when nobody names it: its program's file name.
fn run_name(program: &OsStr) -> String {
    let file = Path::new(program).file_name().unwrap_or(program);
    file.to_string_lossy().into_owned()
}

#[inline(never)]
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
