//! The nearest valid name, for messages about a misspelt one.

/// No name is longer; a longer word is foreign text that is not worth a comparison.
const LONGEST: usize = 64;

/// The candidate nearest to `word` by edit distance (insertions, deletions, substitutions and swaps of neighbours each
/// count one), or `None` when even the nearest differs in more than a third of its letters.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let length = word.chars().count();
    if length > LONGEST {
        return None;
    }
    let limit = (length / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                distance(&word.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance, with three rows of the matrix alive at a time.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous_letter = None;
    for (row, letter) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let substituted = last[column] + usize::from(letter != *other);
            let mut best = substituted
                .min(last[column + 1] + 1)
                .min(current[column] + 1);
            if column > 0 && previous_letter == Some(*other) && right[column - 1] == letter {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
        previous_letter = Some(letter);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn distances_count_edits_and_swaps() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("ptrace", "ptrace"), 0);
        assert_eq!(distance("ptarce", "ptrace"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn only_near_names_are_offered() {
        let names = ["ptrace", "mount", "umount2"];
        assert_eq!(nearest("ptrce", names), Some("ptrace"));
        assert_eq!(nearest("MOUNT", names), Some("mount"));
        assert_eq!(nearest("zzz", names), None);
        assert_eq!(nearest("", names), None);
    }
}
