//! Launches on all processors at once, by the second.

use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Case;

/// For so long each way is tried; the ways take turns, so that all see the same machine.
const TURN: Duration = Duration::from_millis(500);
const TURNS: usize = 4;

/// Launches each second of the ways that can be measured, the best of some turns.
///
/// # Errors
/// A launch fails.
pub fn measure(cases: &[Case]) -> Result<String, String> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let able: Vec<&Case> = cases
        .iter()
        // Containers of one name cannot be started twice at once.
        .filter(|case| !case.is_bundle() && case.obstacle().is_none())
        .collect();
    let mut best = vec![0.0_f64; able.len()];
    for _ in 0..TURNS {
        for (case, best) in able.iter().zip(&mut best) {
            *best = best.max(turn(case, processors)?);
        }
    }
    let mut text = format!(
        "launches each second on {processors} processors at once, and of those of `{}`\n\n",
        super::REFERENCE
    );
    let rows: Vec<_> = able.iter().zip(best).collect();
    let reference = rows.iter().find(|(case, _)| case.name == super::REFERENCE);
    let reference = reference.map_or(f64::NAN, |(_, best)| *best);
    for (case, best) in rows {
        let ratio = best / reference;
        let _ = writeln!(text, "{:<30} {best:>8.0} {ratio:>6.2}", case.name);
    }
    Ok(text)
}

fn turn(case: &Case, processors: usize) -> Result<f64, String> {
    let done = AtomicUsize::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        let work = || {
            while started.elapsed() < TURN {
                case.time()?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let all: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        all.into_iter().try_for_each(|one| {
            one.join()
                .unwrap_or_else(|_| Err("a thread ended early".to_owned()))
        })
    })?;
    Ok(done.into_inner() as f64 / started.elapsed().as_secs_f64())
}
