//! The promise as a property: a small host, random rules, a mount table that is simulated from the steps, and the
//! one sentence that must hold for every path: the nearest rule decides.
#![allow(clippy::unwrap_used)]

mod cases;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::tests::{HandMade, policy};
use super::*;
use crate::plan::Action;
use crate::plan::step::Root;
use crate::profile::value::Terms;

/// Directories end in `/`.
pub(super) const HOST: [&str; 14] = [
    "/a/", "/a/b/", "/a/b/c/", "/a/b/c/f", "/a/b/f", "/a/d/", "/a/d/f", "/a/f", "/e/", "/e/b/",
    "/e/b/f", "/e/f", "/l/", "/l/f",
];

/// What the program finds at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This path of the host.
    Host(PathBuf, Access),
    /// Something of ours, or nothing.
    Ours,
}

// ------------------------------------------------------------ the sentence

pub(super) type Rules = BTreeMap<PathBuf, View>;

pub(super) fn on_host(path: &Path) -> bool {
    // Private directories are made first.
    path == Path::new("/")
        || path.starts_with("/private")
        || HOST
            .iter()
            .any(|at| Path::new(at.trim_end_matches('/')) == path)
}

/// What must be found at a path.
pub(super) fn promised(rules: &Rules, path: &Path) -> Found {
    let nearest = path.ancestors().find_map(|at| {
        rules
            .get_key_value(at)
            .filter(|(at, view)| !is_passed_over(at, view))
    });
    let Some((place, view)) = nearest else {
        return Found::Host(path.to_owned(), Access::ReadWrite);
    };
    match view.plain() {
        View::With(..) => unreachable!("plain"),
        View::Host(Access::Hidden | Access::Denied)
        | View::Private
        | View::Tmpfs { .. }
        | View::Text(_) => Found::Ours,
        View::Host(access) => Found::Host(path.to_owned(), *access),
        // No rule of these tests says it; `tests` has cases.
        View::Root { .. } | View::Copy { .. } | View::Overlay => Found::Ours,
        View::Bind { source, access } => {
            let source = Path::new(source);
            let there = moved(path, place, source);
            // At its second place a path is at most what it is at its own.
            let mut access = *access;
            if source != place {
                for at in there.ancestors().take_while(|at| *at != source) {
                    match rules.get(at).map(View::plain) {
                        None => {}
                        Some(View::Host(Access::ReadOnly)) if on_host(at) => {
                            access = access.min(Access::ReadOnly)
                        }
                        Some(View::Host(Access::ReadWrite)) => {}
                        // The same as with the word alone.
                        Some(View::Bind {
                            source,
                            access: own,
                        }) if Path::new(source) == at => access = access.min(*own),
                        Some(_) if on_host(at) => return Found::Ours,
                        Some(_) => {}
                    }
                }
            }
            Found::Host(there, access)
        }
    }
}

/// Whether the host has no such path, so that the rule says nothing.
fn is_passed_over(at: &Path, view: &View) -> bool {
    matches!(
        view.plain(),
        View::Host(Access::ReadOnly | Access::ReadWrite)
    ) && !on_host(at)
}

/// Whether what is at a path can be executed, where nothing is shown at a second place: the nearest word decides.
fn executes(rules: &Rules, path: &Path) -> bool {
    let mut above = path.ancestors();
    let said = above.find_map(|at| {
        rules
            .get(at)
            .filter(|view| !is_passed_over(at, view))?
            .terms()
            .execute
    });
    said.unwrap_or(true)
}

// ----------------------------------------------------------- the simulation

#[derive(Debug)]
enum Content {
    Host {
        source: PathBuf,
        access: Access,
    },
    /// Made by us: the paths that exist in it.
    Memory {
        made: BTreeSet<PathBuf>,
        sealed: bool,
    },
    Closed,
}

#[derive(Debug)]
struct Mount {
    /// On which mount; none for the root.
    on: Option<usize>,
    target: PathBuf,
    content: Content,
    /// Whether nothing in it can be executed.
    shut: bool,
}

#[derive(Debug, Default)]
pub(super) struct Table(Vec<Mount>);

