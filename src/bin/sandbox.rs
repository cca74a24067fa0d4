//! The launcher: see `sandbox(1)`.

fn main() {
    std::process::exit(sandbox::cli::launch::main())
}
