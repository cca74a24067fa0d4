//! `sandboxctl diff`, `apply`, `discard` and `changes`: what a sandbox changed, before and after it touches the disk.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use crate::changes::apply::{self, Done};
use crate::changes::store::{self, Area, Store};
use crate::changes::walk::{Change, Kind, Object, changes};
use crate::changes::{content, difference};
use crate::control::sandbox::{self, Status};
use crate::profile::value::human_bytes;
use crate::report::escape;
use crate::report::paint::Paint;

use super::arguments::Changes;
use super::{answer, complain, inspect, keep, private, status};

/// New directories with more in them are shown in one line.
const MUCH: usize = 20;
/// Longer files are not compared line by line.
const LONGEST_TEXT: u64 = 1 << 20;

/// Carries a verb out.
///
/// # Errors
/// The exit status; what was wrong has been said.
pub fn run(verb: Changes) -> Result<(), i32> {
    let done = match verb {
        Changes::Diff {
            name: None, json, ..
        }
        | Changes::Changes { json } => list(json),
        Changes::Diff {
            name: Some(name),
            paths,
            patch,
            all,
            json,
        } => diff(&name, &paths, patch, all, json),
        Changes::Apply {
            name,
            paths,
            force,
            json,
        } => apply_them(&name, &paths, force, json),
        Changes::Discard { name, paths } => discard(&name, &paths),
        Changes::Private(verb) => return private::run(verb),
    };
    match done {
        Ok((text, status)) => {
            answer(&text)?;
            if status == status::OK {
                Ok(())
            } else {
                Err(status)
            }
        }
        Err(why) => {
            complain(&format!("sandboxctl: {}\n", why.replace('\n', "\n  ")));
            Err(status::NO)
        }
    }
}

/// What is printed, and the exit status.
type Answer = Result<(String, i32), String>;

fn found(name: &str) -> Result<Store, String> {
    let place = keep::place()?;
    match Store::look(&place, name)? {
        Some(store) => Ok(store),
        None => {
            let others = store::all(&place)?;
            let shown = escape::line(name);
            Err(match others.is_empty() {
                true => format!(
                    "no changes are kept as `{shown}`, nor as anything else\nhelp: sandbox --copy DIR PROGRAM keeps them"
                ),
                false => format!(
                    "no changes are kept as `{shown}`\nhelp: there are: {}",
                    others.join(", ")
                ),
            })
        }
    }
}

/// The store, for somebody who changes it.
fn taken(name: &str) -> Result<Store, String> {
    let store = found(name)?;
    // A sandbox that has lost its launcher holds no lock.
    let orphaned = sandbox::all()
        .sandboxes
        .iter()
        .any(|other| other.name() == name && matches!(other.status(), Status::Orphaned));
    if orphaned || !store.is_free() {
        return Err(format!(
            "the sandbox `{name}` is still running\nhelp: wait until it has ended, or end it: sandboxctl kill {name}"
        ));
    }
    match store.take()? {
        true => Ok(store),
        false => Err(format!("the changes of `{name}` have just been removed")),
    }
}

/// A path of the host as people write it.
fn told(path: &Path) -> String {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let home = home.filter(|home| home.parent().is_some());
    let below = home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned));
    match below {
        Some(rest) if rest.as_os_str().is_empty() => "~".to_owned(),
        Some(rest) => format!("~/{}", escape::os(rest.as_os_str())),
        None => escape::os(path.as_os_str()),
    }
}

/// Without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

/// The paths that are named, below the directory of an area: from where the caller is, if that is in it, else from its top.
fn within(area: &Area, paths: &[OsString], here: Option<&Path>) -> Vec<PathBuf> {
    let place = &area.about.place;
    let below = |path: &OsString| {
        let path = Path::new(path);
        let from = here.filter(|here| here.starts_with(place)).unwrap_or(place);
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let whole = match (path.strip_prefix("~"), home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => from.join(path),
        };
        normal(&whole).strip_prefix(place).ok().map(Path::to_owned)
    };
    paths.iter().filter_map(below).collect()
}

/// An area, its changes, and which of its paths were named.
type Named = (Area, Vec<Change>, Vec<PathBuf>);

