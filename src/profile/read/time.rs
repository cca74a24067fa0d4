//! Durations.

use std::time::Duration;

use super::Wrong;

/// Suffixes and their milliseconds, the largest first.
pub const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// A hundred years: longer is a mistake.
const LONGEST: u64 = 36_525 * 86_400_000;

fn checked(text: &str, milliseconds: Option<u64>) -> Result<Duration, Wrong> {
    match milliseconds {
        Some(0) => Err(Wrong::new(format!("`{text}` is no time at all"))
            .help("leave the key out, or write \"inherit\", for no limit")),
        Some(milliseconds) if milliseconds <= LONGEST => Ok(Duration::from_millis(milliseconds)),
        _ => Err(Wrong::new(format!("`{text}` is too long"))
            .label("more than a hundred years")
            .help("leave the key out, or write \"inherit\", for no limit")),
    }
}

/// A number with `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
/// It is none, is zero, or is longer than a hundred years.
pub fn duration(text: &str) -> Result<Duration, Wrong> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let wrong = Wrong::new(format!("`{text}` is not a duration"));
    let advice = "write a whole number and one of ms, s, m, h, d, such as \"90s\"";
    if digits.is_empty() {
        return Err(wrong.help(advice));
    }
    if unit.is_empty() {
        return Err(wrong.label("no unit").help(format!(
            "write \"{text}s\" for seconds, \"{text}m\" for minutes"
        )));
    }
    let Some((_, milliseconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(wrong.label(format!("unknown unit `{unit}`")).help(advice));
    };
    checked(
        text,
        digits
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*milliseconds)),
    )
}

/// An integer as seconds.
///
/// # Errors
/// It is negative, zero, or more than a hundred years.
pub fn seconds(number: i64) -> Result<Duration, Wrong> {
    let text = number.to_string();
    let Ok(positive) = u64::try_from(number) else {
        return Err(Wrong::new(format!("`{text}` is not a duration")).label("negative"));
    };
    checked(&text, positive.checked_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86_400)));
        assert_eq!(seconds(3), Ok(Duration::from_secs(3)));
        for text in [
            "",
            "s",
            "5",
            "-5s",
            "1.5h",
            "5 s",
            "5min",
            "1h30m",
            "0s",
            "99999999999999999999d",
            "40000d",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(seconds(-1).is_err() && seconds(0).is_err() && seconds(i64::MAX).is_err());
    }
}
