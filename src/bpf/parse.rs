//! Reads the keys of `[syscalls]`: `default`, `@group`, `call`, `call(CONDITION, …)`.
//!
//! A condition stands for the argument at its place: `_` any value, `VALUE` equal, `!=VALUE`, `<VALUE`, `<=VALUE`,
//! `>VALUE`, `>=VALUE`, `&VALUE` any of these bits set. A value is a constant's name or a number (decimal, `0x…`, `0o…`,
//! for equality also negative), several joined by `|`.

use std::ops::Range;

use super::argument::{self, Argument, Comparison, Condition, Kind};
use super::{Arch, ArgumentRule, Key, KeyError, constants, groups};
use crate::report::suggest::nearest;

/// A piece of the key and where it begins.
#[derive(Clone, Copy)]
struct Piece<'t> {
    text: &'t str,
    start: usize,
}

impl<'t> Piece<'t> {
    fn span(self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    fn trim(self) -> Self {
        let text = self.text.trim_start();
        Self {
            text: text.trim_end(),
            start: self.start + self.text.len() - text.len(),
        }
    }

    fn split(self, separator: char) -> impl Iterator<Item = Self> {
        let mut start = self.start;
        self.text.split(separator).map(move |text| {
            let piece = Self { text, start };
            start += text.len() + separator.len_utf8();
            piece
        })
    }

    fn skip(self, prefix: &str) -> Option<Self> {
        let text = self.text.strip_prefix(prefix)?;
        Some(Self {
            text,
            start: self.start + prefix.len(),
        })
    }

    fn shown(self) -> String {
        self.text.escape_debug().to_string()
    }
}

/// See [`Key::parse`].
pub(super) fn key(text: &str) -> Result<Key, KeyError> {
    let key = Piece { text, start: 0 }.trim();
    if key.text == "default" {
        return Ok(Key::Default);
    }
    if key.text.starts_with('@') {
        return group(key);
    }
    let Some((name, rest)) = key.text.split_once('(') else {
        return Ok(Key::Call(call(key)?.to_owned()));
    };
    let name = Piece {
        text: name,
        start: key.start,
    }
    .trim();
    let rest = Piece {
        text: rest,
        start: key.start + key.text.len() - rest.len(),
    };
    let Some(inside) = rest.text.strip_suffix(')') else {
        return Err(KeyError::new(
            rest.span(),
            "the conditions do not end with `)`",
        ));
    };
    let call = call(name)?;
    let arguments = argument::signature(call).ok_or_else(|| not_testable(name))?;
    let conditions = conditions(
        call,
        arguments,
        Piece {
            text: inside,
            start: rest.start,
        },
    )?;
    if conditions.is_empty() {
        return Err(KeyError::new(key.span(), "no argument is tested")
            .help(format!("write `{call}` for every use of it")));
    }
    Ok(Key::CallWithArguments(ArgumentRule::new(call, conditions)))
}

fn group(key: Piece<'_>) -> Result<Key, KeyError> {
    let known = groups().map(|group| group.name);
    if known.clone().any(|name| name == key.text) {
        return Ok(Key::Group(key.text.to_owned()));
    }
    Err(
        KeyError::new(key.span(), format!("there is no group `{}`", key.shown()))
            .near(nearest(key.text, known)),
    )
}

/// The name as the tables have it, when any architecture has it.
fn call(name: Piece<'_>) -> Result<&str, KeyError> {
    if name.text.is_empty() {
        return Err(KeyError::new(
            name.span(),
            "the name of a system call is missing",
        ));
    }
    if Arch::ALL
        .iter()
        .any(|arch| arch.number(name.text).is_some())
    {
        return Ok(name.text);
    }
    let known = Arch::ALL
        .iter()
        .flat_map(|arch| arch.calls())
        .map(|(_, name)| *name);
    let error = KeyError::new(
        name.span(),
        format!("there is no system call `{}`", name.shown()),
    );
    Err(error.near(nearest(name.text, known.chain(["default"]))))
}

fn not_testable(name: Piece<'_>) -> KeyError {
    let mut list = String::from("arguments can be tested for");
    let mut width = list.len();
    for (index, call) in argument::supported_calls().enumerate() {
        list.push_str(if index == 0 { " " } else { ", " });
        width += call.len() + 2;
        if width > 110 {
            list.push_str("\n  ");
            width = call.len() + 4;
        }
        list.push_str(call);
    }
    KeyError::new(
        name.span(),
        format!("the arguments of `{}` cannot be tested", name.shown()),
    )
    .help(list)
}

fn conditions(
    call: &str,
    arguments: &[Argument],
    inside: Piece<'_>,
) -> Result<Vec<Condition>, KeyError> {
    let mut conditions = Vec::new();
    for (index, piece) in inside.split(',').enumerate() {
        let piece = piece.trim();
        let Some((kind, name)) = arguments.get(index) else {
            let takes = match arguments.len() {
                1 => "1 argument".to_owned(),
                count => format!("{count} arguments"),
            };
            return Err(KeyError::new(
                piece.span(),
                format!("`{call}` takes {takes}"),
            ));
        };
        let name = name.as_str();
        if piece.text.is_empty() {
            let error = KeyError::new(
                piece.span(),
                format!("the condition on `{name}` is missing"),
            );
            return Err(error.help("write `_` for any value"));
        }
        if piece.text != "_" {
            conditions.push(condition(call, *kind, name, index, piece)?);
        }
    }
    Ok(conditions)
}

fn condition(
    call: &str,
    kind: Kind,
    name: &str,
    index: usize,
    piece: Piece<'_>,
) -> Result<Condition, KeyError> {
    let refused = |message: String| Err(KeyError::new(piece.span(), message));
    match kind {
        Kind::Pointer => {
            return refused(format!(
                "`{name}` of `{call}` is a pointer: a filter sees the address only, and what lies there can change after the check"
            ));
        }
        Kind::Varies => {
            return refused(format!(
                "what `{name}` of `{call}` means depends on its other arguments or the architecture, so it cannot be tested"
            ));
        }
        Kind::Int32 | Kind::Int64 | Kind::Mode => {}
    }
    let signs: &[Comparison] = match piece.text.as_bytes() {
        [b'!', ..] => &[Comparison::NotEqual],
        [b'<', ..] => &[Comparison::LessOrEqual, Comparison::Less],
        [b'>', ..] => &[Comparison::GreaterOrEqual, Comparison::Greater],
        [b'&', ..] => &[Comparison::AnyBitOf],
        _ => &[],
    };
    let (comparison, value) = signs
        .iter()
        .find_map(|comparison| Some((*comparison, piece.skip(comparison.sign())?.trim())))
        .unwrap_or((Comparison::Equal, piece));
    let number = values(value)?;
    let ordered = !matches!(
        comparison,
        Comparison::Equal | Comparison::NotEqual | Comparison::AnyBitOf
    );
    if kind == Kind::Mode && comparison != Comparison::AnyBitOf {
        return Err(KeyError::new(
            piece.span(),
            format!("`{name}` of `{call}` is a file mode, of which the kernel reads 16 bits"),
        )
        .help("test single bits, as in `&S_ISUID|S_ISGID`"));
    }
    if ordered && number < 0 {
        return refused(
            "arguments are compared as unsigned numbers; a negative one has no order".to_owned(),
        );
    }
    if number == 0 && matches!(comparison, Comparison::Less | Comparison::GreaterOrEqual) {
        return refused(
            "arguments are compared as unsigned numbers; this is the same for all of them"
                .to_owned(),
        );
    }
    if comparison == Comparison::AnyBitOf && number <= 0 {
        return refused("`&` needs at least one bit".to_owned());
    }
    let wide = kind == Kind::Int64;
    if wide && number < 0 {
        return refused(format!("`{name}` of `{call}` is an unsigned number"));
    }
    let bits = match kind {
        Kind::Mode => 16,
        _ => 32,
    };
    let fits = wide || (-(1 << (bits - 1))..1 << bits).contains(&number);
    if !fits {
        return Err(KeyError::new(
            value.span(),
            format!("`{name}` of `{call}` has {bits} bits, this value has more"),
        ));
    }
    // Both casts are the two's complement that the kernel reads.
    let value = if wide {
        number as u64
    } else {
        u64::from(number as u32)
    };
    let index =
        u8::try_from(index).map_err(|_| KeyError::new(piece.span(), "too many arguments"))?;
    Ok(Condition {
        index,
        wide,
        comparison,
        value,
    })
}

/// One value, or several joined by `|`.
fn values(piece: Piece<'_>) -> Result<i64, KeyError> {
    let mut all = 0;
    for piece in piece.split('|') {
        let piece = piece.trim();
        if piece.text.is_empty() {
            return Err(KeyError::new(
                piece.span(),
                "a constant or a number is missing",
            ));
        }
        let first = piece.text.trim_start_matches('-').chars().next();
        let value = if first.is_some_and(|letter| letter.is_ascii_digit()) {
            number(piece.text).ok_or_else(|| {
                KeyError::new(piece.span(), format!("`{}` is no number", piece.shown()))
                    .help("numbers are decimal, `0x…` or `0o…` and below 2^63")
            })?
        } else {
            constants::value(piece.text).ok_or_else(|| {
                KeyError::new(
                    piece.span(),
                    format!("there is no constant `{}`", piece.shown()),
                )
                .near(nearest(piece.text, constants::names()))
                .help("a number can be written instead")
            })?
        };
        all |= value;
    }
    Ok(all)
}

/// A number; a leading 0 that C would read as octal is refused rather than misread.
fn number(text: &str) -> Option<i64> {
    let (digits, radix) = match text.get(..2) {
        Some("0x") => (text.get(2..)?, 16),
        Some("0o") => (text.get(2..)?, 8),
        _ => (text, 10),
    };
    let bare = digits
        .strip_prefix('-')
        .filter(|_| radix == 10)
        .unwrap_or(digits);
    if !bare.starts_with(|letter: char| letter.is_ascii_hexdigit())
        || (radix == 10 && bare.len() > 1 && bare.starts_with('0'))
    {
        return None;
    }
    i64::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Comparison, Key, KeyError};

