//! Archives that mean harm, and odd ones that do not: each is refused by its member's name, or leaves nothing outside.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::import::{Imported, Request, import};
use super::store::Store;
use super::{Ids, Limits};
use crate::report::Diagnostic;

/// One header with its contents.
#[derive(Clone)]
struct Entry {
    path: Vec<u8>,
    kind: u8,
    mode: u32,
    target: &'static str,
    contents: Vec<u8>,
    /// What the header says, if that is not the truth.
    size: Option<u64>,
}

fn entry(path: &str, kind: u8, target: &'static str, contents: &str) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        kind,
        mode: if kind == b'5' { 0o755 } else { 0o644 },
        target,
        contents: contents.as_bytes().to_vec(),
        size: None,
    }
}

fn file(path: &str, contents: &str) -> Entry {
    entry(path, b'0', "", contents)
}

fn directory(path: &str) -> Entry {
    entry(path, b'5', "", "")
}

fn link(path: &str, target: &'static str) -> Entry {
    entry(path, b'2', target, "")
}

fn hard_link(path: &str, target: &'static str) -> Entry {
    entry(path, b'1', target, "")
}

fn pax(records: &[(&str, &str)]) -> Entry {
    let mut text = String::new();
    for (key, value) in records {
        let rest = format!(" {key}={value}\n");
        let mut length = rest.len() + 1;
        while length.to_string().len() + rest.len() != length {
            length += 1;
        }
        text.push_str(&format!("{length}{rest}"));
    }
    entry("pax", b'x', "", &text)
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        let mut header = [0u8; 512];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        put(0, &entry.path[..entry.path.len().min(100)]);
        put(100, format!("{:07o}", entry.mode).as_bytes());
        put(108, b"0000000");
        put(116, b"0000000");
        let size = entry.size.unwrap_or(entry.contents.len() as u64);
        put(124, format!("{size:011o}").as_bytes());
        put(136, b"00000000012");
        put(148, b"        ");
        put(156, &[entry.kind]);
        put(157, entry.target.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend(header);
        out.extend(&entry.contents);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

struct Place {
    folder: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("roots"));
        Self { folder, store }
    }

    fn import(&self, bytes: &[u8], limits: Limits) -> Result<Imported, Diagnostic> {
        let path = self.folder.path().join("x.tar");
        fs::write(&path, bytes).unwrap();
        self.import_path(&path, limits)
    }

    fn import_path(&self, path: &Path, limits: Limits) -> Result<Imported, Diagnostic> {
        let request = Request {
            path,
            name: None,
            image: None,
            ids: Ids::Own,
            limits,
        };
        import(&self.store, &request, &mut |_| {})
    }

    fn tree(&self, imported: &Imported) -> PathBuf {
        self.store.read(&imported.digest).unwrap().tree()
    }

    /// Names in the cache beside its own files.
    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.store.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.retain(|name| !["names", "files", "lock"].contains(&name.as_str()));
        names
    }
}

