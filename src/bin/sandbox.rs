//! The launcher: see `sandbox(1)`.

#![cfg_attr(target_env = "gnu", no_main)]

#[global_allocator]
static HEAP: sandbox::kernel::heap::Heap = sandbox::kernel::heap::Heap;

sandbox::entry!(sandbox::cli::launch::main);
