//! One TOML value → one [`Value`], as the [`Kind`] of its key says.
//!
//! `"inherit"` never arrives here: it is taken out before, for every kind alike.

pub mod amount;
mod attribute;
mod control;
pub mod path;
mod syscall;
pub mod time;
mod view;
mod word;

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::key::Kind;
use super::value::Value;
use crate::report::{Diagnostic, Located, Site, SourceId};

pub use attribute::cpu_set;
pub use syscall::{action, action_word, check_syscall_key};
pub use view::WORDS as VIEW_WORDS;

/// Where the bytes that a span counts stand: in a source, behind `offset` other bytes.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The text.
    pub source: SourceId,
    /// Where the parsed part of it begins; 0 for a file.
    pub offset: usize,
}

impl Place {
    /// The whole of a source.
    #[must_use]
    pub fn whole(source: SourceId) -> Self {
        Self { source, offset: 0 }
    }

    /// A span of the parsed part as a place in the source.
    #[must_use]
    pub fn site(self, span: Range<usize>) -> Site {
        Site::new(
            self.source,
            span.start.saturating_add(self.offset)..span.end.saturating_add(self.offset),
        )
    }
}

/// What is wrong with one value or one name; the caller knows where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// One line.
    pub message: String,
    /// Words beside the underlined text.
    pub label: String,
    /// What to do, a line each.
    pub help: Vec<String>,
    /// The part of the text that is wrong, when it is narrower than the value.
    pub span: Option<Range<usize>>,
}

impl Wrong {
    /// Something is wrong.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            label: String::new(),
            help: Vec::new(),
            span: None,
        }
    }

    /// Words beside the underlined text.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = text.into();
        self
    }

    /// Advice.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// Narrows the place.
    #[must_use]
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span.get_or_insert(span);
        self
    }

    /// With the place of the value that it is about.
    #[must_use]
    pub fn locate(self, place: Place, span: Range<usize>) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(
            self.message,
            place.site(self.span.unwrap_or(span)),
            self.label,
        );
        diagnostic.help = self.help;
        diagnostic
    }
}

/// What a value is, with its article.
#[must_use]
pub fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// What a kind of key takes, with its article.
#[must_use]
pub fn expectation(kind: Kind) -> String {
    match kind {
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Integer(least, most) => format!("an integer from {least} to {most}"),
        Kind::Size => "a size such as \"3G\", \"25%\" or \"max\"".to_owned(),
        Kind::Bytes => "a size such as \"64K\" or \"max\"".to_owned(),
        Kind::Count => "a whole number or \"max\"".to_owned(),
        Kind::Cpu => "a part of one CPU such as \"150%\" or \"max\"".to_owned(),
        Kind::Duration => "a duration such as \"90s\" or \"10m\"".to_owned(),
        Kind::Mode => "octal mode bits such as \"0077\"".to_owned(),
        Kind::Word(words) => word::list(words),
        Kind::Text => "a string".to_owned(),
        Kind::Hostname => "a host name such as \"box\"".to_owned(),
        Kind::Path => "a path such as \"/srv\" or \"~\"".to_owned(),
        Kind::Words(words) => format!("an array of {}", word::list(words)),
        Kind::Rules => "an array of rules such as [\"limits.memory-soft\"]".to_owned(),
        Kind::Namespace => {
            "`true`, `false`, \"sandbox:NAME\" or a path such as \"/proc/1234/ns/net\"".to_owned()
        }
        Kind::View => format!(
            "{} or a table such as {{ bind = \"/other\" }}",
            word::list(view::WORDS)
        ),
        Kind::SyscallAction => {
            "\"allow\", \"deny\", \"kill\", \"log\", \"trap\" or an errno name such as \"ENOSYS\""
                .to_owned()
        }
        Kind::Keep => word::list(super::table::KEEP_WORDS),
        Kind::Variable => "`true`, `false` or a string".to_owned(),
        Kind::Device => "`true`, `false`, \"read-write\" or \"hidden\"".to_owned(),
        Kind::Id => "\"caller\", \"root\" or a number".to_owned(),
        Kind::Weight => "an integer from 1 to 10000, or \"idle\"".to_owned(),
        Kind::Ranges => "a list of numbers and ranges such as \"0-3,7\"".to_owned(),
        Kind::Rates => "a table such as { read = \"20M\", write-operations = 200 }".to_owned(),
        Kind::NetClass => "a class such as \"1:1\" or \"0x10001\"".to_owned(),
        Kind::IoPriority => "an I/O priority such as \"idle\" or \"best-effort:4\"".to_owned(),
        Kind::Scheduler => "a scheduler such as \"batch\" or \"fifo:10\"".to_owned(),
        Kind::CpuSet => "a list of CPUs such as \"0-3,7\"".to_owned(),
    }
}

