//! Imported root file systems: each form is imported and run, changes are thrown away, and nothing is left of what fails.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::support::{Case, Finished, Need, Outcome, Scene, case};

const NEEDS: &[Need] = &[Need::UserNamespaces, Need::Program("busybox")];

pub fn cases() -> Vec<Case> {
    vec![
        case("nothing_imported", &[], nothing_imported),
        case("each_form", NEEDS, |scene| tidied(scene, each_form)),
        case("changes_are_gone", NEEDS, |scene| {
            tidied(scene, changes_are_gone)
        }),
        case("image_decides", NEEDS, |scene| tidied(scene, image_decides)),
        case("named_by_a_profile", NEEDS, |scene| {
            tidied(scene, named_by_a_profile)
        }),
        case(
            "programs_of_a_root",
            &[
                Need::UserNamespaces,
                Need::Program("busybox"),
                Need::Landlock(2),
            ],
            |scene| tidied(scene, programs_of_a_root),
        ),
        case("first_use", NEEDS, |scene| tidied(scene, first_use)),
        case("two_at_once_and_removed", NEEDS, |scene| {
            tidied(scene, two_at_once_and_removed)
        }),
        case("parallel_imports", NEEDS, |scene| {
            tidied(scene, parallel_imports)
        }),
        case("damaged", NEEDS, |scene| tidied(scene, damaged)),
        case("several_images", NEEDS, |scene| {
            tidied(scene, several_images)
        }),
        case(
            "full_disk",
            &[Need::Root, Need::Program("busybox")],
            full_disk,
        ),
        case("killed_import", NEEDS, |scene| tidied(scene, killed_import)),
        case("names_are_looked_up", NEEDS, |scene| {
            tidied(scene, names_are_looked_up)
        }),
        case("kept_from_programs", NEEDS, |scene| {
            tidied(scene, kept_from_programs)
        }),
        case("names", NEEDS, |scene| tidied(scene, names)),
        case(
            "compressed_with_xz",
            &[
                Need::UserNamespaces,
                Need::Program("busybox"),
                Need::Program("xz"),
            ],
            |scene| tidied(scene, compressed_with_xz),
        ),
        case(
            "subordinate_ids",
            &[
                Need::OrdinaryUser,
                Need::UserNamespaces,
                Need::Program("busybox"),
                Need::Program("newuidmap"),
                Need::File("/etc/subuid"),
            ],
            |scene| tidied(scene, subordinate_ids),
        ),
        case(
            "subordinate_ids_are_not_for_root",
            &[Need::Root],
            subordinate_ids_are_not_for_root,
        ),
    ]
}

/// Runs a case, and removes its roots: their directories are closed against accidents, also when the scene is removed.
fn tidied(scene: &Scene, check: fn(&Scene) -> Outcome) -> Outcome {
    let done = check(scene);
    let removed = scene
        .sandboxctl()
        .args(["root", "list", "--json"])
        .run()
        .and_then(|out| {
            let list: Value = serde_json::from_str(&out.stdout()).unwrap_or_default();
            for root in list.as_array().into_iter().flatten() {
                let digest = root["digest"].as_str().unwrap_or_default();
                scene.sandboxctl().args(["root", "remove", digest]).run()?;
            }
            Ok(())
        });
    done.and_then(|()| Ok(removed?))
}

type Made<T> = Result<T, Box<dyn Error>>;

fn sh(scene: &Scene, folder: &Path, script: &str) -> Made<Finished> {
    let out = scene
        .command("/bin/sh")
        .args(["-ec", script])
        .in_folder(folder)
        .run()?;
    out.succeeds()?;
    Ok(out)
}

/// A root of busybox alone, as the archive `bb.tar`.
fn plain(scene: &Scene) -> Made<PathBuf> {
    let folder = scene.folder();
    sh(
        scene,
        folder,
        "mkdir -p rootfs/bin rootfs/etc rootfs/srv && cp \"$(command -v busybox)\" rootfs/bin/busybox
         for name in sh ls cat id touch rm mkdir echo mount sleep env pwd stat; do ln -s busybox rootfs/bin/$name; done
         printf 'root:x:0:0::/root:/bin/sh\\nweb:x:33:33::/srv:/bin/sh\\n' > rootfs/etc/passwd
         echo original > rootfs/srv/file && tar -C rootfs -cf bb.tar . && rm -r rootfs",
    )?;
    Ok(folder.join("bb.tar"))
}

