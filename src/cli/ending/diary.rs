//! What happened while the program ran, with times; bounded, whatever the program does.

use std::time::{Duration, Instant};

use crate::exec::group::Event;

/// So many of the first and of the last events are kept.
const KEPT: usize = 32;
/// Events of one kind that follow within this time are one.
const TOGETHER: Duration = Duration::from_secs(1);

/// An event, and when it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Since the start.
    pub after: Duration,
    /// What it was.
    pub event: Event,
}

/// The events of a run.
#[derive(Debug)]
pub struct Diary {
    started: Instant,
    entries: Vec<Entry>,
    left_out: u64,
    pushed_back: u64,
    lost: Vec<String>,
}

impl Default for Diary {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            entries: Vec::new(),
            left_out: 0,
            pushed_back: 0,
            lost: Vec::new(),
        }
    }
}

impl Diary {
    /// Writes down what has just happened.
    pub fn note(&mut self, event: Event) {
        self.note_at(self.started.elapsed(), event);
    }

    fn note_at(&mut self, after: Duration, event: Event) {
        if matches!(event, Event::PushedBack { .. }) {
            self.pushed_back += 1;
        }
        let same = |known: &Event| std::mem::discriminant(known) == std::mem::discriminant(&event);
        let last = self.entries.iter_mut().rev().find(|old| same(&old.event));
        if let Some(last) = last
            && after.saturating_sub(last.after) < TOGETHER
        {
            // Counts are those of the whole run, so that the later one says both.
            last.event = match (last.event, event) {
                (Event::PushedBack { before, .. }, Event::PushedBack { after, .. }) => {
                    Event::PushedBack { before, after }
                }
                _ => event,
            };
            return;
        }
        if self.entries.len() >= 2 * KEPT {
            self.entries.remove(KEPT);
            self.left_out += 1;
        }
        self.entries.push(Entry { after, event });
    }

    /// Writes down that something beside the program has ended, and how.
    pub fn lost(&mut self, how: &str) {
        self.lost.push(how.to_owned());
    }

    /// What ended beside the program, each in words.
    #[must_use]
    pub fn all_lost(&self) -> &[String] {
        &self.lost
    }

    /// The events that were kept, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many there were between the first and the last ones.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// How often the group was pushed back to its soft limit.
    #[must_use]
    pub fn pushed_back(&self) -> u64 {
        self.pushed_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_keeps_its_beginning_and_its_end() {
        let mut diary = Diary::default();
        for second in 0..1000 {
            let count = second * 10;
            diary.note_at(
                Duration::from_secs(second * 2),
                Event::ForksRefused { count },
            );
            diary.note_at(
                Duration::from_secs(second * 2) + Duration::from_millis(500),
                Event::ForksRefused { count: count + 1 },
            );
        }
        assert_eq!(diary.entries().len(), 2 * KEPT);
        assert_eq!(diary.left_out() as usize, 1000 - 2 * KEPT);
        let first = diary.entries().first().map(|entry| entry.event);
        assert_eq!(first, Some(Event::ForksRefused { count: 1 }));
        let last = diary.entries().last().map(|entry| entry.event);
        assert_eq!(last, Some(Event::ForksRefused { count: 9991 }));
    }

    #[test]
    fn pushing_back_in_parts_is_one_event_from_the_first_size_to_the_last() {
        let mut diary = Diary::default();
        let at = Duration::from_secs(1);
        diary.note_at(
            at,
            Event::PushedBack {
                before: 9,
                after: 7,
            },
        );
        diary.note_at(at, Event::OutOfMemory { kills: 1 });
        diary.note_at(
            at,
            Event::PushedBack {
                before: 7,
                after: 4,
            },
        );
        assert_eq!(diary.pushed_back(), 2);
        assert_eq!(diary.entries().len(), 2);
        let first = diary.entries().first().map(|entry| entry.event);
        assert_eq!(
            first,
            Some(Event::PushedBack {
                before: 9,
                after: 4
            })
        );
    }
}
