//! One picture of `sandboxctl top`, from numbers to text.

use std::cmp::Ordering;

use crate::control::statistics::{Counted, Statistics};
use crate::report::escape;
use crate::report::paint::Paint;

use super::super::table;

/// What is sorted by, the greatest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Order {
    Memory,
    Cpu,
    Processes,
    Io,
    Name,
}

impl Order {
    pub fn of_key(key: u8) -> Option<Self> {
        Some(match key.to_ascii_lowercase() {
            b'm' => Self::Memory,
            b'c' => Self::Cpu,
            b'p' => Self::Processes,
            b'i' => Self::Io,
            b'n' => Self::Name,
            _ => return None,
        })
    }

    fn compare(self, a: &Row, b: &Row) -> Ordering {
        let number =
            |a: Option<f64>, b: Option<f64>| b.unwrap_or(-1.0).total_cmp(&a.unwrap_or(-1.0));
        let io = |row: &Row| Some(row.read.unwrap_or(0.0) + row.written.unwrap_or(0.0));
        let by = match self {
            Self::Memory => b.now.memory.cmp(&a.now.memory),
            Self::Cpu => number(a.cpu, b.cpu),
            Self::Processes => b.now.pids.cmp(&a.now.pids),
            Self::Io => number(io(a), io(b)),
            Self::Name => Ordering::Equal,
        };
        by.then_with(|| (&a.name, &a.user).cmp(&(&b.name, &b.user)))
    }
}

/// One sandbox.
pub(in super::super) struct Row {
    pub name: String,
    pub user: String,
    pub program: String,
    pub frozen: bool,
    /// Percent of one CPU.
    pub cpu: Option<f64>,
    /// Bytes in a second.
    pub read: Option<f64>,
    /// Bytes in a second.
    pub written: Option<f64>,
    pub now: Statistics,
}

/// How it is drawn.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub width: usize,
    pub height: usize,
    pub colour: bool,
    pub users: bool,
    pub order: Order,
}

/// Cells of the bar.
const BAR: usize = 16;

/// How near a sandbox is to what stops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alarm {
    /// Plenty is left, or there is no limit.
    Calm,
    /// Above the soft limit, or above four fifths.
    Near,
    /// Less than a twentieth is left.
    Full,
}

fn alarm(now: &Statistics) -> Alarm {
    let Some(used) = now.memory else {
        return Alarm::Calm;
    };
    let above = |limit: Option<u64>, tenths: u64| {
        limit.is_some_and(|limit| used.saturating_mul(20) >= limit.saturating_mul(tenths))
    };
    match () {
        () if above(now.memory_limit, 19) => Alarm::Full,
        () if above(now.memory_limit, 16) || above(now.memory_soft, 20) => Alarm::Near,
        () => Alarm::Calm,
    }
}

/// `[|||||||:........]`: used, free, and a colon where the soft limit is.
fn bar(now: &Statistics) -> String {
    let scale = now
        .memory_limit
        .or(now.memory_soft.map(|soft| soft.saturating_mul(2)));
    let (Some(used), Some(scale @ 1..)) = (now.memory, scale) else {
        return " ".repeat(BAR + 2);
    };
    let cells = |bytes: u64| {
        let cells = u128::from(bytes) * BAR as u128 / u128::from(scale);
        usize::try_from(cells).unwrap_or(BAR).min(BAR)
    };
    // Who uses anything at all has a cell.
    let filled = cells(used).max(usize::from(used > 0));
    let soft = now.memory_soft.map(cells);
    let text: String = (0..BAR)
        .map(|at| match at {
            at if Some(at) == soft => ':',
            at if at < filled => '|',
            _ => '.',
        })
        .collect();
    format!("[{text}]")
}

fn rate(bytes: Option<f64>) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // of a positive number
    bytes.map_or_else(
        || table::NOTHING.to_owned(),
        |bytes| table::bytes(bytes as u64),
    )
}

fn percent(part: Option<f64>) -> String {
    part.map_or_else(|| table::NOTHING.to_owned(), |part| format!("{part:.0}"))
}

const COLUMNS: [table::Column; 10] = [
    ("NAME", false),
    ("USER", false),
    ("MEMORY", true),
    ("SOFT", true),
    ("SWAP", true),
    ("CPU%", true),
    ("PIDS", true),
    ("HELD UP%", true),
    ("READ/s", true),
    ("WRITE/s", true),
];

fn cells(row: &Row) -> Vec<String> {
    let now = &row.now;
    let pressure = [now.pressure.memory, now.pressure.cpu, now.pressure.io];
    let held = pressure.into_iter().flatten().max_by(f64::total_cmp);
    let about = match now.counted {
        Counted::Group => "",
        Counted::Processes => "~",
    };
    let number: fn(u64) -> String = |number| number.to_string();
    let memory = table::of_limit(now.memory, now.memory_limit, table::bytes);
    let soft = now.memory_soft.map(table::bytes);
    vec![
        row.name.clone(),
        row.user.clone(),
        format!("{about}{memory}"),
        soft.unwrap_or_else(|| table::NOTHING.to_owned()),
        table::of_limit(now.swap, now.swap_limit, table::bytes),
        if row.frozen {
            "frozen".to_owned()
        } else {
            percent(row.cpu)
        },
        table::of_limit(now.pids, now.pids_limit, number),
        percent(held),
        rate(row.read),
        rate(row.written),
    ]
}

