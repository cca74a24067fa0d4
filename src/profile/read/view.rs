//! What is seen at a path.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Place, Wrong, amount, integer, mistyped, path, too_large, type_of, word};
use crate::profile::key::Kind;
use crate::profile::value::{Access, Size, View};
use crate::report::Diagnostic;
use crate::report::suggest::nearest;

/// Views that are said in one word.
pub const WORDS: &[&str] = &[
    "read-only",
    "read-write",
    "hidden",
    "private",
    "tmpfs",
    "copy",
    "overlay",
];

/// Keys of the table form: the view's own, then what goes with `bind`.
const KEYS: [&str; 6] = ["tmpfs", "copy", "bind", "root", "text", "access"];
/// What a table can say.
const FORMS: &str = "a view is { tmpfs = SIZE }, { copy = SIZE }, { bind = PATH, access = WORD }, { root = NAME, access = WORD } or { text = STRING }";

/// Reads a view.
pub fn read(value: &Spanned<DeValue<'_>>, place: Place) -> Result<View, Vec<Diagnostic>> {
    let located = |wrong: Wrong| vec![wrong.locate(place, value.span())];
    match value.get_ref() {
        DeValue::String(text) => match word::word(WORDS, text) {
            Ok("read-only") => Ok(View::Host(Access::ReadOnly)),
            Ok("read-write") => Ok(View::Host(Access::ReadWrite)),
            Ok("hidden") => Ok(View::Host(Access::Hidden)),
            Ok("private") => Ok(View::Private),
            Ok("copy") => Ok(View::Copy { size: None }),
            Ok("overlay") => Ok(View::Overlay),
            Ok(_) => Ok(View::Tmpfs { size: None }),
            Err(wrong) if text.starts_with(['/', '~', '$']) => Err(located(wrong.help(format!(
                "to show another path here, write {{ bind = \"{text}\" }}"
            )))),
            Err(wrong) => Err(located(wrong)),
        },
        DeValue::Table(table) => from_table(table, value, place),
        other => Err(located(mistyped(Kind::View, other))),
    }
}

fn from_table(
    table: &DeTable<'_>,
    value: &Spanned<DeValue<'_>>,
    place: Place,
) -> Result<View, Vec<Diagnostic>> {
    let mut wrong = Vec::new();
    for (key, _) in table.iter() {
        let name = key.get_ref().as_ref();
        if !KEYS.contains(&name) {
            let error = Wrong::new(format!("a view has no key `{name}`"));
            wrong.push(
                match nearest(name, KEYS) {
                    Some(near) => error.label(format!("did you mean `{near}`?")),
                    None => error.label("unknown key").help(FORMS),
                }
                .locate(place, key.span()),
            );
        }
    }
    let kinds: Vec<&str> = KEYS
        .into_iter()
        .take(KEYS.len() - 1)
        .filter(|kind| table.contains_key(*kind))
        .collect();
    let misspelt = !wrong.is_empty();
    let mut check = |name: &str, result: Result<View, Wrong>| match result {
        Ok(view) => Some(view),
        Err(error) => {
            let span = table.get(name).map_or(value.span(), Spanned::span);
            wrong.push(error.locate(place, span));
            None
        }
    };
    let view = match kinds.as_slice() {
        [kind] => {
            if !matches!(*kind, "bind" | "root") && table.contains_key("access") {
                check(
                    "access",
                    Err(Wrong::new(format!(
                        "`access` goes with `bind` and `root`, not with `{kind}`"
                    ))),
                );
            }
            let given = table.get(*kind).map(Spanned::get_ref);
            match (*kind, given) {
                ("tmpfs", Some(given)) => {
                    check("tmpfs", in_memory(given).map(|size| View::Tmpfs { size }))
                }
                ("copy", Some(given)) => {
                    check("copy", in_memory(given).map(|size| View::Copy { size }))
                }
                (kind @ ("bind" | "root"), Some(DeValue::String(source))) => {
                    let bind = kind == "bind";
                    let source = if bind {
                        path::value(source)
                    } else {
                        root(source)
                    };
                    let usual = if bind {
                        Access::ReadOnly
                    } else {
                        Access::ReadWrite
                    };
                    match (source, access(table, usual)) {
                        (Ok(source), Ok(access)) if bind => Some(View::Bind { source, access }),
                        (Ok(source), Ok(access)) => Some(View::Root { source, access }),
                        (source, access) => {
                            if let Err(error) = source {
                                check(kind, Err(error));
                            }
                            if let Err(error) = access {
                                check("access", Err(error));
                            }
                            None
                        }
                    }
                }
                ("text", Some(DeValue::String(text))) => Some(View::Text(text.to_string())),
                (kind, given) => check(
                    kind,
                    Err(Wrong::new(format!(
                        "`{kind}` takes a string, found {}",
                        given.map_or("nothing", type_of)
                    ))),
                ),
            }
        }
        [] if misspelt => None,
        [] => check(
            "",
            Err(Wrong::new("the table does not say what is seen here").help(FORMS)),
        ),
        several => check(
            several.last().copied().unwrap_or_default(),
            Err(Wrong::new(format!(
                "`{}` cannot stand together in one view",
                several.join("` and `")
            ))),
        ),
    };
    match view {
        Some(view) if wrong.is_empty() => Ok(view),
        _ => Err(wrong),
    }
}

/// The size of a file system in memory.
fn in_memory(given: &DeValue<'_>) -> Result<Option<Size>, Wrong> {
    let size = match given {
        DeValue::String(text) => amount::size(text)?,
        DeValue::Integer(_) => amount::plain_bytes(integer(given).ok_or_else(too_large)?)?,
        other => return Err(mistyped(Kind::Size, other)),
    };
    // To the kernel size=0 means no limit at all.
    if matches!(size, Size::Bytes(0) | Size::OfRam(0)) {
        return Err(Wrong::new("a file system of no size holds nothing")
            .help("write the size that it may grow to, such as \"512M\""));
    }
    Ok(Some(size))
}

/// The name or the digest of an imported root, or the path of an archive.
fn root(text: &str) -> Result<String, Wrong> {
    if text.starts_with(['/', '~', '$']) {
        return path::value(text);
    }
    let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '.' | ':' | '-'));
    if text.is_empty() || text.starts_with(['.', '-']) || text.contains(odd) {
        return Err(Wrong::new(format!("`{text}` is no name of a root"))
            .help("a name has letters, digits and `_ + . : -`; the path of an archive starts with `/`, `~` or `${…}`"));
    }
    Ok(text.to_owned())
}

/// What may be done with what is shown, when it is said.
fn access(table: &DeTable<'_>, usual: Access) -> Result<Access, Wrong> {
    match table.get("access").map(Spanned::get_ref) {
        None => Ok(usual),
        Some(DeValue::String(text)) => match word::word(&["read-only", "read-write"], text)? {
            "read-write" => Ok(Access::ReadWrite),
            _ => Ok(Access::ReadOnly),
        },
        Some(other) => Err(mistyped(Kind::Word(&["read-only", "read-write"]), other)),
    }
}