/// The changes of every area that paths name, and which paths those are; all without paths.
fn named(store: &Store, paths: &[OsString]) -> Result<Vec<Named>, String> {
    let here = std::env::current_dir().ok();
    let mut all = Vec::new();
    let mut met = vec![false; paths.len()];
    for area in store.areas()? {
        let inner = within(&area, paths, here.as_deref());
        if !paths.is_empty() && inner.is_empty() {
            continue;
        }
        let found = changes(&area)?;
        for (path, met) in paths.iter().zip(&mut met) {
            let inner = within(&area, std::slice::from_ref(path), here.as_deref());
            *met |= inner.iter().any(|path| {
                found.iter().any(|change| {
                    change.path.starts_with(path) || change.replaced.as_ref() == Some(path)
                })
            });
        }
        all.push((area, found, inner));
    }
    match paths.iter().zip(met).find(|(_, met)| !met) {
        Some((path, _)) => Err(format!(
            "nothing was changed at `{}`\nhelp: sandboxctl diff {} lists what was",
            escape::os(path),
            store.name
        )),
        None => Ok(all),
    }
}

fn diff(name: &str, paths: &[OsString], patch: bool, all: bool, as_json: bool) -> Answer {
    let store = found(name)?;
    let running = !store.is_free();
    let mut text = String::new();
    let mut areas = Vec::new();
    let mut total = 0;
    let paint = inspect::paint();
    for (area, found, paths) in named(&store, paths)? {
        let found = match paths.is_empty() {
            true => found,
            false => apply::selected(&found, &paths),
        };
        total += found.len();
        if as_json {
            areas.push(json!({
                "path": area.about.place,
                "changes": found.iter().map(to_json).collect::<Vec<_>>(),
            }));
            continue;
        }
        text.push_str(&format!("{}\n", paint.strong(&told(&area.about.place))));
        if patch {
            text.push_str(&patches(&area, &found, paint)?);
        } else {
            text.push_str(&listing(&found, all, paint));
        }
    }
    if as_json {
        let all = json!({ "name": name, "running": running, "areas": areas });
        return Ok((format!("{all:#}\n"), status::OK));
    }
    if running {
        complain(&format!(
            "sandboxctl: `{name}` is still running: this may change\n"
        ));
    }
    if total == 0 {
        return Ok(("nothing was changed\n".to_owned(), status::OK));
    }
    if !patch {
        text.push_str(&format!(
            "{}, not on the disk yet\n  sandboxctl diff --patch {name}   how the text of files differs\n  sandboxctl apply {name} [PATH…]  carries it onto the disk\n  sandboxctl discard {name} [PATH…]  throws it away\n",
            number(total)
        ));
    }
    Ok((text, status::OK))
}

fn number(count: usize) -> String {
    match count {
        1 => "1 change".to_owned(),
        count => format!("{count} changes"),
    }
}

fn shown(change: &Change) -> String {
    let mut path = escape::os(change.path.as_os_str());
    if path.is_empty() {
        path.push('.');
    }
    if change.object == Object::Directory {
        path.push('/');
    }
    path
}

/// One change in words, but for its path.
fn detail(change: &Change) -> String {
    let mut words = Vec::new();
    if let Some(target) = &change.target {
        words.push(format!("-> {}", escape::os(target.as_os_str())));
    }
    match (change.kind, change.mode) {
        (Kind::Mode, (Some(now), Some(before))) if now != before => {
            words.push(format!("{before:04o} to {now:04o}"));
        }
        (Kind::Modified, (Some(now), Some(before))) if now != before => {
            words.push(format!("also mode {before:04o} to {now:04o}"));
        }
        (Kind::Added, (Some(now), _)) if change.object == Object::File && now & 0o111 != 0 => {
            words.push("executable".to_owned());
        }
        (Kind::Type, _) => words.push(format!("a {} now", change.object.word())),
        _ => {}
    }
    words.extend(change.note.clone());
    if let Some(refused) = &change.refused {
        words.push(format!("cannot be applied: {refused}"));
    }
    if change.conflict {
        words.push("changed on the disk since: apply refuses it".to_owned());
    }
    words.join("; ")
}

fn line(change: &Change, more: &str, paint: Paint) -> String {
    let sign = if change.refused.is_some() || change.conflict {
        '!'
    } else {
        ' '
    };
    let mut detail = detail(change);
    if !more.is_empty() {
        detail = [more, &detail]
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join("; ");
    }
    let detail = match detail.is_empty() {
        true => String::new(),
        false => paint.faint(&format!("  ({})", escape::line(&detail))),
    };
    format!(
        "{sign} {:12}  {}{detail}\n",
        change.kind.word(),
        shown(change)
    )
}