#[test]
fn what_means_harm_is_refused_by_its_name() {
    let deep = "d/".repeat(101);
    let long = "n".repeat(256);
    let mut sparse = entry("holes", b'S', "", "");
    sparse.size = Some(0);
    let mut loud = hard_link("b", "a");
    loud.contents = b"smuggled".to_vec();
    let mut endless = file("endless", "");
    endless.size = Some(1 << 40);
    let mut cut = file("cut", "");
    cut.size = Some(5000);
    let mut name = entry("x", b'L', "", "");
    name.size = Some(1 << 30);
    let mut damaged = archive(&[file("good", "x")]);
    damaged[0] ^= 1;
    let mut no_end = archive(&[file("good", "x")]);
    no_end.truncate(1024);
    let table: Vec<(&str, Vec<u8>, &[&str])> = vec![
        (
            "upwards",
            archive(&[file("../../escaped", "x")]),
            &["`../../escaped`", "upwards"],
        ),
        (
            "upwards below",
            archive(&[file("a/../../escaped", "x")]),
            &["`a/../../escaped`", "upwards"],
        ),
        (
            "absolute",
            archive(&[file("/escaped", "x")]),
            &["`/escaped`", "absolute"],
        ),
        (
            "through a link",
            archive(&[link("l", "/tmp"), file("l/escaped", "x")]),
            &["`l/escaped`", "no directory"],
        ),
        (
            "through a relative link",
            archive(&[link("l", "../.."), file("l/x", "x")]),
            &["`l/x`", "no directory"],
        ),
        (
            "through a file",
            archive(&[file("f", ""), file("f/x", "x")]),
            &["`f/x`", "no directory"],
        ),
        (
            "directory through a link",
            archive(&[link("l", "/tmp"), directory("l/x/")]),
            &["`l/x/`", "no directory"],
        ),
        (
            "hard link upwards",
            archive(&[hard_link("p", "../../etc/passwd")]),
            &["`p`", "`../../etc/passwd`", "upwards"],
        ),
        (
            "absolute hard link",
            archive(&[hard_link("p", "/etc/passwd")]),
            &["`p`", "absolute"],
        ),
        (
            "hard link through a link",
            archive(&[link("e", "/etc"), hard_link("p", "e/passwd")]),
            &["`p`", "no directory"],
        ),
        (
            "hard link to a directory",
            archive(&[directory("d"), hard_link("p", "d")]),
            &["`p`", "is a directory"],
        ),
        (
            "hard link to nothing",
            archive(&[hard_link("p", "q")]),
            &["`p`", "is not there"],
        ),
        (
            "hard link to itself",
            archive(&[file("p", ""), hard_link("p", "./p")]),
            &["`p`", "is itself"],
        ),
        (
            "hard link with contents",
            archive(&[file("a", ""), loud]),
            &["`b`", "contents"],
        ),
        (
            "device",
            archive(&[entry("etc/mem", b'3', "", "")]),
            &["`etc/mem`", "device node"],
        ),
        (
            "block device",
            archive(&[entry("sda", b'4', "", "")]),
            &["`sda`", "device node"],
        ),
        (
            "empty link",
            archive(&[link("l", "")]),
            &["`l`", "says nothing"],
        ),
        (
            "root is a file",
            archive(&[file("./", ""), file(".", "x")]),
            &["`.`", "is the root"],
        ),
        (
            "too deep",
            archive(&[pax(&[("path", &deep)]), directory("d")]),
            &["more than 100 directories"],
        ),
        (
            "name too long",
            archive(&[pax(&[("path", &long)]), file("n", "")]),
            &["more than 255 bytes"],
        ),
        (
            "pax upwards",
            archive(&[pax(&[("path", "../x")]), file("fine", "x")]),
            &["`../x`", "upwards"],
        ),
        (
            "pax link upwards",
            archive(&[pax(&[("linkpath", "/etc/shadow")]), hard_link("h", "fine")]),
            &["`h`", "absolute"],
        ),
        (
            "pax with a NUL",
            archive(&[pax(&[("path", "a\0b")]), file("fine", "x")]),
            &["NUL"],
        ),
        (
            "pax of no length",
            archive(&[entry("pax", b'x', "", "0 path=x\n"), file("f", "")]),
            &["extended header is damaged"],
        ),
        (
            "pax too long",
            archive(&[entry("pax", b'x', "", "99 path=x\n"), file("f", "")]),
            &["extended header is damaged"],
        ),
        (
            "pax without an end",
            archive(&[entry("pax", b'x', "", "9 path=xy"), file("f", "")]),
            &["extended header is damaged"],
        ),
        (
            "pax size",
            archive(&[pax(&[("size", "99999999999999999999999")]), file("f", "")]),
            &["extended header is damaged"],
        ),
        ("long name of no end", archive(&[name]), &["longer than 1M"]),
        (
            "names for names",
            archive(&vec![entry("x", b'L', "", "name"); 40]),
            &["too many headers"],
        ),
        ("sparse", archive(&[sparse]), &["`holes`", "sparse"]),
        (
            "pax sparse",
            archive(&[pax(&[("GNU.sparse.major", "1")]), file("holes", "")]),
            &["`holes`", "sparse"],
        ),
        (
            "unknown type",
            archive(&[entry("odd", b'Q', "", "")]),
            &["`odd`", "unknown type"],
        ),
        (
            "larger than allowed",
            archive(&[endless]),
            &["`endless`", "larger than 16"],
        ),
        ("cut off in a file", archive(&[cut]), &["cut"]),
        ("cut off", no_end, &["cut off"]),
        ("damaged", damaged, &["checksum"]),
        (
            "no archive",
            b"#!/bin/sh\necho hello\n".to_vec(),
            &["cut off"],
        ),
        ("nothing", Vec::new(), &["empty"]),
        ("bzip2", b"BZh91AY".to_vec(), &["bzip2"]),
        ("no xz", b"\xfd7zXZ\0rest-and-more-of-it".to_vec(), &["xz"]),
        (
            "half an xz",
            b"\xfd7zXZ\0".to_vec(),
            &["cannot be imported"],
        ),
        (
            "an xz that wants 1 GiB",
            include_bytes!("xz_tests/large-dictionary.xz").to_vec(),
            &["dictionary", "the most"],
        ),
        (
            "half a gzip",
            vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1],
            &["cannot be imported"],
        ),
        (
            "half a zstd",
            vec![0x28, 0xb5, 0x2f, 0xfd, 4],
            &["cannot be imported"],
        ),
    ];
    let place = Place::new();
    for (name, bytes, expected) in table {
        let error = place.import(&bytes, Limits::default()).expect_err(name);
        for words in expected {
            assert!(error.message.contains(words), "{name}: {}", error.message);
        }
        assert_eq!(place.left(), [""; 0], "{name}");
        assert!(!place.folder.path().join("escaped").exists(), "{name}");
    }
    assert!(!Path::new("/tmp/escaped").exists());
}

