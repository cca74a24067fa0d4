//! What /proc/PID/stat says of a process (proc_pid_stat(5)).

use super::{Errno, Result, pseudo};

/// A process at one moment. The number may mean another one at the next; a number and [`started`](Self::started) together
/// name one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its number.
    pub pid: i32,
    /// The name (comm) that it has given itself.
    pub name: String,
    /// `R`, `S`, `D`, `T`, `Z`, …
    pub state: char,
    /// Its parent's number; 0 when that is outside of the pid namespace.
    pub parent: i32,
    /// Whether it is a thread of the kernel (PF_KTHREAD).
    pub kernel: bool,
    /// CPU time in clock ticks, its children's not included.
    pub ticks: u64,
    /// Its threads.
    pub threads: u64,
    /// When it started, in clock ticks since the host's start.
    pub started: u64,
    /// Bytes of memory that are in RAM, shared ones included.
    pub resident: u64,
}

impl Stat {
    /// Of the process with that number now.
    ///
    /// # Errors
    /// ESRCH: there is none, or /proc does not show it; EIO: what is there cannot be read as one.
    pub fn of(pid: i32) -> Result<Self> {
        let text = pseudo::read(format!("/proc/{pid}/stat")).map_err(|error| {
            match error.raw_os_error() {
                // Gone before the file was opened, or before it was read.
                Some(libc::ENOENT | libc::ESRCH) => Errno::ESRCH,
                Some(number) => Errno::from_raw(number),
                None => Errno::EIO,
            }
        })?;
        Self::parse(&text).ok_or(Errno::EIO)
    }

    /// Reads the file's text; `None` for what is none.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        const PAGE: u64 = 4096;
        const PF_KTHREAD: u64 = 0x0020_0000;
        let text = String::from_utf8_lossy(text);
        // The name in parentheses may hold anything, also a parenthesis.
        let (pid, rest) = text.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Fields are counted from 1 in the manual, and these begin with the third.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            pid: pid.parse().ok()?,
            name: name.to_owned(),
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            kernel: number(9)? & PF_KTHREAD != 0,
            ticks: number(14)?.saturating_add(number(15)?),
            threads: number(20)?,
            started: number(22)?,
            resident: number(24)?.saturating_mul(PAGE),
        })
    }

    /// Whether it has ended and only waits to be reaped.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_anything() {
        let text = b"7 (a) Z 1 (b)) S 1 7 7 0 -1 2097216 1 0 0 0 30 12 0 0 20 0 3 0 999 1000 25 18446744073709551615 1";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.pid, stat.name.as_str()), (7, "a) Z 1 (b)"));
        assert_eq!((stat.state, stat.parent, stat.kernel), ('S', 1, true));
        assert_eq!((stat.ticks, stat.threads, stat.started), (42, 3, 999));
        assert_eq!(stat.resident, 25 * 4096);
        for short in ["", "7 (a", "12 (a) S 7"] {
            assert_eq!(Stat::parse(short.as_bytes()), None);
        }
    }

    #[test]
    fn nobody_is_told_from_somebody() {
        let own = Stat::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(!own.is_dead() && !own.kernel && own.threads > 0);
        assert_eq!(Stat::of(i32::MAX), Err(Errno::ESRCH));
    }
}
