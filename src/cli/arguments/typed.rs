//! What was typed: the values of the options, and those that say rules once more, in their order.

use std::ffi::OsString;

use clap::error::Error;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use super::{Launch, plain};
use crate::cli::flag::Flag;
use crate::cli::usage;

/// A command line of `sandbox`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// All that it says.
    pub launch: Launch,
    /// The options that say rules and their arguments, in the order in which they were typed: of two that say the same
    /// key the later holds.
    pub rules: Vec<(Flag, String)>,
}

impl Typed {
    /// Reads a command line, which begins with the name of the program itself.
    ///
    /// # Errors
    /// Those of the library, whose `--help` and `--version` are two of them.
    pub fn of(words: &[OsString]) -> Result<Self, Error> {
        match plain::read(words) {
            Some(typed) => Ok(typed),
            None => Self::by_library(words),
        }
    }

    /// The same, whatever the line is: who judges, and says what is wrong.
    pub(super) fn by_library(words: &[OsString]) -> Result<Self, Error> {
        Self::from_matches(&usage::matches(&mut Launch::command(), words)?)
    }

    /// What the library has found.
    pub(super) fn from_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Ok(Self {
            launch: Launch::from_arg_matches(matches)?,
            rules: rules(matches),
        })
    }
}

fn rules(matches: &ArgMatches) -> Vec<(Flag, String)> {
    let mut rules: Vec<(usize, Flag, String)> = Vec::new();
    for flag in Flag::ALL {
        let id = flag.name().replace('-', "_");
        if matches.value_source(&id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let places = matches.indices_of(&id).into_iter().flatten();
        let values = matches.get_many::<String>(&id).into_iter().flatten();
        rules.extend(
            places
                .zip(values)
                .map(|(place, value)| (place, flag, value.clone())),
        );
    }
    rules.sort_by_key(|(place, ..)| *place);
    rules
        .into_iter()
        .map(|(_, flag, value)| (flag, value))
        .collect()
}
