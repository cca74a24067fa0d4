//! The nearest valid name to a wrong one.

/// Longer names are not compared: nobody mistypes that much, and the cost grows with the square.
const LONGEST: usize = 64;

/// Edits (insert, delete, replace, swap neighbours) that turn one word into the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX);
            let mut best = (at(&last, j) + usize::from(x != y))
                .min(at(&last, j + 1) + 1)
                .min(at(&row, j) + 1);
            if i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x) {
                best = best.min(at(&before_last, j - 1) + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

/// The candidate that `name` was probably meant to be: at most a third of its letters differ, case and `_` for `-`
/// apart. The first of equals.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |text: &str| -> Vec<char> {
        text.chars()
            .map(|c| {
                if c == '_' {
                    '-'
                } else {
                    c.to_ascii_lowercase()
                }
            })
            .collect()
    };
    if name.len() > LONGEST {
        return None;
    }
    let wanted = fold(name);
    let allowed = (wanted.len() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (distance(&wanted, &fold(candidate)), candidate))
        // A word of one or two letters is not "near" to everything of that length.
        .filter(|(edits, candidate)| *edits <= allowed && *edits < candidate.chars().count())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistyped_names_find_their_way_back() {
        let names = ["memory", "memory-soft", "swap", "pids"];
        assert_eq!(nearest("memroy", names), Some("memory"));
        assert_eq!(nearest("MEMORY_SOFT", names), Some("memory-soft"));
        assert_eq!(nearest("swpa", names), Some("swap"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(nearest("x", ["a"]), None);
        assert_eq!(nearest(&"m".repeat(100_000), names), None);
    }
}