#[test]
fn what_is_odd_and_harmless_is_unpacked() {
    let long = format!("{}/x", "long".repeat(40));
    let mut set_id = file("bin/su", "x");
    set_id.mode = 0o6755;
    let mut closed = directory("closed");
    closed.mode = 0;
    let mut secret = file("closed/secret", "x");
    secret.mode = 0;
    let mut gnu = entry("././@LongLink", b'L', "", "");
    gnu.contents = format!("{long}\0").into_bytes();
    let entries = [
        directory("./"),
        link("out", "/etc/passwd"),
        link("up", "../../../.."),
        file("a/b/c", "no parents"),
        file("twice", "first"),
        file("twice", "second"),
        directory("was/"),
        file("was/in", "x"),
        file("was", "a file now"),
        hard_link("again", "a/b/c"),
        set_id,
        closed,
        secret,
        entry("dev/null", b'3', "", ""),
        entry("pipe", b'6', "", ""),
        gnu,
        file("short", "by GNU's name"),
        pax(&[
            ("path", "pax name"),
            ("SCHILY.xattr.user.kept", "v"),
            ("SCHILY.xattr.user.overlay.redirect", "/etc"),
            ("SCHILY.xattr.security.capability", "x"),
            ("SCHILY.xattr.trusted.overlay.opaque", "y"),
        ]),
        file("short", "by pax"),
        file(".wh.plain", "no layer: a name like any other"),
    ];
    let place = Place::new();
    let done = place.import(&archive(&entries), Limits::default()).unwrap();
    assert_eq!(
        done.notes,
        [
            "1 set-user-id and set-group-id bits were taken away",
            "3 extended attributes, such as capabilities of files, were left out",
            "1 device nodes of its /dev were left out",
        ]
    );
    let tree = place.tree(&done);
    let text = |path: &str| fs::read_to_string(tree.join(path)).unwrap();
    assert_eq!(text("a/b/c"), "no parents");
    assert_eq!(text("twice"), "second");
    assert_eq!(text("was"), "a file now");
    assert_eq!(text(&long), "by GNU's name");
    assert_eq!(text("pax name"), "by pax");
    assert_eq!(text(".wh.plain"), "no layer: a name like any other");
    let found = |path: &str| fs::symlink_metadata(tree.join(path)).unwrap();
    assert_eq!(found("again").ino(), found("a/b/c").ino());
    assert_eq!(found("bin/su").permissions().mode() & 0o7777, 0o755);
    assert_eq!(found("closed").permissions().mode() & 0o7777, 0o700);
    assert_eq!(found("closed/secret").permissions().mode() & 0o7777, 0o400);
    assert_eq!(
        fs::read_link(tree.join("up")).unwrap(),
        Path::new("../../../..")
    );
    assert!(!tree.join("dev/null").exists());
    for name in ["dev", "proc", "run", "sys", "tmp"] {
        assert!(found(name).is_dir(), "{name}");
    }
    assert_eq!(found("tmp").permissions().mode() & 0o7777, 0o1777);
    assert_eq!(found("a/b/c").mtime(), 10);
    // Nothing is added to the directory of a root by accident; root could.
    assert_eq!(
        tree.parent()
            .unwrap()
            .metadata()
            .unwrap()
            .permissions()
            .mode()
            & 0o7777,
        0o500
    );
    assert!(done.new);
    let again = place.import(&archive(&entries), Limits::default()).unwrap();
    assert!(!again.new);
    assert_eq!((again.digest, place.left().len()), (done.digest, 1));
}