/// The kernel's release.
fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(['.', '-'])
        .map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The configuration of an image of two layers: the root, and one that changes it.
fn layers(scene: &Scene, archive: &Path) -> Made<(Vec<Vec<u8>>, Value)> {
    let folder = scene.folder();
    sh(
        scene,
        folder,
        "mkdir -p upper/srv && echo changed > upper/srv/file && : > upper/etc-gone && mkdir upper/etc && : > upper/etc/.wh.absent
         tar -C upper -cf upper.tar . && rm -r upper",
    )?;
    let layers = vec![fs::read(archive)?, fs::read(folder.join("upper.tar"))?];
    let diffs: Vec<String> = layers
        .iter()
        .map(|layer| format!("sha256:{}", digest(layer)))
        .collect();
    let config = json!({
        "architecture": machine(), "os": "linux",
        "config": {
            "Env": ["PATH=/bin", "FROM=image", "HOME=/srv"],
            "Entrypoint": ["/bin/echo"], "Cmd": ["hello", "from the image"],
            "WorkingDir": "/srv", "User": "web",
        },
        "rootfs": { "type": "layers", "diff_ids": diffs },
    });
    Ok((layers, config))
}

/// An OCI layout in a directory; one image for each name.
fn layout(scene: &Scene, archive: &Path, images: &[&str]) -> Made<PathBuf> {
    let (layers, mut config) = layers(scene, archive)?;
    let folder = scene.folder().join("layout");
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let put = |bytes: &[u8]| -> Made<String> {
        fs::write(blobs.join(digest(bytes)), bytes)?;
        Ok(format!("sha256:{}", digest(bytes)))
    };
    let mut manifests = Vec::new();
    for name in images {
        config["created"] = json!(name);
        let mut list = Vec::new();
        for layer in &layers {
            list.push(json!({ "digest": put(layer)?, "size": layer.len() }));
        }
        let config = put(config.to_string().as_bytes())?;
        let manifest = json!({ "config": { "digest": config }, "layers": list });
        manifests.push(json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": put(manifest.to_string().as_bytes())?,
            "annotations": { "org.opencontainers.image.ref.name": name },
        }));
    }
    fs::write(
        folder.join("oci-layout"),
        "{\"imageLayoutVersion\":\"1.0.0\"}",
    )?;
    fs::write(
        folder.join("index.json"),
        json!({ "manifests": manifests }).to_string(),
    )?;
    Ok(folder)
}

/// What `docker save` writes.
fn docker(scene: &Scene, archive: &Path) -> Made<PathBuf> {
    let (layers, config) = layers(scene, archive)?;
    let folder = scene.folder().join("docker");
    fs::create_dir_all(&folder)?;
    let mut paths = Vec::new();
    for layer in &layers {
        let id = digest(layer);
        fs::create_dir_all(folder.join(&id))?;
        fs::write(folder.join(&id).join("layer.tar"), layer)?;
        paths.push(format!("{id}/layer.tar"));
    }
    let config = config.to_string();
    let name = format!("{}.json", digest(config.as_bytes()));
    fs::write(folder.join(&name), config)?;
    let manifest =
        json!([{ "Config": name, "RepoTags": ["example.org/demo:latest"], "Layers": paths }]);
    fs::write(folder.join("manifest.json"), manifest.to_string())?;
    sh(
        scene,
        scene.folder(),
        "tar -C docker -cf docker.tar . && rm -r docker",
    )?;
    Ok(scene.folder().join("docker.tar"))
}

fn import(scene: &Scene, path: &Path, more: &[&str]) -> Made<Finished> {
    let path = path.to_str().ok_or("a path is not UTF-8")?;
    let out = scene
        .sandboxctl()
        .args(["root", "import", path])
        .args(more)
        .run()?;
    Ok(out)
}

fn run(scene: &Scene, root: &str, script: &str) -> Made<Finished> {
    Ok(scene
        .sandbox()
        .args(["--root", root])
        .program(["/bin/sh", "-c", script])
        .run()?)
}

fn cache(scene: &Scene) -> PathBuf {
    scene.home().join(".local/share/sandbox/roots")
}

/// What is in the cache beside its own files.
fn cached(scene: &Scene) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(cache(scene))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !["files", "lock", "names"].contains(&name.as_str()))
        .collect();
    names.sort();
    names
}

