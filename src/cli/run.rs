//! One run of `sandbox`: what was prepared is carried out, if need be in the background, and told how it ended.

use std::ffi::OsStr;
use std::mem::ManuallyDrop;
use std::path::Path;

use crate::control::run_directory::RunDirectory;
use crate::control::{name, share};
use crate::exec;
use crate::kernel::Errno;
use crate::plan::{Action, Plan, Step, outline, show};
use crate::report::{Diagnostic, SourceMap, escape};

use super::arguments::Launch;
use super::background::{self, Background, Side};
use super::launch::{Ready, prepare_again};
use super::notice::Notifier;
use super::registered::Registered;
use super::{complain, complain_in_passing, ending, failed, fallback, inspect, keep, status};

/// What stays the same when a launch has to be tried in another way.
pub(super) struct Run<'a> {
    launch: &'a mut Launch,
    registered: Registered,
    background: Option<Background>,
    notifier: &'a mut Notifier,
}

/// A launch that did not happen, and its plan.
struct Unstarted {
    error: exec::LaunchError,
    plan: Plan,
}

impl<'a> Run<'a> {
    /// A run under a name that was taken.
    pub(super) fn new(
        launch: &'a mut Launch,
        registered: Registered,
        notifier: &'a mut Notifier,
    ) -> Self {
        Self {
            launch,
            registered,
            background: None,
            notifier,
        }
    }

    /// Runs the program, and returns the exit status. Where this host gives no user namespace, the same is tried with what
    /// does without: under the same name, and still in the background.
    pub(super) fn carry_out(mut self, ready: Ready, mut sources: SourceMap) -> i32 {
        self.warn(&ready, &sources);
        let shared = match share(&ready.plan) {
            Ok(shared) => shared,
            Err(refused) => {
                inspect::tell(&[*refused], &sources);
                return status::NOT_SET_UP;
            }
        };
        if self.launch.background {
            match background::detach() {
                Ok(Side::Background(ours)) => self.background = Some(ours),
                Ok(Side::Foreground(status)) | Err(status) => {
                    self.registered.leave();
                    return status;
                }
            }
        }
        let unstarted = match self.attempt(ready, shared, &mut sources) {
            Ok(status) => {
                // This process ends next.
                std::mem::forget(sources);
                return status;
            }
            Err(unstarted) => unstarted,
        };
        // What is said now is for who waits in the foreground.
        self.speak_to_foreground();
        let Unstarted { error, plan } = *unstarted;
        let Some(refused) = fallback::instead(&error, &plan) else {
            return self.failed(&error, &plan, &sources);
        };
        drop((plan, sources));
        let warning = fallback::warning(&refused);
        let mut sources = SourceMap::new();
        let ready = match prepare_again(self.launch, &mut sources, refused) {
            Ok(ready) => ready,
            Err(errors) => {
                self.notifier.failed(&errors.text(&sources));
                return errors.tell(&sources);
            }
        };
        if !self.launch.quiet {
            complain(&warning);
        }
        self.warn(&ready, &sources);
        // What shares namespaces needs a user namespace, and was refused.
        self.attempt(ready, Vec::new(), &mut sources)
            .unwrap_or_else(|unstarted| {
                self.speak_to_foreground();
                self.failed(&unstarted.error, &unstarted.plan, &sources)
            })
    }

    fn speak_to_foreground(&self) {
        if let Some(background) = &self.background {
            background.failed(self.registered.name().unwrap_or_default());
        }
    }

    fn failed(&mut self, error: &exec::LaunchError, plan: &Plan, sources: &SourceMap) -> i32 {
        let told = failed::tell(error, plan, sources);
        complain(&told.text);
        self.notifier.failed(&told.text);
        told.status
    }

    /// Says what is to be known before anything is done.
    fn warn(&self, ready: &Ready, sources: &SourceMap) {
        if !self.launch.quiet {
            inspect::tell(&ready.warnings, sources);
            for warning in &ready.plan.warnings {
                complain(&format!(
                    "sandbox: warning: {}\n",
                    show::warning(warning, sources)
                ));
            }
        }
        if self.launch.verbose {
            if !ready.chosen.is_empty() {
                complain(&format!("sandbox: {}\n", escape::line(&ready.chosen)));
            }
            let style = outline::Style {
                every: true,
                ..outline::Style::default()
            };
            complain(&outline::text(&ready.plan, sources, style));
        }
    }

