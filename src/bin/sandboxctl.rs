//! Everything but launching: see `sandboxctl(1)`.

fn main() {
    std::process::exit(sandbox::cli::control::main())
}
