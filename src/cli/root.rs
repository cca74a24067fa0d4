//! `sandboxctl root`: imports, lists, shows and removes root file systems.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum, ValueHint};
use serde_json::json;

use super::{answer, complain, inspect, status};
use crate::exec::within;
use crate::host::probe::{Scope, probe};
use crate::image::import::{Request, import};
use crate::image::source::{fingerprint, is_layout};
use crate::image::store::{self, Held, Root, Store, check_name};
use crate::image::{Ids, Limits, Ranges};
use crate::plan::Action;
use crate::profile::read::amount;
use crate::profile::value::{Size, human_bytes};
use crate::profile::write;
use crate::report::{Diagnostic, SourceMap, escape};
use crate::section::user;

/// What can be done with roots.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum RootVerb {
    /// Unpack an archive or an image into the cache of roots
    ///
    /// FILE is told by its contents: the tar archive of a root file system, what `docker save` writes, or an OCI image
    /// layout, as an archive or a directory; plain or compressed with gzip, zstd or xz. Everything in it is checked first;
    /// nothing is left behind when it is refused.
    Import {
        /// The archive, or the directory of an OCI layout
        #[arg(value_name = "FILE|DIR", value_hint = ValueHint::AnyPath)]
        file: PathBuf,
        /// What the root is to be called; otherwise as the image or the file is
        #[arg(long, value_parser = name, value_hint = ValueHint::Other)]
        name: Option<String>,
        /// Which image, where there are several: its name or its digest
        #[arg(long, value_name = "IMAGE", value_hint = ValueHint::Other)]
        image: Option<String>,
        /// Whose the files become
        ///
        /// `own`: all become the caller's, which always works, and is an ordinary user's default. `subordinate`: root's become
        /// the caller's, and others' the caller's subordinate ids (/etc/subuid, /etc/subgid), so that programs inside can be
        /// several users, as package managers and services are; takes newuidmap(1). `kept`: their owners stay, which only root
        /// can do, and is its default.
        #[arg(long, value_enum)]
        ids: Option<IdsWord>,
        /// The most that it may come to, unpacked
        #[arg(long, value_name = "SIZE", default_value = "16G", value_parser = size, value_hint = ValueHint::Other)]
        max_size: u64,
        /// The most files, directories and links in it
        #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().entries, value_hint = ValueHint::Other)]
        max_entries: u64,
    },

    /// List the imported roots
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Show what is known about a root: where it came from, and how its image is to be run
    Show {
        /// A name, a digest or its beginning
        #[arg(value_name = "NAME|DIGEST", value_hint = ValueHint::Other)]
        root: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Remove roots
    ///
    /// A name is taken away, and its root with its last name; a digest removes the root with all its names. What is in use is
    /// not removed.
    Remove {
        /// Names, digests or their beginnings
        #[arg(value_name = "NAME|DIGEST", required_unless_present = "unused", value_hint = ValueHint::Other)]
        roots: Vec<String>,
        /// All that have no name and that nobody uses
        #[arg(long)]
        unused: bool,
    },
}

/// The word for [`Ids`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IdsWord {
    /// Everything becomes the caller's.
    Own,
    /// Owners stay.
    Kept,
    /// Owners become subordinate ids.
    Subordinate,
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

fn size(text: &str) -> Result<u64, String> {
    match amount::bytes(text) {
        Ok(Size::Bytes(bytes)) if bytes > 0 => Ok(bytes),
        Ok(_) => Err("it has to be a number of bytes, such as 512M".to_owned()),
        Err(wrong) => Err(wrong.message),
    }
}

/// The caller's cache.
pub(super) fn store() -> Store {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let uid = nix::unistd::getuid().as_raw();
    let (said, home) = (absolute("XDG_DATA_HOME"), absolute("HOME"));
    Store::at(store::place(uid, said.as_deref(), home.as_deref()))
}

/// Whose the files become when nobody says.
pub(super) fn usual_ids() -> Ids {
    if nix::unistd::geteuid().is_root() {
        Ids::Kept
    } else {
        Ids::Own
    }
}

fn say(line: &str) {
    complain(&format!("sandboxctl: {}\n", escape::line(line)));
}

