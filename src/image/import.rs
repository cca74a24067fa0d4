//! From a file or directory to a root of the cache.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::config::Config;
use super::layer::{Count, apply};
use super::manifest::{self, Configuration, DockerImage, Index, Manifest};
use super::source::{self, Blobs, Source};
use super::store::{Lock, Store, make_name};
use super::stream::{Budget, Stream, is_digest};
use super::tape::Tape;
use super::tree::Tree;
use super::{Ids, Limits, Result};
use crate::kernel::{Errno, at, process};
use crate::profile::value::human_bytes;
use crate::report::Diagnostic;

/// An index may name indices; this deep, and no deeper.
const MOST_INDICES: usize = 3;
/// /etc/passwd and /etc/group are read up to this many bytes.
const ACCOUNTS: u64 = 1 << 20;
/// What every root needs to mount on, with modes.
const NEEDED: [(&str, u32); 5] = [
    ("dev", 0o755),
    ("proc", 0o755),
    ("run", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
];

/// What is to be imported, and how.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The file or directory.
    pub path: &'a Path,
    /// What the root is to be called. Without it, as the image or the file is called; `Some("")` is no name at all.
    pub name: Option<&'a str>,
    /// Which of several images.
    pub image: Option<&'a str>,
    /// Whose the files become.
    pub ids: Ids,
    /// What it may come to.
    pub limits: Limits,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The root's digest.
    pub digest: String,
    /// What it is called now.
    pub name: Option<String>,
    /// Whether it was not there before.
    pub new: bool,
    /// What is known about it.
    pub config: Config,
    /// What people should know, a line each.
    pub notes: Vec<String>,
}

/// What was found to be unpacked.
struct Image {
    config: Config,
    layers: Vec<Layer>,
}