#[test]
fn bombs_are_refused() {
    let small = Limits {
        bytes: 1 << 20,
        entries: 10,
        ..Limits::default()
    };
    let place = Place::new();
    let mut wide = Vec::new();
    for at in 0..11 {
        wide.push(file(&format!("f{at}"), ""));
    }
    let error = place.import(&archive(&wide), small).unwrap_err();
    assert!(error.message.contains("`f10`"), "{}", error.message);
    assert!(error.message.contains("10 entries"), "{}", error.message);
    let half = "x".repeat(600 << 10);
    let error = place
        .import(&archive(&[file("one", &half), file("two", &half)]), small)
        .unwrap_err();
    assert!(error.message.contains("`two`"), "{}", error.message);
    assert!(error.message.contains("larger than 1"), "{}", error.message);
    assert!(error.help.concat().contains("--max-size"), "{error:?}");
    // Zeros compress a thousand times.
    let zeros = archive(&[Entry {
        contents: vec![0; 3 << 20],
        ..file("zeros", "")
    }]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&zeros).unwrap();
    let error = place
        .import(
            &gzip.finish().unwrap(),
            Limits {
                free: 1 << 20,
                ..Limits::default()
            },
        )
        .unwrap_err();
    assert!(
        error.message.contains("more than 200 times"),
        "{}",
        error.message
    );
    assert_eq!(place.left(), [""; 0]);
}

