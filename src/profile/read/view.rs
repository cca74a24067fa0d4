//! What is seen at a path.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Place, Wrong, amount, integer, mistyped, path, too_large, type_of, word};
use crate::profile::key::Kind;
use crate::profile::value::{Access, Create, Size, Terms, View};
use crate::report::Diagnostic;
use crate::report::suggest::nearest;

/// Views that are said in one word.
pub const WORDS: &[&str] = &[
    "read-only",
    "read-write",
    "hidden",
    "denied",
    "private",
    "tmpfs",
    "copy",
    "overlay",
];

/// Keys of the table form that say what is seen.
const KINDS: [&str; 5] = ["tmpfs", "copy", "bind", "root", "text"];
/// Keys of the table form that say more about it.
const TERMS: [&str; 4] = ["access", "execute", "create", "required"];
/// What a table can say.
const FORMS: &str = "a view is { access = WORD, execute = false }, { tmpfs = SIZE }, { copy = SIZE }, { bind = PATH, access = WORD }, { root = NAME, access = WORD } or { text = STRING }";

/// A view that is said in one word.
fn of_word(text: &str) -> Result<View, Wrong> {
    Ok(match word::word(WORDS, text)? {
        "read-only" => View::Host(Access::ReadOnly),
        "read-write" => View::Host(Access::ReadWrite),
        "hidden" => View::Host(Access::Hidden),
        "denied" => View::Host(Access::Denied),
        "private" => View::Private,
        "copy" => View::Copy { size: None },
        "overlay" => View::Overlay,
        _ => View::Tmpfs { size: None },
    })
}

/// Reads a view.
pub fn read(value: &Spanned<DeValue<'_>>, place: Place) -> Result<View, Vec<Diagnostic>> {
    let located = |wrong: Wrong| vec![wrong.locate(place, value.span())];
    match value.get_ref() {
        DeValue::String(text) => match of_word(text) {
            Ok(view) => Ok(view),
            Err(wrong) if matches!(text.as_ref(), "no-exec" | "noexec") => Err(located(wrong.help(
                "what can be executed is said beside the access: { access = \"read-write\", execute = false }",
            ))),
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
        let mut known = KINDS.into_iter().chain(TERMS);
        if !known.any(|known| known == name) {
            let error = Wrong::new(format!("a view has no key `{name}`"));
            wrong.push(
                match nearest(name, KINDS.into_iter().chain(TERMS)) {
                    Some(near) => error.label(format!("did you mean `{near}`?")),
                    None => error.label("unknown key").help(FORMS),
                }
                .locate(place, key.span()),
            );
        }
    }
    let kinds: Vec<&str> = KINDS
        .into_iter()
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
        [] if table.contains_key("access") => check(
            "access",
            match table.get("access").map(Spanned::get_ref) {
                Some(DeValue::String(text)) => of_word(text),
                other => Err(Wrong::new(format!(
                    "`access` takes one of {}, found {}",
                    word::list(WORDS),
                    other.map_or("nothing", type_of)
                ))),
            },
        ),
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
    let terms = terms(table, view.as_ref(), place, &mut wrong);
    match view {
        Some(view) if wrong.is_empty() => Ok(view.on(terms)),
        _ => Err(wrong),
    }
}

/// What a table says beside what is seen, as far as it makes sense with that.
fn terms(
    table: &DeTable<'_>,
    view: Option<&View>,
    place: Place,
    wrong: &mut Vec<Diagnostic>,
) -> Terms {
    let mut terms = Terms::default();
    let mut take = |name: &str, read: &mut dyn FnMut(&DeValue<'_>) -> Result<(), Wrong>| {
        let Some(given) = table.get(name) else { return };
        if let Err(error) = read(given.get_ref()) {
            wrong.push(error.locate(place, given.span()));
        }
    };
    let of_host = matches!(
        view,
        None | Some(View::Host(Access::ReadOnly | Access::ReadWrite) | View::Bind { .. })
    );
    let bool = |given: &DeValue<'_>| match given {
        DeValue::Boolean(on) => Ok(*on),
        other => Err(mistyped(Kind::Bool, other)),
    };
    take("execute", &mut |given| {
        terms.execute = Some(bool(given)?);
        match view {
            Some(View::Text(_)) => Err(Wrong::new("a text is never executed")
                .help("leave `execute` out, or show a file with `bind`")),
            Some(view) if view.closes() => Err(Wrong::new(
                "`execute` says nothing about what cannot be reached",
            )),
            _ => Ok(()),
        }
    });
    take("create", &mut |given| {
        const KINDS: &[&str] = &["dir", "file"];
        let DeValue::String(text) = given else {
            return Err(mistyped(Kind::Word(KINDS), given));
        };
        terms.create = Some(match word::word(KINDS, text)? {
            "dir" => Create::Directory,
            _ => Create::File,
        });
        match of_host {
            true => Ok(()),
            false => Err(
                Wrong::new("`create` goes with \"read-only\", \"read-write\" and `bind`")
                    .help("only what the host has can be missing there"),
            ),
        }
    });
    take("required", &mut |given| {
        terms.required = bool(given)?;
        match of_host || view.is_some_and(View::closes) {
            true => Ok(()),
            false => Err(
                Wrong::new("`required` goes with words about what the host has")
                    .help("this view needs nothing to be there"),
            ),
        }
    });
    terms
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