fn each_form(scene: &Scene) -> Outcome {
    let plain = plain(scene)?;
    let docker = docker(scene, &plain)?;
    let layout = layout(scene, &plain, &["oci"])?;
    sh(
        scene,
        scene.folder(),
        "gzip -k bb.tar && tar -C layout -cf layout.tar . && gzip -k layout.tar && mv layout.tar.gz odd-name.txt",
    )?;
    let folder = scene.folder();
    // By its contents, not by its name; the same image in two forms is one root.
    let table = [
        (plain, "plain", "original"),
        (folder.join("bb.tar.gz"), "zipped", "original"),
        (docker, "docker", "changed"),
        (layout, "directory", "changed"),
        (folder.join("layout.tar"), "archive", "changed"),
        (folder.join("odd-name.txt"), "odd", "changed"),
    ];
    for (path, name, file) in table {
        let out = import(scene, &path, &["--name", name])?;
        out.succeeds()?;
        assert!(out.stdout().contains("sha256:"), "{out}");
        let out = run(scene, name, "id -u; cat /srv/file; ls /; ls /etc")?;
        out.succeeds()?;
        let text = out.stdout();
        assert!(text.contains(&format!("\n{file}\n")), "{name}: {out}");
        for directory in ["dev", "proc", "run", "sys", "tmp"] {
            assert!(text.contains(&format!("\n{directory}\n")), "{name}: {out}");
        }
        assert!(!text.contains(".wh."), "{name}: {out}");
    }
    assert_eq!(cached(scene).len(), 3, "{:?}", cached(scene));
    let out = scene.sandboxctl().args(["root", "list", "--json"]).run()?;
    out.succeeds()?;
    let list: Value = serde_json::from_str(&out.stdout())?;
    let names: Vec<&Value> = list
        .as_array()
        .into_iter()
        .flatten()
        .map(|root| &root["names"])
        .collect();
    assert_eq!(
        json!(names),
        json!([
            ["archive", "directory", "odd"],
            ["docker"],
            ["plain", "zipped"]
        ]),
        "{out}"
    );
    Ok(())
}

fn changes_are_gone(scene: &Scene) -> Outcome {
    import(scene, &plain(scene)?, &[])?.succeeds()?;
    let tree = cache(scene).join(&cached(scene)[0]).join("tree");
    let before = sh(scene, &tree, "find . | sort; cat srv/file")?.stdout();
    let script = "set -e; echo new > /srv/file; rm /bin/id; touch /bin/id /new; rm /etc/passwd; cat /srv/file; ls /bin/id";
    let out = run(scene, "bb", script)?;
    out.succeeds()?;
    out.prints("new\n/bin/id")?;
    // Before Linux 6.6 a file system in memory keeps no notes of users, which a directory in the place of another needs.
    if kernel() >= (6, 6) {
        let script = "set -e; rm /bin/id; mkdir /bin/id; touch /bin/id/x; rm -r /etc; mkdir /etc; touch /etc/new; ls -a /etc; ls /bin/id";
        let out = run(scene, "bb", script)?;
        out.succeeds()?;
        out.prints(".\n..\nnew\nx")?;
    }
    assert_eq!(
        sh(scene, &tree, "find . | sort; cat srv/file")?.stdout(),
        before
    );
    let out = run(
        scene,
        "bb",
        "cat /srv/file; ls /etc; test -e /new || echo gone",
    )?;
    out.succeeds()?;
    out.prints("original\npasswd\ngone")?;
    // Nothing of the host is seen by way of the layers.
    let out = run(
        scene,
        "bb",
        "cat /proc/mounts; ls -d /home /lower0 /upper /usr /.. 2>/dev/null; ls /..",
    )?;
    let text = out.stdout();
    assert!(text.contains("overlay"), "{out}");
    assert!(
        !text.contains("/home") && !text.contains("/upper") && !text.contains("/usr"),
        "{out}"
    );
    // Without an overlay nothing can be changed.
    let out = scene
        .sandbox()
        .args([
            "--profile",
            "container",
            "--set",
            "filesystem.\"/\"={ root = \"bb\", access = \"read-only\" }",
        ])
        .program(["/bin/sh", "-c", "touch /x || echo refused; cat /srv/file"])
        .run()?;
    out.succeeds()?;
    out.prints("refused\noriginal")?;
    Ok(())
}

