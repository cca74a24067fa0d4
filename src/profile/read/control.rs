//! Values of limits that are neither amounts nor words: lists of CPUs, rates of devices, classes of packets.

use toml::Spanned;
use toml::de::DeValue;

use super::{Place, Wrong, amount, integer, mistyped, too_large};
use crate::profile::key::Kind;
use crate::profile::value::{Count, Ranges, Rates, Size};
use crate::report::Diagnostic;
use crate::report::suggest::nearest;

/// More CPUs than any kernel is built for (CONFIG_NR_CPUS).
const MOST: u32 = 65_535;

/// CPUs or memory nodes.
///
/// # Errors
/// As of [`numbers`].
pub fn ranges(text: &str) -> Result<Ranges, Wrong> {
    Ok(Ranges::of(numbers(text, MOST)?))
}

/// Numbers and ranges as the kernel lists them, but not in its form with a step (`0-31:2/4`); at least one, and none
/// beyond `most`.
///
/// # Errors
/// It is no such list.
pub fn numbers(text: &str, most: u32) -> Result<Vec<(u32, u32)>, Wrong> {
    let wrong =
        |label: String| Wrong::new(format!("`{text}` is not a list of numbers")).label(label);
    if text.is_empty() {
        return Err(wrong("empty".to_owned())
            .help("leave the key out, or write \"inherit\", for all of them"));
    }
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse::<u32>().unwrap_or(u32::MAX))
    };
    let parts = text.split(',').map(|part| {
        let part = part.trim();
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first.max(last) > most => {
                Err(wrong(format!("no machine has more than {most}")))
            }
            (Some(first), Some(last)) if first > last => {
                Err(wrong(format!("`{part}` runs backwards"))
                    .help(format!("write \"{last}-{first}\"")))
            }
            (Some(first), Some(last)) => Ok((first, last)),
            _ => Err(wrong(format!("`{part}` is neither a number nor a range"))
                .help("numbers and ranges with commas, such as \"0-3,7\"")),
        }
    });
    parts.collect()
}

/// The class of packets: `MAJOR:MINOR`, both hexadecimal as tc(8) reads them, or one number, hexadecimal with `0x`.
///
/// # Errors
/// It is none, or is 0, which is no class.
pub fn net_class(text: &str) -> Result<i64, Wrong> {
    let wrong = |label: &str| {
        Wrong::new(format!("`{text}` is not a class of packets"))
            .label(label)
            .help("write \"MAJOR:MINOR\" in hexadecimal digits as tc(8) does, such as \"10:1\", or one number such as \"0x100001\"")
    };
    let hex = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
        plain.then(|| u64::from_str_radix(text, 16).ok()).flatten()
    };
    let class = if let Some((major, minor)) = text.split_once(':') {
        let part = |text| hex(text).filter(|part| *part <= 0xffff);
        let (Some(major), Some(minor)) = (part(major), part(minor)) else {
            return Err(wrong("each half is 0 to ffff"));
        };
        major << 16 | minor
    } else if let Some(digits) = text.strip_prefix("0x") {
        hex(digits).ok_or_else(|| wrong("no hexadecimal number"))?
    } else if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().map_err(|_| wrong("too large"))?
    } else {
        return Err(wrong("neither MAJOR:MINOR nor a number"));
    };
    match u32::try_from(class) {
        Ok(0) => Err(wrong("0 is no class")),
        Ok(class) => Ok(class.into()),
        // The kernel takes larger numbers, and forgets their upper half.
        Err(_) => Err(wrong("does not fit 32 bits")),
    }
}

const KEYS: [&str; 4] = ["read", "write", "read-operations", "write-operations"];

/// Rates of a device.
///
/// # Errors
/// Everything that is wrong with them.
pub fn rates(value: &Spanned<DeValue<'_>>, place: Place) -> Result<Rates, Vec<Diagnostic>> {
    let DeValue::Table(table) = value.get_ref() else {
        return Err(vec![
            mistyped(Kind::Rates, value.get_ref()).locate(place, value.span()),
        ]);
    };
    let mut rates = Rates::default();
    let mut wrong = Vec::new();
    for (key, given) in table.iter() {
        let result = match key.get_ref().as_ref() {
            "read" => rate(given.get_ref(), true).map(|rate| rates.read = rate),
            "write" => rate(given.get_ref(), true).map(|rate| rates.write = rate),
            "read-operations" => {
                rate(given.get_ref(), false).map(|rate| rates.read_operations = rate)
            }
            "write-operations" => {
                rate(given.get_ref(), false).map(|rate| rates.write_operations = rate)
            }
            other => {
                let error = Wrong::new(format!("there is no rate `{other}`"));
                let error = match nearest(other, KEYS) {
                    Some(near) => error.label(format!("did you mean `{near}`?")),
                    None => error
                        .label("unknown key")
                        .help(format!("rates are {}", KEYS.join(", "))),
                };
                wrong.push(error.locate(place, key.span()));
                continue;
            }
        };
        if let Err(error) = result {
            wrong.push(error.locate(place, given.span()));
        }
    }
    if table.iter().next().is_none() {
        let error = Wrong::new("the table says no rate")
            .help("such as { read = \"20M\", write = \"10M\", read-operations = 500, write-operations = 200 }");
        wrong.push(error.locate(place, value.span()));
    }
    if wrong.is_empty() {
        Ok(rates)
    } else {
        Err(wrong)
    }
}

