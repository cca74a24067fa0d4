//! Who is blamed, what is said, and what programs get, from counters made by hand.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;

use super::json::schema_for_tests;
use super::limit::Amount;
use super::*;
use crate::cli::schema::tests::valid;
use crate::exec::group::Ceiling;
use crate::plan::{Action, OnFailure, Step};
use crate::report::{Site, Source, SourceKind};
use crate::section::limits::{GroupPlan, LimitWrite, Place, SoftLimit, Version, Way};

const M: u64 = 1 << 20;
const PROFILE: &str =
    "[limits]\nmemory = \"64M\"\nswap = \"16M\"\npids = 20\ncpu = \"50%\"\nfuture = \"x\"\n";

/// A plan whose group has these limits, all said in one file or by one option.
fn plan(version: Version, kind: SourceKind, keys: &[&str]) -> (Plan, SourceMap) {
    let mut sources = SourceMap::new();
    let id = sources.add(Source {
        name: match &kind {
            SourceKind::File(path) => path.display().to_string(),
            SourceKind::Embedded => "embedded:base.toml".to_owned(),
            _ => "command line".to_owned(),
        },
        kind,
        text: PROFILE.into(),
    });
    let v1 = version == Version::V1;
    let mut writes = Vec::new();
    for key in keys {
        let mut push = |file: &str, value: &str| {
            let at = PROFILE.find(&format!("{key} = ")).unwrap() + key.len() + 3;
            writes.push(LimitWrite {
                key: (*key).to_owned(),
                controller: "memory",
                file: file.to_owned(),
                value: value.to_owned(),
                may_fail: false,
                site: Site::new(id, at..at + 3),
            });
        };
        match (*key, v1) {
            ("memory", true) => push("memory.limit_in_bytes", "67108864"),
            ("memory", false) => push("memory.max", "67108864"),
            ("swap", true) => push("memory.memsw.limit_in_bytes", "83886080"),
            ("swap", false) => push("memory.swap.max", "16777216"),
            ("pids", _) => push("pids.max", "20"),
            ("cpu", true) => {
                push("cpu.cfs_period_us", "100000");
                push("cpu.cfs_quota_us", "50000");
            }
            ("cpu", false) => push("cpu.max", "50000 100000"),
            _ => push("future.max", "x y"),
        }
    }
    let controllers = ["memory", "pids", "cpu"].map(str::to_owned).into();
    let place = Place {
        version,
        controllers,
        parent: "/sys/fs/cgroup".into(),
        enable: Vec::new(),
        optional: false,
    };
    let group = GroupPlan {
        way: Way::Direct {
            places: vec![place],
        },
        name: "p".to_owned(),
        application: None,
        controllers: ["memory".to_owned()].into(),
        writes,
        devices: None,
        soft: Some(SoftLimit {
            bytes: 8 * M,
            may_fail: false,
            site: Site::DEFAULT,
        }),
        kill_at_oom: false,
    };
    let mut plan = Plan::default();
    plan.steps.push(Step {
        action: Action::EnterGroup(group),
        site: Site::DEFAULT,
        because: String::new(),
        on_failure: OnFailure::Fatal,
    });
    (plan, sources)
}

fn outcome(usage: Usage, circumstances: Circumstances, ending: Ending) -> Outcome {
    Outcome {
        ending,
        duration: Duration::from_millis(1500),
        usage: Some(usage),
        circumstances,
        timed_out: false,
        leftovers: Vec::new(),
    }
}

fn reader() -> Reader {
    Reader {
        profile: Some("firefox".to_owned()),
        directory: Some(PathBuf::from("~/.config/sandbox/profiles")),
        may_change: None,
    }
}

fn own_file() -> SourceKind {
    SourceKind::File("/home/joe/p.toml".into())
}

fn report_of(
    version: Version,
    keys: &[&str],
    usage: Usage,
    circumstances: Circumstances,
    ending: Ending,
) -> Report {
    let (plan, sources) = plan(version, own_file(), keys);
    let outcome = outcome(usage, circumstances, ending);
    Report::of(
        &outcome,
        &plan,
        &sources,
        OsStr::new("firefox"),
        &reader(),
        &Diary::default(),
    )
}

