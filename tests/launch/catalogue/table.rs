//! The table of SECURITY.md, and callers who are hostile themselves.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::attempt::Found;
use super::course::{Course, PROFILES, Walls};
use super::exception;
use super::lair::{Lair, Observed};
use super::{all, unexpected};
use crate::support::{Outcome, Scene, stage};

/// Columns of others, then ours.
fn courses() -> Vec<Course> {
    let mut all = vec![
        Course::Nothing,
        Course::Bubblewrap,
        Course::Firejail,
        Course::FirejailBare,
    ];
    all.extend(PROFILES.map(|name| Course::Profile(name, Walls::Both)));
    all.push(Course::Alone);
    all
}

fn is_ours(course: Course) -> bool {
    matches!(course, Course::Profile(..) | Course::Alone)
}

/// What was observed, by the heading of the column.
type Columns = Vec<(Course, Observed)>;

fn observe(scene: &Scene, wanted: impl Fn(Course) -> bool) -> Result<Columns, Box<dyn Error>> {
    let lair = Lair::new(scene)?;
    let courses = courses()
        .into_iter()
        .filter(|course| wanted(*course) && course.is_there());
    courses
        .map(|course| Ok((course, course.run(scene, &lair)?)))
        .collect()
}

fn mark(observed: &Observed, id: &str) -> &'static str {
    match observed.of(id) {
        Some(Found::Held(_)) => "held",
        Some(Found::Escaped(_)) => "**out**",
        None => "–",
    }
}

/// What the outcome depends on.
fn environment(scene: &Scene) -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release: Vec<&str> = release.trim().split('.').take(2).collect();
    let who = if scene.host.is_root() {
        "root"
    } else {
        "an ordinary user"
    };
    let layout = format!("{:?}", scene.host.layout);
    format!(
        "as {who}, Linux {}, Landlock ABI {}, control groups: {layout}",
        release.join("."),
        scene.host.landlock
    )
}

/// `launch catalogue-table`: makes all attempts, and prints the table.
pub fn print() -> Result<(), Box<dyn Error>> {
    let scene = stage()?;
    let columns = observe(&scene, |_| true)?;
    let mut text = format!("Tried {}.\n\n| attempt |", environment(&scene));
    for (course, _) in &columns {
        write!(text, " {} |", course.name())?;
    }
    text.push_str("\n| --- |");
    text.push_str(&" --- |".repeat(columns.len()));
    text.push('\n');
    for one in all() {
        write!(text, "| {}: {} |", one.id, one.what)?;
        for (_, observed) in &columns {
            write!(text, " {} |", mark(observed, one.id))?;
        }
        text.push('\n');
    }
    text.push_str("| **held, of those that work with nothing around them** |");
    for (_, observed) in &columns {
        let works = |id: &str| {
            columns
                .iter()
                .any(|(c, o)| *c == Course::Nothing && mark(o, id) == "**out**")
        };
        let tried = all().filter(|one| works(one.id));
        let (mut held, mut count) = (0, 0);
        for one in tried {
            count += 1;
            held += usize::from(mark(observed, one.id) == "held");
        }
        write!(text, " {held}/{count} |")?;
    }
    text.push_str("\n\n");
    for one in exception::ALL {
        writeln!(
            text,
            "- {} under {}: {}",
            one.ids.join(", "),
            one.profiles.join(", "),
            one.reason
        )?;
    }
    for (course, observed) in &columns {
        if let Observed::Refused(why) = observed {
            eprintln!("{} did not start: {why}", course.name());
        }
    }
    scene.remove()?;
    print!("{text}");
    Ok(())
}

/// The committed table says what is observed.
pub fn is_current(scene: &Scene) -> Outcome {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md");
    let Ok(text) = fs::read_to_string(&path) else {
        println!(
            "SKIPPED catalogue::table_is_current: no {} here",
            path.display()
        );
        return Ok(());
    };
    let first = format!("Tried {}.", environment(scene));
    let Some((_, rest)) = text.split_once(&first) else {
        println!(
            "SKIPPED catalogue::table_is_current: SECURITY.md has no table for a host like this ({first})"
        );
        return Ok(());
    };
    let mut rows = rest
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|')
            .split(" |")
            .map(|c| c.trim().to_owned())
            .collect()
    };
    let heading = cells(rows.next().unwrap_or_default());
    let mut committed = BTreeMap::new();
    for row in rows {
        let cells = cells(row);
        let id = cells
            .first()
            .map(|first| first.split(": ").next().unwrap_or_default().to_owned());
        for (name, cell) in heading.iter().zip(&cells) {
            committed.insert((id.clone().unwrap_or_default(), name.clone()), cell.clone());
        }
    }
    let mut stale = Vec::new();
    for (course, observed) in observe(scene, is_ours)? {
        for one in all() {
            let found = mark(&observed, one.id);
            let said = committed.get(&(one.id.to_owned(), course.name()));
            if said.is_none_or(|said| said != found) {
                stale.push(format!(
                    "{} under {}: SECURITY.md says {said:?}, and it is {found}",
                    one.id,
                    course.name()
                ));
            }
        }
    }
    if stale.is_empty() {
        Ok(())
    } else {
        Err(format!("run `cargo xtask attacks`\n{}", stale.join("\n")).into())
    }
}

