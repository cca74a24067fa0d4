//! The table carried out, from the root downwards.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::draft::Line;
use super::execution;
use super::{Draft, Item, Lowered, What, moved, moved_from};
use crate::host::facts::PathKind;
use crate::plan::step::{Overlay, Root, Upper};
use crate::plan::{Action, OnFailure, Step};
use crate::profile::value::Access;
use crate::report::{Diagnostic, Diagnostics, Site};
use crate::tree::{self, PathMap, PathSet};

/// More than enough for the few entries of a /dev that is ours.
const DEV_SIZE: u64 = 64 << 10;

/// What is mounted at a place so far.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tree {
    /// A tree of the host.
    Host { source: PathBuf },
    /// A tree of the host under changes of ours.
    Overlay { source: PathBuf },
    /// A file system in memory; `sealed`: nothing but what we make will ever be in it.
    Memory { sealed: bool },
    /// A private directory.
    Private,
    /// The process information of the new pid namespace.
    Proc {
        access: Access,
        only_processes: bool,
    },
    /// Nothing can be below it.
    Closed,
}

struct Build<'a> {
    draft: Draft<'a>,
    /// With where each begins.
    trees: PathMap<Rc<(PathBuf, Tree)>>,
    made: PathSet,
    /// Places at which nothing can be executed.
    shut: PathSet,
    seals: Vec<Step>,
    steps: Vec<Step>,
}

/// Turns the table into steps.
pub fn carry_out(mut draft: Draft, mut lines: Vec<Line>) -> Result<Lowered, Diagnostics> {
    let root = draft.table.entry("/".into());
    let root = root.or_insert_with(Item::root_of_host).clone();
    if lines.len() != draft.table.len() {
        lines = draft.lines();
    }
    let shut = execution::shut(&mut draft, &lines, &root);
    let table = std::mem::take(&mut draft.table);
    let mut build = Build {
        draft,
        trees: PathMap::new(),
        made: PathSet::default(),
        shut,
        seals: Vec::new(),
        steps: Vec::new(),
    };
    build.make_first();
    build.step(Action::PrivatePropagation, Site::DEFAULT, "");
    build.root(&root);
    for (line, (place, item)) in lines.iter().zip(&table) {
        if place.as_os_str() != "/" {
            build.item(place, item, item.what.closes() && line.leads_on);
        }
    }
    // What lies deeper is sealed first, while it can still be reached for writing.
    build.seals.reverse();
    let seals = std::mem::take(&mut build.seals);
    build.steps.extend(seals);
    build.step(Action::PivotRoot, Site::DEFAULT, "");
    if build.draft.errors.is_empty() {
        Ok(Lowered {
            steps: build.steps,
            notes: build.draft.notes,
            ..Lowered::default()
        })
    } else {
        Err(build.draft.errors)
    }
}

/// The first things: what rules want to be there before anything is shown.
impl Build<'_> {
    fn make_first(&mut self) {
        for (path, (what, site)) in std::mem::take(&mut self.draft.created) {
            self.step(Action::Create { path, what }, site, "");
        }
        for (path, site) in std::mem::take(&mut self.draft.own) {
            self.step(Action::OwnDirectory { path }, site, "");
        }
    }
}

fn over(source: &Path, upper: &Upper) -> Overlay {
    Overlay {
        lower: vec![source.to_owned()],
        upper: upper.clone(),
    }
}

fn step(action: Action, site: Site, because: &str) -> Step {
    Step {
        action,
        site,
        because: because.to_owned(),
        on_failure: OnFailure::Fatal,
    }
}

