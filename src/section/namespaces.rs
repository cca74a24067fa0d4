//! `[namespaces]` and `[network]`: which namespaces are new, kept or joined.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::host::facts::Caller;
use crate::plan::step::NamespaceKind;
use crate::policy::{Policy, Traced};
use crate::profile::key::Section;
use crate::profile::value::{Namespace, Value};
use crate::report::{Diagnostic, Diagnostics, Site};

/// All kinds with their keys.
pub const KINDS: [(NamespaceKind, &str); 8] = [
    (NamespaceKind::User, "user"),
    (NamespaceKind::Mount, "mount"),
    (NamespaceKind::Pid, "pid"),
    (NamespaceKind::Ipc, "ipc"),
    (NamespaceKind::Uts, "uts"),
    (NamespaceKind::Net, "net"),
    (NamespaceKind::Cgroup, "cgroup"),
    (NamespaceKind::Time, "time"),
];

impl NamespaceKind {
    /// Its key in `[namespaces]`.
    #[must_use]
    pub fn name(self) -> &'static str {
        KINDS
            .into_iter()
            .find_map(|(kind, name)| (kind == self).then_some(name))
            .unwrap_or("user")
    }

    /// Its file's name in /proc/PID/ns, which is older than the words of a profile.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Mount => "mnt",
            other => other.name(),
        }
    }

    /// The kind that a file in /proc/PID/ns is of; none for those that a process's children will be in.
    #[must_use]
    pub fn of_file(name: &str) -> Option<Self> {
        let mut kinds = KINDS.into_iter().map(|(kind, _)| kind);
        kinds.find(|kind| kind.file() == name)
    }
}

/// Why there is a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The rule that asks for it.
    pub site: Site,
    /// In words, when it follows from something else; else empty.
    pub because: String,
}

/// What other sections need.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// A mount namespace, and the rule that needs it.
    pub mount: Option<Site>,
    /// A user namespace for ids, and the rule that needs it.
    pub ids: Option<Site>,
    /// A limit that a control group holds. In a control group namespace the program cannot change it where the host mounts
    /// control groups with `nsdelegate` (cgroups(7)), as systemd does; so it gets one where it gets mounts of its own.
    pub group: Option<Site>,
}

/// Which namespaces are new and which are joined; the rest are the caller's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// New ones.
    pub new: BTreeMap<NamespaceKind, Why>,
    /// Existing ones to enter, user first.
    pub join: Vec<(NamespaceKind, PathBuf, Site)>,
    /// Those of running sandboxes, by their names.
    pub share: Vec<(NamespaceKind, String, Site)>,
}

impl Namespaces {
    /// Whether there is a new one of that kind.
    #[must_use]
    pub fn is_new(&self, kind: NamespaceKind) -> bool {
        self.new.contains_key(&kind)
    }

    fn joins(&self, kind: NamespaceKind) -> bool {
        self.join.iter().any(|(joined, ..)| *joined == kind)
            || self.share.iter().any(|(shared, ..)| *shared == kind)
    }

    /// Decides from the policy, from what other sections need, and from who the caller is.
    ///
    /// # Errors
    /// Rules that contradict each other.
    pub fn decide(policy: &Policy, needs: Needs, caller: &Caller) -> Result<Self, Diagnostics> {
        let mut decided = Self::default();
        let mut kept = BTreeMap::new();
        let mut errors = Diagnostics::new();
        for (kind, key) in KINDS {
            let Some(said) = policy.get(Section::Namespaces, key) else {
                continue;
            };
            match said.value {
                Value::Namespace(Namespace::New) => {
                    decided.ask(kind, said.site, "");
                }
                Value::Namespace(Namespace::Join(path)) => {
                    decided.join.push((kind, PathBuf::from(path), said.site))
                }
                Value::Namespace(Namespace::Sandbox(name)) => {
                    errors.extend(refuse_share(kind, name, said.site));
                    decided.share.push((kind, name.clone(), said.site));
                }
                _ => {
                    kept.insert(kind, said.site);
                }
            }
        }
        if let Some(name) = policy.get(Section::Namespaces, "hostname") {
            decided.need(
                NamespaceKind::Uts,
                name.site,
                "for the host name",
                &kept,
                &mut errors,
            );
        }
        decided.network(policy, &kept, &mut errors);
        if let Some(site) = needs.mount {
            decided.need(
                NamespaceKind::Mount,
                site,
                "for the file-system view",
                &kept,
                &mut errors,
            );
        }
        let pid = decided.new.get(&NamespaceKind::Pid).map(|why| why.site);
        decided.only_own_mounts(needs.mount.or(pid), &mut errors);
        if let Some(site) = pid.filter(|_| !decided.joins(NamespaceKind::Mount)) {
            decided.need(
                NamespaceKind::Mount,
                site,
                "for the /proc of the new pid namespace",
                &kept,
                &mut errors,
            );
        }
        if let Some(site) = needs.ids {
            decided.need(
                NamespaceKind::User,
                site,
                "for the ids seen inside",
                &kept,
                &mut errors,
            );
        }
        if let Some(site) = needs.group
            && decided.is_new(NamespaceKind::Mount)
            && !kept.contains_key(&NamespaceKind::Cgroup)
            && !decided.joins(NamespaceKind::Cgroup)
        {
            decided.ask(
                NamespaceKind::Cgroup,
                site,
                "so that limits cannot be undone from inside",
            );
        }
        decided.sharing(policy, caller, &mut errors);
        decided.privilege(caller, &kept, &mut errors);
        if errors.is_empty() {
            Ok(decided)
        } else {
            Err(errors)
        }
    }