/// A caller's state before the launcher, and why it might matter.
const CALLERS: &[(&str, &str)] = &[
    ("FD-5 stdin closed", "exec 0<&-; exec \"$@\""),
    ("FD-6 few descriptors", "ulimit -n 24; exec \"$@\""),
    ("SUI-5 no file may grow", "ulimit -f 0; exec \"$@\""),
    (
        "SUI-7 signals ignored",
        "trap '' HUP INT QUIT PIPE ALRM TERM CHLD USR2; exec \"$@\"",
    ),
    (
        "SUI-8 directory gone",
        "d=$(mktemp -d ./gone.XXXXXX); cd $d; rmdir ../$d; exec \"$@\"",
    ),
    ("SUI-9 umask 0", "umask 0; exec \"$@\""),
    ("SUI-9 umask 777", "umask 0777; exec \"$@\""),
    (
        "SUI-4 PATH of the caller's",
        "PATH=./evil:.:$PATH; IFS=s; export PATH IFS; exec \"$@\"",
    ),
    (
        "ENV-5 odd variables",
        "exec env 'f=() { :; }; echo pwned' \"$(printf 'a\\nb')=1\" \"$@\"",
    ),
    (
        "SUI-11 no new privileges",
        "exec setpriv --no-new-privs \"$@\"",
    ),
    (
        "PRF-7 profile in the directory",
        "echo 'description = \"planted\"' > default.toml; exec \"$@\"",
    ),
    (
        "FIL-10 runtime directory is a link",
        "ln -s /tmp ./link.d; XDG_RUNTIME_DIR=$PWD/link.d; export XDG_RUNTIME_DIR; exec \"$@\"",
    ),
    (
        "FIL-10 no runtime directory",
        "XDG_RUNTIME_DIR=/nowhere; export XDG_RUNTIME_DIR; exec \"$@\"",
    ),
    (
        "ENV-4 home of the caller's choice",
        "HOME=/; export HOME; exec \"$@\"",
    ),
    (
        "ENV-4 home that is relative",
        "HOME=.; export HOME; exec \"$@\"",
    ),
    ("ENV-4 no environment", "exec env -i \"$@\""),
];

/// However the launcher is started: it refuses, or the sandbox is as tight as ever.
pub fn hostile_callers(scene: &Scene) -> Outcome {
    let mut open = Vec::new();
    let mut ran = 0;
    // Where a launch takes seconds, some of them have to do.
    let some = if scene.host.is_virtual() {
        5
    } else {
        CALLERS.len()
    };
    for (name, script) in CALLERS.iter().take(some) {
        let lair = Lair::new(scene)?;
        // The one that hides most by paths, which the environment names.
        let course = Course::Profile("default", Walls::Both);
        let line = course
            .line(scene, &lair)?
            .behind(["sh", "-c", script, "sh"]);
        match lair.observe(scene, line)? {
            Observed::Refused(why) if why.contains("status 0") => {
                open.push(format!("{name}: nothing ran: {why}"))
            }
            Observed::Refused(_) => {}
            Observed::Ran(found) => {
                ran += 1;
                open.extend(
                    unexpected(scene, course, &found)
                        .into_iter()
                        .map(|what| format!("{name}: {what}")),
                );
            }
        }
        for left in ["home/project", "home/.ssh"] {
            let _ = fs::remove_dir_all(scene.folder().join(left));
        }
        let _ = fs::remove_dir_all(scene.runtime());
        fs::create_dir(scene.runtime())?;
        std::os::unix::fs::PermissionsExt::set_mode(
            &mut fs::metadata(scene.runtime())?.permissions(),
            0o700,
        );
    }
    assert!(ran > some / 2, "only {ran} of {some} were let through");
    if open.is_empty() {
        Ok(())
    } else {
        Err(open.join("\n").into())
    }
}
