//! `sandboxctl desktop`: the icon starts the sandbox.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};
use serde_json::json;

use super::{answer, complain, inspect, status};
use crate::desktop::apply::{self, Held};
use crate::desktop::follow::Follow;
use crate::desktop::manifest::{Kind, Manifest, Record};
use crate::desktop::plan::{Claim, Remark, Source, Verdict, World, judge};
use crate::desktop::scan::{self, Scan, Scope};
use crate::desktop::step::Step;
use crate::profile::brief;
use crate::profile::choose::is_of_system;
use crate::profile::search::Library;
use crate::report::{SourceMap, escape};

mod check;
mod follow;
mod install;
mod list;
mod refresh;
mod remove;

/// What is done with desktop entries.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Desktop {
    /// Have programs started in their sandboxes from menus, files, links, the session's start and D-Bus
    ///
    /// For each entry that starts a program with a profile, a copy of the same name is written where desktops look first; it
    /// runs `sandbox --profile NAME -- …` and is otherwise the same, byte for byte. Defaults for types of files stay. D-Bus
    /// services and autostart entries of the program are treated likewise. What was there before is kept, and `remove`
    /// brings it back. Exit status 1: something had to be left as it is.
    Install(Install),

    /// Take the copies away again, and put back what they replaced
    Remove(Remove),

    /// Follow what packages have changed since: new, changed and removed entries
    ///
    /// Copies that somebody has changed by hand are left alone. Where a profile is gone its copies stay and start nothing:
    /// without them the program would be started without a sandbox, and nobody would notice.
    Refresh(Refresh),

    /// List the copies, and the programs that could have some
    List {
        /// Those for all users
        #[arg(long)]
        system: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Find what would start a program without its sandbox, or not at all; exit status 1 if there is any
    ///
    /// Looked at are the programs that `install` was asked for: other entries with the same program, entries that desktops
    /// pass over because the launcher or a program is gone (the original is used then), changed originals, D-Bus services,
    /// autostart entries, units of the user's systemd, commands in the search path, and profiles that are gone or not valid.
    Check {
        /// Those for all users
        #[arg(long)]
        system: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Options of `desktop install`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Install {
    /// Programs, by their names, their profiles' names, or their entries' (firefox.desktop)
    #[arg(value_name = "PROGRAM", required_unless_present_any = ["all", "follow"], value_hint = ValueHint::CommandName)]
    pub programs: Vec<String>,
    /// All that have a profile, also those installed later
    #[arg(long, conflicts_with = "programs")]
    pub all: bool,
    /// Also commands of the same names, in ~/.local/bin (with --system /usr/local/bin)
    #[arg(long)]
    pub shims: bool,
    /// Also units of systemd that run `refresh` when packages change entries, and when a session begins
    ///
    /// They are sandbox-desktop.path and .service in ~/.config/systemd/user (with --system in /etc/systemd/system). `remove
    /// --all` removes them.
    #[arg(long)]
    pub follow: bool,
    /// What all verbs that change something share.
    #[command(flatten)]
    pub how: How,
}

/// Options of `desktop remove`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Remove {
    /// Programs, by their names, their profiles' names, or their entries'
    #[arg(value_name = "PROGRAM", required_unless_present = "all", value_hint = ValueHint::CommandName)]
    pub programs: Vec<String>,
    /// Everything that was written
    #[arg(long, conflicts_with = "programs")]
    pub all: bool,
    /// What all verbs that change something share.
    #[command(flatten)]
    pub how: How,
}

/// Options of `desktop refresh`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Refresh {
    /// What all verbs that change something share.
    #[command(flatten)]
    pub how: How,
}

/// How something is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
#[allow(clippy::struct_excessive_bools)] // what was said, option by option
pub struct How {
    /// For all users, in /usr/local/share (as root)
    #[arg(long)]
    pub system: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Also what was changed by hand since, and commands that are not ours
    #[arg(long)]
    pub force: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries a verb out.
///
/// # Errors
/// The exit status: 1 when something is not as it should be or could not be done.
pub fn run(verb: &Desktop) -> Result<(), i32> {
    match verb {
        Desktop::Install(options) => install::install(options),
        Desktop::Remove(options) => remove::remove(options),
        Desktop::Refresh(options) => refresh::refresh(options.how),
        Desktop::List { system, json } => list::list(*system, *json),
        Desktop::Check { system, json } => check::check(*system, *json),
    }
}

fn fail(text: &str) -> i32 {
    complain(&format!("sandboxctl: {}\n", escape::line(text)));
    status::NO
}

/// What verbs look at.
struct Stage {
    scope: Scope,
    library: Library,
    claims: BTreeMap<String, Claim>,
    launcher: Result<String, String>,
    bin: String,
    follow: Follow,
}

impl Stage {
    fn set(system: bool) -> Result<Self, i32> {
        let (scope, library) = if system {
            (Scope::system(), Library::standard(None, 0))
        } else {
            let scope = Scope::user(&|name| std::env::var_os(name)).map_err(|why| fail(&why))?;
            (scope, inspect::library())
        };
        let claims = claims(&library);
        let bin = scope.bin.to_string_lossy().into_owned();
        let launcher = launcher(system);
        let follow = follow::how_to_follow(&scope, launcher.as_deref().unwrap_or_default());
        Ok(Self {
            launcher,
            follow,
            scope,
            library,
            claims,
            bin,
        })
    }

