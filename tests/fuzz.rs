//! The fuzzers' checks as an ordinary test: every input of `fuzz/corpus/`, and mutations of them that are the same
//! each time. The fuzzers themselves are told about in `fuzz/README.md`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

#[path = "fuzz/targets.rs"]
mod targets;

use targets::{Check, Numbers};

/// Mutations tried with each check; one of a filter compiles it twice, which takes its time.
const MUTATIONS: usize = 500;
const MUTATED_FILTERS: usize = 100;
/// Longer inputs are cut before they are mutated: what matters is near to the beginning, and time is short.
const LONGEST: usize = 1500;

fn files(directory: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.expect("inputs can be listed").path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read(path).expect("inputs can be read"))
        .collect()
}

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut inputs = files(&root.join("fuzz/corpus").join(target));
    assert!(inputs.len() >= 5, "{target} has no inputs");
    if matches!(target, "profile" | "merge") {
        inputs.extend(files(&root.join("tests/mistakes")));
        inputs.extend(files(&root.join("profiles")));
    }
    inputs
}

/// Changes an input at a few places: other bytes, bytes too many, bytes too few, pieces of another input.
fn mutated(input: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    const TELLING: &[u8] = b"\"'[]{}()=.,/~$*?\\#\n \0-_:09aZ&<>!\xff\xc3";
    let mut out = input[..input.len().min(LONGEST)].to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(out.len() + 1);
        let end = (at + numbers.below(12)).min(out.len());
        let telling = TELLING[numbers.below(TELLING.len())];
        match numbers.below(6) {
            0 => out.insert(at, telling),
            1 if at < out.len() => out[at] = telling,
            2 => drop(out.drain(at..end)),
            3 => {
                let piece = out[at..end].to_vec();
                out.splice(at..at, piece);
            }
            4 => {
                let from = numbers.below(other.len() + 1);
                let to = (from + numbers.below(60)).min(other.len());
                out.splice(at..end, other[from..to].iter().copied());
            }
            _ => out.truncate(at.max(1)),
        }
    }
    out
}

fn run(target: &str) {
    let (_, check): (&str, Check) = targets::ALL
        .into_iter()
        .find(|(name, _)| *name == target)
        .expect("a target");
    let tried = |input: &[u8]| {
        if let Err(panic) = std::panic::catch_unwind(|| check(input)) {
            eprintln!("the input: {:?}", String::from_utf8_lossy(input));
            std::panic::resume_unwind(panic);
        }
    };
    let inputs = inputs(target);
    for input in &inputs {
        tried(input);
    }
    let mut numbers = Numbers::seeded(target.as_bytes());
    let mutations = match target {
        "syscall_key" | "calls" => MUTATED_FILTERS,
        _ => MUTATIONS,
    };
    for round in 0..mutations {
        let other = &inputs[numbers.below(inputs.len())];
        tried(&mutated(&inputs[round % inputs.len()], other, &mut numbers));
    }
}

#[test]
fn profiles_are_read() {
    run("profile");
}

#[test]
fn layers_are_merged() {
    run("merge");
}

#[test]
fn keys_of_system_calls_are_read_and_compiled() {
    run("syscall_key");
}

#[test]
fn paths_are_expanded() {
    run("expand");
}

#[test]
fn mounts_and_groups_are_read() {
    run("mountinfo");
}

#[test]
fn rules_are_judged() {
    run("rules");
}

#[test]
fn rules_of_another_program_are_imported() {
    run("suid_conf");
}

#[test]
fn options_are_layered() {
    run("command_line");
}

#[test]
fn programs_and_their_loaders_cache_are_read() {
    run("closure");
}

#[test]
fn desktop_entries_are_copied() {
    run("desktop_entry");
}

#[test]
fn archives_and_texts_of_images_are_read() {
    run("archive");
}

#[test]
fn sizes_times_lists_and_paths_are_read() {
    run("values");
}

#[test]
fn addresses_and_names_of_buses_are_read() {
    run("dbus");
}

#[test]
fn events_of_compositors_are_read() {
    run("wayland");
}

#[test]
fn cookies_of_displays_are_read() {
    run("authority");
}

#[test]
fn filters_answer_what_their_rules_say() {
    run("calls");
}

#[test]
fn lists_of_devices_allow_what_they_say() {
    run("devices");
}

#[test]
fn names_of_later_are_kept_away() {
    run("pattern");
}

#[test]
fn arguments_are_matched() {
    run("argument");
}

#[test]
fn requests_are_decided() {
    run("verdict");
}

#[test]
fn records_of_sandboxes_are_read() {
    run("record");
}

#[test]
fn states_of_processes_are_read() {
    run("stat");
}

#[test]
fn what_images_say_is_read() {
    run("image");
}

#[test]
fn desktops_know_programs_by_texts() {
    run("identity");
}

/// Every check on ever new mutations for as long as `SANDBOX_TEST_FUZZ` says, in seconds of each check (else 60).
/// `cargo test --release --test fuzz -- --ignored --nocapture for_long`
#[test]
#[ignore = "runs as long as it is told"]
fn for_long() {
    let seconds = std::env::var("SANDBOX_TEST_FUZZ");
    let seconds = seconds
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(60);
    let only = std::env::var("SANDBOX_TEST_FUZZ_ONLY").unwrap_or_default();
    let chosen = |name: &&str| only.is_empty() || only.split(',').any(|one| one == *name);
    let mut failed = Vec::new();
    for (name, check) in targets::ALL.into_iter().filter(|(name, _)| chosen(name)) {
        let (tries, found) = mutate(name, check, Duration::from_secs(seconds));
        println!("{name}: {tries} inputs in {seconds} s, {found} of them fail");
        if found > 0 {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

/// How many were tried, and how many failed; of those, the first few are shown.
fn mutate(target: &str, check: Check, time: Duration) -> (u64, u64) {
    let mut pool = inputs(target);
    let known = pool.len();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let mut numbers = Numbers::seeded(&now.unwrap_or_default().as_nanos().to_ne_bytes());
    let (started, mut tries, mut found) = (Instant::now(), 0, 0);
    while started.elapsed() < time {
        let base = numbers.below(pool.len());
        let input = mutated(&pool[base], &pool[numbers.below(pool.len())], &mut numbers);
        tries += 1;
        let outcome = std::panic::catch_unwind(|| check(&input));
        if outcome.is_err() {
            found += 1;
            if found <= 5 {
                eprintln!(
                    "{target}: the input: {:?}",
                    input.escape_ascii().to_string()
                );
            }
        }
        // Mutations of mutations get further than those of known inputs; some are kept for a while.
        if numbers.below(8) == 0 {
            match pool.len() < known + 256 {
                true => pool.push(input),
                false => pool[known + numbers.below(256)] = input,
            }
        }
    }
    (tries, found)
}

#[test]
fn every_fuzzer_has_its_check_and_every_check_its_fuzzer() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut fuzzers: Vec<String> = fs::read_dir(directory)
        .expect("the fuzzers")
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            Some(name.strip_suffix(".rs")?.to_owned())
        })
        .collect();
    fuzzers.sort();
    let mut checks = targets::ALL.map(|(name, _)| name);
    checks.sort_unstable();
    assert_eq!(fuzzers, checks);
}