struct Layer {
    /// How messages call it.
    name: String,
    open: Box<dyn Read>,
    /// What the archive has to hash to, as it is.
    blob: Option<String>,
    /// The same once it is decompressed.
    diff: Option<String>,
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// Imports. The cache is locked meanwhile; a second import waits, and `tell` says so.
///
/// # Errors
/// What is refused and why; nothing is left then.
pub fn import(
    store: &Store,
    request: &Request<'_>,
    tell: &mut dyn FnMut(&str),
) -> Result<Imported> {
    let lock = store.lock(|| tell("waiting for another import to end"))?;
    let before = source::fingerprint(request.path);
    // What was imported from this very state of the file needs no second look.
    let known = before
        .as_ref()
        .ok()
        .filter(|_| request.image.is_none())
        .and_then(|state| store.known(state));
    // The caller's umask is no part of what an archive says.
    let umask = process::set_umask(0o022);
    let done = match known {
        Some(digest) => store
            .read(&digest)
            .map(|root| (root.config, Vec::new(), false)),
        None => unpack(store, &lock, request, tell),
    };
    process::set_umask(umask);
    let (config, mut notes, new) = done?;
    let digest = config.digest.clone();
    if config.ids() != request.ids {
        let how = match config.ids() {
            Ids::Own => "with all files the caller's",
            Ids::Kept => "with the owners of its files",
            Ids::Subordinate(_) => "with its files subordinate ids",
        };
        return Err(
            Diagnostic::general(format!("the root `{digest}` is there already, {how}"))
                .help(format!("sandboxctl root remove {digest}")),
        );
    }
    let name = match request.name {
        Some("") => None,
        Some(name) => Some(name.to_owned()),
        None => usual_name(&config, request.path),
    };
    if let Some(name) = &name
        && let Some(before) = store.call(&lock, name, &digest)?
    {
        notes.push(format!(
            "`{name}` was {before} before, which keeps its other names"
        ));
    }
    // A file that changed while it was read is not remembered.
    if let Ok(before) = before
        && request.image.is_none()
        && source::fingerprint(request.path).as_ref() == Ok(&before)
    {
        store.remember(&lock, &before, &digest)?;
    }
    Ok(Imported {
        digest,
        name,
        new,
        config,
        notes,
    })
}

/// What a root is called when nobody says: as the image, else as the file.
fn usual_name(config: &Config, path: &Path) -> Option<String> {
    let reference = config
        .reference
        .as_deref()
        .map(manifest::short_name)
        .and_then(make_name);
    let file = path.file_name()?.to_string_lossy().into_owned();
    let endings = [
        ".gz", ".zst", ".xz", ".tgz", ".txz", ".tar", ".oci", ".docker",
    ];
    let mut stem = file.as_str();
    while let Some(shorter) = endings.iter().find_map(|ending| stem.strip_suffix(ending)) {
        stem = shorter;
    }
    reference.or_else(|| make_name(stem))
}

fn unpack(
    store: &Store,
    lock: &Lock,
    request: &Request<'_>,
    tell: &mut dyn FnMut(&str),
) -> Result<(Config, Vec<String>, bool)> {
    let wrong = |error: io::Error| {
        let told = Diagnostic::general(format!(
            "`{}` cannot be imported: {error}",
            request.path.display()
        ));
        match error.kind() {
            io::ErrorKind::QuotaExceeded => told.help(
                "if it is trusted: sandboxctl root import --max-size SIZE --max-entries NUMBER",
            ),
            io::ErrorKind::StorageFull => {
                told.help(format!("the roots are kept in {}", store.path().display()))
            }
            _ => told,
        }
    };
    let source = source::open(request.path, request.limits, || store.spool())?;
    let (mut image, plain) = match source {
        Source::Tar(file) => (tar(file), true),
        Source::Docker(blobs, images) => (docker(&blobs, &images, request)?, false),
        Source::Oci(blobs, index) => (oci(&blobs, &index, request)?, false),
    };
    if !plain && store.find(&image.config.digest).is_ok() {
        let there = store.read(&image.config.digest)?;
        return Ok((there.config, Vec::new(), false));
    }
    tell(&format!("unpacking `{}`", request.path.display()));
    let temporary = store.temporary(lock)?;
    let root = temporary.path().join("tree");
    let tree = new_tree(&root, request.ids).map_err(|error| wrong(error.into()))?;
    let budget = Budget::new(request.limits);
    let (tree, count, diff) =
        fill(tree, std::mem::take(&mut image.layers), plain, &budget).map_err(wrong)?;
    let mut config = image.config;
    if plain {
        config.digest = diff;
    }
    let account = |path: &[&[u8]]| {
        let text = tree.small_file(path, ACCOUNTS).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    };
    let unknown = config.find_user(
        &account(&[b"etc", b"passwd"]),
        &account(&[b"etc", b"group"]),
    );
    let not_root = (matches!(request.ids, Ids::Subordinate(_))
        && config.uid.is_some_and(|uid| uid != 0))
    .then(|| {
        format!(
            "the image wants to be run by its user `{}`: with subordinate ids it starts as root, who can become that user",
            config.user.as_deref().unwrap_or_default()
        )
    });
    let notes = notes(&tree, &count)
        .into_iter()
        .chain(unknown)
        .chain(not_root)
        .collect();
    let path = std::path::absolute(request.path).unwrap_or_else(|_| request.path.to_owned());
    config.source = path.display().to_string();
    config.imported = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    config.set_ids(request.ids);
    config.entries = count.entries;
    config.bytes = budget.used();
    let new = store.keep(lock, temporary, &config)?;
    Ok((config, notes, new))
}

fn new_tree(path: &Path, ids: Ids) -> std::result::Result<Tree, Errno> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    at::make_directory(at::working_directory(), &path, 0o755)?;
    let root = at::open(
        at::working_directory(),
        &path,
        libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW,
        0,
    )?;
    Ok(Tree::new(root, ids))
}

