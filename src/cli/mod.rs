//! What was said on the command line; one file a verb of `sandboxctl`.

pub mod delegate;
