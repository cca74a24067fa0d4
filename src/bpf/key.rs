//! The keys of `[syscalls]`: `default`, `@group`, `call`, `call(CONDITION, …)`. How they are written is told in `parse`.

use std::fmt;
use std::ops::Range;

use super::argument::Condition;
use super::parse;

/// Which calls a rule speaks about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Every call that no other rule speaks about.
    Default,
    /// The calls of a group, `@` included.
    Group(String),
    /// A call whatever its arguments.
    Call(String),
    /// A call when its arguments meet all conditions.
    CallWithArguments(ArgumentRule),
}

/// A call and the conditions on its arguments, which are known to be testable. Made by [`Key::parse`] alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArgumentRule {
    call: String,
    conditions: Vec<Condition>,
}

impl ArgumentRule {
    /// The caller has looked the call up and checked the conditions against its signature.
    pub(super) fn new(call: &str, conditions: Vec<Condition>) -> Self {
        Self {
            call: call.to_owned(),
            conditions,
        }
    }

    /// The call.
    pub fn call(&self) -> &str {
        &self.call
    }

    /// The conditions, at least one, by rising argument.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}

/// What is wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyError {
    /// The bytes of the key that are wrong.
    pub span: Range<usize>,
    /// What is wrong, in one line.
    pub message: String,
    /// The valid name that was probably meant.
    pub nearest: Option<String>,
    /// What to do, a line each.
    pub help: Vec<String>,
}

impl KeyError {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            nearest: None,
            help: Vec::new(),
        }
    }

    pub(super) fn near(mut self, name: Option<&str>) -> Self {
        self.nearest = name.map(str::to_owned);
        self
    }

    pub(super) fn help(mut self, line: impl Into<String>) -> Self {
        self.help.push(line.into());
        self
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(name) = &self.nearest {
            write!(f, "\ndid you mean `{name}`?")?;
        }
        self.help.iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}

impl std::error::Error for KeyError {}

impl Key {
    /// Reads a key of `[syscalls]`.
    ///
    /// # Errors
    /// An unknown call, group or constant (with the nearest valid name), a condition on an argument that a filter cannot
    /// test, or bad syntax.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        parse::key(text)
    }

    /// The call that the key names, if it names one.
    pub fn call(&self) -> Option<&str> {
        match self {
            Self::Call(call) => Some(call),
            Self::CallWithArguments(rule) => Some(&rule.call),
            Self::Default | Self::Group(_) => None,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Group(name) | Self::Call(name) => f.write_str(name),
            Self::CallWithArguments(rule) => write_call(f, &rule.call, &rule.conditions),
        }
    }
}

/// Writes `call(_, 0x1)`.
pub(super) fn write_call(
    f: &mut impl fmt::Write,
    call: &str,
    conditions: &[Condition],
) -> fmt::Result {
    let mut place = 0;
    for condition in conditions {
        while place < condition.index {
            f.write_str(if place == 0 { call } else { "" })?;
            f.write_str(if place == 0 { "(_" } else { ", _" })?;
            place += 1;
        }
        f.write_str(if place == 0 { call } else { "" })?;
        write!(f, "{}{condition}", if place == 0 { "(" } else { ", " })?;
        place += 1;
    }
    f.write_str(")")
}
