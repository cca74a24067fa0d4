//! From names of profiles to a policy, to facts and to a plan, with everything that is wrong told on the way: what
//! `sandbox` and the verbs of `sandboxctl` have in common.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::host::cgroup::Membership;
use crate::host::facts::{Caller, CgroupFacts};
use crate::host::{self, Facts, Scope};
use crate::image::store::Held;
use crate::plan::{self, Plan, Request};
use crate::policy::{self, Policy};
use crate::profile::document;
use crate::profile::key::Section;
use crate::profile::load::load;
use crate::profile::search::Library;
use crate::profile::value::{Access, Size, Value, View};
use crate::profile::{Entry, Profile};
use crate::report::paint::Paint;
use crate::report::render::{Style, render};
use crate::report::{Diagnostic, Diagnostics, Label, Site, Source, SourceKind, SourceMap};
use crate::section::expand::{Expanded, expand};
use crate::section::process::{Process, Terminal};
use crate::section::{dbus, desktop, devices, execute, filesystem, limits};

use super::complain;

/// Where this user's own configuration is.
fn config_home() -> Option<PathBuf> {
    let own = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    own.or_else(|| {
        let home = std::env::var_os("HOME").map(PathBuf::from)?;
        home.is_absolute().then(|| home.join(".config"))
    })
}

/// This user's own directory of profiles, as it is shown: with `~` for the home.
pub(super) fn own_profiles() -> Option<PathBuf> {
    let directory = config_home()?.join("sandbox/profiles");
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let below = home.and_then(|home| directory.strip_prefix(home).ok().map(PathBuf::from));
    Some(below.map_or(directory, |below| PathBuf::from("~").join(below)))
}

/// The library of this host and this user.
pub(super) fn library() -> Library {
    Library::standard(config_home().as_deref(), nix::unistd::geteuid().as_raw())
}

/// The library without the user's own directory.
///
/// # Errors
/// One of the profiles is named by a file, which could be anybody's.
pub(super) fn system_library(profiles: &[String]) -> Result<Library, Diagnostic> {
    match profiles.iter().find(|name| name.contains('/')) {
        Some(file) => Err(Diagnostic::general(format!(
            "`{file}` is a file, and --system-profiles takes profiles by their names alone"
        ))),
        None => Ok(Library::standard(None, nix::unistd::geteuid().as_raw())),
    }
}

/// Prints diagnostics to standard error, in colour if that is a terminal.
pub(super) fn tell(diagnostics: &[Diagnostic], sources: &SourceMap) {
    use std::io::IsTerminal;
    if diagnostics.is_empty() {
        return;
    }
    let colour = wants_colour(std::io::stderr().is_terminal());
    complain(&render(diagnostics, sources, Style { colour }));
}

/// Colours for standard output.
pub(super) fn paint() -> Paint {
    use std::io::IsTerminal;
    Paint {
        on: wants_colour(std::io::stdout().is_terminal()),
    }
}

/// Only terminals get colours, and only if nobody objects (<https://no-color.org>).
fn wants_colour(is_terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    is_terminal && !set("NO_COLOR") && !dumb
}

/// What holds for these profiles, under this layer of the command line.
pub(super) struct Resolved {
    pub policy: Policy,
    pub warnings: Diagnostics,
    /// What was merged, lowest first; kept only where what an image says is yet to be put among them.
    layers: Vec<Profile>,
}

/// The roots that a policy names, by what it says; as long as they are held, they are not removed.
pub(super) type Roots = BTreeMap<String, Held>;

/// The profile above which an image's own word about its environment, directory and user holds; below any other.
const CONTAINER: &str = "container";

/// The roots that a policy names, as far as they were imported.
pub(super) fn known_roots(policy: &Policy) -> Roots {
    let views = policy.section(Section::Filesystem);
    let sources = views.filter_map(|(_, value, _)| value.root());
    sources
        .filter_map(|source| Some((source.clone(), super::root::find(source).ok()?)))
        .collect()
}

/// Finds the roots that a policy names, and puts what the image at `/` says below the profiles.
///
/// # Errors
/// A root that is not there, or an archive that cannot be imported.
pub(super) fn roots(
    resolved: &mut Resolved,
    obtain: impl Fn(&str) -> Result<Held, Diagnostic>,
    sources: &mut SourceMap,
) -> Result<Roots, Diagnostics> {
    let mut roots = Roots::new();
    let mut at_the_root = None;
    for (key, value, rule) in resolved.policy.section(Section::Filesystem) {
        let Some(source) = value.root() else {
            continue;
        };
        if !roots.contains_key(source) {
            let mut held = obtain(source).map_err(|error| vec![placed(error, rule.site)])?;
            held.root.directory =
                std::fs::canonicalize(&held.root.directory).unwrap_or(held.root.directory);
            roots.insert(source.clone(), held);
        }
        if key == "/" {
            at_the_root = Some(source.clone());
        }
    }
    let Some((source, held)) = at_the_root.and_then(|source| roots.get_key_value(&source)) else {
        return Ok(roots);
    };
    let text = held.root.config.profile();
    let name = format!("image {source}");
    let id = sources.add(Source {
        name: name.clone(),
        kind: SourceKind::Embedded,
        text: text.into(),
    });
    let parsed = document::parse(&name, id, &sources.get(id).text);
    let place = resolved
        .layers
        .iter()
        .rposition(|layer| layer.name == CONTAINER)
        .map_or(0, |at| at + 1);
    resolved.layers.insert(place, parsed.profile);
    let policy = policy::resolve(&resolved.policy.name, &resolved.layers);
    resolved.policy = Policy {
        private_name: std::mem::take(&mut resolved.policy.private_name),
        ..policy
    };
    Ok(roots)
}

