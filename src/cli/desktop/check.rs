//! `sandboxctl desktop check`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::list::{available, hint};
use super::{Stage, fail};
use crate::cli::{answer, status};
use crate::desktop::apply;
use crate::desktop::judge::{Finding, Weight, findings};
use crate::desktop::manifest::{Kind, Manifest};
use crate::desktop::program::file_name;
use crate::desktop::scan::{Scope, is_shim, read};
use crate::report::escape;

pub(super) fn check(system: bool, as_json: bool) -> Result<(), i32> {
    let stage = Stage::set(system)?;
    let known = apply::load(&stage.scope).map_err(|why| fail(&why))?;
    let found = stage.scan(&known);
    let selected = |names: &[&str]| known.selection.has(names);
    let mut all = stage.with_world(|world| {
        findings(&found.seen, &known, world, &selected, &|profile| {
            stage.wrong_profile(profile)
        })
    });
    all.extend(shims(&stage.scope, &known));
    all.extend(units(&stage, &known));
    all.sort_by(|a, b| (a.weight, &a.path, &a.text).cmp(&(b.weight, &b.path, &b.text)));
    let others = available(&stage, &known, &found);
    if as_json {
        let list: Vec<_> = all
            .iter()
            .map(|finding| {
                json!({
                    "weight": finding.weight.word(),
                    "path": finding.path,
                    "program": finding.program,
                    "text": finding.text,
                    "help": finding.help,
                })
            })
            .collect();
        let not_asked: Vec<&String> = others.keys().collect();
        answer(&format!(
            "{:#}\n",
            json!({"ok": all.is_empty(), "findings": list, "files": known.files.len(), "not_asked_for": not_asked})
        ))?;
    } else {
        let mut text = String::new();
        for finding in &all {
            text.push_str(&format!(
                "{}: {}: {}\n  help: {}\n",
                finding.weight.word(),
                escape::line(&finding.path),
                escape::line(&finding.text),
                escape::line(&finding.help),
            ));
        }
        if all.is_empty() {
            text.push_str(&match known.files.len() {
                0 => "nothing was installed, so that there is nothing to check\n".to_owned(),
                1 => "well: the one file of ours leads into its sandbox\n".to_owned(),
                number => format!("well: all {number} files of ours lead into their sandboxes\n"),
            });
        }
        text.push_str(&hint(&others));
        answer(&text)?;
    }
    if all.is_empty() {
        Ok(())
    } else {
        Err(status::NO)
    }
}

/// Commands of ours that the shell does not find, or finds too late.
fn shims(scope: &Scope, known: &Manifest) -> Vec<Finding> {
    let mut found = Vec::new();
    for record in known
        .files
        .iter()
        .filter(|record| record.kind == Kind::Shim)
    {
        let mut say = |weight, text: String, help: String| {
            found.push(Finding {
                weight,
                path: record.path.clone(),
                program: record.program.clone(),
                text,
                help,
            });
        };
        let own = Path::new(&record.path);
        if !is_shim(own) {
            say(
                Weight::Unsandboxed,
                format!(
                    "is no command of ours: `{}` is started without its sandbox",
                    record.program
                ),
                "sandboxctl desktop refresh --force".to_owned(),
            );
            continue;
        }
        if !Path::new(&record.source).exists() {
            say(
                Weight::Broken,
                format!(
                    "`{}`, which it starts, is not there any more",
                    record.source
                ),
                "sandboxctl desktop refresh".to_owned(),
            );
        }
        let first = scope
            .path
            .iter()
            .map(|directory| directory.join(&record.name))
            .find(|path| path.is_file());
        match first {
            Some(first) if first == own => {}
            Some(first) if is_shim(&first) => {}
            first => {
                let first = first.map_or_else(String::new, |path| {
                    format!(", where {} comes first", path.display())
                });
                let bin = scope.bin.display();
                say(
                    Weight::Unsandboxed,
                    format!("is not what PATH leads to{first}"),
                    format!(
                        "put {bin} before the directories of the system in PATH, also in that of the session"
                    ),
                );
            }
        }
    }
    found
}

/// Where units of users' systemd are.
fn unit_directories(scope: &Scope) -> Vec<PathBuf> {
    let below = |base: &PathBuf| base.join("systemd/user");
    let own = (!scope.system).then(|| {
        [
            scope.config.first().map(below),
            Some(below(&scope.own_data)),
        ]
    });
    let mut all: Vec<PathBuf> = own.into_iter().flatten().flatten().collect();
    all.extend(
        [
            "/etc/systemd/user",
            "/usr/local/lib/systemd/user",
            "/usr/lib/systemd/user",
        ]
        .map(PathBuf::from),
    );
    all
}

/// Units of the user's systemd that start a program past its sandbox: nothing else can lead there.
fn units(stage: &Stage, known: &Manifest) -> Vec<Finding> {
    let directories = unit_directories(&stage.scope);
    let mut found = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for directory in &directories {
        let Ok(listed) = std::fs::read_dir(directory) else {
            continue;
        };
        for entry in listed.flatten().take(5000) {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            // The first directory's counts.
            if !name.ends_with(".service") || names.contains(&name) {
                continue;
            }
            names.push(name.clone());
            let drop_ins = directories.iter().map(|at| at.join(format!("{name}.d")));
            let files: Vec<PathBuf> = drop_ins.flat_map(configurations).collect();
            let mut commands = Vec::new();
            for path in std::iter::once(entry.path()).chain(files) {
                let Some(Ok(content)) = read(&path) else {
                    continue;
                };
                for line in String::from_utf8_lossy(&content).lines() {
                    let Some(value) = line.trim_start().strip_prefix("ExecStart") else {
                        continue;
                    };
                    match value.trim_start().strip_prefix('=').map(str::trim) {
                        // An empty one takes back all before it.
                        Some("") => commands.clear(),
                        Some(command) => commands.push(command.to_owned()),
                        None => {}
                    }
                }
            }
            for command in commands {
                let word = command.trim_start_matches(['@', '-', ':', '+', '!', '"', '\'']);
                let word = word.split([' ', '\t', '"', '\'']).next().unwrap_or("");
                let program = file_name(word);
                let Some(claim) = stage.claims.get(program) else {
                    continue;
                };
                if known.selection.has(&[program, &claim.profile]) {
                    found.push(Finding {
                        weight: Weight::Unsandboxed,
                        path: entry.path().display().to_string(),
                        program: program.to_owned(),
                        text: format!("the unit starts `{program}` without its sandbox, whoever asks systemd for it"),
                        help: format!(
                            "systemctl --user mask {name}; or systemctl --user edit {name}, with ExecStart= and then ExecStart={} --profile {} -- {command}",
                            stage.launcher.as_deref().unwrap_or("sandbox"),
                            claim.profile
                        ),
                    });
                }
            }
        }
    }
    found
}

fn configurations(directory: PathBuf) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = listed
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "conf"))
        .collect();
    all.sort();
    all
}