    fn ask(&mut self, kind: NamespaceKind, site: Site, because: &str) {
        self.new.entry(kind).or_insert_with(|| Why {
            site,
            because: because.to_owned(),
        });
    }

    /// A view is mounted in a namespace of one's own. In one that is joined it would be made for all who live there, and
    /// their root would be changed with ours.
    fn only_own_mounts(&self, view: Option<Site>, errors: &mut Diagnostics) {
        let joined = self
            .join
            .iter()
            .find(|(kind, ..)| *kind == NamespaceKind::Mount);
        if let (Some((.., joined)), Some(view)) = (joined, view) {
            errors.push(
                Diagnostic::error(
                    "nothing can be mounted in a mount namespace that is joined",
                    *joined,
                    "this joins it",
                )
                .related(view, "this needs mounts of its own")
                .help("remove one of the two: what is mounted would be seen by everybody in there"),
            );
        }
    }

    /// Something else needs a namespace: one that is joined will do, the caller's will not.
    fn need(
        &mut self,
        kind: NamespaceKind,
        site: Site,
        because: &str,
        kept: &BTreeMap<NamespaceKind, Site>,
        errors: &mut Diagnostics,
    ) {
        if self.joins(kind) {
            return;
        }
        if let Some(&said) = kept.get(&kind) {
            errors.push(
                Diagnostic::error(
                    format!(
                        "a new {} namespace is needed {because}, but the policy keeps the caller's",
                        kind.name()
                    ),
                    said,
                    "this keeps the caller's",
                )
                .related(site, "this needs a new one")
                .help(format!(
                    "remove `namespaces.{}`, or set it to true",
                    kind.name()
                )),
            );
            return;
        }
        self.ask(kind, site, because);
    }

    fn network(
        &mut self,
        policy: &Policy,
        kept: &BTreeMap<NamespaceKind, Site>,
        errors: &mut Diagnostics,
    ) {
        let Some(mode) = policy.get(Section::Network, "mode") else {
            return;
        };
        match mode.value {
            Value::Word("none") => self.need(
                NamespaceKind::Net,
                mode.site,
                "for `network.mode = \"none\"`",
                kept,
                errors,
            ),
            _ => {
                let shared = self
                    .share
                    .iter()
                    .find(|(kind, ..)| *kind == NamespaceKind::Net);
                if let Some((_, name, site)) = shared {
                    errors.push(
                        Diagnostic::error(
                            format!("`network.mode = \"host\"` contradicts sharing the network of `{name}`"),
                            mode.site,
                            "this keeps the caller's network",
                        )
                        .related(*site, "this shares another one")
                        .help("remove one of the two"),
                    );
                }
                if let Some(why) = self.new.get(&NamespaceKind::Net) {
                    errors.push(
                        Diagnostic::error(
                            "`network.mode = \"host\"` contradicts `namespaces.net = true`",
                            mode.site,
                            "this keeps the caller's network",
                        )
                        .related(why.site, "this makes a new one")
                        .help("remove one of the two; `network.mode = \"none\"` is the same as `namespaces.net = true`"),
                    );
                }
            }
        }
    }

