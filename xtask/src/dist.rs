//! The programs that are released: statically linked, so that they start fast and run anywhere.

use std::fs;
use std::path::Path;
use std::process::Command;

const PROGRAMS: [&str; 3] = ["sandbox", "sandboxctl", "sandbox-suid"];

/// For programs that run anywhere, and start fast: relative relocations take a bit each instead of 24 bytes, and a start reads
/// all of them (`DT_RELR`; the C library that is linked in knows it, whatever the one is where the program runs).
const FLAGS: &str = "-Ctarget-feature=+crt-static -Clink-arg=-Wl,-z,pack-relative-relocs";

/// Builds into `target/dist`.
pub fn build(root: &Path) -> Result<(), String> {
    let triple = host_triple()?;
    let target = root.join("target");
    let inherited = std::env::var("RUSTFLAGS").unwrap_or_default();
    // With an explicit target the flags do not reach procedural macros, which cannot be built statically.
    let status = Command::new(cargo())
        .current_dir(root)
        .env("RUSTFLAGS", format!("{inherited} {FLAGS}"))
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
        let to = dist.join(program);
        fs::copy(&built, &to).map_err(|error| format!("{}: {error}", to.display()))?;
        println!("built {} ({} bytes)", to.display(), image.len());
    }
    Ok(())
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
    use super::is_static;

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
}