fn listing(found: &[Change], all: bool, paint: Paint) -> String {
    let mut text = String::new();
    let mut at = 0;
    while let Some(change) = found.get(at) {
        at += 1;
        let mut more = String::new();
        if !all && change.object == Object::Directory && change.kind == Kind::Added {
            let rest = found.get(at..).unwrap_or_default();
            let inner: Vec<&Change> = rest
                .iter()
                .take_while(|other| other.path.starts_with(&change.path))
                .collect();
            if inner.len() > MUCH && inner.iter().all(|other| other.refused.is_none()) {
                let bytes: u64 = inner.iter().filter_map(|other| other.size.0).sum();
                more = format!(
                    "with {} entries, {}; --all lists them",
                    inner.len(),
                    human_bytes(bytes)
                );
                at += inner.len();
            }
        }
        text.push_str(&line(change, &more, paint));
    }
    text
}

fn to_json(change: &Change) -> Value {
    let mode = |mode: Option<u32>| mode.map(|mode| format!("{mode:04o}"));
    json!({
        "path": change.path.to_string_lossy(),
        "change": change.kind.word(),
        "type": change.object.word(),
        "mode": mode(change.mode.0),
        "old_mode": mode(change.mode.1),
        "size": change.size.0,
        "old_size": change.size.1,
        "target": change.target.as_ref().map(|target| target.to_string_lossy().into_owned()),
        "conflict": change.conflict,
        "refused": change.refused,
        "note": change.note,
    })
}