    /// The launcher, which is to be there when something is written that runs it.
    fn launcher(&self) -> Result<&str, i32> {
        self.launcher.as_deref().map_err(|why| fail(why))
    }

    fn with_world<R>(&self, act: impl FnOnce(&World<'_>) -> R) -> R {
        let locate = |name: &str| scan::locate(name, &self.scope.path, &is_of_system);
        act(&World {
            launcher: self.launcher.as_deref().unwrap_or_default(),
            bin: &self.bin,
            claims: &self.claims,
            locate: &locate,
            is_system: &is_of_system,
            follow: &self.follow,
        })
    }

    fn scan(&self, manifest: &Manifest) -> Scan {
        scan::scan(&self.scope, manifest)
    }

    /// What is wrong with a profile.
    fn wrong_profile(&self, name: &str) -> Option<String> {
        wrong_profile(name, &self.library)
    }
}

fn wrong_profile(name: &str, library: &Library) -> Option<String> {
    let mut sources = SourceMap::new();
    let errors = inspect::resolve(&[name.to_owned()], library, None, &mut sources).err()?;
    Some(
        errors
            .first()
            .map_or_else(String::new, |error| error.message.clone()),
    )
}

/// Which profile takes which program: as `sandbox PROGRAM` chooses, a profile of the program's own name first, then those of
/// higher directories, by name.
fn claims(library: &Library) -> BTreeMap<String, Claim> {
    let mut profiles = brief::list(library);
    let rank = |source: &str| {
        let of = |directory: &PathBuf| Path::new(source).starts_with(directory);
        library
            .directories
            .iter()
            .position(of)
            .unwrap_or(usize::MAX)
    };
    profiles.sort_by_key(|profile| rank(&profile.source));
    let mut claims = BTreeMap::new();
    for profile in &profiles {
        if profile.programs.is_empty() {
            continue;
        }
        let error = profile
            .error
            .clone()
            .or_else(|| wrong_profile(&profile.name, library));
        let claim = Claim {
            profile: profile.name.clone(),
            error,
        };
        for program in &profile.programs {
            if *program == profile.name || !claims.contains_key(program) {
                claims.insert(program.clone(), claim.clone());
            }
        }
    }
    claims
}

/// Where `sandbox` is: beside this program, as both are installed, else where packages put it.
fn launcher(system: bool) -> Result<String, String> {
    use std::os::unix::fs::MetadataExt;
    let own = std::env::current_exe()
        .map_err(|error| format!("cannot tell where this program is: {error}"))?;
    let beside = own.with_file_name("sandbox");
    let places = [
        beside,
        "/usr/local/bin/sandbox".into(),
        "/usr/bin/sandbox".into(),
    ];
    let found = places
        .iter()
        .find(|path| {
            use nix::unistd::{AccessFlags, access};
            path.is_file() && access(path.as_path(), AccessFlags::X_OK).is_ok()
        })
        .ok_or_else(|| {
            format!(
                "`sandbox` is not beside `{}`, where entries would have to find it",
                own.display()
            )
        })?;
    let shown = found.to_str().ok_or("the path of `sandbox` is not UTF-8")?;
    if system {
        for at in found.ancestors() {
            let is_roots = at
                .metadata()
                .is_ok_and(|file| file.uid() == 0 && file.mode() & 0o002 == 0);
            if !is_roots {
                return Err(format!(
                    "`{shown}` is not root's alone (`{}`), and all users would run it: install it for the system first",
                    at.display()
                ));
            }
        }
    }
    Ok(shown.to_owned())
}

/// The names that something can be asked for by.
fn names<'a>(name: &'a str, program: &'a str, profile: &'a str) -> [&'a str; 4] {
    [
        program,
        profile,
        name.strip_suffix(".desktop").unwrap_or(name),
        name,
    ]
}

fn is_called(record: &Record, wanted: &str) -> bool {
    names(&record.name, &record.program, &record.profile).contains(&wanted)
}

/// Sources with what is to be said of them.
fn judged<'a>(sources: &'a [Source], world: &World<'_>) -> Vec<(&'a Source, Verdict)> {
    sources
        .iter()
        .map(|source| (source, judge(source, world)))
        .collect()
}

/// Has the session bus look at its services again: until then it starts those that it knew, without a sandbox.
fn tell_bus(touched: &[String]) {
    let is_service = |path: &String| path.contains("/dbus-1/services/");
    if !touched.iter().any(is_service) {
        return;
    }
    if let Some(bus) = super::notice::session_bus()
        && let Err(why) = crate::kernel::bus::reload(&bus)
    {
        complain(&format!(
            "sandboxctl: warning: the session bus cannot be told of new service files: {}\n  help: they count from the next \
             login on; until then D-Bus starts the programs as before\n",
            escape::line(&why)
        ));
    }
}

