//! `sandboxctl private`: lists and removes the private directories of profiles.

use std::path::Path;

use serde_json::json;

use crate::changes::private::{self, Private};
use crate::control::sandbox::now;
use crate::host;
use crate::profile::value::human_bytes;
use crate::report::escape;

use super::arguments::Private as Verb;
use super::{answer, complain, status};

/// Carries a verb out.
///
/// # Errors
/// The exit status; what was wrong has been said.
pub fn run(verb: Verb) -> Result<(), i32> {
    let done = match verb {
        Verb::List { json } => list(json),
        Verb::Remove { profile, paths } => remove(&profile, &paths),
    };
    match done {
        Ok(text) => answer(&text),
        Err(why) => {
            complain(&format!("sandboxctl: {}\n", why.replace('\n', "\n  ")));
            Err(status::NO)
        }
    }
}

fn directory() -> Result<std::path::PathBuf, String> {
    let data = host::data().map_err(|error| error.message)?;
    Ok(data.canonicalize().unwrap_or(data).join("private"))
}

/// How long ago, in the largest unit that fits.
fn ago(then: i64) -> String {
    let now = i64::try_from(now() / 1000).unwrap_or(i64::MAX);
    let seconds = now.saturating_sub(then).max(0);
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute")];
    let unit = units.into_iter().find(|(length, _)| seconds >= *length);
    match unit {
        None => "just now".to_owned(),
        Some((length, name)) => {
            let count = seconds / length;
            let s = if count == 1 { "" } else { "s" };
            format!("{count} {name}{s} ago")
        }
    }
}

fn list(as_json: bool) -> Result<String, String> {
    let path = directory()?;
    let all = private::list(&path)?;
    if as_json {
        let all: Vec<_> = all
            .iter()
            .map(|private| {
                json!({
                    "profile": private.profile,
                    "place": private.place.to_string_lossy(),
                    "path": path.join(&private.profile).join(&private.name).to_string_lossy(),
                    "bytes": private.bytes,
                    "used": private.used,
                    "in_use": private.in_use,
                })
            })
            .collect();
        return Ok(format!("{:#}\n", json!(all)));
    }
    if all.is_empty() {
        return Ok("no profile has private directories\n".to_owned());
    }
    let width = |of: fn(&Private) -> usize| all.iter().map(of).max().unwrap_or(0);
    let (first, second) = (
        width(|private| escape::line(&private.profile).chars().count()),
        width(|private| escape::os(private.place.as_os_str()).chars().count()),
    );
    let mut text = String::new();
    for private in &all {
        text.push_str(&format!(
            "{:first$}  {:second$}  {:>8}  {}{}\n",
            escape::line(&private.profile),
            escape::os(private.place.as_os_str()),
            human_bytes(private.bytes),
            ago(private.used),
            if private.in_use { ", in use" } else { "" },
        ));
    }
    Ok(text)
}

fn remove(profile: &str, paths: &[String]) -> Result<String, String> {
    let directory = directory()?;
    let all = private::list(&directory)?;
    let of_profile: Vec<&Private> = all
        .iter()
        .filter(|private| private.profile == profile)
        .collect();
    let shown = escape::line(profile);
    if of_profile.is_empty() {
        return Err(format!(
            "`{shown}` has no private directories\nhelp: sandboxctl private list shows which profiles have"
        ));
    }
    let home = std::env::var_os("HOME").map(std::path::PathBuf::from);
    let is_at = |private: &Private, path: &str| {
        // A shell has put the home directory in the place of `~`.
        let place = match (private.place.strip_prefix("~"), &home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => private.place.clone(),
        };
        private.place == Path::new(path) || place == Path::new(path)
    };
    for path in paths {
        if !of_profile.iter().any(|private| is_at(private, path)) {
            return Err(format!(
                "`{shown}` has no private directory for `{}`\nhelp: it has {}",
                escape::line(path),
                of_profile
                    .iter()
                    .map(|private| escape::os(private.place.as_os_str()))
                    .collect::<Vec<_>>()
                    .join(", ")
            ));
        }
    }
    let chosen: Vec<&Private> = of_profile
        .into_iter()
        .filter(|private| paths.is_empty() || paths.iter().any(|path| is_at(private, path)))
        .collect();
    if let Some(used) = chosen.iter().find(|private| private.in_use) {
        return Err(format!(
            "`{}` of `{shown}` is in use by a running sandbox; nothing was removed\nhelp: sandboxctl list shows what runs",
            escape::os(used.place.as_os_str())
        ));
    }
    let mut text = String::new();
    for private in chosen {
        private::erase(&directory, private)?;
        text.push_str(&format!(
            "removed `{}` of `{shown}`: {}\n",
            escape::os(private.place.as_os_str()),
            human_bytes(private.bytes)
        ));
    }
    Ok(text)
}