/// Puts all layers on the tree, and checks each against its digests. Returns the last one's.
fn fill(
    mut tree: Tree,
    layers: Vec<Layer>,
    plain: bool,
    budget: &Rc<Budget>,
) -> io::Result<(Tree, Count, String)> {
    let mut count = Count::default();
    let mut last = String::new();
    for layer in layers {
        let at_layer = |error: io::Error| match plain {
            true => error,
            false => io::Error::new(error.kind(), format!("{}: {error}", layer.name)),
        };
        let stream = Stream::new(layer.open, Rc::clone(budget)).map_err(at_layer)?;
        let mut tape = Tape::new(stream);
        apply(&mut tape, &mut tree, !plain, budget, &mut count).map_err(at_layer)?;
        let (blob, diff) = tape.into_inner().finish().map_err(at_layer)?;
        for (found, said) in [(&blob, &layer.blob), (&diff, &layer.diff)] {
            if let Some(said) = said
                && said != found
            {
                return Err(at_layer(invalid(format!(
                    "its digest is {found} and should be {said}: it is damaged"
                ))));
            }
        }
        last = diff;
    }
    for (name, mode) in NEEDED {
        tree.supply(name.as_bytes(), mode)?;
    }
    Ok((tree.finish()?, count, last))
}

fn notes(tree: &Tree, count: &Count) -> Vec<String> {
    let mut notes = Vec::new();
    for (number, what) in [
        (
            tree.set_ids,
            "set-user-id and set-group-id bits were taken away",
        ),
        (
            tree.attributes,
            "extended attributes, such as capabilities of files, were left out",
        ),
        (count.devices, "device nodes of its /dev were left out"),
    ] {
        if number > 0 {
            notes.push(format!("{number} {what}"));
        }
    }
    notes
}

fn tar(file: File) -> Image {
    Image {
        config: Config {
            form: "tar".to_owned(),
            ..Config::default()
        },
        layers: vec![Layer {
            name: "the archive".to_owned(),
            open: Box::new(file),
            blob: None,
            diff: None,
        }],
    }
}

fn listed(request: &Request<'_>, why: &str, list: Vec<String>) -> Diagnostic {
    let mut error = Diagnostic::general(format!(
        "`{}` cannot be imported: {why}",
        request.path.display()
    ));
    if list.len() > 1 || why.starts_with("it has no image ") {
        error = error.help("those that it has; name one with --image:");
    }
    for line in list {
        error = error.help(format!("  {line}"));
    }
    error
}

fn docker(blobs: &Blobs, images: &[DockerImage], request: &Request<'_>) -> Result<Image> {
    let tags = |image: &DockerImage| image.tags.clone().unwrap_or_default();
    let asked = |image: &&DockerImage| {
        request.image.is_none_or(|wanted| {
            image.config.contains(wanted.trim_start_matches("sha256:"))
                || tags(image)
                    .iter()
                    .any(|tag| tag == wanted || manifest::short_name(tag) == wanted)
        })
    };
    let list = || {
        let line = |image: &DockerImage| {
            format!("{} {}", tags(image).join(" "), image.config)
                .trim_start()
                .to_owned()
        };
        images.iter().map(line).collect()
    };
    let found: Vec<&DockerImage> = images.iter().filter(asked).collect();
    let image = match found.as_slice() {
        [one] => *one,
        [] => return Err(listed(request, "it has no image of this name", list())),
        _ => return Err(listed(request, "it has several images", list())),
    };
    read_docker(blobs, image).map_err(|error| listed(request, &error.to_string(), Vec::new()))
}