fn image_decides(scene: &Scene) -> Outcome {
    let layout = layout(scene, &plain(scene)?, &["demo"])?;
    import(scene, &layout, &[])?.succeeds()?;
    // No PROGRAM: what the image runs.
    let out = scene.sandbox().args(["--root", "demo"]).run()?;
    out.succeeds()?;
    out.prints("hello from the image")?;
    let ask = "echo $FROM $HOME $PATH; pwd; id -u";
    let own = if scene.host.is_root() { "0" } else { "33" };
    let out = run(scene, "demo", ask)?;
    out.succeeds()?;
    out.prints(&format!("image /srv /bin\n/srv\n{own}"))?;
    // The command line has the last word, and so has a profile.
    let out = scene
        .sandbox()
        .args([
            "--root",
            "demo",
            "--env",
            "FROM=me",
            "--chdir",
            "/bin",
            "--set",
            "user.uid=7",
        ])
        .program(["/bin/sh", "-c", ask])
        .run()?;
    out.succeeds()?;
    out.prints("me /srv /bin\n/bin\n7")?;
    let out = scene
        .sandbox()
        .profile_text("extends = [\"container\"]\n[environment]\nFROM = \"profile\"\n[process]\nworking-directory = \"/etc\"\n")?
        .args(["--root", "demo"])
        .program(["/bin/sh", "-c", "echo $FROM $HOME; pwd"])
        .run()?;
    out.succeeds()?;
    out.prints("profile /srv\n/etc")?;
    let out = scene.sandboxctl().args(["root", "show", "demo"]).run()?;
    out.succeeds()?;
    for part in ["WorkingDir", "secret"] {
        assert!(!out.stdout().contains(part), "{out}");
    }
    for part in [
        "working-directory = \"/srv\"",
        "FROM = \"image\"",
        "[\"/bin/echo\", \"hello\", \"from the image\"]",
    ] {
        assert!(out.stdout().contains(part), "{out}");
    }
    Ok(())
}

fn named_by_a_profile(scene: &Scene) -> Outcome {
    import(scene, &plain(scene)?, &["--name", "base"])?.succeeds()?;
    let profile = "extends = [\"container\"]\n[filesystem]\n\"/\" = { root = \"base\" }\n\"/data\" = \"tmpfs\"\n\"/other\" = { root = \"base\" }\n";
    let out = scene
        .sandbox()
        .profile_text(profile)?
        .program([
            "/bin/sh",
            "-c",
            "touch /data/x; echo x > /other/srv/file; cat /srv/file /other/srv/file; ls /data",
        ])
        .run()?;
    out.succeeds()?;
    out.prints("original\nx\nx")?;
    let path = scene.write("checked.toml", profile)?;
    let path = path.to_str().ok_or("a path is not UTF-8")?;
    scene.sandboxctl().args(["check", path]).run()?.succeeds()?;
    scene
        .sandboxctl()
        .args(["root", "remove", "base"])
        .run()?
        .succeeds()?;
    let out = scene.sandboxctl().args(["check", path]).run()?;
    out.exits_with(1)?;
    out.complains("there is no imported root `base`")?;
    let out = scene
        .sandbox()
        .args(["--profile", path])
        .program(["/bin/true"])
        .run()?;
    out.exits_with(125)?;
    out.complains("checked.toml:3:7")?;
    out.complains("sandboxctl root import")?;
    Ok(())
}

