//! Files that are kept away by one name and have others: a rule is about a path, and so is what is mounted there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Draft;
use crate::host::facts::Twin;
use crate::report::Site;

/// Says which hidden files can be found by other names, and how often a rule meets that.
pub fn tell(draft: &mut Draft) {
    let twins: BTreeMap<&Path, Twin> = draft
        .facts
        .paths
        .values()
        .filter_map(|fact| Some((fact.canonical.as_deref()?, fact.twin?)))
        .collect();
    if twins.is_empty() {
        return;
    }
    let kept: Vec<(&PathBuf, &super::Item, Twin)> = draft
        .table
        .iter()
        .filter(|(_, item)| item.what.closes() && item.because.is_empty())
        .filter_map(|(place, item)| Some((place, item, *twins.get(place.as_path())?)))
        .collect();
    let mut away: BTreeMap<Twin, u32> = BTreeMap::new();
    for (.., twin) in &kept {
        *away.entry(*twin).or_default() += 1;
    }
    // A pattern can match many: one note each.
    let mut told: BTreeMap<(String, Site), (String, usize)> = BTreeMap::new();
    for (place, item, twin) in kept {
        if away.get(&twin).is_some_and(|count| *count >= twin.names) {
            continue;
        }
        let first = || {
            let text = format!(
                "`{}` has {} names on this host (hard links); by another one it is seen where that is shown",
                place.display(),
                twin.names
            );
            (text, 0)
        };
        let entry = told.entry((item.name.clone(), item.site));
        entry.or_insert_with(first).1 += 1;
    }
    for ((_, site), (text, count)) in told {
        let more = match count {
            0 | 1 => String::new(),
            count => format!("; so has each of {} more", count - 1),
        };
        draft.note(site, format!("{text}{more}"));
    }
}
