//! temporary
use super::facts::{Facts, PathFact, PathKind};
use crate::report::Diagnostics;
use crate::section::filesystem::Wanted;
pub fn look(wanted: &Wanted, facts: &mut Facts) -> Result<(), Diagnostics> {
    for path in &wanted.paths {
        let canonical = std::fs::canonicalize(path).ok();
        let kind = match std::fs::metadata(path) {
            Ok(m) if m.is_dir() => PathKind::Directory,
            Ok(m) if m.is_file() => PathKind::File,
            Ok(_) => PathKind::Special,
            Err(_) => PathKind::Missing,
        };
        facts.paths.insert(
            path.clone(),
            PathFact {
                canonical,
                kind,
                links: vec![],
                error: None,
            },
        );
    }
    Ok(())
}