impl Table {
    /// The mount that is found on the way to a path, its own root included if `path` is a mount point.
    fn reach(&self, path: &Path) -> Option<usize> {
        let mut on = 0;
        let mut way: Vec<&Path> = path.ancestors().collect();
        way.reverse();
        for at in way {
            if at != Path::new("/") && !self.has(on, at) {
                return None;
            }
            while let Some(next) = self
                .0
                .iter()
                .position(|mount| mount.on == Some(on) && mount.target == at)
            {
                on = next;
            }
        }
        Some(on)
    }

    /// Whether a path exists in a mount.
    fn has(&self, mount: usize, path: &Path) -> bool {
        let mount = &self.0[mount];
        path == mount.target
            || match &mount.content {
                Content::Host { source, .. } => on_host(&moved(path, &mount.target, source)),
                Content::Memory { made, .. } => made.contains(path),
                Content::Closed => false,
            }
    }

    pub(super) fn found(&self, path: &Path) -> Found {
        let Some(mount) = self.reach(path) else {
            return Found::Ours;
        };
        let mount = &self.0[mount];
        match &mount.content {
            Content::Host { source, access } => {
                Found::Host(moved(path, &mount.target, source), *access)
            }
            Content::Memory { .. } | Content::Closed => Found::Ours,
        }
    }

    /// Whether the mount in which a path is found lets things be executed.
    pub(super) fn executes(&self, path: &Path) -> bool {
        self.reach(path).is_none_or(|mount| !self.0[mount].shut)
    }

    fn mount(&mut self, target: &Path, content: Content) {
        let on = self
            .reach(target)
            .unwrap_or_else(|| panic!("no mount point at {target:?}: {self:#?}"));
        self.0.push(Mount {
            on: Some(on),
            target: target.to_owned(),
            content,
            shut: false,
        });
    }