/// A line of foreign bytes, made harmless.
fn harmless(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out.push_str(&escape::block(chunk.valid()));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

fn patches(area: &Area, found: &[Change], paint: Paint) -> Result<String, String> {
    let upper = area.upper().map_err(|errno| errno.desc().to_owned())?;
    let lower = area.lower()?;
    let mut text = String::new();
    for change in found {
        text.push_str(&line(change, "", paint));
        if change.object != Object::File || change.kind == Kind::Mode {
            continue;
        }
        let read = |root, exists: bool| match exists {
            true => content::read(root, &change.path, LONGEST_TEXT),
            false => Some(Vec::new()),
        };
        let old = read(
            &lower,
            matches!(change.kind, Kind::Modified | Kind::Deleted),
        );
        let new = read(&upper, change.kind != Kind::Deleted);
        let (Some(old), Some(new)) = (old, new) else {
            text.push_str("  (too long, or it cannot be read)\n");
            continue;
        };
        if !difference::is_text(&old) || !difference::is_text(&new) {
            text.push_str("  (no text)\n");
            continue;
        }
        let path = escape::os(change.path.as_os_str());
        let side = |exists: bool, side: &str| match exists {
            true => format!("{side}/{path}"),
            false => "/dev/null".to_owned(),
        };
        let was = change.kind == Kind::Modified || change.kind == Kind::Deleted;
        text.push_str(&format!(
            "--- {}\n+++ {}\n",
            side(was, "a"),
            side(change.kind != Kind::Deleted, "b")
        ));
        for line in difference::unified(&old, &new) {
            let line = harmless(&line);
            let line = match line.as_bytes().first() {
                Some(b'+' | b'-') => paint.strong(&line),
                Some(b'@') => paint.faint(&line),
                _ => line,
            };
            text.push_str(&line);
            text.push('\n');
        }
    }
    Ok(text)
}

/// Says what became of changes; how many were done.
fn report(done: &[Done], text: &mut String, paint: Paint) -> usize {
    let mut count = 0;
    for done in done {
        match &done.refused {
            None => {
                count += 1;
                let change = &done.change;
                text.push_str(&format!("  {:12}  {}\n", change.kind.word(), shown(change)));
            }
            Some(why) => {
                let change = &done.change;
                let why = paint.strong(&format!("  (not done: {})", escape::line(why)));
                text.push_str(&format!(
                    "! {:12}  {}{why}\n",
                    change.kind.word(),
                    shown(change)
                ));
            }
        }
    }
    count
}

fn apply_them(name: &str, paths: &[OsString], force: bool, as_json: bool) -> Answer {
    let store = taken(name)?;
    let mut text = String::new();
    let (mut carried, mut asked) = (0, 0);
    let mut results = Vec::new();
    let paint = inspect::paint();
    for (mut area, found, paths) in named(&store, paths)? {
        let done = apply::apply(&mut area, apply::selected(&found, &paths), force)?;
        text.push_str(&format!("{}\n", paint.strong(&told(&area.about.place))));
        asked += done.len();
        carried += report(&done, &mut text, paint);
        results.push(json!({
            "path": area.about.place,
            "changes": done.iter().map(|done| {
                let mut value = to_json(&done.change);
                value["applied"] = done.refused.is_none().into();
                value["refused"] = json!(done.refused);
                value
            }).collect::<Vec<_>>(),
        }));
    }
    let left = left(apply::tidy(store)?)?;
    let status = if carried == asked {
        status::OK
    } else {
        status::NO
    };
    if as_json {
        let all = json!({ "name": name, "applied": carried, "left": left, "areas": results });
        return Ok((format!("{all:#}\n"), status));
    }
    text.push_str(&format!(
        "{} on the disk now{}\n",
        number(carried),
        rest(left, name)
    ));
    Ok((text, status))
}

fn left(store: Option<Store>) -> Result<usize, String> {
    let Some(store) = store else { return Ok(0) };
    let areas = store.areas()?;
    areas
        .iter()
        .map(|area| changes(area).map(|all| all.len()))
        .sum()
}

fn rest(left: usize, name: &str) -> String {
    match left {
        0 => "; nothing is left to look at".to_owned(),
        left => format!("; {left} left: sandboxctl diff {name}"),
    }
}

fn discard(name: &str, paths: &[OsString]) -> Answer {
    let store = taken(name)?;
    if paths.is_empty() {
        store.remove()?;
        return Ok((
            format!("the changes of `{name}` are gone; nothing of them was on the disk\n"),
            status::OK,
        ));
    }
    let mut text = String::new();
    let (mut gone, mut asked) = (0, 0);
    let paint = inspect::paint();
    for (area, found, paths) in named(&store, paths)? {
        let done = apply::discard(&area, &found, &paths)?;
        asked += done.len();
        gone += report(&done, &mut text, paint);
    }
    let left = left(apply::tidy(store)?)?;
    text.push_str(&format!(
        "{} thrown away{}\n",
        number(gone),
        rest(left, name)
    ));
    Ok((
        text,
        if gone == asked {
            status::OK
        } else {
            status::NO
        },
    ))
}

/// Bytes of the files in an upper layer.
fn size(found: &[Change]) -> u64 {
    found.iter().filter_map(|change| change.size.0).sum()
}

fn list(as_json: bool) -> Answer {
    let place = keep::place()?;
    let mut rows = Vec::new();
    for name in store::all(&place)? {
        let Some(store) = Store::look(&place, &name)? else {
            continue;
        };
        let running = !store.is_free();
        // What a crash left is swept here.
        let store = match running || !store.take().unwrap_or(false) {
            true => store,
            false => match apply::tidy(store)? {
                Some(store) => store,
                None => continue,
            },
        };
        for area in store.areas()? {
            let found = changes(&area);
            rows.push((name.clone(), area.about, found, running));
        }
    }
    if as_json {
        let all: Vec<Value> = rows
            .iter()
            .map(|(name, about, found, running)| {
                json!({
                    "name": name,
                    "path": about.place,
                    "changes": found.as_ref().ok().map(Vec::len),
                    "bytes": found.as_ref().ok().map(|found| size(found)),
                    "since": about.since.0,
                    "running": running,
                    "error": found.as_ref().err(),
                })
            })
            .collect();
        return Ok((format!("{:#}\n", json!(all)), status::OK));
    }
    if rows.is_empty() {
        return Ok((
            "no changes are kept; sandbox --copy DIR PROGRAM keeps them\n".to_owned(),
            status::OK,
        ));
    }
    let width = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, about, found, running) in &rows {
        let what = match found {
            Ok(found) => format!("{}, {}", number(found.len()), human_bytes(size(found))),
            Err(why) => escape::line(why).into_owned(),
        };
        let running = if *running { ", still running" } else { "" };
        text.push_str(&format!(
            "{name:width$}  {}  {what}{running}\n",
            told(&about.place)
        ));
    }
    text.push_str("sandboxctl diff NAME shows what was changed\n");
    Ok((text, status::OK))
}