/// So much in a second; none for `max`.
fn rate(value: &DeValue<'_>, bytes: bool) -> Result<Option<u64>, Wrong> {
    let number = || integer(value).ok_or_else(too_large);
    let rate = match (value, bytes) {
        (DeValue::String(text), true) => match amount::bytes(text)? {
            Size::Bytes(bytes) => Some(bytes),
            Size::Max | Size::OfRam(_) => None,
        },
        (DeValue::Integer(_), true) => match amount::plain_bytes(number()?)? {
            Size::Bytes(bytes) => Some(bytes),
            Size::Max | Size::OfRam(_) => None,
        },
        (DeValue::String(text), false) => match amount::count(text)? {
            Count::Number(number) => Some(number),
            Count::Max => None,
        },
        (DeValue::Integer(_), false) => match amount::plain_count(number()?)? {
            Count::Number(number) => Some(number),
            Count::Max => None,
        },
        (other, true) => return Err(mistyped(Kind::Bytes, other)),
        (other, false) => return Err(mistyped(Kind::Count, other)),
    };
    match rate {
        // To the kernel 0 means no limit (v1) or is an error (v2).
        Some(0) => Err(Wrong::new("a rate of 0 is none")
            .label("at least 1 in a second")
            .help("to keep a program from a place: `[filesystem]`; \"max\" for no limit")),
        Some(rate) if !bytes && rate >= u64::from(u32::MAX) => {
            Err(Wrong::new("the rate is too large")
                .label("does not fit 32 bits")
                .help("write \"max\" for no limit"))
        }
        rate => Ok(rate),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::report::SourceId;

    #[test]
    fn lists_are_put_in_order() {
        for (text, canonical) in [
            ("0-3,7", "0-3,7"),
            ("7,0-3", "0-3,7"),
            ("1,2,3", "1-3"),
            ("0-5,2-9", "0-9"),
            ("4", "4"),
            ("3,1-2, 0", "0-3"),
        ] {
            assert_eq!(ranges(text).unwrap().to_string(), canonical);
        }
        for text in [
            "",
            ",",
            "1,",
            "a",
            "1-",
            "-1",
            "3-1",
            "1-2-3",
            "0-31:2/4",
            "0 1",
            "+1",
            "99999999999",
            "65536",
        ] {
            assert!(ranges(text).is_err(), "{text}");
        }
        assert_eq!(ranges("3-1").unwrap_err().help, ["write \"1-3\""]);
    }

    #[test]
    fn what_lists_lack() {
        let parse = |text| Ranges::parse(text).unwrap();
        for (asked, there, lack) in [
            ("0-3", "0-1", "2-3"),
            ("0-9", "2-3,5", "0-1,4,6-9"),
            ("1", "0-3", ""),
            ("8", "0-3", "8"),
        ] {
            assert_eq!(
                parse(asked).without(&parse(there)).to_string(),
                lack,
                "{asked} of {there}"
            );
        }
        assert_eq!(Ranges::parse("3-1"), None);
        assert_eq!(Ranges::parse("\n"), Some(Ranges::default()));
        let all = Ranges(vec![(0, u32::MAX)]);
        assert_eq!(all.without(&all), Ranges::default());
    }

    #[test]
    fn classes_are_tcs() {
        for (text, class) in [
            ("1:1", 0x1_0001),
            ("10:1", 0x10_0001),
            ("0x10001", 0x1_0001),
            ("65537", 0x1_0001),
            ("ffff:ffff", 0xffff_ffff),
        ] {
            assert_eq!(net_class(text), Ok(class), "{text}");
        }
        for text in [
            "",
            "0",
            "0x0",
            "0:0",
            "1:",
            ":1",
            "10000:1",
            "0x100000000",
            "4294967296",
            "-1",
            "1:g",
            "+1:1",
        ] {
            assert!(net_class(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_of_any_kind() {
        let read = |text: &str| {
            let value = DeValue::parse(text).unwrap();
            rates(&value, Place::whole(SourceId::default()))
        };
        let all = read(
            "{ read = \"20M\", write = 1000, read-operations = 500, write-operations = \"max\" }",
        )
        .unwrap();
        assert_eq!(
            all,
            Rates {
                read: Some(20 << 20),
                write: Some(1000),
                read_operations: Some(500),
                write_operations: None
            }
        );
        for text in [
            "{}",
            "1",
            "\"20M\"",
            "{ raed = 1 }",
            "{ read = 0 }",
            "{ read = \"5%\" }",
            "{ read-operations = \"1K\" }",
            "{ read = true }",
            "{ write-operations = 4294967295 }",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