    /// What goes together with namespaces of another sandbox.
    fn sharing(&self, policy: &Policy, caller: &Caller, errors: &mut Diagnostics) {
        let Some((_, first, site)) = self.share.first() else {
            return;
        };
        let uts = self
            .share
            .iter()
            .find(|(kind, ..)| *kind == NamespaceKind::Uts);
        if let (Some((_, name, site)), Some(said)) =
            (uts, policy.get(Section::Namespaces, "hostname"))
        {
            errors.push(
                Diagnostic::error(
                    format!("the host name of `{name}` is not ours to set"),
                    said.site,
                    "this would set it",
                )
                .related(*site, "this shares it")
                .help("remove one of the two"),
            );
        }
        if caller.is_privileged() {
            return;
        }
        let other = self.share.iter().find(|(_, name, _)| name != first);
        if let Some((_, name, second)) = other {
            errors.push(
                Diagnostic::error(
                    format!("namespaces of both `{first}` and `{name}` cannot be shared"),
                    *second,
                    "this is the second sandbox",
                )
                .related(*site, "this is the first")
                .help("an ordinary user's program lives below one sandbox's user namespace; only root can take from several"),
            );
        }
        let joined = self
            .join
            .iter()
            .find(|(kind, ..)| *kind == NamespaceKind::User);
        if let Some((.., user)) = joined {
            errors.push(
                Diagnostic::error(
                    format!("`{first}` has its namespaces in a user namespace of its own"),
                    *user,
                    "this joins another user namespace",
                )
                .related(*site, "this shares that sandbox's")
                .help("remove `namespaces.user`: what is needed is entered by itself"),
            );
        }
        if let Some(said) = policy
            .get(Section::User, "subordinate-ids")
            .filter(|said| *said.value == Value::Bool(true))
        {
            errors.push(
                Diagnostic::error(
                    format!(
                        "subordinate ids cannot be mapped below the user namespace of `{first}`"
                    ),
                    said.site,
                    "this asks for them",
                )
                .related(*site, "this makes the new user namespace below that one")
                .help("remove one of the two"),
            );
        }
    }

    /// Without privilege everything but a user namespace needs one to be made in.
    fn privilege(
        &mut self,
        caller: &Caller,
        kept: &BTreeMap<NamespaceKind, Site>,
        errors: &mut Diagnostics,
    ) {
        let has_one = self.is_new(NamespaceKind::User) || self.joins(NamespaceKind::User);
        if caller.is_privileged() || has_one {
            return;
        }
        let first = self
            .new
            .values()
            .map(|why| why.site)
            .chain(self.join.iter().map(|(.., site)| *site))
            .chain(self.share.iter().map(|(.., site)| *site))
            .next();
        if let Some(site) = first {
            self.need(
                NamespaceKind::User,
                site,
                "since only there an ordinary user may make or enter the others",
                kept,
                errors,
            );
        }
    }
}

/// Why a kind of namespace is not shared with a running sandbox.
fn refuse_share(kind: NamespaceKind, name: &str, site: Site) -> Option<Diagnostic> {
    let why = match kind {
        NamespaceKind::Net | NamespaceKind::Ipc | NamespaceKind::Uts => return None,
        NamespaceKind::User => {
            "the user namespace is entered by itself where the others need it, and a new one is made below it"
        }
        NamespaceKind::Mount => "a view of one's own is made in a mount namespace of one's own",
        NamespaceKind::Pid => {
            "its processes could be seen and stopped by the other sandbox, and would end with its process 1"
        }
        NamespaceKind::Cgroup => "each sandbox has a control group of its own, for its own limits",
        NamespaceKind::Time => {
            "its clocks are set when a sandbox is made, and are no others than the host's"
        }
    };
    Some(
        Diagnostic::error(
            format!(
                "the {} namespace of another sandbox cannot be shared: {why}",
                kind.name()
            ),
            site,
            "net, ipc and uts can",
        )
        .help(format!(
            "`sandboxctl join {name} PROGRAM` runs a program in that sandbox"
        )),
    )
}

/// The host name to be set.
#[must_use]
pub fn hostname(policy: &Policy) -> Option<Traced<String>> {
    let said = policy.get(Section::Namespaces, "hostname")?;
    match said.value {
        Value::Text(name) => Some(Traced::new(name.clone(), said.site)),
        _ => None,
    }
}