    fn make(&mut self, path: &Path) {
        for at in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
            if self.reach(at).is_some() {
                continue;
            }
            let mount = self.reach(at.parent().unwrap()).unwrap();
            match &mut self.0[mount].content {
                Content::Memory {
                    made,
                    sealed: false,
                } => made.insert(at.to_owned()),
                other => panic!("{path:?} made in {other:?}"),
            };
        }
    }

    fn carry_out(steps: &[Step]) -> Self {
        let mut table = Self::default();
        let memory = || Content::Memory {
            made: BTreeSet::new(),
            sealed: false,
        };
        let show = |source: &Path, access: Access| match source.starts_with("/private") {
            true => memory(),
            false => Content::Host {
                source: source.to_owned(),
                access,
            },
        };
        for step in steps {
            match &step.action {
                Action::OwnDirectory { .. } | Action::PrivatePropagation | Action::PivotRoot => {}
                Action::NewRoot { from, access } => {
                    let content = match from {
                        Root::Host => show(Path::new("/"), *access),
                        Root::Directory(source) => show(source, *access),
                        Root::Empty => memory(),
                        Root::Overlay(overlay) => show(&overlay.lower[0], Access::ReadOnly),
                    };
                    table.0.push(Mount {
                        on: None,
                        target: "/".into(),
                        content,
                        shut: false,
                    });
                }
                Action::MakeDirectory { path, .. } | Action::MakeFile { path } => table.make(path),
                Action::MakeLink { path, .. } => {
                    assert_eq!(table.reach(path), None, "{path:?} is there already");
                    table.make(path);
                }
                Action::MountHost {
                    source,
                    target,
                    access,
                    ..
                } => table.mount(target, show(source, *access)),
                Action::MountTmpfs { target, .. } => table.mount(target, memory()),
                Action::Mask { path, directory } => {
                    if let Found::Host(at, _) = table.found(path) {
                        assert_ne!(*directory, HOST.contains(&at.to_str().unwrap()), "{path:?}");
                    }
                    table.mount(path, Content::Closed);
                }
                Action::MountText { target, .. } => table.mount(target, Content::Closed),
                Action::NoExecution { path } => {
                    let mount = table.reach(path).unwrap();
                    assert_eq!(&table.0[mount].target, path, "a mount of its own");
                    assert!(
                        table.0.iter().all(|above| above.on != Some(mount)),
                        "what is mounted there later has a word of its own"
                    );
                    table.0[mount].shut = true;
                }
                Action::Seal { path } => {
                    let mount = table.reach(path).unwrap();
                    assert_eq!(
                        &table.0[mount].target, path,
                        "what is sealed is a mount of its own"
                    );
                    match &mut table.0[mount].content {
                        Content::Memory { sealed, .. } => *sealed = true,
                        other => panic!("{path:?} sealed: {other:?}"),
                    }
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        table
    }

    /// Whether a directory of the host that the program may write to can be moved away with a stricter mount in it.
    fn loose(&self) -> Option<PathBuf> {
        let writable = |mount: &Mount| {
            matches!(
                mount.content,
                Content::Host {
                    access: Access::ReadWrite,
                    ..
                }
            )
        };
        for mount in self.0.iter().filter(|mount| !writable(mount)) {
            let Some(mut on) = mount.on.map(|on| &self.0[on]) else {
                continue;
            };
            if !writable(on) {
                continue;
            }
            // A mount that shows what is there anyway does not end the tree.
            while let (Some(above), Content::Host { source, .. }) =
                (on.on.map(|on| &self.0[on]), &on.content)
            {
                match &above.content {
                    Content::Host {
                        source: from,
                        access: Access::ReadWrite,
                    } if moved(&on.target, &above.target, from) == *source => {
                        on = above;
                    }
                    _ => break,
                }
            }
            for at in mount
                .target
                .ancestors()
                .skip(1)
                .take_while(|at| *at != on.target)
            {
                let source = match self.found(at) {
                    Found::Host(source, _) => source,
                    Found::Ours => continue,
                };
                // Directly below / only root can rename.
                let by_root = source
                    .parent()
                    .is_none_or(|parent| parent == Path::new("/"));
                if !by_root && !self.0.iter().any(|mount| mount.target == at) {
                    return Some(at.to_owned());
                }
            }
        }
        None
    }
}

// -------------------------------------------------------------- the property

fn paths() -> Vec<&'static str> {
    let mut out = vec!["/"];
    out.extend(HOST.map(|path| {
        if path.len() > 1 {
            path.trim_end_matches('/')
        } else {
            path
        }
    }));
    out
}

fn view() -> impl Strategy<Value = View> {
    let access = prop_oneof![Just(Access::ReadOnly), Just(Access::ReadWrite)];
    prop_oneof![
        3 => Just(View::Host(Access::Hidden)),
        2 => Just(View::Host(Access::Denied)),
        3 => Just(View::Host(Access::ReadOnly)),
        3 => Just(View::Host(Access::ReadWrite)),
        1 => Just(View::Private),
        1 => Just(View::Tmpfs { size: None }),
        1 => Just(View::Text(String::new())),
        3 => (prop::sample::select(paths()), access).prop_map(|(source, access)| View::Bind { source: source.into(), access }),
    ]
}

pub(super) fn rules() -> impl Strategy<Value = Rules> {
    let mut keys = paths();
    keys.extend(["/new", "/a/new", "/e/c", "/e/b/c"]);
    let execute = prop_oneof![3 => Just(None), 1 => Just(Some(false)), 1 => Just(Some(true))];
    let rule = (prop::sample::select(keys), view(), execute);
    prop::collection::vec(rule, 1..8).prop_map(|rules| {
        let on_terms = |(key, view, execute): (&str, View, Option<bool>)| {
            let execute = execute.filter(|_| !view.closes() && !matches!(view, View::Text(_)));
            let terms = Terms {
                execute,
                ..Terms::default()
            };
            (key.into(), view.on(terms))
        };
        rules.into_iter().map(on_terms).collect()
    })
}

/// Every path that might be found inside: those of the host, and those of the host at every place of a rule.
pub(super) fn everywhere(rules: &Rules) -> BTreeSet<PathBuf> {
    let mut out: BTreeSet<PathBuf> = paths().iter().map(PathBuf::from).collect();
    for (place, view) in rules {
        out.insert(place.clone());
        if let View::Bind { source, .. } = view.plain() {
            let below = paths()
                .into_iter()
                .filter(|path| Path::new(path).starts_with(source));
            out.extend(below.map(|path| moved(Path::new(path), Path::new(source), place)));
        }
    }
    out
}

/// The mount table that a policy comes to; none when it cannot be carried out on this host.
fn simulate(rules: &Rules, host: &HandMade) -> Result<Option<Table>, TestCaseError> {
    Ok(simulate_with_walls(rules, host)?.map(|(table, _)| table))
}

/// The same with what Landlock holds of it.
pub(super) fn simulate_with_walls(
    rules: &Rules,
    host: &HandMade,
) -> Result<Option<(Table, Held)>, TestCaseError> {
    let entries: Vec<(Section, &str, Value)> = rules
        .iter()
        .map(|(key, view)| {
            (
                Section::Filesystem,
                key.to_str().unwrap(),
                Value::View(view.clone()),
            )
        })
        .collect();
    let policy = policy(&entries);
    let around = Surroundings {
        private_root: "/private/test".into(),
        ..Surroundings::default()
    };
    let caller = Caller {
        uid: 1000,
        home: "/home/u".into(),
        working_directory: "/home/u".into(),
        ..Caller::default()
    };
    let facts = host.facts(&wanted(&policy, &caller, &around), caller);
    let Ok(lowered) = lower(&policy, &facts, &around) else {
        return Ok(None);
    };
    prop_assert_eq!(
        &lowered,
        &lower(&policy, &facts, &around).unwrap(),
        "twice the same"
    );
    let table = Table::carry_out(&lowered.steps);
    Ok(Some((table, lowered.held)))
}

fn check(rules: &Rules, table: &Table) -> Result<(), TestCaseError> {
    let mut views = rules.values().map(View::plain);
    let binds = views.any(|view| matches!(view, View::Bind { .. }));
    for path in everywhere(rules) {
        let promised = match promised(rules, &path) {
            // What the host does not have cannot be found.
            Found::Host(at, _) if !on_host(&at) => Found::Ours,
            other => other,
        };
        let found = table.found(&path);
        prop_assert_eq!(&found, &promised, "{:?} in {:#?}", path, table);
        if matches!(found, Found::Host(..)) && !binds {
            prop_assert_eq!(
                table.executes(&path),
                executes(rules, &path),
                "{:?} in {:#?}",
                path,
                table
            );
        }
    }
    prop_assert_eq!(table.loose(), None, "{:#?}", table);
    Ok(())
}

/// Tries so many `rules`. `holds` says whether they could be carried out; of some that is enough.
fn hold<S: Strategy>(
    cases: u32,
    rules: &S,
    holds: impl Fn(S::Value) -> Result<bool, TestCaseError>,
) {
    let lowered = Cell::new(0);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let result = proptest::test_runner::TestRunner::new(config).run(rules, |rules| {
        lowered.set(lowered.get() + usize::from(holds(rules)?));
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(
        lowered.get() > 500,
        "only {} of the rule sets could be carried out",
        lowered.get()
    );
}

#[test]
fn the_nearest_rule_decides_everywhere() {
    hold(3000, &rules(), |rules| {
        let table = simulate(&rules, &HandMade::new(&HOST.join(" ")))?;
        table
            .as_ref()
            .map_or(Ok(()), |table| check(&rules, table))?;
        Ok(table.is_some())
    });
}

#[test]
fn the_simulation_finds_what_is_wrong() {
    let rules: Rules = [(PathBuf::from("/a/b"), View::Host(Access::Hidden))].into();
    assert_eq!(promised(&rules, Path::new("/a/b/f")), Found::Ours);
    let step = |action| Step {
        action,
        site: Site::DEFAULT,
        because: String::new(),
        on_failure: crate::plan::OnFailure::Fatal,
    };
    let root = step(Action::NewRoot {
        from: Root::Host,
        access: Access::ReadWrite,
    });
    let mask = step(Action::Mask {
        path: "/a/b".into(),
        directory: true,
    });
    let again = step(Action::MountHost {
        source: "/a".into(),
        target: "/a".into(),
        access: Access::ReadOnly,
        devices: false,
    });
    let open = Table::carry_out(&[root.clone(), mask.clone(), again.clone()]);
    assert_eq!(
        open.found(Path::new("/a/b/f")),
        Found::Host("/a/b/f".into(), Access::ReadOnly),
        "covered by a later mount"
    );
    let closed = Table::carry_out(&[root.clone(), again, mask]);
    assert_eq!(closed.found(Path::new("/a/b/f")), Found::Ours);
    let deep = step(Action::Mask {
        path: "/a/b/c".into(),
        directory: true,
    });
    assert_eq!(Table::carry_out(&[root, deep]).loose(), Some("/a/b".into()));
}