/// Carries steps out and tells of them; also what is to be remarked besides.
fn carry_out(
    mut held: Option<Held<'_>>,
    steps: &[Step],
    remarks: &[Remark],
    how: How,
    unchanged: usize,
) -> Result<(), i32> {
    let mut done: Vec<&Step> = Vec::new();
    let mut failure = None;
    for step in steps {
        if let Some(held) = &mut held
            && let Err(why) = held.carry_out(step)
        {
            failure = Some(why);
            break;
        }
        done.push(step);
    }
    let touched: Vec<String> = done
        .iter()
        .filter(|step| !matches!(step, Step::Leave { .. } | Step::Adopt(_)))
        .map(|step| told(step).0.to_owned())
        .collect();
    if let Some(held) = held {
        if let Err(why) = held.finish(&touched) {
            failure = failure.or(Some(why));
        }
        tell_bus(&touched);
    }
    if how.json {
        let steps: Vec<_> = done.iter().map(|step| as_json(step)).collect();
        let remarks: Vec<_> = remarks
            .iter()
            .map(|remark| json!({"path": remark.path, "text": remark.text}))
            .collect();
        answer(&format!(
            "{:#}\n",
            json!({"dry_run": how.dry_run, "steps": steps, "remarks": remarks, "unchanged": unchanged, "error": failure})
        ))?;
    } else {
        let mut text = String::new();
        for step in &done {
            let (path, what) = told(step);
            let mood = if how.dry_run && !matches!(step, Step::Leave { .. }) {
                "would be "
            } else {
                ""
            };
            text.push_str(&format!(
                "{}: {mood}{}\n",
                escape::line(path),
                escape::line(&what)
            ));
        }
        if done.is_empty() && failure.is_none() {
            text.push_str(&match unchanged {
                0 => "nothing to do\n".to_owned(),
                1 => "nothing to do: the one file of ours is as it should be\n".to_owned(),
                number => {
                    format!("nothing to do: all {number} files of ours are as they should be\n")
                }
            });
        }
        answer(&text)?;
        for remark in remarks {
            complain(&format!(
                "sandboxctl: {}: {}\n",
                escape::line(&remark.path),
                escape::line(&remark.text)
            ));
        }
    }
    if let Some(why) = failure {
        return Err(fail(&why));
    }
    let left = done.iter().any(|step| matches!(step, Step::Leave { .. }));
    if left || !remarks.is_empty() {
        return Err(status::NO);
    }
    Ok(())
}

/// The path of a step and what is done there.
fn told(step: &Step) -> (&str, String) {
    match step {
        Step::Write { file, why, .. } => {
            let record = &file.record;
            (
                &record.path,
                match record.kind {
                    Kind::Unit => (*why).to_owned(),
                    _ => format!("{why} (`{}` under `{}`)", record.program, record.profile),
                },
            )
        }
        Step::Adopt(record) => (&record.path, "taken into the records".to_owned()),
        Step::Remove { record, why } => {
            let back = record
                .backup
                .as_ref()
                .map_or("", |_| ", and what was there before is back");
            (&record.path, format!("removed{back}: {why}"))
        }
        Step::Forget(record) => {
            let back = record
                .backup
                .as_ref()
                .map_or("", |_| "; what was there before is back");
            (&record.path, format!("was gone already{back}"))
        }
        Step::Leave { path, why } => (path, why.clone()),
    }
}

fn as_json(step: &Step) -> serde_json::Value {
    let (action, record) = match step {
        Step::Write { file, .. } => ("write", Some(&file.record)),
        Step::Adopt(record) => ("record", Some(record)),
        Step::Remove { record, .. } => ("remove", Some(record)),
        Step::Forget(record) => ("forget", Some(record)),
        Step::Leave { .. } => ("leave", None),
    };
    let (path, what) = told(step);
    let mut value = json!({"action": action, "path": path, "text": what});
    if let (Some(record), Some(fields)) = (record, value.as_object_mut()) {
        for (key, text) in [
            ("name", &record.name),
            ("program", &record.program),
            ("profile", &record.profile),
            ("source", &record.source),
        ] {
            fields.insert(key.to_owned(), json!(text));
        }
        fields.insert("kind".to_owned(), json!(record.kind));
    }
    value
}

/// The manifest: held, where something is to be changed.
fn manifest(scope: &Scope, dry_run: bool) -> Result<(Option<Held<'_>>, Manifest), i32> {
    if dry_run {
        return Ok((None, apply::load(scope).map_err(|why| fail(&why))?));
    }
    if scope.system && !nix::unistd::geteuid().is_root() {
        return Err(fail(
            "--system writes to /usr/local/share and /var/lib/sandbox: sudo sandboxctl desktop …",
        ));
    }
    let held = Held::take(scope).map_err(|why| {
        let help = if nix::unistd::geteuid().is_root() && why.contains("belongs to user") {
            "; run this as that user, or with --system for all"
        } else {
            ""
        };
        fail(&format!("{why}{help}"))
    })?;
    let manifest = held.manifest.clone();
    Ok((Some(held), manifest))
}
