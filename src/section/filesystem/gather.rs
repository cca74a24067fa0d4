//! From keys to paths: `[filesystem]` and `[devices]` expanded, patterns replaced by what they match.

use std::path::{Path, PathBuf};

use super::rule::Rule;
use super::{Draft, later, moved};
use crate::profile::value::{Access, View};
use crate::report::{Diagnostic, Site};
use crate::section::desktop::Shown;
use crate::section::devices;
use crate::section::expand::{self, Expanded};
use crate::tree::PathSet;

/// `[filesystem]` as rules about paths.
pub fn gather(draft: &mut Draft, out: &mut Vec<Rule>) {
    let binds: Vec<(PathBuf, PathBuf)> = binds(draft);
    let said = draft.said.clone();
    for said in said.iter() {
        let (key, view, rule) = (said.key, said.view, said.rule);
        let mut add = |path: PathBuf, pattern: bool| {
            out.push(Rule {
                pattern,
                ..Rule::new(key, rule.site, Some(rule.layer), view, path)
            });
        };
        match &said.expanded {
            Err(why) => draft.errors.push(Diagnostic::error(
                format!("`{key}` is no path for [filesystem]"),
                rule.key_site,
                why.clone(),
            )),
            Ok(Expanded::NotApplicable(why)) => {
                draft.note(rule.site, format!("`{key}` is passed over: {why}"))
            }
            Ok(Expanded::Path(path)) => {
                let is_root = path.parent().is_none() && !key.starts_with('/');
                if is_root
                    && matches!(
                        view.plain(),
                        View::Host(Access::ReadOnly | Access::ReadWrite)
                    )
                {
                    // Desktops start programs in `/`. Opening less than a rule says is safe, opening everything is not.
                    draft.note(
                        rule.site,
                        format!(
                            "`{key}` is `/` here, and is passed over: it would open everything"
                        ),
                    );
                } else if is_root {
                    draft.errors.push(
                        Diagnostic::error(
                            format!("`{key}` is `/` here"),
                            rule.site,
                            "this would be about everything",
                        )
                        .help("start it in another directory, or say \"/\" if that is meant"),
                    );
                } else {
                    add(path.clone(), false);
                }
            }
            Ok(Expanded::Glob(glob)) => {
                let mut found = PathSet::default();
                let mut looked = true;
                let globs = &draft.facts.globs;
                let mut find = |glob: &Path| match globs.get(glob) {
                    Some(paths) => paths.as_slice(),
                    None => {
                        looked = false;
                        &[]
                    }
                };
                found.extend(find(glob).iter().cloned());
                if view.closes() {
                    for (place, source) in &binds {
                        if let Ok(rest) = glob.strip_prefix(expand::literal(place, true)) {
                            let there = find(&expand::literal(source, true).join(rest));
                            found.extend(there.iter().map(|path| moved(path, source, place)));
                        }
                    }
                }
                let terms = view.terms();
                let fault = match (terms.create, terms.required && looked && found.is_empty()) {
                    (Some(_), _) => Some("`create` makes one path, and this is a pattern"),
                    (None, true) => Some("`required`, and it matches nothing on this host"),
                    _ => None,
                };
                if let Some(fault) = fault {
                    draft.errors.push(Diagnostic::error(
                        format!("`{key}` cannot be had"),
                        rule.site,
                        fault,
                    ));
                } else if !looked {
                    draft.errors.push(unseen(key, rule.site));
                } else if found.is_empty() && !view.closes() {
                    draft.note(rule.site, format!("`{key}` matches nothing on this host"));
                }
                for path in found {
                    add(path, true);
                }
            }
        }
    }
}

/// Says of patterns that keep files away which of them do so only with those that are there at the start: neither a mount nor
/// Landlock is about names that do not exist, and only where mounts can be made they are made later too. Where nothing of the
/// host is shown, nobody outside makes any.
pub fn tell_later(draft: &mut Draft, mounts: bool) {
    let said = draft.said.clone();
    for said in said.iter().filter(|said| said.view.closes()) {
        let Ok(Expanded::Glob(glob)) = &said.expanded else {
            continue;
        };
        let (key, rule) = (said.key, said.rule);
        let open = draft.shown(&stem(glob)).is_some();
        let looked_after = open && mounts && later::is_looked_after(draft, glob);
        let found = draft
            .facts
            .globs
            .get(glob)
            .is_some_and(|found| !found.is_empty());
        let works = draft.table.values().any(|item| item.name == key);
        let now = match (found, works) {
            (false, _) if looked_after => "matches nothing on this host yet",
            (false, _) => "matches nothing on this host",
            (true, _) if looked_after => continue,
            (_, true) if open => "keeps away what it matches at the start",
            _ => continue,
        };
        let later = match open {
            true if looked_after => "; what gets such a name later is kept away",
            true if !mounts => "; without mounts, files that get such a name later are seen",
            true => "; files that get such a name later are seen",
            false => "",
        };
        draft.note(rule.site, format!("`{key}` {now}{later}"));
    }
}

/// The directory in which a pattern starts, or one above where characters of its name are quoted.
fn stem(glob: &Path) -> PathBuf {
    glob.components()
        .take_while(|part| !expand::is_pattern(&part.as_os_str().to_string_lossy()))
        .collect()
}

/// `[devices]` as rules about paths.
pub fn gather_devices(draft: &mut Draft, out: &mut Vec<Rule>) {
    let rules = match devices::rules(draft.policy) {
        Ok(rules) => rules,
        Err(errors) => return draft.errors.extend(errors),
    };
    for device in rules {
        if let Some(class) = device.beside
            && !class.is_there(draft.facts)
        {
            continue;
        }
        let beside = device.beside.is_some();
        let paths = if expand::is_pattern(&device.path.to_string_lossy()) {
            match draft.facts.globs.get(&device.path) {
                Some(paths) => paths.clone(),
                None => {
                    draft.errors.push(unseen(&device.key, device.site));
                    continue;
                }
            }
        } else {
            vec![device.path.clone()]
        };
        out.extend(paths.into_iter().map(|path| Rule {
            pattern: device.class,
            device: !beside,
            beside,
            ..Rule::new(
                &device.key,
                device.site,
                device.layer,
                &View::Host(device.access),
                path,
            )
        }));
    }
}

/// `[desktop]` as rules about paths.
pub fn gather_desktop(draft: &Draft, out: &mut Vec<Rule>) {
    for said in &draft.around.desktop {
        let text = View::Text(String::new());
        let (view, made) = match &said.shown {
            Shown::View(view) => (view, None),
            Shown::Made(name) => (&text, Some((*name).to_owned())),
        };
        out.push(Rule {
            // A rule that names the path wins.
            pattern: true,
            desktop: true,
            made,
            ..Rule::new(&said.key, said.site, said.layer, view, said.path.clone())
        });
    }
}

pub fn unseen(key: &str, site: Site) -> Diagnostic {
    Diagnostic::error(
        format!("`{key}` was not looked at on this host"),
        site,
        "it cannot be told what this means",
    )
}

/// Places at which another path is shown, by the letter of the keys.
pub fn binds(draft: &Draft) -> Vec<(PathBuf, PathBuf)> {
    let caller = &draft.facts.caller;
    let pairs = draft.said.iter().filter_map(|said| {
        let source = draft.around.elsewhere(said.view, caller)?;
        match (&said.expanded, source) {
            (Ok(Expanded::Path(place)), Ok(Expanded::Path(source))) => {
                Some((place.clone(), source))
            }
            _ => None,
        }
    });
    pairs.collect()
}
