//! How two texts differ, line by line, as `diff -u` shows it (Myers, "An O(ND) difference algorithm", 1986).

/// More edits than this are not looked for: the rest is shown as replaced.
const MOST_EDITS: usize = 2000;
/// Lines around a change.
const CONTEXT: usize = 3;

/// A line of the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Same(usize, usize),
    Old(usize),
    New(usize),
}

/// The lines of a text, each with its line end.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|&byte| byte == b'\n').collect()
}

/// Whether a file is taken for text.
#[must_use]
pub fn is_text(content: &[u8]) -> bool {
    const LOOKED_AT: usize = 8000;
    !content.iter().take(LOOKED_AT).any(|&byte| byte == 0)
}

/// The hunks that make one text the other; each line begins with a blank, `-`, `+` or `@`, and has no line end.
#[must_use]
pub fn unified(old: &[u8], new: &[u8]) -> Vec<Vec<u8>> {
    let (old, new) = (lines(old), lines(new));
    let all = compare(&old, &new);
    let mut out = Vec::new();
    let changed: Vec<usize> = (0..all.len())
        .filter(|&at| !matches!(all.get(at), Some(Line::Same(..))))
        .collect();
    let mut next = changed.iter().copied().peekable();
    while let Some(first) = next.next() {
        let mut last = first;
        while let Some(&at) = next.peek() {
            if at > last + 2 * CONTEXT {
                break;
            }
            last = at;
            next.next();
        }
        let from = first.saturating_sub(CONTEXT);
        let to = (last + CONTEXT + 1).min(all.len());
        hunk(
            &mut out,
            all.get(..from).unwrap_or_default(),
            all.get(from..to).unwrap_or_default(),
            &old,
            &new,
        );
    }
    out
}

fn hunk(out: &mut Vec<Vec<u8>>, before: &[Line], part: &[Line], old: &[&[u8]], new: &[&[u8]]) {
    let count =
        |lines: &[Line], mine: fn(&Line) -> bool| lines.iter().filter(|line| mine(line)).count();
    let of_old: fn(&Line) -> bool = |line| !matches!(line, Line::New(_));
    let of_new: fn(&Line) -> bool = |line| !matches!(line, Line::Old(_));
    let range = |mine| {
        let (start, length) = (count(before, mine), count(part, mine));
        match length {
            0 => format!("{start},0"),
            1 => format!("{}", start + 1),
            _ => format!("{},{length}", start + 1),
        }
    };
    out.push(format!("@@ -{} +{} @@", range(of_old), range(of_new)).into_bytes());
    let mut put = |sign: u8, text: Option<&&[u8]>| {
        let text = text.copied().unwrap_or_default();
        let (line, ends) = match text.strip_suffix(b"\n") {
            Some(line) => (line, true),
            None => (text, false),
        };
        out.push([&[sign], line].concat());
        if !ends {
            out.push(b"\\ No newline at end of file".to_vec());
        }
    };
    for line in part {
        match *line {
            Line::Same(at, _) => put(b' ', old.get(at)),
            Line::Old(at) => put(b'-', old.get(at)),
            Line::New(at) => put(b'+', new.get(at)),
        }
    }
}

