//! Rules by which an administrator gives users a few limited, privileged commands; the program that carries them out is
//! `sandbox-suid`, setuid root.
//!
//! In the order of work: [`system`] is every system call, and the only module with `unsafe`; [`sanitise`] makes the own
//! process harmless; [`trust`] opens files that nobody but root can have written; [`rule`] reads rules from their text,
//! [`accounts`] users and groups; [`decide`] judges a request, and is pure; [`environment`] and [`pattern`] serve it; [`show`] makes
//! text of others safe to print;
//! [`journal`] logs the verdict; [`carry`] becomes the target and executes.
//!
//! Everything here treats its caller as hostile. Only the rules, the account files and the programs that the rules name
//! are opened while privileged; nothing of the caller's is read but its arguments, its environment and its ids.

pub mod accounts;
pub mod carry;
pub mod decide;
pub mod environment;
pub mod journal;
pub mod pattern;
pub mod rule;
pub mod sanitise;
pub mod show;
pub mod system;
pub mod trust;

/// The directory of the rules.
pub const RULES: &str = "/etc/sandbox/rules.d";
