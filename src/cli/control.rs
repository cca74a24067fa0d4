//! `sandboxctl`: one function a verb.

use clap::Parser;
use serde_json::json;

use crate::plan::Request;
use crate::policy::show;
use crate::profile::load::{brief, load};
use crate::report::{Severity, SourceMap, escape};

use super::arguments::{Control, Verb};
use super::{answer, delegate, doctor, explain, inspect, launch, schema, status};

/// The program `sandboxctl`.
#[must_use]
pub fn main() -> i32 {
    let control = match Control::try_parse() {
        Ok(control) => control,
        Err(error) => return launch::usage(&error),
    };
    let done = match control.verb {
        Verb::Profiles { json } => profiles(json),
        Verb::Show { profiles, json, all } => show_policy(&profiles, json, all),
        Verb::Check { profiles, json } => check(&profiles, json),
        Verb::Explain { key } => explain_key(key.as_deref()),
        Verb::Schema => answer(&schema::text()),
        Verb::Doctor { json } => doctor::doctor(json),
        Verb::Delegate { user, remove } => delegate::delegate(&user, remove),
    };
    done.err().unwrap_or(status::OK)
}