/// The same error, at the place of the rule that led to it.
fn placed(mut error: Diagnostic, site: Site) -> Diagnostic {
    error.primary.get_or_insert(Label {
        site,
        text: "named here".to_owned(),
    });
    error
}

/// Loads and merges.
pub(super) fn resolve(
    names: &[String],
    library: &Library,
    command_line: Option<Profile>,
    sources: &mut SourceMap,
) -> Result<Resolved, Diagnostics> {
    let loaded = load(names, library, command_line, sources)?;
    let mut entries = loaded.layers.iter().flat_map(|layer| &layer.entries);
    let layers = match entries.any(is_root) {
        true => loaded.layers.clone(),
        false => Vec::new(),
    };
    let mut policy = policy::merge(&loaded.name, loaded.layers);
    // The real path of a profile's file takes a call for each directory above it.
    let keeps_a_directory = policy
        .section(Section::Filesystem)
        .any(|(_, value, _)| matches!(value, Value::View(view) if *view.plain() == View::Private));
    if keeps_a_directory {
        policy.private_name = private_name(names)?;
    }
    Ok(Resolved {
        policy,
        warnings: loaded.warnings,
        layers,
    })
}

/// Whether it shows an imported root at `/`.
fn is_root(entry: &Entry) -> bool {
    let value = entry.value.value.as_ref();
    entry.section == Section::Filesystem
        && entry.key.value == "/"
        && value.is_some_and(|value| value.root().is_some())
}

