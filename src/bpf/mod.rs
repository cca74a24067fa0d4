//! The pure seccomp compiler.

/// What a system call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is carried out.
    Allow,
    /// It fails with this errno.
    Errno(i32),
    /// The process is killed.
    KillProcess,
    /// It is carried out and logged.
    Log,
    /// The thread gets SIGSYS.
    Trap,
}
