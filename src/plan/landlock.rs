//! Landlock in a plan: behind the mounts, or in their place where this host lets nothing be mounted.

use super::compile::Builder;
use super::step::NamespaceKind;
use super::{Action, Note};
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value::{Namespace, Value};
use crate::report::{Diagnostic, Site};
use crate::section::filesystem::{Held, Refusal};
use crate::section::landlock::{self, FILES_SINCE, PathRule, Rights, Ruleset, Scopes};
use crate::section::namespaces::Namespaces;
use crate::section::process::Process;
use crate::section::syscalls::{self, Company};
use crate::section::user;

/// A rule that cannot be held without namespaces, and the key that `degrade` would name.
pub(super) type Refused = (Option<(Section, String)>, Refusal);

/// Whether a plan for this policy depends on what Landlock this kernel has.
#[must_use]
pub fn wants_landlock(policy: &Policy) -> bool {
    policy.mentions(Section::Filesystem)
        || policy.mentions(Section::Execute)
        || policy.mentions(Section::Dbus)
        || policy.get(Section::Network, "abstract-sockets").is_some()
        || policy.mentions(Section::Desktop)
        || policy.get(Section::Process, "landlock").is_some()
}

/// Whether only abstract sockets that were made inside may be reached, who said so, and whether that must be.
fn own_sockets(policy: &Policy) -> Option<(Site, bool)> {
    let Some(said) = policy.get(Section::Network, "abstract-sockets") else {
        // An X server listens on one too, so that what [desktop] keeps away would be reached there.
        let first = policy.section(Section::Desktop).next();
        return first.map(|(.., rule)| (rule.site, false));
    };
    match said.value {
        Value::Word("own") => Some((said.site, true)),
        Value::Word("own-if-possible") => Some((said.site, false)),
        _ => None,
    }
}