    /// Carries one plan out, and returns the exit status of the program, or of what made it impossible to try.
    fn attempt(
        &mut self,
        mut ready: Ready,
        shared: Vec<exec::Shared>,
        sources: &mut SourceMap,
    ) -> Result<i32, Box<Unstarted>> {
        let launch = &*self.launch;
        self.registered.keep(ready.policy, ready.again);
        // They have been told.
        drop((ready.warnings, ready.chosen, ready.documents));
        let _in_use = ready.roots;
        if let Some(background) = &self.background {
            let Some(name) = self.registered.name() else {
                complain(
                    "sandbox: nothing can be started in the background, as no record of it can be written; --verbose says why\n",
                );
                return Ok(status::NOT_SET_UP);
            };
            if let Err(status) = background.write_to_log(name) {
                return Ok(status);
            }
        }
        let called = match (self.registered.name(), &launch.name) {
            (Some(name), _) => name.to_owned(),
            (None, Some(name)) => name.clone(),
            (None, None) => name::of_program(launch.program().unwrap_or_else(|| OsStr::new(""))),
        };
        let kept = match keep::open(&mut ready.plan, &called, launch.quiet) {
            Ok(kept) => kept,
            Err(why) => {
                let why = format!("changes cannot be kept: {why}");
                complain(&format!(
                    "sandbox: {}\n  help: XDG_DATA_HOME says below which directory they are kept, --name under which name\n",
                    escape::line(&why)
                ));
                self.notifier.failed(&why);
                self.speak_to_foreground();
                return Ok(status::NOT_SET_UP);
            }
        };
        drop(called);
        let (launch, registered, background, notifier) = (
            &mut *self.launch,
            &mut self.registered,
            &mut self.background,
            &mut *self.notifier,
        );
        let mut name = registered.name().unwrap_or_default().to_owned();
        let mut reader = ending::Reader {
            profile: ready.asked,
            directory: inspect::own_profiles(),
            may_change: Some(may_change),
        };
        // Removed when all is over.
        let run = run_directory(&ready.plan);
        let prepared = match &run {
            Ok(_) => exec::prepare_sharing(&ready.plan, shared),
            Err(error) => Err(error.clone()),
        };
        let mut diary = ending::Diary::default();
        let mut begun = false;
        let mut tell = |remark| {
            let text = match remark {
                exec::Remark::LetGo => {
                    registered.get_ready(&ready.plan, sources);
                    return;
                }
                exec::Remark::Started(started) => {
                    begun = true;
                    registered.started(launch, &started, &ready.plan, sources);
                    if let Some(background) = background {
                        background.started(&name);
                    }
                    return;
                }
                exec::Remark::Settled => {
                    *launch = launch.clone();
                    registered.gather();
                    notifier.gather();
                    reader = reader.clone();
                    name = name.clone();
                    keep_for_the_end(&mut ready.plan, sources);
                    return;
                }
                exec::Remark::Event(event) => {
                    diary.note(event);
                    if let Some((kind, text)) =
                        ending::notice_of(event, &ready.plan, sources, &reader)
                    {
                        notifier.happened(kind, &text);
                    }
                    // The terminal is the program's now; the report at the end says it.
                    if launch.verbose {
                        complain_in_passing(&format!(
                            "sandbox: {}\r\n",
                            escape::line(&event.to_string())
                        ));
                    }
                    return;
                }
                exec::Remark::Companion(text) => {
                    diary.lost(&text);
                    notifier.lost(&text);
                    text
                }
                exec::Remark::Group(text) | exec::Remark::View(text) => text,
                exec::Remark::Dropped { step, errno } => dropped(&ready.plan, step, errno, sources),
            };
            let text = format!("sandbox: warning: {}\n", escape::line(&text));
            match begun {
                _ if launch.quiet => {}
                true => complain_in_passing(&text),
                false => complain(&text),
            }
        };
        let outcome = prepared.and_then(|prepared| {
            let run = run.as_ref().ok().and_then(Option::as_ref);
            let mut prepared = ManuallyDrop::new(prepared);
            let outcome = exec::launch(&mut prepared, run.map(RunDirectory::path), &mut tell);
            // Else this process ends next, which gives it back.
            if outcome.is_err() {
                drop(ManuallyDrop::into_inner(prepared));
            }
            outcome
        });
        drop(run);
        match outcome {
            Ok(outcome) => {
                // It may have ended before anybody could say that it was started.
                if let Some(background) = background {
                    background.started(&name);
                }
                // Whoever waits for the end may want to look at once.
                let kept = kept.and_then(keep::close);
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
                if let Some(text) = kept.filter(|_| !launch.quiet && !launch.json) {
                    complain(&text);
                }
                std::mem::forget(ready.plan);
                Ok(outcome.ending.status())
            }
            Err(error) => {
                if let Some(store) = kept {
                    keep::close(store);
                }
                Err(Box::new(Unstarted {
                    error,
                    plan: ready.plan,
                }))
            }
        }
    }
}

/// Lets go of all but what is told about at the end: of other steps, notes and texts. Once the program runs, no step fails any
/// more.
fn keep_for_the_end(plan: &mut Plan, sources: &mut SourceMap) {
    let told = |step: &&Step| matches!(step.action, Action::EnterGroup(_) | Action::Timeout { .. });
    let steps: Vec<Step> = plan.steps.iter().filter(told).cloned().collect();
    let mut sites = Vec::new();
    for step in &steps {
        sites.push(step.site);
        if let Action::EnterGroup(group) = &step.action {
            sites.extend(group.writes.iter().map(|write| write.site));
            sites.extend(group.soft.iter().map(|soft| soft.site));
        }
    }
    *sources = sources.only(&sites);
    *plan = Plan {
        steps,
        ..Plan::default()
    };
}

/// Makes the directory of the run, if the plan asks for one.
fn run_directory(plan: &Plan) -> Result<Option<RunDirectory>, exec::LaunchError> {
    let mut steps = plan.steps.iter();
    let Some(step) = steps.position(|step| step.action == Action::RunDirectory) else {
        return Ok(None);
    };
    RunDirectory::make()
        .map(Some)
        .map_err(|why| exec::LaunchError {
            errno: None,
            detail: why,
            ..exec::LaunchError::at_step(step, Errno::ENOENT)
        })
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