/// Carries a verb out.
///
/// # Errors
/// It could not be done, as standard error says: the exit status.
pub fn run(verb: RootVerb) -> Result<(), i32> {
    let store = store();
    let done = match verb {
        RootVerb::Import {
            file,
            name,
            image,
            ids,
            max_size,
            max_entries,
        } => whose(ids).and_then(|ids| {
            let limits = Limits {
                bytes: max_size,
                entries: max_entries,
                ..Limits::default()
            };
            let request = Request {
                path: &file,
                name: name.as_deref(),
                image: image.as_deref(),
                ids,
                limits,
            };
            imported(&store, &request)
        }),
        RootVerb::List { json } => list(&store, json),
        RootVerb::Show { root, json } => show(&store, &root, json),
        RootVerb::Remove { roots, unused } => return remove(&store, &roots, unused),
    };
    match done {
        Ok(text) => answer(&text),
        Err(error) => {
            inspect::tell(&[error], &SourceMap::new());
            Err(status::NO)
        }
    }
}

fn whose(word: Option<IdsWord>) -> Result<Ids, Diagnostic> {
    match word {
        None => Ok(usual_ids()),
        Some(IdsWord::Own) => Ok(Ids::Own),
        Some(IdsWord::Kept) if nix::unistd::geteuid().is_root() => Ok(Ids::Kept),
        Some(IdsWord::Kept) => Err(Diagnostic::general("only root can keep the owners of files")
            .help("--ids own makes them all the caller's; inside they are those of the one id that is mapped")),
        Some(IdsWord::Subordinate) if nix::unistd::geteuid().is_root() => Err(Diagnostic::general(
            "root needs no subordinate ids for the files of a root",
        )
        .help("--ids kept keeps their owners")),
        Some(IdsWord::Subordinate) => among_subordinate_ids().map(Ids::Subordinate),
    }
}

/// The subordinate ids of the caller, and the way to them.
fn subordinate_ids() -> Result<(Action, Ranges), Diagnostic> {
    let scope = Scope {
        subordinate_ids: true,
        ..Scope::NOTHING
    };
    let caller = probe(scope)?.caller;
    let maps = user::with_subordinate(&caller, (0, 0)).map_err(|missing| {
        let what = format!("there are no subordinate ids for it: {}", missing.what);
        Diagnostic::general(what).help(missing.help)
    })?;
    // Without either there are no maps.
    let uids = caller.subordinate_uids.unwrap_or_default();
    let gids = caller.subordinate_gids.unwrap_or_default();
    Ok((maps, Ranges { uids, gids }))
}

/// Makes this process one that may have files of the caller's subordinate ids, for the rest of its life.
fn among_subordinate_ids() -> Result<Ranges, Diagnostic> {
    let (maps, ranges) = subordinate_ids()?;
    if let Action::MapIds {
        uids,
        gids,
        helpers: Some((newuidmap, newgidmap)),
        ..
    } = maps
    {
        within::enter(&uids, &gids, (&newuidmap, &newgidmap)).map_err(|why| {
            Diagnostic::general(format!("the subordinate ids cannot be used: {why}"))
                .help("`sandboxctl doctor` tells what is missing")
        })?;
    }
    Ok(ranges)
}

/// Refuses a root whose files belong to other subordinate ids than the caller has now.
fn still_has_ids(held: Held) -> Result<Held, Diagnostic> {
    let Some(made) = held.root.config.subordinate else {
        return Ok(held);
    };
    let (_, now) = subordinate_ids()?;
    if made == now {
        return Ok(held);
    }
    let shown = |ranges: &Ranges| {
        let ((uid, uids), (gid, gids)) = (ranges.uids, ranges.gids);
        format!("{uid}+{uids} (users) and {gid}+{gids} (groups)")
    };
    Err(Diagnostic::general(format!(
        "the files of this root belong to the subordinate ids {}, and now you have {}",
        shown(&made),
        shown(&now)
    ))
    .help("give them back in /etc/subuid and /etc/subgid, or remove the root as root and import it again"))
}

fn imported(store: &Store, request: &Request<'_>) -> Result<String, Diagnostic> {
    let done = import(store, request, &mut |line| say(line))?;
    for note in &done.notes {
        say(&format!("note: {note}"));
    }
    let name = done.name.unwrap_or_else(|| done.digest.clone());
    let what = if done.new {
        "imported"
    } else {
        "was there already"
    };
    Ok(format!(
        "{name}: {what}: {}, {} entries, {}\n",
        done.digest,
        done.config.entries,
        human_bytes(done.config.bytes)
    ))
}