/// An OCI layout as a directory, from layers that are not compressed.
fn layout(folder: &Path, layers: &[Vec<u8>], change: impl Fn(&mut serde_json::Value)) {
    use serde_json::json;
    use sha2::{Digest, Sha256};
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = super::stream::name_digest(Sha256::new_with_prefix(bytes));
        fs::write(blobs.join(&digest[7..]), bytes).unwrap();
        digest
    };
    let diffs: Vec<String> = layers.iter().map(|layer| put(layer)).collect();
    let mut config = json!({
        "architecture": super::manifest::machine(), "os": "linux",
        "config": { "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], "WorkingDir": "/srv", "User": "web" },
        "rootfs": { "type": "layers", "diff_ids": diffs },
    });
    change(&mut config);
    let config = put(config.to_string().as_bytes());
    let list: Vec<_> = diffs
        .iter()
        .map(|digest| json!({ "digest": digest }))
        .collect();
    let manifest = put(json!({ "config": { "digest": config }, "layers": list })
        .to_string()
        .as_bytes());
    fs::write(
        folder.join("oci-layout"),
        "{\"imageLayoutVersion\":\"1.0.0\"}",
    )
    .unwrap();
    let index = json!({ "manifests": [{ "digest": manifest, "annotations": { "org.opencontainers.image.ref.name": "demo:latest" } }] });
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn layers_lie_on_each_other() {
    let passwd = "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n";
    let layers = [
        archive(&[
            file("etc/passwd", passwd),
            file("gone", "1"),
            file("kept", "1"),
            file("opaque/old", "1"),
            file("opaque/deep/old", "1"),
            file("dir-to-file/x", "1"),
            file("file-to-dir", "1"),
            file("lower", "1"),
        ]),
        archive(&[
            file(".wh.gone", ""),
            file(".wh.never-there", ""),
            file("opaque/new", "2"),
            file("opaque/.wh..wh..opq", ""),
            file("opaque/deep/new", "2"),
            file("dir-to-file", "2"),
            directory("file-to-dir/"),
            file("file-to-dir/x", "2"),
            file("made-and-whited", "2"),
            file(".wh.made-and-whited", ""),
            hard_link("link-to-lower", "lower"),
            file(".wh..wh.aufs", ""),
            file(".wh..wh.orph/x", ""),
        ]),
    ];
    let place = Place::new();
    let image = place.folder.path().join("image");
    layout(&image, &layers, |_| {});
    let done = place.import_path(&image, Limits::default()).unwrap();
    assert_eq!(done.name.as_deref(), Some("demo"));
    assert_eq!(
        (done.config.uid, done.config.home.as_deref()),
        (Some(33), Some("/srv"))
    );
    assert_eq!(done.config.program(), ["/bin/sh"]);
    let tree = place.tree(&done);
    let mut found = Vec::new();
    let mut directories = vec![tree.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                found.push(format!(
                    "{}={}",
                    path.strip_prefix(&tree).unwrap().display(),
                    text.len()
                ));
            }
        }
    }
    found.sort();
    assert_eq!(
        found.join(" "),
        format!(
            "dir-to-file=1 etc/passwd={} file-to-dir/x=1 kept=1 link-to-lower=1 lower=1 made-and-whited=1 opaque/deep/new=1 opaque/deep/old=1 opaque/new=1",
            passwd.len()
        )
        .replace(" opaque/deep/old=1", "")
    );
    let known = super::source::fingerprint(&image).unwrap();
    assert_eq!(place.store.known(&known), Some(done.digest));
}

