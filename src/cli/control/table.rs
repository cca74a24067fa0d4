//! Columns for people: as wide as their widest cell, numbers on the right.

use crate::report::escape;
use crate::report::paint::Paint;

/// A column: its heading, and whether it stands on the right.
pub(super) type Column = (&'static str, bool);

/// Rows under headings; the last column is not padded. Every row has a cell for every column.
pub(super) fn text(columns: &[Column], rows: &[Vec<String>], paint: Paint) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            row.iter()
                .map(|cell| escape::line(cell).into_owned())
                .collect()
        })
        .collect();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, (heading, _))| {
            let cells = rows.iter().filter_map(|row| row.get(at));
            let widest = cells.map(|cell| cell.chars().count()).max();
            widest.unwrap_or(0).max(heading.len())
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for ((cell, (_, right)), &width) in cells.zip(columns).zip(&widths) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            match right {
                true => line.push_str(&format!("{cell:>width$}")),
                false => line.push_str(&format!("{cell:width$}")),
            }
        }
        line.trim_end().to_owned()
    };
    let mut out = paint.strong(&line(&mut columns.iter().map(|(heading, _)| *heading)));
    out.push('\n');
    for row in &rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
        out.push('\n');
    }
    out
}

/// What is not known.
pub(super) const NOTHING: &str = "-";

/// Bytes in at most seven characters: `1.5G`, `512M`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 5] = [
        (1 << 50, "P"),
        (1 << 40, "T"),
        (1 << 30, "G"),
        (1 << 20, "M"),
        (1 << 10, "K"),
    ];
    for (unit, name) in UNITS {
        if bytes >= unit {
            let tenths = bytes / (unit / 10).max(1);
            return match (tenths / 10, tenths % 10) {
                (whole, part) if whole < 10 && part > 0 => format!("{whole}.{part}{name}"),
                _ => format!("{}{name}", bytes / unit),
            };
        }
    }
    bytes.to_string()
}

/// `USED/LIMIT`.
pub(super) fn of_limit(used: Option<u64>, limit: Option<u64>, say: fn(u64) -> String) -> String {
    let part = |number: Option<u64>| number.map_or_else(|| NOTHING.to_owned(), say);
    match limit {
        Some(_) => format!("{}/{}", part(used), part(limit)),
        None => part(used),
    }
}

/// Milliseconds as `12s`, `5m`, `3h`, `2d`.
pub(super) fn age(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Milliseconds since 1970 as RFC 3339 has them, in UTC.
pub(super) fn date(milliseconds: u64) -> String {
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days to a civil date: years are counted from March, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{rest:03}Z",
        second / 3600,
        second % 3600 / 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["a".to_owned(), "1".to_owned(), "x\u{1b}y".to_owned()],
            vec!["longer".to_owned(), "22".to_owned(), "z".to_owned()],
        ];
        assert_eq!(
            text(
                &[("NAME", false), ("N", true), ("WHAT", false)],
                &rows,
                Paint::PLAIN
            ),
            "NAME     N  WHAT\na        1  x\\x1by\nlonger  22  z\n"
        );
    }

    #[test]
    fn numbers_are_short() {
        for (number, said) in [
            (0, "0"),
            (1023, "1023"),
            (1 << 10, "1K"),
            (3 << 30, "3G"),
            ((3 << 30) / 2, "1.5G"),
            (512 << 20, "512M"),
            (u64::MAX, "16383P"),
        ] {
            assert_eq!(bytes(number), said);
        }
        assert_eq!(age(59_999), "59s");
        assert_eq!(age(3_660_000), "1h01m");
        assert_eq!(age(90_000_000), "1d01h");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(date(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(date(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
        assert_eq!(date(1_735_689_600_000), "2025-01-01T00:00:00.000Z");
        assert_eq!(date(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }
}