impl Builder<'_> {
    fn note(&mut self, site: Site, text: impl Into<String>) {
        self.plan.notes.push(Note {
            text: text.into(),
            help: None,
            site,
        });
    }

    /// A rule that this host cannot apply: a warning where the policy lets it be dropped, else an error.
    pub(super) fn give_up(
        &mut self,
        section: Section,
        key: &str,
        site: Site,
        why: &str,
        help: &str,
    ) {
        let text = format!("`{section}.{key}` cannot be applied: {why}");
        if self.may_degrade(section, key) {
            self.plan.warnings.push(Note {
                text,
                help: Some(help.to_owned()).filter(|help| !help.is_empty()),
                site,
            });
            return;
        }
        let mut error = Diagnostic::error(text, site, "asked for here");
        if !help.is_empty() {
            error = error.help(help);
        }
        self.errors.push(error.help(format!(
            "to run without it: --best-effort, or `degrade = [\"{section}.{key}\"]` in the profile"
        )));
    }

    /// What Landlock is to hold, beside or instead of mounts; nothing when it is not to be used.
    pub(super) fn hold(
        &mut self,
        held: &Held,
        decided: &Namespaces,
        process: &Process,
        mounts: bool,
    ) {
        let kernel = self.facts.machine.landlock;
        let off = process.landlock.as_ref().filter(|said| !said.value);
        let abi = if off.is_some() { 0 } else { kernel };
        let scopes = self.scopes(decided, abi, off.is_some());
        let files = self.files(held, process, abi, mounts);
        if !mounts && !files && !held.rules.is_empty() {
            self.nothing_holds(held, process, kernel);
        }
        let known = Rights::known(abi);
        let ruleset = Ruleset {
            abi,
            handled: if files { known } else { Rights::NONE },
            rules: if files {
                rules(held, known)
            } else {
                Vec::new()
            },
            scopes,
            beyond: if files && mounts {
                held.beyond.clone()
            } else {
                Vec::new()
            },
        };
        if ruleset.handled.is_empty() && scopes.is_empty() {
            return;
        }
        let lost = landlock::lost(abi);
        if files && !lost.is_empty() {
            self.note(
                Site::DEFAULT,
                format!(
                    "Landlock ABI {abi} of this kernel does not know {}",
                    lost.join(", ")
                ),
            );
        }
        self.ruleset = Some(ruleset);
    }

    /// Without mounts, a socket that has a path is reached by whoever knows it, hidden or not, unless Landlock or the
    /// system call filter keeps it away.
    pub(super) fn open_sockets(&self, held: &Held) -> Option<Refusal> {
        const AF_UNIX: u64 = 1;
        let first = held.rules.first()?;
        if self.facts.machine.landlock >= landlock::SOCKETS_SINCE {
            return None;
        }
        let filter = syscalls::lower(self.policy, Company::default())
            .ok()
            .flatten();
        let filtered = filter.is_some_and(|filter| {
            let native = filter.architectures.first().copied();
            let verdict = native.and_then(|arch| {
                let program = &filter.program;
                program.verdict_for("socket", arch, [AF_UNIX, 0, 0, 0, 0, 0])
            });
            verdict.is_some_and(|verdict| !verdict.permits())
        });
        if filtered {
            return None;
        }
        Some(Refusal {
            key: "filesystem".to_owned(),
            site: first.site,
            why: "without mounts, Unix sockets can be reached by their paths, hidden or not (D-Bus, container engines); \
                  `\"socket(AF_UNIX)\" = \"deny\"` in [syscalls] keeps them away, and so does Linux 7.1"
                .to_owned(),
            said: false,
            strict: true,
        })
    }

    /// Neither mounts nor Landlock: `[filesystem]` cannot be held at all.
    fn nothing_holds(&mut self, held: &Held, process: &Process, kernel: u32) {
        let off = process.landlock.as_ref().filter(|said| !said.value);
        let text = "this host gives you no user namespace to mount in, and Landlock cannot hold [filesystem] instead";
        let site = off.map(|said| said.site);
        let site = site.or(held.rules.first().map(|rule| rule.site));
        let why = match (off, kernel) {
            (Some(_), _) => "this switches it off".to_owned(),
            (None, 0) => "this kernel has no Landlock".to_owned(),
            (None, abi) => format!("this kernel has only ABI {abi} of it"),
        };
        let mut error = Diagnostic::error(text, site.unwrap_or(Site::DEFAULT), why);
        let host = self.facts.machine.no_user_namespaces.clone();
        for line in host.unwrap_or_default().fix {
            error = error.help(line);
        }
        self.errors.push(error);
    }

    /// Whether files are held, and why not.
    fn files(&mut self, held: &Held, process: &Process, abi: u32, mounts: bool) -> bool {
        let first = |policy: &Policy| {
            let mut rules = policy.section(Section::Filesystem);
            rules.next().map(|(.., rule)| rule.site)
        };
        let asked = process.landlock.as_ref().filter(|said| said.value);
        let Some(first) = first(self.policy).or(asked.map(|said| said.site)) else {
            return false;
        };
        let off = process.landlock.as_ref().filter(|said| !said.value);
        if abi < FILES_SINCE && off.is_none() {
            let why = match abi {
                0 => {
                    "this kernel has no Landlock (CONFIG_SECURITY_LANDLOCK, and `landlock` in lsm=), or an outer sandbox forbids it"
                }
                _ => {
                    "this kernel's Landlock lets no file be moved between directories; Linux 5.19 is the first that does"
                }
            };
            match asked {
                Some(said) => self.give_up(Section::Process, "landlock", said.site, why, ""),
                None => self.note(first, format!("the mounts have no second wall: {why}")),
            }
            return false;
        }
        if off.is_some() || !mounts {
            return off.is_none() && !held.rules.is_empty();
        }
        if process.nested.value {
            self.note(
                process.nested.site,
                "files are held by mounts alone: what Landlock holds cannot mount anything for a sandbox of its own",
            );
            return false;
        }
        if held.rules.is_empty() {
            self.note(
                first,
                "the mounts have no second wall: `/` is writable, and Landlock takes nothing away below it",
            );
            return false;
        }
        true
    }

    fn scopes(&mut self, decided: &Namespaces, abi: u32, off: bool) -> Scopes {
        let scoped = abi >= Scopes::SINCE;
        let asked = |kind: NamespaceKind| {
            let said = self.policy.get(Section::Namespaces, kind.name());
            said.is_some_and(|said| *said.value == Value::Namespace(Namespace::New))
        };
        // What was dropped for want of a namespace is held as far as this goes.
        let own = |kind| decided.is_new(kind) || (!self.mounts && asked(kind));
        let (own_network, own_processes) = (own(NamespaceKind::Net), own(NamespaceKind::Pid));
        let own_sockets = own_sockets(self.policy);
        let apart = decided.is_new(NamespaceKind::Net);
        if let Some((site, must)) = own_sockets.filter(|_| !scoped && !apart) {
            let why = match (off, abi) {
                (true, _) => "`process.landlock` is false".to_owned(),
                (false, 0) => "this kernel has no Landlock".to_owned(),
                (false, abi) => {
                    format!("this kernel's Landlock (ABI {abi}) knows nothing of sockets")
                }
            };
            let help = "Linux 6.12 or later can; a network of its own (`network.mode = \"none\"`) does it too";
            if must {
                self.give_up(Section::Network, "abstract-sockets", site, &why, help);
            } else {
                self.note(
                    site,
                    format!("abstract sockets of the host can be reached: {why}"),
                );
            }
        }
        // Without a word about files, only what was asked for.
        let second = scoped && self.policy.mentions(Section::Filesystem);
        Scopes {
            abstract_sockets: (scoped && own_sockets.is_some()) || (second && own_network),
            signals: second && own_processes,
        }
    }

    /// The step itself.
    pub(super) fn landlock(&mut self, process: &Process, mounts: bool) {
        let Some(ruleset) = self.ruleset.clone() else {
            return;
        };
        let said = process.landlock.as_ref().map(|said| said.site);
        let because = match (mounts, ruleset.handled.is_empty()) {
            (false, false) => "in the place of mounts, which this host does not allow",
            (_, false) => "the second wall",
            (_, true) => "",
        };
        let site = said
            .or(own_sockets(self.policy)
                .filter(|_| ruleset.handled.is_empty())
                .map(|(site, _)| site))
            .unwrap_or(Site::DEFAULT);
        self.step(Action::Landlock(ruleset), site, because);
    }

    /// Takes away what this host does not give an ordinary caller: returns whether there are mounts. Where there are none,
    /// rules that need a namespace are refused or dropped.
    pub(super) fn without_namespaces(
        &mut self,
        decided: &mut Namespaces,
        refused: &mut Vec<Refused>,
    ) {
        for (kind, why) in std::mem::take(&mut decided.new) {
            let name = kind.name();
            let asked = self.policy.get(Section::Namespaces, name);
            let ids = user::wanted(self.policy);
            let (key, site) = match kind {
                // Only to be able to mount, or to make the others.
                NamespaceKind::Mount => continue,
                NamespaceKind::User if asked.is_none() && ids.is_none() => continue,
                NamespaceKind::User if asked.is_none() => {
                    ((Section::User, String::new()), why.site)
                }
                NamespaceKind::Net if asked.is_none() => {
                    ((Section::Network, "mode".to_owned()), why.site)
                }
                NamespaceKind::Uts if asked.is_none() => {
                    ((Section::Namespaces, "hostname".to_owned()), why.site)
                }
                _ => ((Section::Namespaces, name.to_owned()), why.site),
            };
            let shown = match &key {
                (section, name) if name.is_empty() => section.name().to_owned(),
                (section, name) => format!("{section}.{name}"),
            };
            let strict = !key.1.is_empty();
            refused.push((
                Some(key).filter(|_| strict),
                Refusal {
                    key: shown,
                    site,
                    why: format!("a namespace of its own for {name} takes a user namespace"),
                    said: true,
                    strict,
                },
            ));
        }
        for (kind, _, site) in std::mem::take(&mut decided.join) {
            let refusal = Refusal {
                key: format!("namespaces.{}", kind.name()),
                site,
                why: "entering it takes a user namespace".to_owned(),
                said: true,
                strict: false,
            };
            refused.push((None, refusal));
        }
        if let Some(name) = self.policy.get(Section::Namespaces, "hostname")
            && !refused.iter().any(|(_, one)| one.site == name.site)
        {
            let refusal = Refusal {
                key: "namespaces.hostname".to_owned(),
                site: name.site,
                why: "a namespace of its own for uts takes a user namespace".to_owned(),
                said: true,
                strict: false,
            };
            refused.push((None, refusal));
        }
    }

    /// Says what could not be had without namespaces: warnings where the policy lets it be dropped, else one error.
    pub(super) fn tell_refused(&mut self, refused: Vec<Refused>) {
        let mut fatal: Vec<Refused> = Vec::new();
        let mut known = std::collections::BTreeSet::new();
        for (key, one) in refused {
            // A pattern that matches many paths is one rule.
            if !known.insert(one.key.clone()) {
                continue;
            }
            let may = one.strict
                && match &key {
                    Some((section, key)) => self.may_degrade(*section, key),
                    // Ours, not the profile's: only who starts the program can say.
                    None => !one.said && self.request.best_effort,
                };
            if may {
                self.plan.warnings.push(Note {
                    text: format!("`{}` is not applied: {}", one.key, one.why),
                    help: None,
                    site: one.site,
                });
            } else {
                fatal.push((key, one));
            }
        }
        if fatal.is_empty() {
            return;
        }
        let why = self
            .facts
            .machine
            .no_user_namespaces
            .clone()
            .unwrap_or_default();
        let rules = match fatal.len() {
            1 => "1 rule".to_owned(),
            more => format!("{more} rules"),
        };
        let message = format!(
            "this host gives you no user namespace, and {rules} cannot be held with Landlock instead"
        );
        let mut placed = fatal.iter().filter(|(_, one)| !one.site.is_default());
        let mut error = match placed.next() {
            Some((_, one)) => Diagnostic::error(message, one.site, one.why.clone()),
            None => Diagnostic::general(message),
        };
        for (_, one) in placed {
            error = error.related(one.site, one.why.clone());
        }
        for (_, one) in fatal.iter().filter(|(_, one)| one.site.is_default()) {
            error = error.help(format!("`{}`: {}", one.key, one.why));
        }
        error = error.help(format!("user namespaces: {}", why.detail));
        for line in why.fix {
            error = error.help(line);
        }
        let strict: Vec<String> = fatal
            .iter()
            .filter(|(_, one)| one.strict)
            .filter_map(|(key, _)| key.as_ref())
            .map(|(section, key)| format!("{section}.{key}"))
            .collect();
        if strict.len() == fatal.len() {
            error = error.help(format!(
                "to run without: --best-effort, or `degrade = {strict:?}` in the profile"
            ));
        } else if !strict.is_empty() {
            error = error.help(format!(
                "{} of them only add strictness, and --best-effort or `degrade` could drop them; the others could not be dropped",
                strict.len()
            ));
        }
        self.errors.push(error);
    }
}

/// The rules as this kernel knows them.
fn rules(held: &Held, known: Rights) -> Vec<PathRule> {
    held.rules
        .iter()
        .map(|rule| PathRule {
            rights: rule.rights & known,
            ..rule.clone()
        })
        .filter(|rule| !rule.rights.is_empty())
        .collect()
}

/// A refused rule of `[filesystem]`, with the key that `degrade` would name.
pub(super) fn of_files(refusal: Refusal) -> Refused {
    if !refusal.said {
        return (None, refusal);
    }
    let key = format!("{}.{}", Section::Filesystem, refusal.key);
    let named = (Section::Filesystem, refusal.key);
    (Some(named), Refusal { key, ..refusal })
}