fn compare(old: &[&[u8]], new: &[&[u8]]) -> Vec<Line> {
    let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (rest_old, rest_new) = (
        old.get(start..).unwrap_or_default(),
        new.get(start..).unwrap_or_default(),
    );
    let end = rest_old
        .iter()
        .rev()
        .zip(rest_new.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let middle_old = rest_old.get(..rest_old.len() - end).unwrap_or_default();
    let middle_new = rest_new.get(..rest_new.len() - end).unwrap_or_default();
    let mut all: Vec<Line> = (0..start).map(|at| Line::Same(at, at)).collect();
    let middle = edits(middle_old, middle_new).unwrap_or_else(|| {
        let gone = (0..middle_old.len()).map(Line::Old);
        gone.chain((0..middle_new.len()).map(Line::New)).collect()
    });
    all.extend(middle.into_iter().map(|line| match line {
        Line::Same(a, b) => Line::Same(a + start, b + start),
        Line::Old(at) => Line::Old(at + start),
        Line::New(at) => Line::New(at + start),
    }));
    let (a, b) = (old.len() - end, new.len() - end);
    all.extend((0..end).map(|at| Line::Same(a + at, b + at)));
    all
}

/// The shortest way from one to the other; none when it takes too many edits.
fn edits(old: &[&[u8]], new: &[&[u8]]) -> Option<Vec<Line>> {
    let most = (old.len() + new.len()).min(MOST_EDITS);
    // How far along `old` each diagonal has come, for every number of edits.
    let mut trace: Vec<Vec<usize>> = Vec::new();
    let mut far = vec![0usize; 2 * most + 3];
    let place = |diagonal: isize| usize::try_from(diagonal + most.cast_signed() + 1).unwrap_or(0);
    let at = |far: &[usize], diagonal: isize| far.get(place(diagonal)).copied().unwrap_or(0);
    let mut found = None;
    'search: for count in 0..=most.cast_signed() {
        for diagonal in (-count..=count).step_by(2) {
            let down = diagonal == -count
                || (diagonal != count && at(&far, diagonal - 1) < at(&far, diagonal + 1));
            let mut x = if down {
                at(&far, diagonal + 1)
            } else {
                at(&far, diagonal - 1) + 1
            };
            let mut y = usize::try_from(x.cast_signed() - diagonal).unwrap_or(usize::MAX);
            while x < old.len() && y < new.len() && old.get(x) == new.get(y) {
                x += 1;
                y += 1;
            }
            if let Some(slot) = far.get_mut(place(diagonal)) {
                *slot = x;
            }
            if x >= old.len() && y >= new.len() {
                found = Some((count, diagonal));
                break 'search;
            }
        }
        // Only what this round has reached is needed on the way back.
        let (from, to) = (place(-count), place(count));
        trace.push(far.get(from..=to).unwrap_or_default().to_vec());
    }
    let (count, mut diagonal) = found?;
    let (mut x, mut y) = (old.len(), new.len());
    let mut back = Vec::new();
    for round in (0..count).rev() {
        let reached = trace.get(usize::try_from(round).unwrap_or(0))?;
        let at = |diagonal: isize| {
            let index = usize::try_from(diagonal + round).ok()?;
            reached.get(index).copied()
        };
        let (left, right) = (at(diagonal - 1), at(diagonal + 1));
        let edits = round + 1;
        let down = diagonal == -edits || (diagonal != edits && left < right);
        let (before, start) = if down {
            (diagonal + 1, right?)
        } else {
            (diagonal - 1, left?)
        };
        let start_y = usize::try_from(start.cast_signed() - before).ok()?;
        let (after_x, after_y) = if down {
            (start, start_y + 1)
        } else {
            (start + 1, start_y)
        };
        while x > after_x && y > after_y {
            x -= 1;
            y -= 1;
            back.push(Line::Same(x, y));
        }
        back.push(if down {
            Line::New(start_y)
        } else {
            Line::Old(start)
        });
        (x, y, diagonal) = (start, start_y, before);
    }
    while x > 0 && y > 0 {
        x -= 1;
        y -= 1;
        back.push(Line::Same(x, y));
    }
    back.reverse();
    Some(back)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(old: &str, new: &str) -> String {
        let lines = unified(old.as_bytes(), new.as_bytes());
        String::from_utf8(lines.join(&b'\n')).unwrap()
    }

    #[test]
    fn it_looks_as_diff_shows_it() {
        assert_eq!(
            shown("a\nb\nc\n", "a\nB\nc\n"),
            "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c"
        );
        assert_eq!(shown("", "x\n"), "@@ -0,0 +1 @@\n+x");
        assert_eq!(shown("x\n", ""), "@@ -1 +0,0 @@\n-x");
        assert_eq!(
            shown("x", "x\n"),
            "@@ -1 +1 @@\n-x\n\\ No newline at end of file\n+x"
        );
        assert_eq!(shown("same\n", "same\n"), "");
        let old: String = (0..30).map(|n| format!("{n}\n")).collect();
        let new = old.replace("\n5\n", "\nfive\n").replace("\n25\n", "\n");
        assert_eq!(
            shown(&old, &new),
            "@@ -3,7 +3,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n@@ -23,7 +23,6 @@\n 22\n 23\n 24\n-25\n 26\n 27\n 28"
        );
    }

    proptest! {
        #[test]
        fn it_leads_from_one_to_the_other(old in "[ab\n]{0,40}", new in "[ab\n]{0,40}") {
            let (a, b) = (lines(old.as_bytes()), lines(new.as_bytes()));
            let all = compare(&a, &b);
            let mut from = Vec::new();
            let mut to = Vec::new();
            for line in &all {
                match *line {
                    Line::Same(x, y) => {
                        prop_assert_eq!(a[x], b[y]);
                        from.push(x);
                        to.push(y);
                    }
                    Line::Old(x) => from.push(x),
                    Line::New(y) => to.push(y),
                }
            }
            prop_assert_eq!(from, (0..a.len()).collect::<Vec<_>>());
            prop_assert_eq!(to, (0..b.len()).collect::<Vec<_>>());
        }
    }
}
