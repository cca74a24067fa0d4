//! What a profile leaves open on purpose, or cannot close, and why.

use super::course::{Course, Walls};

/// Some attempts that work somewhere.
pub struct Exception {
    /// Which.
    pub ids: &'static [&'static str],
    /// Under which profiles.
    pub profiles: &'static [&'static str],
    /// For whom, and where.
    pub when: When,
    /// Why, for users.
    pub reason: &'static str,
}

/// Who meets an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Everybody.
    Always,
    /// Root as the caller.
    Root,
    /// An ordinary user as the caller.
    User,
    /// Where Landlock is off or older than this.
    LandlockBefore(u32),
}

pub const ALL: &[Exception] = &[];

/// The exception that an attempt falls under.
pub fn of(id: &str, course: Course, root: bool, landlock: u32) -> Option<&'static Exception> {
    let (profile, walls) = match course {
        Course::Profile(name, walls) => (name, walls),
        Course::Alone => ("Landlock alone", Walls::Landlock),
        _ => return None,
    };
    ALL.iter().find(|one| {
        let meets = match one.when {
            When::Always => true,
            When::Root => root,
            When::User => !root,
            When::LandlockBefore(abi) => walls == Walls::Mounts || landlock < abi,
        };
        meets && one.ids.contains(&id) && one.profiles.contains(&profile)
    })
}