#[test]
fn images_that_are_not_what_they_say_are_refused() {
    let layer = || archive(&[file("x", "1")]);
    let whiteouts = |name: &str| vec![archive(&[file(name, "")])];
    type Change = fn(&mut serde_json::Value);
    let same: Change = |_| {};
    let table: [(&str, Vec<Vec<u8>>, Change, &str); 7] = [
        (
            "other diff id",
            vec![layer()],
            |config| config["rootfs"]["diff_ids"][0] = format!("sha256:{}", "0".repeat(64)).into(),
            "should be sha256:000",
        ),
        (
            "fewer layers",
            vec![layer()],
            |config| config["rootfs"]["diff_ids"] = serde_json::json!([]),
            "digests of 0 layers",
        ),
        (
            "other machine",
            vec![layer()],
            |config| config["architecture"] = "m68k".into(),
            "linux/m68k",
        ),
        ("whiteout of nothing", whiteouts(".wh."), same, "no name"),
        ("whiteout upwards", whiteouts("a/.wh..."), same, "no name"),
        (
            "below a whiteout",
            whiteouts(".wh.a/b"),
            same,
            "below a whiteout",
        ),
        ("escaping layer", whiteouts("../x"), same, "layer 1"),
    ];
    for (name, layers, change, expected) in table {
        let place = Place::new();
        let image = place.folder.path().join("image");
        layout(&image, &layers, change);
        let error = place
            .import_path(&image, Limits::default())
            .expect_err(name);
        assert!(
            error.message.contains(expected),
            "{name}: {}",
            error.message
        );
        assert_eq!(place.left(), [""; 0], "{name}");
    }
    // Each blob, damaged by one byte, is found out.
    let place = Place::new();
    let image = place.folder.path().join("image");
    layout(&image, &[layer()], |_| {});
    let mut damaged = 0;
    for entry in fs::read_dir(image.join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        fs::write(&path, &bad).unwrap();
        let error = place
            .import_path(&image, Limits::default())
            .expect_err("a damaged blob");
        assert!(error.message.contains("damaged"), "{}", error.message);
        // A blob that leads elsewhere is no blob.
        fs::remove_file(&path).unwrap();
        let other = place.folder.path().join("other");
        fs::write(&other, &good).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(place.import_path(&image, Limits::default()).is_err());
        fs::remove_file(&path).unwrap();
        assert!(place.import_path(&image, Limits::default()).is_err());
        fs::write(&path, &good).unwrap();
        damaged += 1;
    }
    assert_eq!(damaged, 3);
    assert_eq!(place.left(), [""; 0]);
    place.import_path(&image, Limits::default()).unwrap();
}

#[test]
fn a_whiteout_through_a_link_is_refused() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("precious"), "x").unwrap();
    let target: &'static str = Box::leak(outside.path().display().to_string().into_boxed_str());
    for whiteout in ["l/.wh.precious", "l/.wh..wh..opq"] {
        let place = Place::new();
        let image = place.folder.path().join("image");
        layout(
            &image,
            &[
                archive(&[link("l", target)]),
                archive(&[file(whiteout, "")]),
            ],
            |_| {},
        );
        let error = place.import_path(&image, Limits::default()).unwrap_err();
        assert!(error.message.contains("no directory"), "{}", error.message);
        assert!(outside.path().join("precious").exists());
    }
}

#[test]
fn what_a_process_left_is_swept() {
    let place = Place::new();
    place
        .import(&archive(&[file("a", "1")]), Limits::default())
        .unwrap();
    let left = place.store.path().join("tmp-1");
    fs::create_dir_all(left.join("tree/closed")).unwrap();
    fs::set_permissions(&left, fs::Permissions::from_mode(0o500)).unwrap();
    place
        .import(&archive(&[file("b", "1")]), Limits::default())
        .unwrap();
    assert!(!left.exists());
    assert_eq!(place.left().len(), 2);
}

#[test]
fn roots_in_use_stay() {
    let place = Place::new();
    let done = place
        .import(&archive(&[file("a", "1")]), Limits::default())
        .unwrap();
    let held = place.store.hold(&done.digest).unwrap();
    let lock = place.store.lock(|| {}).unwrap();
    let error = place.store.remove(&lock, &done.digest).unwrap_err();
    assert!(error.message.contains("in use"), "{}", error.message);
    drop(held);
    place.store.remove(&lock, &done.digest).unwrap();
    assert!(place.store.find("x").is_err());
    assert_eq!(place.left(), [""; 0]);
}

#[test]
fn a_cache_that_others_may_write_to_is_not_used() {
    let place = Place::new();
    place
        .import(&archive(&[file("a", "1")]), Limits::default())
        .unwrap();
    fs::set_permissions(place.store.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = place.store.find("x").unwrap_err();
    assert!(error.message.contains("by others"), "{}", error.message);
}