/// The wrong type was given.
fn mistyped(kind: Kind, value: &DeValue<'_>) -> Wrong {
    let found = type_of(value);
    let wrong = Wrong::new(format!("expected {}, found {found}", expectation(kind)))
        .label(found.to_owned());
    match (kind, value) {
        (Kind::Cpu, DeValue::Integer(n)) => wrong.help(amount::cpus(&n.to_string())),
        (Kind::Cpu, DeValue::Float(_)) => {
            wrong.help("one and a half CPUs are \"150%\", a tenth of one is \"10%\"")
        }
        (Kind::Mode, DeValue::Integer(n)) => wrong.help(format!(
            "mode bits are octal text, so that 22 cannot be taken for 022: \"{n}\""
        )),
        (Kind::Variable | Kind::Text | Kind::Hostname | Kind::CpuSet, DeValue::Integer(n)) => {
            wrong.help(format!("write \"{n}\""))
        }
        (Kind::Keep, DeValue::Boolean(keep)) => wrong.help(if *keep {
            "write \"keep\""
        } else {
            "write \"drop\""
        }),
        (Kind::SyscallAction, DeValue::Boolean(allow)) => wrong.help(if *allow {
            "write \"allow\""
        } else {
            "write \"deny\""
        }),
        (_, DeValue::Float(_)) if matches!(kind, Kind::Size | Kind::Bytes) => {
            wrong.help("sizes are whole numbers: half a gibibyte is \"512M\"")
        }
        (Kind::Words(_) | Kind::Rules, DeValue::String(text)) => {
            wrong.help(format!("write [\"{text}\"]"))
        }
        (Kind::Bool | Kind::Integer(..), DeValue::String(text)) => {
            wrong.help(format!("without quotes, if it is to be {text}"))
        }
        (Kind::Ranges, DeValue::Integer(n)) => wrong.help(format!("write \"{n}\"")),
        (_, DeValue::Table(_)) if !matches!(kind, Kind::View | Kind::Rates) => {
            wrong.help("a name with dots in it must be quoted, else every dot opens a table")
        }
        _ => wrong,
    }
}

/// What the TOML parser says about broken syntax, said better where it can be.
#[must_use]
pub fn broken(message: &str, span: Option<Range<usize>>, text: &str) -> Wrong {
    let span = span.unwrap_or(text.len()..text.len());
    let start = span.start.min(text.len());
    let found = text.get(start..span.end.min(text.len())).unwrap_or("");
    let rest = text
        .get(start..)
        .unwrap_or("")
        .trim_start_matches([' ', '\t']);
    let quote_missing = message.starts_with("string values must be quoted")
        || (message.starts_with("invalid literal string") && !found.starts_with('\''));
    let wrong = if quote_missing
        && (rest.is_empty() || rest.starts_with(['\n', '\r', '#', '}', ']', ',']))
    {
        Wrong::new("a value is missing").label("expected here")
    } else if quote_missing {
        let word = found.trim();
        let advice = if word.is_empty() || word.contains('"') {
            "words, sizes and paths are quoted: \"3G\"".to_owned()
        } else {
            format!("write \"{word}\"")
        };
        Wrong::new("words, sizes and paths must be quoted").help(advice)
    } else if message.starts_with("invalid basic string") && found.is_empty() {
        Wrong::new("this string is not closed").label("`\"` expected here")
    } else {
        Wrong::new(format!("this is not TOML: {message}"))
    };
    wrong.at(span)
}

/// An integer of any radix; none when it does not fit 64 bits.
fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn too_large() -> Wrong {
    Wrong::new("the number is too large").label("does not fit 64 bits")
}

/// Reads what a key of this kind takes.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(
    kind: Kind,
    value: &Spanned<DeValue<'_>>,
    place: Place,
) -> Result<Value, Vec<Diagnostic>> {
    let located = |wrong: Wrong| vec![wrong.locate(place, value.span())];
    match kind {
        Kind::Words(words) => word::words(words, value, place).map(Value::List),
        Kind::Rules => word::rules(value, place).map(Value::List),
        Kind::View => view::read(value, place).map(Value::View),
        Kind::Rates => control::rates(value, place).map(Value::Rates),
        _ => scalar(kind, value.get_ref()).map_err(located),
    }
}

