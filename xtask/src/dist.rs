//! The programs that are released: statically linked, so that they start fast and run anywhere.

use std::fs;
use std::path::Path;
use std::process::Command;

const PROGRAMS: [&str; 3] = ["sandbox", "sandboxctl", "sandbox-suid"];

/// For programs that run anywhere, and start fast: relative relocations take a bit each instead of 24 bytes, and a start reads
/// all of them (`DT_RELR`; the C library that is linked in knows it, whatever the one is where the program runs).
const FLAGS: [&str; 2] = [
    "-Ctarget-feature=+crt-static",
    "-Clink-arg=-Wl,-z,pack-relative-relocs",
];

/// Builds into `target/dist`.
pub fn build(root: &Path) -> Result<(), String> {
    let triple = host_triple()?;
    let target = root.join("target");
    let inherited = std::env::var("RUSTFLAGS").unwrap_or_default();
    let places = builder_places(root);
    let flags = inherited.split_whitespace().map(str::to_owned);
    let flags = flags.chain(FLAGS.map(str::to_owned));
    // Where it was built is nobody's business, and two builders of the same sources get the same program.
    let remapped = places
        .iter()
        .map(|(path, name)| format!("--remap-path-prefix={path}={name}"));
    let flags: Vec<String> = flags.chain(remapped).collect();
    // With an explicit target the flags do not reach procedural macros, which cannot be built statically.
    let status = Command::new(cargo())
        .current_dir(root)
        .env_remove("RUSTFLAGS")
        // Paths may contain spaces.
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .args([
            "build",
            "--release",
            "--locked",
            "--package",
            "sandbox",
            "--package",
            "sandbox-suid",
            "--bins",
            "--target",
            &triple,
        ])
        .arg("--target-dir")
        .arg(&target)
        .status()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !status.success() {
        return Err(format!("cargo build: {status}"));
    }
    let dist = target.join("dist");
    fs::create_dir_all(&dist).map_err(|error| format!("{}: {error}", dist.display()))?;
    for program in PROGRAMS {
        let built = target.join(&triple).join("release").join(program);
        let image = fs::read(&built).map_err(|error| format!("{}: {error}", built.display()))?;
        if !is_static(&image) {
            return Err(format!("{}: is not a static program", built.display()));
        }
        if let Some((place, _)) = places.iter().find(|(path, _)| contains(&image, path)) {
            return Err(format!(
                "{}: says where it was built: {place}",
                built.display()
            ));
        }
        let to = dist.join(program);
        fs::copy(&built, &to).map_err(|error| format!("{}: {error}", to.display()))?;
        println!("built {} ({} bytes)", to.display(), image.len());
    }
    Ok(())
}

/// Directories of who builds, whose names would get into messages of a panic, and what is written for them.
fn builder_places(root: &Path) -> Vec<(String, &'static str)> {
    let home = std::env::var("HOME").map(|home| format!("{home}/.cargo"));
    let cargo = std::env::var("CARGO_HOME").or(home).ok();
    let cargo = cargo.map(|path| (path, "cargo"));
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let mut places: Vec<_> = cargo.into_iter().collect();
    places.push((root.display().to_string(), "sandbox"));
    places
}

fn contains(image: &[u8], text: &str) -> bool {
    image
        .windows(text.len())
        .any(|found| found == text.as_bytes())
}

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn host_triple() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .arg("-vV")
        .output()
        .map_err(|error| format!("rustc cannot be run: {error}"))?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        .ok_or_else(|| "rustc -vV names no host".to_owned())
}

/// Whether a 64-bit little-endian ELF image has no program header that asks for an interpreter (elf(5)).
fn is_static(image: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let number = |at: usize, size: usize| {
        image.get(at..at + size).map(|bytes| {
            bytes
                .iter()
                .rev()
                .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
        })
    };
    let headers = || -> Option<Vec<u64>> {
        if image.get(..6)? != [0x7f, b'E', b'L', b'F', 2, 1] {
            return None;
        }
        let (offset, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..count)
            .map(|at| number(usize::try_from(offset + at * size).ok()?, 4))
            .collect()
    };
    headers().is_some_and(|kinds| !kinds.is_empty() && !kinds.contains(&u64::from(PT_INTERP)))
}

#[cfg(test)]
mod tests {
    use super::{contains, is_static};

    /// A header and `kinds.len()` program headers of these types.
    fn image(kinds: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 64 + 56 * kinds.len()];
        image[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        image[32] = 64;
        image[54] = 56;
        image[56] = u8::try_from(kinds.len()).unwrap_or(u8::MAX);
        for (at, kind) in kinds.iter().enumerate() {
            image[64 + 56 * at] = *kind;
        }
        image
    }

    #[test]
    fn an_interpreter_makes_a_program_dynamic() {
        assert!(is_static(&image(&[6, 1, 2])));
        assert!(!is_static(&image(&[6, 3, 1])));
        assert!(!is_static(&image(&[6, 1])[..70]));
        assert!(!is_static(b"#!/bin/sh\n"));
    }

    #[test]
    fn a_path_is_found_wherever_it_stands() {
        assert!(contains(b"\0/home/x/.cargo/registry", "/home/x/.cargo"));
        assert!(!contains(b"/home/x", "/home/x/.cargo"));
    }
}