    fn refused(text: &str) -> (String, KeyError) {
        let error = Key::parse(text).unwrap_err();
        (text.get(error.span.clone()).unwrap().to_owned(), error)
    }

    fn condition(text: &str) -> (u8, bool, Comparison, u64) {
        match Key::parse(text).unwrap() {
            Key::CallWithArguments(rule) => match rule.conditions() {
                [one] => (one.index(), one.is_wide(), one.comparison(), one.value()),
                _ => panic!("{text}"),
            },
            _ => panic!("{text}"),
        }
    }

    #[test]
    fn keys_are_read() {
        assert_eq!(Key::parse("default").unwrap(), Key::Default);
        assert_eq!(Key::parse("@mount").unwrap(), Key::Group("@mount".into()));
        assert_eq!(Key::parse(" ptrace ").unwrap(), Key::Call("ptrace".into()));
        assert_eq!(
            Key::parse("socketcall").unwrap(),
            Key::Call("socketcall".into())
        );
        assert_eq!(
            condition("socket(AF_NETLINK)"),
            (0, false, Comparison::Equal, 16)
        );
        assert_eq!(
            condition("ioctl(_, TIOCSTI)"),
            (1, false, Comparison::Equal, 0x5412)
        );
        assert_eq!(
            condition("ioctl ( _ , 0x5412 , _ )"),
            (1, false, Comparison::Equal, 0x5412)
        );
        assert_eq!(
            condition("clone(&CLONE_NEWUSER | CLONE_NEWNS)"),
            (0, false, Comparison::AnyBitOf, 0x1002_0000)
        );
        assert_eq!(
            condition("personality(!=0)"),
            (0, false, Comparison::NotEqual, 0)
        );
        assert_eq!(
            condition("socket(>=AF_VSOCK)"),
            (0, false, Comparison::GreaterOrEqual, 40)
        );
        assert_eq!(condition("socket(> 1)"), (0, false, Comparison::Greater, 1));
        assert_eq!(condition("socket(<2)"), (0, false, Comparison::Less, 2));
        assert_eq!(
            condition("socket(<=2)"),
            (0, false, Comparison::LessOrEqual, 2)
        );
        assert_eq!(
            condition("kill(-1)"),
            (0, false, Comparison::Equal, 0xffff_ffff)
        );
        assert_eq!(
            condition("openat(AT_FDCWD)"),
            (0, false, Comparison::Equal, 0xffff_ff9c)
        );
        assert_eq!(
            condition("chmod(_, &0o6000)"),
            (1, false, Comparison::AnyBitOf, 0o6000)
        );
        assert_eq!(
            condition("shmget(_, >0x100000000)"),
            (1, true, Comparison::Greater, 1 << 32)
        );
    }