/// Reads a value that is not made of others.
fn scalar(kind: Kind, value: &DeValue<'_>) -> Result<Value, Wrong> {
    match (kind, value) {
        (Kind::Bool, DeValue::Boolean(value)) => Ok(Value::Bool(*value)),
        (Kind::Integer(least, most), DeValue::Integer(_)) => {
            let number = integer(value).ok_or_else(too_large)?;
            if (least..=most).contains(&number) {
                Ok(Value::Integer(number))
            } else {
                Err(Wrong::new(format!("{number} is out of range"))
                    .label(format!("must be {least} to {most}")))
            }
        }
        (Kind::Size, DeValue::String(text)) => amount::size(text).map(Value::Size),
        (Kind::Bytes, DeValue::String(text)) => amount::bytes(text).map(Value::Size),
        (Kind::Size | Kind::Bytes, DeValue::Integer(_)) => {
            amount::plain_bytes(integer(value).ok_or_else(too_large)?).map(Value::Size)
        }
        (Kind::Count, DeValue::String(text)) => amount::count(text).map(Value::Count),
        (Kind::Count, DeValue::Integer(_)) => {
            amount::plain_count(integer(value).ok_or_else(too_large)?).map(Value::Count)
        }
        (Kind::Cpu, DeValue::String(text)) => amount::cpu(text).map(Value::Cpu),
        (Kind::Duration, DeValue::String(text)) => time::duration(text).map(Value::Duration),
        (Kind::Duration, DeValue::Integer(_)) => {
            time::seconds(integer(value).ok_or_else(too_large)?).map(Value::Duration)
        }
        (Kind::Mode, DeValue::String(text)) => word::mode(text).map(Value::Mode),
        (Kind::Word(words), DeValue::String(text)) => word::word(words, text).map(Value::Word),
        (Kind::Text, DeValue::String(text)) => word::text(text).map(Value::Text),
        (Kind::Hostname, DeValue::String(text)) => word::hostname(text).map(Value::Text),
        (Kind::Path, DeValue::String(text)) => path::value(text).map(Value::Text),
        (Kind::Namespace, value) => word::namespace(value).map(Value::Namespace),
        (Kind::SyscallAction, DeValue::String(text)) => action(text).map(Value::Syscall),
        (Kind::Keep, DeValue::String(text)) => {
            word::word(super::table::KEEP_WORDS, text).map(|word| Value::Keep(word == "keep"))
        }
        (Kind::Variable, value) => word::variable(value).map(Value::Variable),
        (Kind::Device, value) => word::device(value).map(Value::Device),
        (Kind::Id, value) => word::id(value).map(Value::Id),
        (Kind::Weight, DeValue::String(text)) => word::word(&["idle"], text).map(Value::Word),
        (Kind::Weight, value) => scalar(Kind::Integer(1, 10_000), value),
        (Kind::Ranges, DeValue::String(text)) => control::ranges(text).map(Value::Ranges),
        (Kind::NetClass, DeValue::String(text)) => control::net_class(text).map(Value::Integer),
        (Kind::NetClass, DeValue::Integer(_)) => scalar(Kind::Integer(1, u32::MAX.into()), value),
        (Kind::IoPriority, DeValue::String(text)) => {
            attribute::io_priority(text).map(Value::IoPriority)
        }
        (Kind::Scheduler, DeValue::String(text)) => {
            attribute::scheduler(text).map(Value::Scheduler)
        }
        (Kind::CpuSet, DeValue::String(text)) => cpu_set(text).map(Value::CpuSet),
        _ => Err(mistyped(kind, value)),
    }
}

/// The elements of an array of strings, with their places, and what is wrong with the others; at most `most` of them.
pub fn strings(
    kind: Kind,
    value: &Spanned<DeValue<'_>>,
    most: usize,
    place: Place,
) -> (Vec<Located<String>>, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let mut wrong = Vec::new();
    let Some(array) = value.get_ref().as_array() else {
        wrong.push(mistyped(kind, value.get_ref()).locate(place, value.span()));
        return (found, wrong);
    };
    if array.len() > most {
        let error = Wrong::new(format!("{} entries are too many", array.len()));
        wrong.push(
            error
                .label(format!("at most {most}"))
                .locate(place, value.span()),
        );
        return (found, wrong);
    }
    for element in array.iter() {
        match element.get_ref() {
            DeValue::String(text) => {
                found.push(Located::new(text.to_string(), place.site(element.span())));
            }
            other => wrong.push(
                Wrong::new(format!("expected a string, found {}", type_of(other)))
                    .label(type_of(other))
                    .locate(place, element.span()),
            ),
        }
    }
    (found, wrong)
}
