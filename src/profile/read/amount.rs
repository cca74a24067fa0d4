//! Sizes, counts and CPU time.

use super::Wrong;
use crate::profile::value::{Count, Cpu, Size};

/// The largest size that is accepted: what the kernel's counters of bytes hold.
const MOST_BYTES: u64 = i64::MAX as u64;

/// Suffixes and their powers of two.
const UNITS: [(&str, u32); 6] = [
    ("K", 10),
    ("M", 20),
    ("G", 30),
    ("T", 40),
    ("P", 50),
    ("E", 60),
];

fn not(what: &str, text: &str) -> Wrong {
    Wrong::new(format!("`{text}` is not {what}"))
}

/// Splits digits from what follows them.
fn split(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// Hundredths of a percent: `12.5%` is 1250.
fn percent(text: &str) -> Result<u64, Wrong> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let (whole, rest) = split(number);
    let part = match rest.strip_prefix('.') {
        Some(part) if matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_digit()) => {
            part
        }
        None if rest.is_empty() => "0",
        _ => "",
    };
    if whole.is_empty() || part.is_empty() {
        return Err(
            not("a percentage", text).help("write digits and `%`, such as \"50%\" or \"12.5%\"")
        );
    }
    let scale = if part.len() == 1 { 10 } else { 1 };
    let too_large = || not("a percentage", text).label("too large");
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    let part: u64 = part.parse().map_err(|_| too_large())?;
    whole
        .checked_mul(100)
        .and_then(|hundredths| hundredths.checked_add(part * scale))
        .ok_or_else(too_large)
}

/// What the author of a size that is not one probably meant.
fn wrong_size(text: &str, digits: &str, unit: &str) -> Wrong {
    let wrong = not("a size", text);
    if text.is_empty() {
        return wrong.label("empty");
    }
    if text.starts_with('-') {
        return wrong.label("negative").help("write \"max\" for no limit");
    }
    if digits.is_empty() {
        let word = text.to_ascii_lowercase();
        let wrong = wrong.label("does not begin with a digit");
        return if [
            "unlimited",
            "infinity",
            "none",
            "no",
            "inf",
            "nan",
            "maximum",
        ]
        .contains(&word.as_str())
        {
            wrong.help("write \"max\" for no limit")
        } else {
            wrong.help("write a whole number and K, M, G or T, such as \"3G\"")
        };
    }
    if let Some(fraction) = unit.strip_prefix('.') {
        let (part, suffix) = split(fraction);
        let wrong = wrong.label("sizes are whole numbers");
        let known = UNITS
            .iter()
            .position(|(name, _)| suffix.trim_end_matches("iB") == *name);
        // One decimal of a known unit can be said exactly enough in the unit below.
        if let (Some(at @ 1..), Ok(whole), 1, Ok(tenths)) = (
            known,
            digits.parse::<u32>(),
            part.len(),
            part.parse::<u32>(),
        ) {
            let below = (u64::from(whole) * 10 + u64::from(tenths)) * 1024 / 10;
            if let Some((name, _)) = UNITS.get(at - 1) {
                return wrong.help(format!("write \"{below}{name}\""));
            }
        }
        return wrong.help("use a smaller unit: half a gibibyte is \"512M\"");
    }
    let bare = unit.trim();
    let upper = bare.to_ascii_uppercase();
    for (name, _) in UNITS {
        if upper == format!("{name}B") {
            return wrong
                .label(format!("`{bare}` can mean powers of 1000 or of 1024"))
                .help(format!(
                    "write \"{digits}{name}\" or \"{digits}{name}iB\" for powers of 1024"
                ));
        }
        if upper == name || upper == format!("{name}IB") {
            let label = if bare == unit {
                format!("the unit is written `{name}`")
            } else {
                "there is a space before the unit".to_owned()
            };
            return wrong.label(label).help(format!("write \"{digits}{name}\""));
        }
    }
    if upper == "B" {
        return wrong
            .label("bytes have no unit")
            .help(format!("write {digits}"));
    }
    wrong
        .label(format!("unknown unit `{bare}`"))
        .help("units are K, M, G, T, P and E, powers of 1024; none for bytes")
}

/// Bytes, or `max`.
///
/// # Errors
/// It is none.
pub fn bytes(text: &str) -> Result<Size, Wrong> {
    if text == "max" {
        return Ok(Size::Max);
    }
    if text.ends_with('%') {
        return Err(not("a size", text)
            .label("a percentage makes no sense here")
            .help("write a number of bytes such as \"64M\""));
    }
    let (digits, unit) = split(text);
    let shift = if unit.is_empty() {
        Some(0)
    } else {
        UNITS
            .iter()
            .find(|(name, _)| unit.strip_suffix("iB").unwrap_or(unit) == *name)
            .map(|(_, shift)| *shift)
    };
    let (false, Some(shift)) = (digits.is_empty(), shift) else {
        return Err(wrong_size(text, digits, unit));
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|bytes| *bytes <= MOST_BYTES)
        .map(Size::Bytes)
        .ok_or_else(|| {
            not("a size", text)
                .label("larger than any machine")
                .help("write \"max\" for no limit")
        })
}