    #[test]
    fn keys_are_shown_as_they_are_read() {
        for text in [
            "default",
            "@mount",
            "ptrace",
            "socket(0x10)",
            "ioctl(_, 0x5412)",
            "socket(!=0x1, _, &0x8)",
            "prlimit64(_, >=0x3)",
        ] {
            assert_eq!(Key::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn misspelt_names_get_the_nearest_one() {
        let (at, error) = refused("ptrce");
        assert_eq!(
            (at.as_str(), error.nearest.as_deref()),
            ("ptrce", Some("ptrace"))
        );
        let (at, error) = refused("@mont");
        assert_eq!(
            (at.as_str(), error.nearest.as_deref()),
            ("@mont", Some("@mount"))
        );
        let (at, error) = refused("socket(_, SOCK_RWA)");
        assert_eq!(
            (at.as_str(), error.nearest.as_deref()),
            ("SOCK_RWA", Some("SOCK_RAW"))
        );
        let (at, error) = refused("clone(&CLONE_NEWNS|CLONE_NEWUSR)");
        assert_eq!(
            (at.as_str(), error.nearest.as_deref()),
            ("CLONE_NEWUSR", Some("CLONE_NEWUSER"))
        );
        assert_eq!(refused("defualt").1.nearest.as_deref(), Some("default"));
        assert_eq!(refused("qqqqqqqq").1.nearest, None);
        assert!(refused("x\u{1b}[2J").1.message.contains("`x\\u{1b}[2J`"));
    }

    #[test]
    fn untestable_arguments_are_refused() {
        let (at, error) = refused("openat(_, 5)");
        assert_eq!(at, "5");
        assert!(
            error
                .message
                .contains("`pathname` of `openat` is a pointer")
        );
        assert!(refused("prctl(_, 1)").1.message.contains("depends on"));
        let (at, error) = refused("read(0)");
        assert_eq!(at, "read");
        assert!(error.help.concat().contains("ioctl"));
        assert!(refused("mknod(_, S_IFBLK)").1.message.contains("16 bits"));
    }

    #[test]
    fn bad_syntax_points_at_the_place() {
        for (text, place) in [
            ("", ""),
            ("socket(", ""),
            ("socket(1", "1"),
            ("socket()", ""),
            ("socket(_)", "socket(_)"),
            ("socket(_, _)", "socket(_, _)"),
            ("socket(1,,2)", ""),
            ("socket(1|)", ""),
            ("socket(!=)", ""),
            ("socket(1, 2, 3, 4)", "4"),
            ("socket(<-1)", "<-1"),
            ("socket(<0)", "<0"),
            ("socket(>=0)", ">=0"),
            ("socket(&0)", "&0"),
            ("socket(&-1)", "&-1"),
            ("socket(0x100000000)", "0x100000000"),
            ("socket(99999999999999999999)", "99999999999999999999"),
            ("socket(010)", "010"),
            ("socket(0x)", "0x"),
            ("socket(0x-1)", "0x-1"),
            ("socket(0x+1)", "0x+1"),
            ("socket(1é)", "1é"),
            ("socket(1))", "1)"),
            ("(1)", ""),
            ("chmod(_, &0x10000)", "0x10000"),
        ] {
            assert_eq!(refused(text).0, place, "{text}: {}", refused(text).1);
        }
    }
}