fn kinds(report: &Report) -> Vec<Kind> {
    report.causes.iter().map(|cause| cause.kind).collect()
}

fn ceiling(key: &'static str, value: u64, reached: bool) -> Ceiling {
    Ceiling {
        key,
        value,
        group: "/sys/fs/cgroup/user.slice".into(),
        reached,
    }
}

const KILLED: Ending = Ending::Exited(137);
const ALL: &[&str] = &["memory", "swap", "pids", "cpu"];

#[test]
fn a_kill_at_the_own_limit_says_where_it_is_and_how_to_raise_it() {
    let usage = Usage {
        oom_kills: Some(1),
        memory_peak: Some(64 * M),
        ..Usage::default()
    };
    let around = Circumstances {
        own_ooms: Some(1),
        swap_limit_hits: Some(3),
        ..Circumstances::default()
    };
    let report = report_of(Version::V2, ALL, usage, around, KILLED);
    insta::assert_snapshot!(report.remarks(), @r#"
    sandbox: firefox: the kernel killed 1 process at the memory limit of 64.0 MiB (limits.memory, /home/joe/p.toml:2:10); peak 64.0 MiB; its swap limit of 16.0 MiB was reached too (limits.swap, /home/joe/p.toml:3:8)
      to give it more: --memory 128M; for good: `memory = "128M"` in line 2 of /home/joe/p.toml
      to give it more: --swap 32M; for good: `swap = "32M"` in line 3 of /home/joe/p.toml
    "#);
}

#[test]
fn blame_goes_to_whose_counters_say_so() {
    let killed = |peak| Usage {
        oom_kills: Some(2),
        memory_peak: Some(peak),
        memory_limit_hits: Some(1),
        ..Usage::default()
    };
    let around = |own_ooms, above: &[Ceiling]| Circumstances {
        own_ooms,
        above: above.to_vec(),
        ..Circumstances::default()
    };
    use Version::{V1, V2};
    let memory = &["memory"][..];
    let low = ceiling("memory", 32 * M, true);
    let unreached = ceiling("memory", 32 * M, false);
    let high = ceiling("memory", 900 * M, true);
    for (at, (version, keys, usage, around, expected)) in [
        // v2 counts at whose limit it was.
        (
            V2,
            memory,
            killed(64 * M),
            around(Some(1), &[]),
            Kind::Memory,
        ),
        (
            V2,
            memory,
            killed(64 * M),
            around(Some(1), std::slice::from_ref(&high)),
            Kind::Memory,
        ),
        (
            V2,
            memory,
            killed(31 * M),
            around(Some(0), std::slice::from_ref(&low)),
            Kind::MemoryAbove,
        ),
        (
            V2,
            memory,
            killed(20 * M),
            around(Some(0), &[unreached]),
            Kind::HostMemory,
        ),
        (
            V2,
            memory,
            killed(20 * M),
            around(Some(0), &[]),
            Kind::HostMemory,
        ),
        (
            V2,
            &["pids"][..],
            killed(20 * M),
            around(Some(0), &[high]),
            Kind::MemoryAbove,
        ),
        // v1 does not: the peak tells.
        (V1, memory, killed(64 * M), around(None, &[]), Kind::Memory),
        (V1, memory, killed(63 * M), around(None, &[]), Kind::Memory),
        (
            V1,
            memory,
            killed(32 * M),
            around(None, &[low]),
            Kind::MemoryAbove,
        ),
        (
            V1,
            memory,
            killed(20 * M),
            around(None, &[]),
            Kind::HostMemory,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let report = report_of(version, keys, usage, around, KILLED);
        assert_eq!(report.causes[0].kind, expected, "{at}: {}", report.full());
        assert_eq!(report.causes[0].count, 2);
        let own = expected == Kind::Memory;
        assert_eq!(report.causes[0].limit.is_some(), own, "{at}");
    }
}

/// On v1 the sum of memory and swap may be what was full.
#[test]
fn on_v1_the_sum_counts_too() {
    let usage = Usage {
        oom_kills: Some(1),
        memory_peak: Some(40 * M),
        memory_limit_hits: Some(0),
        ..Usage::default()
    };
    let around = Circumstances {
        memory_and_swap_peak: Some(80 * M),
        ..Circumstances::default()
    };
    let report = report_of(Version::V1, ALL, usage, around, KILLED);
    assert_eq!(kinds(&report), [Kind::Memory]);
    let swap = report.limits.iter().find(|limit| limit.key == "swap");
    assert_eq!(swap.unwrap().amount, Amount::Bytes(16 * M));
    assert!(
        report
            .remarks()
            .contains("80.0 MiB with swap; its swap limit of 16.0 MiB"),
        "{}",
        report.remarks()
    );
}

#[test]
fn forks_are_laid_to_the_limit_that_was_reached() {
    let usage = |peak| Usage {
        pids_refused: Some(7),
        pids_peak: peak,
        ..Usage::default()
    };
    let above = Circumstances {
        above: vec![ceiling("pids", 12, true)],
        ..Circumstances::default()
    };
    let none = Circumstances::default();
    for (keys, usage, around, expected) in [
        (ALL, usage(Some(20)), &none, Kind::Pids),
        (ALL, usage(None), &none, Kind::Pids),
        (ALL, usage(Some(12)), &above, Kind::PidsAbove),
        (ALL, usage(None), &above, Kind::PidsAbove),
        (&["memory"][..], usage(Some(12)), &above, Kind::PidsAbove),
    ] {
        let report = report_of(Version::V2, keys, usage, around.clone(), Ending::Exited(0));
        assert_eq!(report.causes[0].kind, expected, "{}", report.full());
    }
}

#[test]
fn a_signal_from_somebody_is_no_limit() {
    let quiet = Usage {
        oom_kills: Some(0),
        ..Usage::default()
    };
    let report = report_of(Version::V2, ALL, quiet, Circumstances::default(), KILLED);
    assert_eq!(kinds(&report), [Kind::Killed]);
    assert_eq!(report.remarks(), "");
    let unknown = report_of(
        Version::V2,
        &["cpu"],
        Usage::default(),
        Circumstances::default(),
        KILLED,
    );
    assert_eq!(kinds(&unknown), []);
    let oomd = Circumstances {
        oomd_kills: Some(3),
        ..Circumstances::default()
    };
    let report = report_of(Version::V2, ALL, quiet, oomd, KILLED);
    assert_eq!(kinds(&report), [Kind::Oomd]);
    assert!(report.remarks().contains("systemd-oomd killed 3 processes"));
}

#[test]
fn what_only_slows_down_is_said_when_asked_for() {
    let usage = Usage {
        oom_kills: Some(0),
        memory_peak: Some(64 * M),
        memory_limit_hits: Some(4),
        throttled: Some(9),
        throttled_usec: Some(900_000),
        cpu_usec: Some(600_000),
        user_usec: Some(500_000),
        system_usec: Some(100_000),
        io_read_bytes: Some(3 * M),
        io_reads: Some(1),
        pids_peak: Some(3),
        ..Usage::default()
    };
    let around = Circumstances {
        own_ooms: Some(0),
        cpu_periods: Some(12),
        above: vec![ceiling("cpu", 2_000, true)],
        ..Circumstances::default()
    };
    let report = report_of(Version::V2, ALL, usage, around, Ending::Exited(0));
    assert_eq!(report.remarks(), "");
    insta::assert_snapshot!(report.full(), @r#"
    sandbox: firefox: reached its memory limit of 64.0 MiB (limits.memory, /home/joe/p.toml:2:10) 4 times; the kernel made room by reclaiming, and killed nothing
      to give it more: --memory 128M; for good: `memory = "128M"` in line 2 of /home/joe/p.toml
    sandbox: firefox: held back at the CPU limit of 50% (limits.cpu, /home/joe/p.toml:5:7) in 9 periods of the 12 that it ran in (75%); 0.90 s in all, added up over the CPUs
      to give it more: --cpu 100%; for good: `cpu = "100%"` in line 5 of /home/joe/p.toml
    sandbox: firefox: the limit of 20% of CPU time that holds is the one of the group /sys/fs/cgroup/user.slice above the sandbox's, which is lower than the sandbox's own 50% (limits.cpu, /home/joe/p.toml:5:7)
      that limit is systemd's or the administrator's: `systemctl show user.slice`, or `systemctl --user show user.slice`
    sandbox: firefox: exit status 0 after 1.50 s
      memory, at most     64.0 MiB of 64.0 MiB
      killed for memory   0
      processes, at most  3 of 20
      CPU time            0.60 s (user 0.50 s, system 0.10 s)
      read from disks     3.0 MiB in 1 operation
    "#);
}

#[test]
fn a_limit_of_a_foreign_profile_is_raised_in_a_drop_in() {
    let of = |kind, reader: &Reader| {
        let (plan, sources) = plan(Version::V2, kind, &["pids"]);
        let limits = Limit::all(&plan, &sources, reader);
        limits[0].raise(reader).join(" | ")
    };
    assert_eq!(
        of(SourceKind::Embedded, &reader()),
        "--pids 40 | `pids = 40` in [limits] of ~/.config/sandbox/profiles/firefox.d/limits.toml"
    );
    let by_path = Reader {
        profile: None,
        ..reader()
    };
    assert!(of(SourceKind::Embedded, &by_path).ends_with("profiles/base.d/limits.toml"));
    let of_a_package = Reader {
        may_change: Some(|_| false),
        ..reader()
    };
    assert!(of(own_file(), &of_a_package).ends_with("profiles/firefox.d/limits.toml"));
    assert_eq!(of(SourceKind::CommandLine, &reader()), "--pids 40");
}

/// Keys that this file has never heard of are told as they were said.
#[test]
fn unknown_keys_are_limits_too() {
    let (plan, sources) = plan(Version::V2, own_file(), &["future"]);
    let limits = Limit::all(&plan, &sources, &reader());
    assert_eq!(limits[0].key, "future");
    assert!(limits[0].raise(&reader())[0].starts_with("--set limits.future="));
}

#[test]
fn reports_are_what_the_schema_says() {
    let schema = schema_for_tests();
    let usage = Usage {
        oom_kills: Some(1),
        memory_peak: Some(64 * M),
        pids_refused: Some(1),
        ..Usage::default()
    };
    let around = Circumstances {
        own_ooms: Some(1),
        above: vec![ceiling("pids", 12, true), ceiling("memory", M, true)],
        ..Circumstances::default()
    };
    let (plan, sources) = plan(
        Version::V1,
        own_file(),
        &["memory", "swap", "pids", "cpu", "future"],
    );
    let mut diary = Diary::default();
    for event in [
        Event::OutOfMemory { kills: 1 },
        Event::ForksRefused { count: 2 },
        Event::Throttled { usec: 3 },
        Event::PushedBack {
            before: 5,
            after: 4,
        },
    ] {
        diary.note(event);
    }
    let mut outcomes = vec![outcome(usage, around, KILLED)];
    outcomes.push(Outcome {
        usage: None,
        timed_out: true,
        ending: Ending::Killed(9),
        circumstances: Circumstances::default(),
        ..outcomes[0].clone()
    });
    for outcome in outcomes {
        let program = OsStr::new("a\u{1b}[1m");
        let report = Report::of(&outcome, &plan, &sources, program, &reader(), &diary);
        let json = report.to_json();
        assert!(valid(&schema, &schema, &json), "{json:#}");
        // And nothing else than what it says, so that it is complete.
        let named = |at: &str| schema.pointer(at).unwrap().as_object().unwrap().clone();
        for member in json.as_object().unwrap().keys() {
            assert!(named("/properties").contains_key(member), "{member}");
        }
        if let Some(usage) = json["usage"].as_object() {
            for member in usage.keys() {
                let at = "/properties/usage/anyOf/0/properties";
                assert!(named(at).contains_key(member), "usage.{member}");
            }
        }
        let mut wrong = json.clone();
        wrong["events"][0]["event"] = "other".into();
        assert!(!valid(&schema, &schema, &wrong));
        wrong = json.clone();
        wrong["limits"]["memory"]["origin"] = 5.into();
        assert!(!valid(&schema, &schema, &wrong));
    }
}