/// `[execute]` is about the root's programs, by whichever links they are found there; `why` says the same as the kernel.
fn programs_of_a_root(scene: &Scene) -> Outcome {
    let folder = scene.folder();
    // Links that lead on inside, and would lead elsewhere on this host: /usr/bin/env is busybox, /srv/sh a second shell.
    sh(
        scene,
        folder,
        "mkdir -p rootfs/programs rootfs/usr rootfs/opt && cp \"$(command -v busybox)\" rootfs/programs/busybox
         ln -s /programs rootfs/bin && ln -s ../bin rootfs/usr/bin
         for name in sh env true; do ln -s /bin/busybox rootfs/programs/$name; done
         for name in one two; do mkdir rootfs/opt/$name; cp rootfs/programs/busybox rootfs/opt/$name/true; done
         tar -C rootfs -cf links.tar . && rm -r rootfs",
    )?;
    import(scene, &folder.join("links.tar"), &["--name", "links"])?.succeeds()?;
    let rules = "[filesystem]\n\"/\" = { root = \"links\" }\n[execute]\n\"/usr/bin/sh\" = \"allow\"\n\"/opt/o*/true\" = \"allow\"\n\"/opt/none\" = \"allow\"\n";
    let programs = [
        ("/bin/sh", true, Some("/programs/busybox")),
        ("/usr/bin/env", true, Some("/programs/busybox")),
        ("/programs/busybox", true, None),
        ("/opt/one/true", true, None),
        ("/opt/two/true", false, None),
    ];
    let script: String = programs
        .iter()
        .map(|(path, ..)| format!("({path} true); echo {path}=$?; "))
        .collect();
    let script = script.replace("/bin/sh true", "/bin/sh -c true");
    let profile = scene.write("linked.toml", rules)?;
    let profile = profile.to_str().ok_or("a path is not UTF-8")?;
    let out = scene
        .sandbox()
        .args(["--profile", profile])
        .program(["/bin/sh", "-c", &script])
        .run()?;
    let mut wrong = Vec::new();
    for (path, runs, at) in programs {
        let refused = out.stdout().contains(&format!("{path}=126"));
        let ran = out.stdout().contains(&format!("{path}=")) && !refused;
        let why = scene
            .sandboxctl()
            .args(["why", "--json", "--profile", profile, path])
            .run()?;
        let said: Value = serde_json::from_str(&why.succeeds()?.stdout())?;
        let answer = &said["answers"][0];
        if ran != runs || answer["access"]["execute"] != runs {
            wrong.push(format!("{path}: ran {ran}, and {answer:#}"));
        }
        if let Some(at) = at
            && !answer.to_string().contains(at)
        {
            wrong.push(format!("{path} leads to {at}, but {answer:#}"));
        }
    }
    assert!(wrong.is_empty(), "{}\n{out}", wrong.join("\n"));
    // What the root does not have is told as such, whatever this host has.
    let plan = scene
        .sandbox()
        .args(["--profile", profile, "--dry-run"])
        .program(["/bin/sh"])
        .run()?;
    plan.succeeds()?.says("`/opt/none` is absent in the root")?;
    Ok(())
}

fn first_use(scene: &Scene) -> Outcome {
    let archive = plain(scene)?;
    let path = archive.to_str().ok_or("a path is not UTF-8")?.to_owned();
    // Nothing is done by a dry run.
    let out = scene
        .sandbox()
        .args(["--dry-run", "--root", &path])
        .program(["/bin/sh"])
        .run()?;
    out.exits_with(125)?;
    out.complains("was not imported yet")?;
    assert_eq!(cached(scene).len(), 0);
    let out = run(scene, &path, "echo in")?;
    out.succeeds()?;
    out.prints("in")?;
    out.complains("unpacking")?;
    // The second time it is known without being read.
    let out = run(scene, &path, "echo in")?;
    out.succeeds()?;
    assert!(!out.stderr().contains("unpacking"), "{out}");
    assert_eq!(cached(scene).len(), 1);
    // Another content is another root.
    sh(
        scene,
        scene.folder(),
        "mkdir more && echo 2 > more/two && tar -C more -rf bb.tar two",
    )?;
    let out = run(scene, &path, "cat /two")?;
    out.succeeds()?;
    out.prints("2")?;
    assert_eq!(cached(scene).len(), 2);
    scene
        .sandboxctl()
        .args(["root", "remove", "--unused"])
        .run()?
        .succeeds()?;
    assert_eq!(cached(scene).len(), 0);
    Ok(())
}

fn two_at_once_and_removed(scene: &Scene) -> Outcome {
    import(scene, &plain(scene)?, &[])?.succeeds()?;
    let start = |mark: &str| {
        let script = format!("echo {mark} > /srv/file; echo up; read line; cat /srv/file");
        scene
            .sandbox()
            .args(["--root", "bb"])
            .program(["/bin/sh", "-c", &script])
            .on_terminal()
            .spawn()
    };
    let (mut one, mut two) = (start("one")?, start("two")?);
    one.wait_for("up")?;
    two.wait_for("up")?;
    let out = scene.sandboxctl().args(["root", "remove", "bb"]).run()?;
    out.exits_with(1)?;
    out.complains("in use")?;
    assert_eq!(cached(scene).len(), 1);
    let out = scene
        .sandboxctl()
        .args(["root", "remove", "--unused"])
        .run()?;
    out.succeeds()?;
    one.type_in(b"\n")?;
    two.type_in(b"\n")?;
    let (one, two) = (one.wait()?, two.wait()?);
    assert!(
        one.stdout().contains("one") && !one.stdout().contains("two"),
        "{one}"
    );
    assert!(
        two.stdout().contains("two") && !two.stdout().contains("one"),
        "{two}"
    );
    scene
        .sandboxctl()
        .args(["root", "remove", "bb"])
        .run()?
        .succeeds()?;
    assert_eq!(cached(scene).len(), 0);
    let out = run(scene, "bb", "true")?;
    out.exits_with(2)?;
    out.complains("there is no imported root `bb`")?;
    Ok(())
}