fn read_docker(blobs: &Blobs, image: &DockerImage) -> io::Result<Image> {
    let text = blobs.text(&image.config)?;
    let digest = {
        use sha2::{Digest, Sha256};
        super::stream::name_digest(Sha256::new_with_prefix(&text))
    };
    // The configuration is named by its digest, in both forms of such an archive.
    let stem = image.config.rsplit('/').next().unwrap_or_default();
    let said = format!("sha256:{}", stem.strip_suffix(".json").unwrap_or(stem));
    if is_digest(&said) {
        source::check(&text, &said)
            .map_err(|error| invalid(format!("`{}`: {error}", image.config)))?;
    }
    let configuration: Configuration =
        manifest::read(&text).map_err(|why| invalid(format!("`{}`: {why}", image.config)))?;
    let mut layers = Vec::new();
    for path in &image.layers {
        layers.push((path.clone(), blobs.open(path)?, None));
    }
    let reference = image.tags.as_ref().and_then(|tags| tags.first().cloned());
    assemble("docker-archive", digest, reference, configuration, layers)
}

fn oci(blobs: &Blobs, index: &Index, request: &Request<'_>) -> Result<Image> {
    let wrong = |error: io::Error| listed(request, &error.to_string(), Vec::new());
    let mut images = index.manifests.clone();
    let mut wanted = request.image;
    let mut reference = None;
    for _ in 0..MOST_INDICES {
        let chosen = manifest::choose(&images, wanted, manifest::machine())
            .map_err(|(why, list)| listed(request, &why, list))?
            .clone();
        reference = chosen.reference().map(str::to_owned).or(reference);
        let text = blobs.blob(&chosen).map_err(wrong)?;
        if !chosen.is_index() {
            return read_oci(blobs, &text, reference).map_err(wrong);
        }
        let inner: Index = manifest::read(&text)
            .map_err(|why| wrong(invalid(format!("`{}`: {why}", chosen.digest))))?;
        images = inner.manifests;
        // The name was that of the whole.
        wanted = None;
    }
    Err(wrong(invalid("its index has an index that has an index")))
}

fn read_oci(blobs: &Blobs, text: &[u8], reference: Option<String>) -> io::Result<Image> {
    let image: Manifest =
        manifest::read(text).map_err(|why| invalid(format!("the manifest: {why}")))?;
    let text = blobs
        .blob(&image.config)
        .map_err(|error| invalid(format!("the configuration: {error}")))?;
    let configuration: Configuration =
        manifest::read(&text).map_err(|why| invalid(format!("the configuration: {why}")))?;
    let mut layers = Vec::new();
    for layer in &image.layers {
        let open = blobs.open(&source::blob_path(&layer.digest)?)?;
        layers.push((layer.digest.clone(), open, Some(layer.digest.clone())));
    }
    assemble("oci", image.config.digest, reference, configuration, layers)
}

type Opened = (String, Box<dyn Read>, Option<String>);

fn assemble(
    form: &str,
    digest: String,
    reference: Option<String>,
    configuration: Configuration,
    layers: Vec<Opened>,
) -> io::Result<Image> {
    let platform = &configuration.platform;
    let machine = manifest::machine();
    if !platform.architecture.is_empty() && platform.architecture != machine {
        return Err(invalid(format!(
            "it is for {}/{}, and this machine is linux/{machine}",
            platform.os, platform.architecture
        )));
    }
    let diffs = configuration.rootfs.diff_ids;
    if diffs.len() != layers.len() {
        return Err(invalid(format!(
            "its configuration has the digests of {} layers, and there are {}",
            diffs.len(),
            layers.len()
        )));
    }
    let mut config = Config {
        digest,
        form: form.to_owned(),
        reference,
        ..Config::default()
    };
    config.take(configuration.config.unwrap_or_default());
    let layers = layers
        .into_iter()
        .zip(diffs)
        .enumerate()
        .map(|(at, ((name, open, blob), diff))| Layer {
            name: format!("layer {} ({name})", at + 1),
            open,
            blob,
            diff: Some(diff),
        })
        .collect();
    Ok(Image { config, layers })
}

/// How large a root is, for people.
#[must_use]
pub fn size(config: &Config) -> String {
    human_bytes(config.bytes)
}
