//! The pure compiler from system-call rules to a seccomp filter.
//!
//! ```text
//! "ioctl(_, TIOCSTI)" ──Key::parse──▶ Rule ─┐
//! "@mount" = "deny"   ──Key::parse──▶ Rule ─┴▶ Filter ──compile──▶ Program + Implied notes
//!                                                                     │
//!                                                 interpret(Program, SeccompData) ──▶ Action
//! ```
//!
//! Specificity decides between rules, never their order: a call with arguments (more conditions first) over the plain
//! call, over the smallest group that contains it, over `default`. Between equals the stricter action holds:
//! kill, trap, errno, log, allow.
//!
//! What a filter needs so that its rules cannot be walked around is added by the compiler and told as [`Implied`]:
//! foreign architectures, x32 numbers, numbers nobody knows, `clone3`, `openat2`, io_uring, the i386 multiplexers.
//!
//! Sources: seccomp(2), Documentation/userspace-api/seccomp_filter.rst and Documentation/networking/filter.rst of the
//! kernel. Nothing here touches the system; installing is `kernel::seccomp`.

mod action;
mod answer;
mod arch;
mod argument;
mod assemble;
mod calls;
mod compile;
mod constants;
pub mod device;
mod groups;
mod implied;
mod interpret;
mod key;
mod only;
mod parse;
mod program;
#[cfg(test)]
mod tests;

pub use action::{Action, ActionError};
pub use answer::{Speaking, speaking};
pub use arch::Arch;
pub use argument::{Comparison, Condition, Kind, supported_calls};
pub use compile::{CompileError, Compiled, compile};
pub use groups::{Group, groups};
pub use implied::Implied;
pub use interpret::{SeccompData, interpret};
pub use key::{ArgumentRule, Key, KeyError};
pub use only::{Listed, Test, only};
pub use program::{Instruction, MAX_INSTRUCTIONS, Malformed, Program};

/// One line of `[syscalls]`: what happens to the calls that the key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which calls the rule speaks about.
    pub key: Key,
    /// What happens to them.
    pub action: Action,
}

/// Everything that `[syscalls]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What happens to a call that no rule speaks about. A rule whose key is [`Key::Default`] replaces it.
    pub default: Action,
    /// The architectures whose calls are filtered; the native one first. Calls of every other one kill the process.
    pub architectures: Vec<Arch>,
    /// The rules, in any order.
    pub rules: Vec<Rule>,
}