fn parallel_imports(scene: &Scene) -> Outcome {
    let path = plain(scene)?;
    let path = path.to_str().ok_or("a path is not UTF-8")?;
    let mut running = Vec::new();
    for number in 0..4 {
        let name = format!("n{number}");
        running.push(
            scene
                .sandboxctl()
                .args(["root", "import", path, "--name", &name])
                .spawn()?,
        );
    }
    for import in running {
        import.wait()?.succeeds()?;
    }
    assert_eq!(cached(scene).len(), 1);
    run(scene, "n3", "true")?.succeeds()?;
    Ok(())
}

fn damaged(scene: &Scene) -> Outcome {
    let plain = plain(scene)?;
    let docker = docker(scene, &plain)?;
    let mut bytes = fs::read(&docker)?;
    let needle = b"changed\n";
    let at = bytes
        .windows(needle.len())
        .position(|part| part == needle)
        .ok_or("not found")?;
    bytes[at] = b'C';
    fs::write(&docker, &bytes)?;
    let out = import(scene, &docker, &[])?;
    out.exits_with(1)?;
    out.complains("layer 2")?;
    out.complains("damaged")?;
    assert_eq!(cached(scene).len(), 0);
    // Whoever makes the archive cannot reach out of it either.
    sh(
        scene,
        scene.folder(),
        "ln -s / link && tar -cf out.tar link && rm link && mkdir link && echo x > link/planted && tar -rf out.tar link/planted",
    )?;
    let out = import(scene, &scene.folder().join("out.tar"), &[])?;
    out.exits_with(1)?;
    out.complains("`link/planted`")?;
    assert!(!Path::new("/planted").exists());
    let out = import(scene, &plain, &["--max-size", "1M"])?;
    out.exits_with(1)?;
    out.complains("busybox")?;
    out.complains("--max-size")?;
    assert_eq!(cached(scene).len(), 0);
    Ok(())
}

fn several_images(scene: &Scene) -> Outcome {
    let layout = layout(scene, &plain(scene)?, &["one", "two"])?;
    let out = import(scene, &layout, &[])?;
    out.exits_with(1)?;
    for part in ["several images", "one sha256:", "two sha256:", "--image"] {
        out.complains(part)?;
    }
    import(scene, &layout, &["--image", "two"])?.succeeds()?;
    run(scene, "two", "true")?.succeeds()?;
    Ok(())
}

/// A disk that is full leaves nothing but the message.
fn full_disk(scene: &Scene) -> Outcome {
    let archive = plain(scene)?;
    let archive = archive.to_str().ok_or("a path is not UTF-8")?;
    let program = super::support::binary("sandboxctl");
    let data = scene.folder().join("small");
    fs::create_dir(&data)?;
    // In a mount namespace of its own, so that the mount goes with it.
    let script = format!(
        "mount -t tmpfs -o size=1M tmpfs {data}; XDG_DATA_HOME={data} {program} root import {archive}
         echo status $?; ls {data}/sandbox/roots {data}/sandbox/roots/names; df {data} | tail -n 1",
        data = data.display(),
        program = program.display(),
    );
    let out = scene
        .command("unshare")
        .args(["-m", "/bin/sh", "-c", &script])
        .run()?;
    out.complains("No space left on device")?;
    out.complains("the roots are kept in")?;
    let text = out.stdout();
    assert!(text.contains("status 1"), "{out}");
    assert!(
        !text.contains("sha256-") && !text.contains("tmp-") && !text.contains("bb"),
        "{out}"
    );
    assert!(text.contains(" 0% ") || text.contains(" 1% "), "{out}");
    Ok(())
}