/// The first digits of a digest, which are enough to name it.
fn brief(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

fn list(store: &Store, as_json: bool) -> Result<String, Diagnostic> {
    let roots = store.list()?;
    if as_json {
        let all: Vec<_> = roots
            .iter()
            .map(|root| {
                let mut value = json!(root.config);
                if let Some(fields) = value.as_object_mut() {
                    fields.insert("names".to_owned(), json!(root.names));
                    fields.insert("path".to_owned(), json!(root.tree()));
                    fields.insert(
                        "in_use".to_owned(),
                        json!(store.in_use(&root.config.digest)),
                    );
                }
                value
            })
            .collect();
        return Ok(format!("{:#}\n", json!(all)));
    }
    if roots.is_empty() {
        return Ok("no root is imported; sandboxctl root import FILE imports one\n".to_owned());
    }
    let names: Vec<String> = roots
        .iter()
        .map(|root| match root.names.is_empty() {
            true => "-".to_owned(),
            false => root.names.join(", "),
        })
        .collect();
    let width = names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (root, name) in roots.iter().zip(&names) {
        let used = if store.in_use(&root.config.digest) {
            ", in use"
        } else {
            ""
        };
        text.push_str(&format!(
            "{name:width$}  {}  {:>8}  {} of {}{used}\n",
            brief(&root.config.digest),
            human_bytes(root.config.bytes),
            root.config.form,
            escape::line(&root.config.source),
        ));
    }
    Ok(text)
}

fn show(store: &Store, what: &str, as_json: bool) -> Result<String, Diagnostic> {
    let root = store.read(&store.find(what)?)?;
    if as_json {
        return Ok(format!("{:#}\n", json!(root.config)));
    }
    Ok(text(&root))
}

fn text(root: &Root) -> String {
    let config = &root.config;
    let mut out = String::new();
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            out.push_str(&format!("# {label:12} {}\n", escape::line(value)));
        }
    };
    line("names", &root.names.join(" "));
    line("digest", &config.digest);
    line("from", &format!("{} ({})", config.source, config.form));
    line("image", config.reference.as_deref().unwrap_or_default());
    line(
        "size",
        &format!("{}, {} entries", human_bytes(config.bytes), config.entries),
    );
    line(
        "owners",
        match config.ids() {
            Ids::Own => "one, the caller",
            Ids::Kept => "kept",
            Ids::Subordinate(_) => "the caller's subordinate ids",
        },
    );
    line("files", &root.tree().display().to_string());
    line("user", config.user.as_deref().unwrap_or_default());
    let program = config.program();
    if !program.is_empty() {
        line("runs", &write::array(program));
    }
    let profile = config.profile();
    if !profile.is_empty() {
        out.push_str("\n# what the image says as a profile\n");
        out.push_str(&profile);
    }
    out
}

fn remove(store: &Store, roots: &[String], unused: bool) -> Result<(), i32> {
    let failed = |error: Diagnostic| {
        inspect::tell(&[error], &SourceMap::new());
        status::NO
    };
    // What belongs to subordinate ids can be removed only by who has them.
    let of_others = |digest: String| {
        let root = store.read(&digest);
        root.is_ok_and(|root| root.config.subordinate.is_some())
    };
    let named = roots.iter().filter_map(|what| store.find(what).ok());
    let unnamed = store.list().unwrap_or_default().into_iter();
    let unnamed = unnamed.map(|root| root.config.digest).filter(|_| unused);
    if !nix::unistd::geteuid().is_root() {
        if named.chain(unnamed).any(of_others) {
            among_subordinate_ids().map_err(failed)?;
        } else if unused {
            // What an import left that was killed may be of such ids too: then it is still there once it was swept.
            let swept = store.lock(|| say("waiting for an import to end"));
            drop(swept.map_err(failed)?);
            if store.has_leftovers() {
                among_subordinate_ids().map_err(failed)?;
            }
        }
    }
    let lock = store
        .lock(|| say("waiting for an import to end"))
        .map_err(failed)?;
    let mut worst = Ok(());
    for what in roots {
        let done = store.find(what).and_then(|digest| {
            let root = store.read(&digest)?;
            // One of several names is only a name.
            if root.names.len() > 1 && root.names.contains(what) {
                store.forget(&lock, what)?;
                return Ok(format!("{what}: name removed; the root has other names\n"));
            }
            store.remove(&lock, &digest)?;
            Ok(format!("{what}: removed\n"))
        });
        match done {
            Ok(text) => answer(&text)?,
            Err(error) => worst = Err(failed(error)),
        }
    }
    if unused {
        for root in store.list().map_err(failed)? {
            let digest = &root.config.digest;
            if root.names.is_empty() && !store.in_use(digest) {
                match store.remove(&lock, digest) {
                    Ok(()) => answer(&format!("{digest}: removed\n"))?,
                    Err(error) => worst = Err(failed(error)),
                }
            }
        }
    }
    worst
}