/// Bytes, a part of the RAM, or `max`.
///
/// # Errors
/// It is none.
pub fn size(text: &str) -> Result<Size, Wrong> {
    if !text.ends_with('%') {
        return bytes(text);
    }
    let part = percent(text)?;
    u32::try_from(part)
        .ok()
        .filter(|part| *part <= 10_000)
        .map(Size::OfRam)
        .ok_or_else(|| {
            not("a part of the RAM", text)
                .label("more than all of it")
                .help("write \"max\" for no limit")
        })
}

/// An integer as bytes.
///
/// # Errors
/// It is negative.
pub fn plain_bytes(number: i64) -> Result<Size, Wrong> {
    u64::try_from(number)
        .map(Size::Bytes)
        .map_err(|_| wrong_size(&number.to_string(), "", ""))
}

/// `max`.
///
/// # Errors
/// It is another text.
pub fn count(text: &str) -> Result<Count, Wrong> {
    if text == "max" {
        return Ok(Count::Max);
    }
    let wrong = not("a number", text);
    Err(
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            wrong
                .label("a string")
                .help(format!("write {text}, without quotes"))
        } else {
            wrong.help("write a whole number, or \"max\" for no limit")
        },
    )
}

/// An integer as a number of things.
///
/// # Errors
/// It is negative.
pub fn plain_count(number: i64) -> Result<Count, Wrong> {
    u64::try_from(number).map(Count::Number).map_err(|_| {
        not("a number of things", &number.to_string())
            .label("negative")
            .help("write \"max\" for no limit")
    })
}

/// What a number without a unit may have meant: elsewhere a small one is so many CPUs.
pub(super) fn cpus(text: &str) -> String {
    let percent = format!("write \"{text}%\" for {text} % of one CPU");
    match text {
        "1" => format!("{percent}, \"100%\" for the whole of it"),
        _ if text.len() < 3 && !text.starts_with(['0', '-']) => {
            format!("{percent}, \"{text}00%\" for {text} CPUs")
        }
        _ => percent,
    }
}

/// A part of one CPU, or `max`. The kernel grants no less than 1 ms of each 100 ms.
///
/// # Errors
/// It is none.
pub fn cpu(text: &str) -> Result<Cpu, Wrong> {
    if text == "max" {
        return Ok(Cpu::Max);
    }
    if !text.ends_with('%') {
        let wrong = not("a part of a CPU", text);
        return Err(
            if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
                wrong.help(cpus(text))
            } else {
                wrong.help(
                    "write a percentage of one CPU, such as \"150%\", or \"max\" for no limit",
                )
            },
        );
    }
    let share = percent(text)?;
    if share < 100 {
        return Err(
            not("a usable part of a CPU", text).label("the least that the kernel grants is 1%")
        );
    }
    if share > 100_000_000 {
        return Err(not("a usable part of a CPU", text)
            .label("more than 10000 CPUs")
            .help("write \"max\" for no limit"));
    }
    Ok(Cpu::Share(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary() {
        assert_eq!(size("3G"), Ok(Size::Bytes(3 << 30)));
        assert_eq!(size("3GiB"), Ok(Size::Bytes(3 << 30)));
        assert_eq!(size("512"), Ok(Size::Bytes(512)));
        assert_eq!(size("12.5%"), Ok(Size::OfRam(1250)));
        assert_eq!(size("0.05%"), Ok(Size::OfRam(5)));
        assert_eq!(size("max"), Ok(Size::Max));
        assert_eq!(size("7E"), Ok(Size::Bytes(7 << 60)));
    }

    #[test]
    fn what_is_no_size_is_refused_with_advice() {
        for (text, advice) in [
            ("3GB", "write \"3G\" or \"3GiB\" for powers of 1024"),
            ("3g", "write \"3G\""),
            ("3 G", "write \"3G\""),
            ("1.5G", "write \"1536M\""),
            ("0.5", "use a smaller unit: half a gibibyte is \"512M\""),
            ("-1", "write \"max\" for no limit"),
            ("unlimited", "write \"max\" for no limit"),
            ("8E", "write \"max\" for no limit"),
            ("99999999999999999999999", "write \"max\" for no limit"),
            ("101%", "write \"max\" for no limit"),
            (
                "3Q",
                "units are K, M, G, T, P and E, powers of 1024; none for bytes",
            ),
            ("5B", "write 5"),
            (
                "٣G",
                "write a whole number and K, M, G or T, such as \"3G\"",
            ),
        ] {
            let wrong = size(text).expect_err(text);
            assert_eq!(wrong.help, [advice], "{text}");
        }
        for text in [
            "", "%", ".5%", "5.%", "1e3", "0x10", "1_000", "+1", "K", "iB", "3iB", "5.123%", "5%%",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(bytes("25%").is_err());
    }

    #[test]
    fn numbers_of_cpus_are_led_to_percentages() {
        assert!(cpus("2").ends_with("\"200%\" for 2 CPUs"));
        assert!(cpus("1").ends_with("\"100%\" for the whole of it"));
        assert!(!cpus("150").contains("15000") && !cpus("0").contains("000"));
    }

    #[test]
    fn cpu_is_a_share_of_one() {
        assert_eq!(cpu("150%"), Ok(Cpu::Share(15_000)));
        assert_eq!(cpu("max"), Ok(Cpu::Max));
        for text in [
            "0%",
            "0.5%",
            "-5%",
            "150",
            "18446744073709551615%",
            "99999999999%",
        ] {
            assert!(cpu(text).is_err(), "{text}");
        }
    }
}