/// What a killed import leaves is swept by the next one.
fn nothing_imported(scene: &Scene) -> Outcome {
    let data = scene.folder().join("data");
    let out = scene
        .sandboxctl()
        .env("XDG_DATA_HOME", data)
        .args(["root", "list"])
        .run()?;
    out.succeeds()?
        .prints("no root is imported; sandboxctl root import FILE imports one")
}

fn killed_import(scene: &Scene) -> Outcome {
    let archive = plain(scene)?;
    // An archive without an end, so that the import is at work for as long as it takes.
    let fifo = scene.folder().join("endless");
    sh(scene, scene.folder(), "mkfifo endless")?;
    let path = fifo.to_str().ok_or("a path is not UTF-8")?;
    let out = scene
        .sandboxctl()
        .args(["root", "import", path])
        .limit(Duration::from_secs(20))
        .run()?;
    out.exits_with(1)?;
    out.complains("no regular file")?;
    let left = cache(scene).join("tmp-4711/tree/a");
    fs::create_dir_all(&left)?;
    import(scene, &archive, &[])?.succeeds()?;
    assert_eq!(cached(scene).len(), 1);
    assert!(!left.exists());
    Ok(())
}

fn compressed_with_xz(scene: &Scene) -> Outcome {
    let plain = plain(scene)?;
    docker(scene, &plain)?;
    sh(
        scene,
        scene.folder(),
        "xz -k bb.tar && xz -9 -k docker.tar && head -c 100000 bb.tar.xz > cut.tar.xz && xz --check=sha256 -c bb.tar > check.tar.xz",
    )?;
    let folder = scene.folder();
    for (file, name, text) in [
        ("bb.tar.xz", "bb", "original"),
        ("docker.tar.xz", "docker", "changed"),
    ] {
        import(scene, &folder.join(file), &["--name", name])?.succeeds()?;
        let out = run(scene, name, "cat /srv/file")?;
        out.succeeds()?;
        out.prints(text)?;
    }
    for (file, why) in [
        ("cut.tar.xz", "cannot be imported"),
        ("check.tar.xz", "SHA-256"),
    ] {
        let out = import(scene, &folder.join(file), &[])?;
        out.exits_with(1)?;
        out.complains(why)?;
    }
    assert_eq!(cached(scene).len(), 2, "{:?}", cached(scene));
    Ok(())
}

fn subordinate_ids(scene: &Scene) -> Outcome {
    let archive = plain(scene)?;
    let folder = scene.folder();
    // Of another user, and closed to everybody else.
    sh(
        scene,
        folder,
        "mkdir -p more/own/inner && echo secret > more/own/inner/file && chmod 700 more/own more/own/inner
         tar --owner=33 --group=33 -C more -rf bb.tar own && echo root > more/roots
         tar --owner=0 --group=0 -C more -rf bb.tar roots && rm -r more",
    )?;
    let out = import(
        scene,
        &archive,
        &["--name", "several", "--ids", "subordinate"],
    )?;
    out.succeeds()?;
    let out = scene.sandboxctl().args(["root", "show", "several"]).run()?;
    assert!(out.stdout().contains("subordinate ids"), "{out}");
    let script = "id -u; stat -c %u:%g /own/inner /roots; cat /own/inner/file; mkdir /made && busybox chown 7:8 /made && stat -c %u:%g /made";
    let out = run(scene, "several", script)?;
    out.succeeds()?;
    assert_eq!(out.stdout(), "0\n33:33\n0:0\nsecret\n7:8\n", "{out}");
    // Other users can be become.
    let out = scene
        .sandbox()
        .args(["--root", "several"])
        .program([
            "/bin/busybox",
            "su",
            "-s",
            "/bin/sh",
            "web",
            "-c",
            "id -u; cat /own/inner/file; touch /srv/x",
        ])
        .run()?;
    assert!(out.stdout().starts_with("33\nsecret\n"), "{out}");
    out.complains("/srv/x: Permission denied")?;
    // What was unpacked belongs to nobody that this user could act as.
    let tree = fs::read_dir(cache(scene))?
        .flatten()
        .map(|entry| entry.path().join("tree/own"))
        .find(|path| path.exists())
        .ok_or("it is not in the cache")?;
    use std::os::unix::fs::MetadataExt;
    assert_ne!(fs::symlink_metadata(&tree)?.uid(), scene.host.uid);
    assert!(fs::read_dir(&tree).is_err());
    // The same archive cannot be had in both ways.
    let out = import(scene, &archive, &["--ids", "own"])?;
    out.exits_with(1)?;
    out.complains("its files subordinate ids")?;
    let out = scene
        .sandboxctl()
        .args(["root", "remove", "several"])
        .run()?;
    out.succeeds()?;
    assert!(cached(scene).is_empty(), "{:?}", cached(scene));
    // An import that fails leaves nothing either.
    sh(scene, folder, "head -c 1000000 bb.tar > cut.tar")?;
    let out = import(scene, &folder.join("cut.tar"), &["--ids", "subordinate"])?;
    out.exits_with(1)?;
    assert!(cached(scene).is_empty(), "{:?}", cached(scene));
    Ok(())
}