impl Build<'_> {
    fn step(&mut self, action: Action, site: Site, because: &str) {
        self.steps.push(step(action, site, because));
    }

    /// Adds a step that an entry asks for.
    fn act(&mut self, item: &Item, action: Action) {
        self.step(action, item.site, &item.because);
    }

    fn seal(&mut self, item: &Item, path: &Path) {
        self.seals.push(step(
            Action::Seal {
                path: path.to_owned(),
            },
            item.site,
            &item.because,
        ));
    }

    fn root(&mut self, item: &Item) {
        let root = Path::new("/");
        let (from, access, tree) = match &item.what {
            What::Show { source, access, .. } => {
                let from = if source == root {
                    Root::Host
                } else {
                    Root::Directory(source.clone())
                };
                let tree = Tree::Host {
                    source: source.clone(),
                };
                (from, *access, tree)
            }
            What::Overlay { source, upper } => (
                Root::Overlay(over(source, upper)),
                Access::ReadWrite,
                Tree::Overlay {
                    source: source.clone(),
                },
            ),
            What::Private { directory } => (
                Root::Directory(directory.clone()),
                Access::ReadWrite,
                Tree::Private,
            ),
            What::Hidden => {
                self.seal(item, root);
                (
                    Root::Empty,
                    Access::ReadWrite,
                    Tree::Memory { sealed: true },
                )
            }
            // Nothing else passes the checks of the rules.
            _ => (
                Root::Empty,
                Access::ReadWrite,
                Tree::Memory { sealed: false },
            ),
        };
        self.act(item, Action::NewRoot { from, access });
        self.put(root.to_owned(), tree);
        self.forbid_execution(item, root);
    }

    /// Once something is mounted, and before anything is mounted below it, shuts execution off.
    fn forbid_execution(&mut self, item: &Item, place: &Path) {
        if !self.shut.contains(place) {
            return;
        }
        let programs = self.draft.programs.as_ref();
        let because = match item.execute {
            _ if programs.is_some_and(|programs| programs.keep_from(place, item)) => {
                "[execute] allows nothing there"
            }
            Some(_) => item.because.as_str(),
            None if self.draft.around.write_xor_execute && item.what.is_writable() => {
                "process.write-xor-execute"
            }
            None => "`execute = false` above it",
        };
        let path = place.to_owned();
        self.step(Action::NoExecution { path }, item.site, because);
    }

    /// Remembers what is mounted at a place.
    fn put(&mut self, place: PathBuf, tree: Tree) {
        self.trees.insert(place.clone(), Rc::new((place, tree)));
    }

    /// The tree in which a place lies, and where that tree begins.
    fn above(&self, place: &Path) -> Rc<(PathBuf, Tree)> {
        let nearest = tree::above(place).and_then(|above| self.trees.nearest(above));
        let none = || Rc::new((PathBuf::from("/"), Tree::Closed));
        nearest.map_or_else(none, |(_, tree)| tree.clone())
    }

    /// What is at a place before anything is mounted on it; `None` when that was not looked at.
    fn kind(&self, place: &Path, (at, above): &(PathBuf, Tree)) -> Option<PathKind> {
        match above {
            Tree::Host { source, .. } | Tree::Overlay { source } => {
                let there = moved_from(place, at, source);
                let known = &self.draft.known;
                // What is above something that is there is there, too.
                known.get(&there).copied().or_else(|| {
                    let mut above = known.above(&there).map(|(_, kind)| *kind);
                    above.find(|kind| *kind == PathKind::Missing)
                })
            }
            Tree::Proc {
                only_processes: true,
                ..
            } => Some(PathKind::Missing),
            Tree::Proc { .. } => self.draft.known.get(place).copied(),
            _ => Some(PathKind::Missing),
        }
    }

    /// Makes sure that there is something to mount on.
    fn prepare(
        &mut self,
        place: &Path,
        item: &Item,
        directory: bool,
        above: &(PathBuf, Tree),
    ) -> bool {
        let (at, tree) = above;
        let kind = self.kind(place, above);
        let fault = match tree {
            Tree::Memory { .. } | Tree::Private => {
                self.make(place, item, directory, at);
                return true;
            }
            Tree::Overlay { .. } if kind == Some(PathKind::Missing) => {
                self.make(place, item, directory, at);
                return true;
            }
            Tree::Closed => format!("`{}` has nothing below it", at.display()),
            Tree::Host { .. } | Tree::Overlay { .. } | Tree::Proc { .. } => match (kind, directory)
            {
                (Some(PathKind::Directory), true)
                | (Some(PathKind::File | PathKind::Special), false) => return true,
                (Some(PathKind::Missing), _) => "there is nothing to mount it on".to_owned(),
                (Some(PathKind::Directory), false) => {
                    "a file cannot be mounted on a directory".to_owned()
                }
                (Some(_), true) => "a directory cannot be mounted on a file".to_owned(),
                (None, _) => "it was not looked at on this host".to_owned(),
            },
        };
        let mut error = Diagnostic::error(
            format!("nothing can be put at `{}`", place.display()),
            item.site,
            fault,
        );
        if kind == Some(PathKind::Missing) {
            let there = match tree {
                Tree::Host { source, .. } => moved(place, at, source),
                _ => place.to_owned(),
            };
            let parent = place.parent().unwrap_or(place);
            error = error.help(format!(
                "make it: {} {}",
                if directory { "mkdir -p" } else { "touch" },
                there.display()
            ));
            if parent.parent().is_some() {
                error = error.help(format!(
                    "or make its parent ours: \"{}\" = \"tmpfs\"",
                    parent.display()
                ));
            }
        }
        self.draft.errors.push(error);
        // One error is enough: what lies below is taken as possible.
        self.put(place.to_owned(), Tree::Memory { sealed: false });
        false
    }

    /// Makes a place to mount on in a tree of ours.
    fn make(&mut self, place: &Path, item: &Item, directory: bool, root: &Path) {
        let mode = 0o755;
        if !self.made.insert(place.to_owned()) {
            return;
        }
        if directory {
            self.act(
                item,
                Action::MakeDirectory {
                    path: place.to_owned(),
                    mode,
                },
            );
            return;
        }
        if let Some(parent) = place.parent()
            && parent != root
            && self.made.insert(parent.to_owned())
        {
            self.act(
                item,
                Action::MakeDirectory {
                    path: parent.to_owned(),
                    mode,
                },
            );
        }
        match &item.what {
            What::Link(target) => self.act(
                item,
                Action::MakeLink {
                    path: place.to_owned(),
                    target: target.clone(),
                },
            ),
            _ => self.act(
                item,
                Action::MakeFile {
                    path: place.to_owned(),
                },
            ),
        }
    }

    fn item(&mut self, place: &Path, item: &Item, occupied: bool) {
        let target = place.to_owned();
        let above = self.above(place);
        let (action, tree) = match &item.what {
            What::Show {
                source,
                access,
                devices,
                directory,
            } => {
                if let Tree::Proc {
                    access: now,
                    only_processes,
                } = &above.1
                    && source == place
                {
                    if *only_processes {
                        self.not_a_process(place, item);
                    } else if now != access {
                        self.act(
                            item,
                            Action::Restrict {
                                path: target.clone(),
                                access: *access,
                            },
                        );
                        self.put(
                            target,
                            Tree::Proc {
                                access: *access,
                                only_processes: false,
                            },
                        );
                    }
                    return;
                }
                if !self.prepare(place, item, *directory, &above) {
                    return;
                }
                let tree = Tree::Host {
                    source: source.clone(),
                };
                let action = Action::MountHost {
                    source: source.clone(),
                    target: target.clone(),
                    access: *access,
                    devices: *devices,
                };
                (action, tree)
            }
            What::Hidden | What::Denied { .. } => return self.hide(place, item, occupied, &above),
            What::Link(_) => {
                if matches!(above.1, Tree::Memory { .. } | Tree::Private) {
                    self.make(place, item, false, &above.0);
                }
                return;
            }
            What::Made { name } => {
                if !self.prepare(place, item, false, &above) {
                    return;
                }
                (
                    Action::MountMade {
                        name: name.clone(),
                        target: target.clone(),
                        // Connecting is no change.
                        access: Access::ReadOnly,
                    },
                    Tree::Closed,
                )
            }
            What::Text(content) => {
                if !self.prepare(place, item, false, &above) {
                    return;
                }
                (
                    Action::MountText {
                        target: target.clone(),
                        content: content.clone(),
                    },
                    Tree::Closed,
                )
            }
            directory => {
                if !self.prepare(place, item, true, &above) {
                    return;
                }
                let at = target.clone();
                match directory {
                    What::Overlay { source, upper } => (
                        Action::MountOverlay {
                            overlay: over(source, upper),
                            target: at,
                        },
                        Tree::Overlay {
                            source: source.clone(),
                        },
                    ),
                    What::Tmpfs { size, mode } => (
                        Action::MountTmpfs {
                            target: at,
                            size: *size,
                            mode: *mode,
                        },
                        Tree::Memory { sealed: false },
                    ),
                    What::Private { directory } => (
                        Action::MountHost {
                            source: directory.clone(),
                            target: at,
                            access: Access::ReadWrite,
                            devices: false,
                        },
                        Tree::Private,
                    ),
                    What::Proc { access, options } => {
                        self.act(
                            item,
                            Action::MountProc {
                                target: at.clone(),
                                options: *options,
                            },
                        );
                        if *access == Access::ReadOnly {
                            self.act(
                                item,
                                Action::Restrict {
                                    path: at.clone(),
                                    access: *access,
                                },
                            );
                        }
                        self.put(
                            at,
                            Tree::Proc {
                                access: *access,
                                only_processes: options.only_processes,
                            },
                        );
                        return;
                    }
                    What::MinimalDev => {
                        self.seal(item, place);
                        (
                            Action::MountTmpfs {
                                target: at,
                                size: Some(DEV_SIZE),
                                mode: 0o755,
                            },
                            Tree::Memory { sealed: true },
                        )
                    }
                    What::Mqueue => (Action::MountMqueue { target: at }, Tree::Closed),
                    _ => (Action::MountDevpts { target: at }, Tree::Closed),
                }
            }
        };
        self.act(item, action);
        self.put(target, tree);
        self.forbid_execution(item, place);
    }

    /// A rule about what a /proc of processes only does not have.
    fn not_a_process(&mut self, place: &Path, item: &Item) {
        self.draft.note(
            item.site,
            format!(
                "`{}` is not there: `process.proc-subset` leaves nothing but processes",
                place.display()
            ),
        );
    }

    fn hide(&mut self, place: &Path, item: &Item, occupied: bool, above: &(PathBuf, Tree)) {
        let shown = place.display();
        let (at, tree) = above;
        let kind = match tree {
            Tree::Memory { sealed } if occupied && !sealed => Some(PathKind::Directory),
            Tree::Private if occupied => Some(PathKind::Directory),
            Tree::Memory { .. } | Tree::Private => {
                if let What::Denied {
                    directory: Some(directory),
                } = item.what
                {
                    self.make(place, item, directory, at);
                    self.cover(place, item, directory);
                } else if !occupied {
                    self.draft.note(item.site, absent_in(place, at, tree));
                }
                return;
            }
            Tree::Closed => {
                self.draft.note(
                    item.site,
                    format!(
                        "`{shown}` is not there: `{}` is closed already",
                        at.display()
                    ),
                );
                return;
            }
            Tree::Proc {
                only_processes: true,
                ..
            } => return self.not_a_process(place, item),
            Tree::Host { .. } | Tree::Overlay { .. } | Tree::Proc { .. } => self.kind(place, above),
        };
        match kind {
            None => self.draft.errors.push(Diagnostic::error(
                format!("`{shown}` was not looked at on this host"),
                item.site,
                "it cannot be told how to hide it",
            )),
            Some(PathKind::Missing) => self.draft.note(
                item.site,
                format!("`{shown}` is absent on this host; made later, it would be seen"),
            ),
            Some(PathKind::Directory) if occupied => {
                if !self.prepare(place, item, true, above) {
                    return;
                }
                let target = place.to_owned();
                self.act(
                    item,
                    Action::MountTmpfs {
                        target: target.clone(),
                        size: None,
                        mode: 0o711,
                    },
                );
                self.seal(item, place);
                self.put(target, Tree::Memory { sealed: true });
            }
            Some(kind) => self.cover(place, item, kind == PathKind::Directory),
        }
    }

    fn cover(&mut self, place: &Path, item: &Item, directory: bool) {
        let path = place.to_owned();
        self.act(item, Action::Mask { path, directory });
        self.put(place.to_owned(), Tree::Closed);
    }
}

/// Why there is nothing to be hidden at a place in a tree of ours.
fn absent_in(place: &Path, at: &Path, tree: &Tree) -> String {
    let text = format!(
        "`{}` is not there: `{}` shows nothing of the host",
        place.display(),
        at.display()
    );
    match tree {
        Tree::Memory { sealed: true } => text,
        _ => format!("{text}, and what the program makes there is its own"),
    }
}