/// The path of an archive that a rule names, and the digest of the root that it or the name stands for, if there is one.
fn look(store: &Store, source: &str) -> Result<(PathBuf, Option<String>), Diagnostic> {
    if !source.starts_with(['/', '~', '$']) {
        return Ok((PathBuf::new(), Some(store.find(source)?)));
    }
    let home = || {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        home.filter(|home| home.is_absolute()).ok_or_else(|| {
            Diagnostic::general(format!("`{source}` means nothing here: HOME is not set"))
        })
    };
    let path = match source
        .strip_prefix("~/")
        .or_else(|| source.strip_prefix("${HOME}/"))
    {
        Some(rest) => home()?.join(rest),
        None => PathBuf::from(source),
    };
    let state = fingerprint(&path).map_err(|error| {
        Diagnostic::general(format!(
            "`{}` cannot be looked at: {}",
            path.display(),
            error.desc()
        ))
    })?;
    let digest = store.known(&state);
    Ok((path, digest))
}

/// Finds and holds the root that a rule names, if it was imported.
///
/// # Errors
/// It was not.
pub(super) fn find(source: &str) -> Result<Held, Diagnostic> {
    let store = store();
    match look(&store, source)? {
        (_, Some(digest)) => store.hold(&digest).and_then(still_has_ids),
        (path, None) => Err(Diagnostic::general(format!(
            "`{}` was not imported yet",
            path.display()
        ))
        .help("the first launch does that, or `sandboxctl root import`")),
    }
}

/// What `--root` stands for: an imported root by its name, or an archive or an OCI layout by its path, as a rule says it;
/// none when it is a directory that is shown as it is.
///
/// # Errors
/// It is a name, and there is neither a root nor a directory or file that is called so.
pub(super) fn image_of(argument: &str) -> Result<Option<String>, Diagnostic> {
    let store = store();
    let named = !argument.contains('/') && !argument.starts_with(['.', '~', '$']);
    if named {
        let found = store.find(argument);
        if found.is_ok() {
            return Ok(Some(argument.to_owned()));
        }
        if !std::path::Path::new(argument).exists() {
            return found.map(Some);
        }
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let path = match argument.strip_prefix("~/").zip(home) {
        Some((rest, home)) => home.join(rest),
        None => PathBuf::from(argument),
    };
    if !path.is_file() && !is_layout(&path) {
        return Ok(None);
    }
    let path = std::path::absolute(&path)
        .map_err(|error| Diagnostic::general(format!("`{argument}` cannot be found: {error}")))?;
    path.into_os_string().into_string().map(Some).map_err(|_| {
        Diagnostic::general(format!("the path of `{argument}` is not UTF-8"))
            .help("import it: sandboxctl root import")
    })
}

/// Finds and holds the root that a rule names: an imported one, or an archive that is imported on its first use.
///
/// # Errors
/// There is none, or it cannot be imported.
pub(super) fn obtain(source: &str, quiet: bool) -> Result<Held, Diagnostic> {
    let store = store();
    let (path, digest) = look(&store, source)?;
    if let Some(digest) = digest {
        return store.hold(&digest).and_then(still_has_ids);
    }
    let tell = |line: &str| {
        if !quiet {
            complain(&format!("sandbox: {}\n", escape::line(line)));
        }
    };
    let request = Request {
        path: &path,
        name: Some(""),
        image: None,
        ids: usual_ids(),
        limits: Limits::default(),
    };
    let done = import(&store, &request, &mut |line| tell(line))?;
    for note in &done.notes {
        tell(&format!("note: {note}"));
    }
    store.hold(&done.digest)
}
