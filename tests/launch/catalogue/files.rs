//! FIL: files of the caller and of the host, read or planted. Whether something was planted only the host can tell: a home
//! directory inside may be another.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use super::attempt::Control::{Anyone, Root};
use super::attempt::Found::{Escaped, Held};
use super::attempt::{
    Attempt, Bait, Control, Found, any, at, attempt, done, errno_of, opens, raw, reads,
};

/// What a planted file says.
const PLANTED: &str = "planted from inside";

/// Writes to a file of the home directory; whether it is there afterwards, the host says.
macro_rules! plant {
    ($id:literal, $what:literal, $place:ident, $file:literal) => {
        Attempt {
            id: $id,
            what: $what,
            control: Anyone,
            run: |bait| write_planted(&bait.$place($file)),
            after: Some(|bait| planted(&bait.$place($file))),
        }
    };
}

/// Makes a file without a name in a directory of the host.
macro_rules! change {
    ($id:literal, $folder:literal, $control:expr) => {
        attempt($id, concat!("write to ", $folder), $control, |bait| {
            makes(bait, $folder)
        })
    };
}

macro_rules! read_home {
    ($id:literal, $what:literal, $file:literal) => {
        attempt($id, $what, Anyone, |bait| reads(bait.home($file)))
    };
}

const ROOT: Control = Root;

pub const ALL: &[Attempt] = &[
    read_home!("FIL-1 ssh", "read keys (~/.ssh)", ".ssh/id"),
    read_home!("FIL-1 cloud", "read tokens (~/.aws)", ".aws/credentials"),
    read_home!(
        "FIL-1 browser",
        "read the profile of a browser",
        ".mozilla/cookies"
    ),
    read_home!("FIL-1 history", "read what was typed", ".bash_history"),
    read_home!("FIL-1 documents", "read documents", "Documents/letter"),
    attempt(
        "FIL-1 tmp",
        "read files in the host's /tmp",
        Anyone,
        |bait| reads(bait.get("tmp")),
    ),
    attempt(
        "FIL-1 shm",
        "read files in the host's /dev/shm",
        Anyone,
        |bait| reads(bait.get("shm")),
    ),
    attempt(
        "FIL-1 run",
        "read files in the caller's runtime directory",
        Anyone,
        |bait| reads(format!("{}/bait", bait.get("run"))),
    ),
    attempt("FIL-1 shadow", "read password hashes", Root, |_| {
        opens("/etc/shadow", false)
    }),
    attempt(
        "FIL-1 names",
        "list names in a directory of secrets",
        Anyone,
        // A home directory of the program's own may have what earlier runs left there.
        |bait| match fs::read_dir(bait.home(".ssh"))
            .map(|mut all| all.any(|one| one.is_ok_and(|one| one.file_name() == "id")))
        {
            Ok(true) => Escaped("names are listed".to_owned()),
            Ok(false) => Held("it is not in there".to_owned()),
            Err(error) => Held(format!("{:?}", errno_of(&error))),
        },
    ),
    attempt(
        "FIL-2",
        "reach secrets by magic links, .. and other roads",
        Anyone,
        |bait| {
            let id = bait.home(".ssh/id");
            let roads = [
                format!("/..{id}"),
                format!("/proc/self/root{id}"),
                format!("/proc/self/root/../..{id}"),
                format!("/proc/thread-self/root{id}"),
                format!("/dev/fd/../root{id}"),
                format!("/tmp/../..{id}"),
                format!("/proc/self/task/{}/root{id}", std::process::id()),
                format!("/proc/self/cwd/..{id}"),
                format!("/run/firejail/mnt{id}"),
                format!("/newroot{id}"),
                format!("/oldroot{id}"),
            ];
            any(roads.map(reads))
        },
    ),
    attempt(
        "FIL-2 handle",
        "reach secrets by file handles (open_by_handle_at)",
        Root,
        |bait| {
            let mut handle = [0_u32; 34];
            handle[0] = 128;
            let mut mount = 0_i32;
            let place = std::ffi::CString::new(bait.get("home")).unwrap_or_default();
            let named = raw(
                libc::SYS_name_to_handle_at,
                &[
                    libc::AT_FDCWD as u64,
                    at(&place),
                    handle.as_mut_ptr() as u64,
                    (&raw mut mount) as u64,
                    0,
                ],
            );
            match (named, fs::File::open("/")) {
                (Ok(_), Ok(root)) => {
                    let number = u64::try_from(root.as_raw_fd()).unwrap_or(u64::MAX);
                    done(
                        "open_by_handle_at",
                        raw(
                            libc::SYS_open_by_handle_at,
                            &[number, handle.as_ptr() as u64, 0],
                        ),
                    )
                }
                (named, _) => Held(format!("name_to_handle_at: {named:?}")),
            }
        },
    ),
    attempt(
        "FIL-3",
        "link a secret to where it is seen",
        Anyone,
        |bait| {
            let new = bait.project("linked");
            let linked = fs::hard_link(bait.home(".ssh/id"), &new);
            let found = match linked {
                Ok(()) => reads(&new),
                Err(error) => Held(format!("{:?}", errno_of(&error))),
            };
            let _ = fs::remove_file(&new);
            found
        },
    ),
    attempt(
        "FIL-3 before",
        "read a secret by a second name that the host has",
        Anyone,
        |bait| reads(bait.project("second-name")),
    ),
    attempt(
        "FIL-7",
        "read a secret through a link in a directory that is shown",
        Anyone,
        |bait| reads(bait.project("link")),
    ),
    change!("FIL-5 /", "/", ROOT),
    change!("FIL-5 /usr", "/usr/bin", ROOT),
    change!("FIL-5 /etc", "/etc", ROOT),
    change!("FIL-5 /var", "/var/lib", ROOT),
    change!("FIL-5 cron", "/etc/cron.d", ROOT),
    change!("FIL-5 tmp", "/tmp", Anyone),
    change!("FIL-5 shm", "/dev/shm", Anyone),
    plant!(
        "FIL-8",
        "plant a profile of the launcher's",
        home,
        ".config/sandbox/profiles/default.toml"
    ),
    plant!(
        "FIL-9 shell",
        "plant something in ~/.bashrc",
        home,
        ".bashrc"
    ),
    plant!(
        "FIL-9 login",
        "plant a new ~/.bash_login",
        home,
        ".bash_login"
    ),
    plant!(
        "FIL-9 autostart",
        "plant a program that starts with the desktop",
        home,
        ".config/autostart/bait.desktop"
    ),
    plant!(
        "FIL-9 unit",
        "plant a service of the user's",
        home,
        ".config/systemd/user/bait.service"
    ),
    plant!(
        "FIL-9 ssh",
        "plant a key that may log in",
        home,
        ".ssh/authorized_keys"
    ),
    plant!(
        "FIL-9 bin",
        "plant a program in ~/.local/bin",
        home,
        ".local/bin/ls"
    ),
    plant!(
        "FIL-9 menu",
        "plant an entry of the menu",
        home,
        ".local/share/applications/bait.desktop"
    ),
    plant!(
        "FIL-9 hook",
        "plant a hook of Git's",
        project,
        ".git/hooks/pre-commit"
    ),
    plant!(
        "FIL-9 gitconfig",
        "change the configuration of a repository",
        project,
        ".git/config"
    ),
    plant!(
        "FIL-9 commondir",
        "make Git read another configuration",
        project,
        ".git/commondir"
    ),
    plant!(
        "FIL-9 editor",
        "plant what an editor runs",
        project,
        ".vscode/tasks.json"
    ),
    plant!(
        "FIL-9 envrc",
        "plant what a shell runs in this directory",
        project,
        ".envrc"
    ),
    plant!(
        "FIL-9 new",
        "plant what an editor runs, in a directory that was not there",
        project,
        ".idea/bait.xml"
    ),
    Attempt {
        id: "FIL-12",
        what: "remove a file of the caller's",
        control: Anyone,
        run: |bait| match fs::remove_file(bait.home("Documents/gone")) {
            Ok(()) => Escaped("removed, as seen inside".to_owned()),
            Err(error) => Held(format!("{:?}", errno_of(&error))),
        },
        after: Some(|bait| {
            let path = bait.home("Documents/gone");
            let gone = fs::symlink_metadata(&path).is_err();
            let _ = fs::write(&path, "x");
            gone.then(|| format!("{path} is gone"))
        }),
    },
];