/// What private directories of these profiles are kept under. A file counts by its whole path: two projects may each have
/// a `ci/sandbox.toml`, and what one leaves in its home is not for the other.
fn private_name(names: &[String]) -> Result<String, Diagnostics> {
    const LONGEST: usize = 255; // a file's name
    let mut parts: Vec<String> = Vec::new();
    for name in names {
        let part = if name.contains('/') {
            let path = std::fs::canonicalize(name).unwrap_or_else(|_| PathBuf::from(name));
            escaped(path.as_os_str().as_bytes())
        } else {
            name.clone()
        };
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    let name = parts.join("+");
    if name.len() > LONGEST {
        return Err(vec![
            Diagnostic::general(
                "the paths of these profiles are too long to name a private directory after",
            )
            .help("move them to a shorter path, or into ~/.config/sandbox/profiles"),
        ]);
    }
    Ok(name)
}

/// Letters, digits and `_.-` as they are, all else as `%XX`.
fn escaped(bytes: &[u8]) -> String {
    let mut out = String::new();
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"_.-".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn names_part_of_ram(policy: &Policy) -> bool {
    let part = |value: &Value| match value {
        Value::Size(size) => matches!(size, Size::OfRam(_)),
        Value::View(view) => {
            matches!(
                view.plain(),
                View::Tmpfs {
                    size: Some(Size::OfRam(_))
                } | View::Copy {
                    size: Some(Size::OfRam(_))
                }
            )
        }
        _ => false,
    };
    [Section::Limits, Section::Filesystem]
        .into_iter()
        .any(|section| policy.section(section).any(|(_, value, _)| part(value)))
}

/// Whether changes to a directory of the host go elsewhere.
fn has_overlay(policy: &Policy) -> bool {
    policy
        .section(Section::Filesystem)
        .any(|(_, value, _)| matches!(value, Value::View(view) if matches!(view.plain(), View::Copy { .. } | View::Overlay)))
}

/// The control groups, as far as this policy's limits need to know them.
fn control_groups(policy: &Policy, caller: &Caller) -> CgroupFacts {
    let own = host::cgroup::own();
    control_groups_at(policy, caller, &own)
}

/// The same, with these groups in the place of the caller's own.
pub(super) fn control_groups_at(
    policy: &Policy,
    caller: &Caller,
    own: &[Membership],
) -> CgroupFacts {
    let wanted = limits::wanted(policy);
    let mut facts = host::cgroup::probe_at(caller.uid, own, &wanted);
    for key in wanted.paths {
        let disk = match expand(&key, caller) {
            Ok(Expanded::Path(path)) => host::disk::find(&path),
            Ok(Expanded::NotApplicable(why)) | Err(why) => Err(why),
            Ok(Expanded::Glob(_)) => Err(format!("{key} is a pattern")),
        };
        facts.disks.insert(key, disk);
    }
    facts.may_refuse_devices =
        wanted.devices && caller.is_privileged() && host::is_initial_user_namespace();
    facts
}

/// Gathers what a plan for this policy depends on.
fn facts(policy: &Policy, roots: &Roots, app: String) -> Result<Facts, Diagnostics> {
    facts_for(policy, roots, app, |_| {}, |_| Vec::new())
}

/// The same, for a program that portals call `app`, for somebody else, and with paths that are asked about beside those of the policy.
pub(super) fn facts_for(
    policy: &Policy,
    roots: &Roots,
    app: String,
    whose: impl FnOnce(&mut Caller),
    asked: impl FnOnce(&Caller) -> Vec<PathBuf>,
) -> Result<Facts, Diagnostics> {
    let names_user_directory = |text: &str| text.contains("_DIR}");
    let user_directories = policy.section(Section::Filesystem).any(|(key, value, _)| {
        names_user_directory(key)
            || matches!(value, Value::View(view)
                if matches!(view.plain(), View::Bind { source, .. } if names_user_directory(source)))
    }) || policy
        .section(Section::Limits)
        .chain(policy.section(Section::Execute))
        .any(|(key, ..)| names_user_directory(key))
        || policy
        .get(Section::Process, "working-directory")
        .is_some_and(|said| matches!(said.value, Value::Text(text) if names_user_directory(text)));
    let scope = Scope {
        user_directories,
        subordinate_ids: policy
            .get(Section::User, "subordinate-ids")
            .is_some_and(|said| *said.value == Value::Bool(true)),
        groups: policy
            .get(Section::User, "groups")
            .is_some_and(|said| *said.value == Value::Word("none")),
        memory: names_part_of_ram(policy),
        terminals: Process::of(policy).terminal.value == Terminal::New,
        // What an overlay can do depends on it.
        release: !roots.is_empty() || has_overlay(policy),
        landlock: plan::wants_landlock(policy),
    };
    let mut facts = host::probe(scope).map_err(|error| vec![error])?;
    whose(&mut facts.caller);
    let made = plan::new_namespaces(policy, &facts);
    facts.machine.missing_namespaces = host::missing_namespaces(&made);
    if policy.mentions(Section::Limits) {
        facts.cgroup = control_groups(policy, &facts.caller);
        // Who may not hold a limit is told by name.
        if let Some(name) = host::login_name(facts.caller.uid) {
            facts.caller.user = name;
        }
    }
    if has_overlay(policy) {
        facts.mount_points = host::disk::mount_points();
    }
    facts.roots = roots
        .iter()
        .map(|(source, held)| (source.clone(), held.root.tree()))
        .collect();
    facts.desktop = host::desktop::probe(desktop::wanted(policy), app, &facts.caller);
    let cache = super::root::store();
    facts.root_cache = cache.path().is_dir().then(|| cache.path().to_owned());
    if dbus::wants_filter(policy) {
        facts.dbus.proxy = host::dbus::proxy();
        if desktop::names::shows_accessibility(policy) {
            facts.dbus.accessibility = Some(host::desktop::accessibility(&facts.caller));
        }
    }
    let around = plan::surroundings(policy, &facts)?;
    let asked = asked(&facts.caller);
    let mut wanted = filesystem::wanted_for(policy, &facts.caller, &around, &asked);
    let (paths, globs) = execute::wanted(policy, &facts);
    wanted.paths.extend(paths);
    wanted.globs.extend(globs);
    let seen = host::glob::look(&wanted.paths, &wanted.globs)?;
    facts.paths = seen.paths;
    facts.globs = seen.globs;
    facts.notes = seen.notes;
    // Links in another root lead on in it, which only looking there tells.
    for _ in 0..host::paths::MOST_LINKS {
        let more = execute::wanted_beyond(policy, &facts, &asked);
        if more.is_empty() {
            break;
        }
        facts.paths.extend(host::glob::look(&more, &[])?.paths);
    }
    if dbus::filters(policy, &facts)
        && let Some(proxy) = &mut facts.dbus.proxy
    {
        proxy.examine();
    }
    if policy.get(Section::Limits, "devices").is_some() {
        facts.cgroup.nodes = host::disk::nodes(&listed_devices(policy, &facts)?);
    }
    Ok(facts)
}

/// The paths below /dev that `[devices]` gives.
fn listed_devices(policy: &Policy, facts: &Facts) -> Result<Vec<PathBuf>, Diagnostics> {
    let rules = devices::rules(policy)?;
    let mut paths = Vec::new();
    for rule in rules
        .into_iter()
        .filter(|rule| rule.access == Access::ReadWrite)
    {
        match facts.globs.get(&rule.path) {
            Some(found) => paths.extend(found.iter().cloned()),
            None => paths.push(rule.path),
        }
    }
    Ok(paths)
}

/// The plan for a policy on this host.
pub(super) fn plan(
    policy: &Policy,
    roots: &Roots,
    request: &Request,
    no_user_namespaces: Option<host::facts::Refused>,
) -> Result<(Plan, Facts), Diagnostics> {
    let app = desktop::application::portal_name(request.app.as_deref(), &request.name);
    let mut facts = facts(policy, roots, app)?;
    facts.machine.no_user_namespaces = no_user_namespaces;
    let plan = plan::compile(policy, &facts, request)?;
    Ok((plan, facts))
}
