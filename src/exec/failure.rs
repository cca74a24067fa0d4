//! This host refused a step: which one, with what errno, and what that means.

use crate::kernel::Errno;
use crate::report::Site;

/// A launch that did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchError {
    /// The step of the plan, when it was one.
    pub step: Option<usize>,
    /// What was being done, when it was no step.
    pub doing: String,
    /// What the kernel said.
    pub errno: Option<Errno>,
    /// The rule, where it is known better than by the step: a step may write several limits.
    pub site: Option<Site>,
    /// What somebody else said: a helper program, a service manager.
    pub detail: String,
    /// What the kernel said, where the detail tells it already.
    pub cause: Option<Errno>,
    /// What would help.
    pub help: Vec<String>,
    /// Whether the program may have begun before; it was killed then.
    pub begun: bool,
}

impl LaunchError {
    /// A step that the kernel refused.
    #[must_use]
    pub fn at_step(step: usize, errno: Errno) -> Self {
        Self {
            step: Some(step),
            doing: String::new(),
            errno: Some(errno),
            site: None,
            detail: String::new(),
            cause: None,
            help: Vec::new(),
            begun: false,
        }
    }

    /// A step that was carried out, and of which the kernel says afterwards that it is not so.
    #[must_use]
    pub fn unheld(step: usize, errno: Errno) -> Self {
        let mut error = Self::at_step(step, errno);
        error.errno = None;
        let (detail, help) = match errno {
            Errno::EBADE => (
                "it was done, and is not in force".to_owned(),
                "nothing was run. Another program may have changed the place meanwhile; if it happens again, this is a fault \
                 of `sandbox` or of the kernel: please report it with the output of `sandboxctl doctor`",
            ),
            other => (
                format!(
                    "whether it is in force could not be found out: {other:?} ({})",
                    other.desc()
                ),
                "nothing was run, as nothing is promised that cannot be asked for. This kernel, or a filter around `sandbox`, \
                 refuses the question; `sandboxctl doctor` tries what this host allows",
            ),
        };
        error.detail = detail;
        error.help = vec![help.to_owned()];
        error
    }

    /// Something beside the plan's steps that the kernel refused.
    #[must_use]
    pub fn doing(doing: impl Into<String>, errno: Errno) -> Self {
        Self {
            step: None,
            doing: doing.into(),
            errno: Some(errno),
            site: None,
            detail: String::new(),
            cause: None,
            help: Vec::new(),
            begun: false,
        }
    }

    /// Adds what somebody else said.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Adds what a detail is about.
    #[must_use]
    pub fn cause(mut self, cause: Option<Errno>) -> Self {
        self.cause = cause;
        self
    }
}