/// As a file without a name, that is gone with the attempt. What is the sandbox's own is nothing.
fn makes(bait: &Bait, folder: &str) -> Found {
    if super::lair::identity(folder) != bait.get(&format!("folder-{folder}")) {
        return Held(format!("{folder} is another"));
    }
    let opened = fs::File::options()
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .open(folder);
    match opened {
        Ok(_) => Escaped(format!("a file is made in {folder}")),
        Err(error) => Held(format!("{folder}: {:?}", errno_of(&error))),
    }
}

fn write_planted(path: &str) -> Found {
    if let Some((folder, _)) = path.rsplit_once('/') {
        let _ = fs::create_dir_all(folder);
        readable(folder);
    }
    let written = fs::write(path, PLANTED);
    readable(path);
    match written {
        Ok(()) => Escaped(format!("{path} is written, as seen inside")),
        Err(error) => Held(format!("{:?}", errno_of(&error))),
    }
}

/// Whatever the caller's umask: the outside has to see it, and to remove it.
fn readable(path: &str) {
    let _ = fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755));
}

/// Takes it away again, and lays out what was there before.
fn planted(path: &str) -> Option<String> {
    if fs::read_to_string(path).ok()? != PLANTED {
        return None;
    }
    let was_there = [".git/config", ".bashrc", ".envrc"];
    if was_there.iter().any(|name| path.ends_with(name)) {
        let _ = fs::write(path, "");
    } else {
        let _ = fs::remove_file(path);
    }
    if let Some((folder, _)) = path.rsplit_once('/')
        && folder.ends_with(".idea")
    {
        let _ = fs::remove_dir(folder);
    }
    Some(format!("{path} was planted"))
}