fn subordinate_ids_are_not_for_root(scene: &Scene) -> Outcome {
    let out = import(scene, Path::new("/none"), &["--ids", "subordinate"])?;
    out.exits_with(1)?;
    out.complains("--ids kept")
}

fn names(scene: &Scene) -> Outcome {
    let archive = plain(scene)?;
    import(scene, &archive, &["--name", "one"])?.succeeds()?;
    import(scene, &archive, &["--name", "two:1"])?.succeeds()?;
    for wrong in ["../x", "a/b", "-x", ".x", "", "sha256:0"] {
        let out = scene
            .sandboxctl()
            .args(["root", "import", "x"])
            .args([format!("--name={wrong}")])
            .run()?;
        out.exits_with(2)?;
    }
    // An imported root comes before a directory of its name, which is written with a slash.
    fs::create_dir(scene.folder().join("one"))?;
    let out = scene
        .sandbox()
        .args(["--root", "one"])
        .in_folder(scene.folder())
        .program(["/bin/cat", "/srv/file"])
        .run()?;
    out.succeeds()?;
    out.prints("original")?;
    let id = cached(scene)[0].replace("sha256-", "");
    run(scene, &id[..8], "true")?.succeeds()?;
    run(scene, &format!("sha256:{id}"), "true")?.succeeds()?;
    let out = run(scene, "ones", "true")?;
    out.exits_with(2)?;
    out.complains("did you mean `one`?")?;
    let out = scene.sandboxctl().args(["root", "remove", "one"]).run()?;
    out.succeeds()?;
    assert_eq!(cached(scene).len(), 1);
    run(scene, "two:1", "true")?.succeeds()?;
    scene
        .sandboxctl()
        .args(["root", "remove", &id[..8]])
        .run()?
        .succeeds()?;
    assert_eq!(cached(scene).len(), 0);
    assert_eq!(fs::read_dir(cache(scene).join("names"))?.count(), 0);
    Ok(())
}

/// With the host's network, names are looked up as on the host.
fn names_are_looked_up(scene: &Scene) -> Outcome {
    import(scene, &plain(scene)?, &[])?.succeeds()?;
    let ask = "cat /etc/resolv.conf; echo x > /etc/resolv.conf || echo kept";
    let out = run(scene, "bb", ask)?;
    assert!(
        out.stderr().contains("/etc/resolv.conf"),
        "there is none without a network: {out}"
    );
    let Ok(host) = fs::read_to_string("/etc/resolv.conf") else {
        return Ok(());
    };
    let out = scene
        .sandbox()
        .args(["--root", "bb", "--net", "host"])
        .program(["/bin/sh", "-c", ask])
        .run()?;
    out.succeeds()?;
    assert_eq!(
        out.stdout().trim(),
        format!("{}\nkept", host.trim_end()).trim(),
        "{out}"
    );
    Ok(())
}

/// What the next sandbox is made of cannot be changed by a program that may write to the home directory.
fn kept_from_programs(scene: &Scene) -> Outcome {
    import(scene, &plain(scene)?, &[])?.succeeds()?;
    let tree = cache(scene).join(&cached(scene)[0]).join("tree");
    let out = scene
        .sandbox()
        .profile_text("[filesystem]\n\"~\" = \"read-write\"\n")?
        .deeds([
            format!("create@{}/new", scene.home().display()),
            format!("create@{}/srv/new", tree.display()),
            format!("create@{}/names/new", cache(scene).display()),
        ])
        .run()?;
    out.succeeds()?.answers(&[
        (format!("create@{}/new", scene.home().display()), "ok"),
        (format!("create@{}/srv/new", tree.display()), "EROFS"),
        (
            format!("create@{}/names/new", cache(scene).display()),
            "EROFS",
        ),
    ])
}