/// The table with bars between the third and the fourth column, and the program at the end.
fn lines(rows: &[Row], users: bool) -> Vec<String> {
    let mut columns: Vec<table::Column> = COLUMNS.to_vec();
    columns.push(("PROGRAM", false));
    let mut all: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let mut cells = cells(row);
            cells.push(row.program.clone());
            cells
        })
        .collect();
    columns.insert(2, ("", false));
    for (cells, row) in all.iter_mut().zip(rows) {
        cells.insert(2, bar(&row.now));
    }
    if !users {
        columns.remove(1);
        for cells in &mut all {
            cells.remove(1);
        }
    }
    table::text(&columns, &all, Paint::PLAIN)
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Once, for what is no terminal.
pub(super) fn plain(mut rows: Vec<Row>, users: bool) -> String {
    rows.sort_by(|a, b| Order::Memory.compare(a, b));
    lines(&rows, users).join("\n") + "\n"
}

/// A whole screen: drawn over the one before, so that nothing flickers.
pub(super) fn screen(rows: &mut [Row], style: Style) -> String {
    rows.sort_by(|a, b| style.order.compare(a, b));
    let order = match style.order {
        Order::Memory => "memory",
        Order::Cpu => "CPU",
        Order::Processes => "processes",
        Order::Io => "I/O",
        Order::Name => "name",
    };
    let title = format!(
        "{} running, by {order}   m memory  c CPU  p processes  i I/O  n name  q quit",
        match rows.len() {
            1 => "1 sandbox".to_owned(),
            count => format!("{count} sandboxes"),
        }
    );
    let room = style.height.saturating_sub(1);
    let mut out = String::from("\u{1b}[H");
    let mut put = |line: &str, code: &str| {
        let line: String = escape::line(line).chars().take(style.width).collect();
        match style.colour && !code.is_empty() {
            true => out.push_str(&format!("\u{1b}[{code}m{line}\u{1b}[0m")),
            false => out.push_str(&line),
        }
        out.push_str("\u{1b}[K\r\n");
    };
    put(&title, "2");
    let lines = lines(rows, style.users);
    for (at, line) in lines.iter().take(room.saturating_sub(1)).enumerate() {
        let code = match at.checked_sub(1).and_then(|at| rows.get(at)) {
            None => "1",
            Some(row) if row.frozen => "34",
            Some(row) => match alarm(&row.now) {
                Alarm::Calm => "",
                Alarm::Near => "33",
                Alarm::Full => "31",
            },
        };
        put(line, code);
    }
    let hidden = lines.len().saturating_sub(room.saturating_sub(1));
    if hidden > 0 {
        let more: String = format!("… and {hidden} more")
            .chars()
            .take(style.width)
            .collect();
        out.push_str(&format!("{more}\u{1b}[K"));
    }
    out.push_str("\u{1b}[J");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, memory: u64, limit: Option<u64>, cpu: f64) -> Row {
        Row {
            name: name.to_owned(),
            user: "u".to_owned(),
            program: "p\u{1b}[2J".to_owned(),
            frozen: false,
            cpu: Some(cpu),
            read: None,
            written: Some(2048.0),
            now: Statistics {
                memory: Some(memory),
                memory_limit: limit,
                ..Statistics::default()
            },
        }
    }

    #[test]
    fn the_bar_shows_used_soft_and_free() {
        let mut now = row("a", 50, Some(100), 0.0).now;
        assert_eq!(bar(&now), "[||||||||........]");
        now.memory_soft = Some(75);
        assert_eq!(bar(&now), "[||||||||....:...]");
        now.memory = Some(1);
        assert_eq!(bar(&now), "[|...........:...]");
        now.memory = Some(1000);
        assert_eq!(bar(&now), "[||||||||||||:|||]");
        now.memory_soft = Some(u64::MAX);
        now.memory_limit = Some(u64::MAX);
        now.memory = Some(u64::MAX);
        assert_eq!(bar(&now), "[||||||||||||||||]");
        assert_eq!(bar(&row("a", 1, None, 0.0).now).trim(), "");
    }

    #[test]
    fn colours_tell_how_near_the_limit_is() {
        for (used, soft, expected) in [
            (10, None, Alarm::Calm),
            (80, None, Alarm::Near),
            (95, None, Alarm::Full),
            (60, Some(50), Alarm::Near),
            (40, Some(50), Alarm::Calm),
        ] {
            let mut now = row("a", used, Some(100), 0.0).now;
            now.memory_soft = soft;
            assert_eq!(alarm(&now), expected, "{used}");
        }
    }

    #[test]
    fn rows_are_sorted_by_what_was_asked_for() {
        let first = |order| {
            let mut rows = [row("b", 1, None, 9.0), row("a", 2, None, 1.0)];
            rows.sort_by(|a, b| Order::compare(order, a, b));
            rows[0].name.clone()
        };
        assert_eq!(first(Order::Memory), "a");
        assert_eq!(first(Order::Cpu), "b");
        assert_eq!(first(Order::Name), "a");
        assert_eq!(Order::of_key(b'C'), Some(Order::Cpu));
        assert_eq!(Order::of_key(b'x'), None);
    }

    #[test]
    fn a_frame_stays_within_the_screen_and_lets_nothing_through() {
        let mut rows: Vec<Row> = (0..100)
            .map(|n| row(&n.to_string(), n, None, 0.0))
            .collect();
        let style = Style {
            width: 40,
            height: 10,
            colour: true,
            users: true,
            order: Order::Memory,
        };
        let frame = screen(&mut rows, style);
        assert!(frame.matches("\r\n").count() < 10);
        assert!(!frame.contains("\u{1b}[2J"));
        assert!(frame.contains("more"));
        let wide = Style {
            width: 400,
            ..style
        };
        assert!(screen(&mut rows, wide).contains("p\\x1b[2J"));
    }
}
