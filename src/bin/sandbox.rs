//! The launcher: see `sandbox(1)`.

#![cfg_attr(target_env = "gnu", no_main)]

sandbox::entry!(sandbox::cli::launch::main);
