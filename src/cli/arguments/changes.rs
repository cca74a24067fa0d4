//! The verbs of `sandboxctl` that are about what sandboxes changed, and about what they keep.

use std::ffi::OsString;

use clap::{Subcommand, ValueHint};

/// What can be done with changes that were kept.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Changes {
    /// Show what a sandbox changed in directories whose changes are kept apart (`sandbox --copy`)
    ///
    /// A line each: added, modified, mode-changed, type-changed, deleted. `!` stands before what `apply` refuses, with the
    /// reason behind it. Nothing on the disk has been changed yet. Without NAME, all that is kept is listed, as by `changes`.
    Diff {
        /// What the run was called: its program, or what --name said
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: Option<String>,
        /// Only these files and directories
        #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
        paths: Vec<OsString>,
        /// Show how the content of text files differs
        #[arg(long, short)]
        patch: bool,
        /// List also what is in new directories that hold much
        #[arg(long)]
        all: bool,
        /// Print JSON
        #[arg(long, conflicts_with_all = ["patch", "all"])]
        json: bool,
    },

    /// Carry changes that a sandbox made onto the disk: all of them, or those to the paths that are named
    ///
    /// What was changed on the disk since the sandbox was started is left alone, unless --force is given. Only files,
    /// directories and symbolic links are carried, never set-user-ID bits, device nodes, sockets or pipes. Links are made as
    /// links and not followed. Each file takes its place in one step. What is not carried stays kept.
    Apply {
        /// What the run was called
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: String,
        /// Only these files and directories
        #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
        paths: Vec<OsString>,
        /// Also over what has changed on the disk since the sandbox was started
        #[arg(long)]
        force: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Throw changes that a sandbox made away: all of them, or those to the paths that are named
    Discard {
        /// What the run was called
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: String,
        /// Only these files and directories
        #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
        paths: Vec<OsString>,
    },

    /// List what is kept of changes that sandboxes made, and how much room it takes
    Changes {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// List and remove the private directories of profiles
    #[command(subcommand)]
    Private(Private),
}

/// What can be done with private directories.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Private {
    /// List the private directories of profiles ("PATH" = "private"), how much room they take, and when they were last used
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Remove private directories, with all that programs have left in them
    ///
    /// Those of a profile, or the one for a path. What is in use is not removed.
    Remove {
        /// The profile, as `sandboxctl private list` calls it
        #[arg(value_name = "PROFILE", value_hint = ValueHint::Other)]
        profile: String,
        /// The paths; without one, all of that profile
        #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
        paths: Vec<String>,
    },
}
