#![allow(clippy::unwrap_used)]

use super::*;
use crate::policy::Rule;
use crate::report::{Site, Source, SourceId, SourceKind, SourceMap};

fn source() -> SourceId {
    SourceMap::new().add(Source {
        name: "a.toml".to_owned(),
        kind: SourceKind::CommandLine,
        text: "".into(),
    })
}

/// A policy of `[limits]` alone; the nth value stands at byte n.
pub(crate) fn policy(entries: &[(&str, Value)]) -> Policy {
    let source = source();
    let mut policy = Policy::default();
    for (at, (key, value)) in entries.iter().enumerate() {
        let site = Site::new(source, at..at + 1);
        policy.rules.insert(
            (Section::Limits, (*key).to_owned()),
            Rule {
                value: Some(value.clone()),
                site,
                key_site: site,
                layer: 0,
                overruled: Vec::new(),
            },
        );
    }
    policy
}

fn number(limits: &Limits, key: &str) -> Option<u64> {
    limits.number(key).map(|limit| limit.value)
}

fn bytes(n: u64) -> Value {
    Value::Size(Size::Bytes(n))
}

#[test]
fn parts_of_the_ram_become_bytes_and_max_becomes_nothing() {
    let limits = Limits::of(
        &policy(&[
            ("memory", Value::Size(Size::OfRam(2_500))),
            ("swap", Value::Size(Size::Max)),
            ("pids", Value::Count(Count::Max)),
            ("cpu", Value::Cpu(Cpu::Max)),
            ("cpu-weight", Value::Integer(50)),
        ]),
        8 << 30,
    )
    .unwrap();
    assert_eq!(number(&limits, "memory"), Some(2 << 30));
    assert_eq!(number(&limits, "cpu-weight"), Some(50));
    assert_eq!(limits.iter().count(), 2);
}

#[test]
fn zero_is_a_limit() {
    let limits = Limits::of(
        &policy(&[("swap", bytes(0)), ("pids", Value::Count(Count::Number(0)))]),
        1,
    )
    .unwrap();
    assert_eq!(number(&limits, "swap"), Some(0));
    assert_eq!(number(&limits, "pids"), Some(0));
}

#[test]
fn a_later_hard_limit_leaves_a_higher_soft_one_without_effect() {
    let mut policy = policy(&[("memory", bytes(1)), ("memory-soft", bytes(2))]);
    let memory = policy.rules.get_mut(Section::Limits, "memory");
    memory.unwrap().layer = 1;
    let limits = Limits::of(&policy, 1).unwrap();
    assert_eq!(limits.get("memory-soft"), None);
    assert_eq!(limits.yielded[0].1.value, 2);
}

#[test]
fn contradictions_are_found_with_both_places() {
    let soft = Limits::of(
        &policy(&[("memory", bytes(1)), ("memory-soft", bytes(2))]),
        1,
    )
    .unwrap_err();
    assert_eq!(soft.len(), 1);
    assert_eq!(soft[0].primary.as_ref().unwrap().site.start, 1);
    assert_eq!(soft[0].related[0].site.start, 0);

    let sum = Limits::of(
        &policy(&[("memory", bytes(1 << 62)), ("swap", bytes(1 << 62))]),
        1,
    )
    .unwrap_err();
    assert_eq!(sum[0].message, "`memory` and `swap` are too much together");

    let huge = Limits::of(&policy(&[("memory", bytes(1 << 63))]), 1).unwrap_err();
    assert_eq!(huge[0].message, "`memory` is too large");
}

#[test]
fn cpu_time_that_no_kernel_can_deal_out_is_refused() {
    for share in [0, 9, check::MOST_CPU + 1, u64::MAX] {
        let wrong = Limits::of(&policy(&[("cpu", Value::Cpu(Cpu::Share(share)))]), 1);
        assert!(wrong.is_err(), "{share}");
    }
    for share in [10, 10_000, check::MOST_CPU] {
        let right = Limits::of(&policy(&[("cpu", Value::Cpu(Cpu::Share(share)))]), 1);
        assert!(right.is_ok(), "{share}");
    }
}

fn wrong(entries: &[(&str, Value)]) -> Vec<(String, usize)> {
    let wrong = Limits::of(&policy(entries), 1 << 33).unwrap_err();
    let shown = wrong.into_iter();
    shown.map(|one| (one.message, one.related.len())).collect()
}

fn time(microseconds: u64) -> Value {
    Value::Duration(std::time::Duration::from_micros(microseconds))
}

#[test]
fn limits_of_memory_that_exclude_each_other_show_both_places() {
    let cases: [(&[(&str, Value)], &str); 8] = [
        (
            &[("memory", bytes(1 << 20)), ("memory-high", bytes(2 << 20))],
            "`memory-high` (2M) is more than `memory` (1M)",
        ),
        (
            &[("memory", bytes(1 << 20)), ("memory-low", bytes(2 << 20))],
            "`memory-low` (2M) is more than `memory` (1M)",
        ),
        (
            &[("memory", bytes(1 << 20)), ("memory-min", bytes(2 << 20))],
            "`memory-min` (2M) is more than `memory` (1M)",
        ),
        (
            &[
                ("memory-high", bytes(1 << 20)),
                ("memory-soft", bytes(2 << 20)),
            ],
            "`memory-soft` (2M) is more than `memory-high` (1M)",
        ),
        (
            &[
                ("memory-low", bytes(1 << 20)),
                ("memory-min", bytes(2 << 20)),
            ],
            "`memory-min` (2M) is more than `memory-low` (1M)",
        ),
        (
            &[
                ("memory-soft", bytes(1)),
                ("memory-soft-mode", Value::Word("throttle")),
                ("memory-high", bytes(2)),
            ],
            "`memory-soft` with `memory-soft-mode = \"throttle\"` is `memory-high`, which is said too",
        ),
        (
            &[
                ("memory-soft", bytes(1)),
                ("memory-soft-mode", Value::Word("protect")),
                ("memory-low", bytes(2)),
            ],
            "`memory-soft` with `memory-soft-mode = \"protect\"` is `memory-low`, which is said too",
        ),
        (
            &[("memory", bytes(1 << 62)), ("swap", bytes(1 << 62))],
            "`memory` and `swap` are too much together",
        ),
    ];
    for (entries, message) in cases {
        let wrong = wrong(entries);
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert_eq!(wrong[0].0, message);
        assert!(wrong[0].1 >= 1, "{message}: the other place is not shown");
    }
    // What is equal is reached.
    let right = policy(&[
        ("memory", bytes(5)),
        ("memory-high", bytes(5)),
        ("memory-low", bytes(5)),
        ("memory-min", bytes(5)),
        ("memory-soft", bytes(5)),
    ]);
    assert!(Limits::of(&right, 1).is_ok());
}

#[test]
fn words_that_only_say_how_another_is_meant_need_it() {
    assert_eq!(
        wrong(&[("memory-soft-mode", Value::Word("protect"))])[0].0,
        "`memory-soft-mode` needs `memory-soft`"
    );
    assert_eq!(
        wrong(&[("cpu-period", time(10_000))])[0].0,
        "`cpu-period` needs `cpu`"
    );
    assert_eq!(
        wrong(&[("cpu-burst", time(10_000))])[0].0,
        "`cpu-burst` needs `cpu`"
    );
    // No limit needs no period.
    assert!(
        Limits::of(
            &policy(&[("cpu", Value::Cpu(Cpu::Max)), ("cpu-period", time(10_000))]),
            1
        )
        .unwrap()
        .is_empty()
    );
}

#[test]
fn periods_and_bursts_that_no_kernel_takes_are_refused() {
    let cpu = |share| ("cpu", Value::Cpu(Cpu::Share(share)));
    for (share, period, fine) in [
        (10_000, 1_000, true),
        (10_000, 999, false),
        (10_000, 1_000_000, true),
        (10_000, 1_000_001, false),
        (1_000, 9_000, false),
        (1_000, 10_000, true),
    ] {
        let limits = Limits::of(&policy(&[cpu(share), ("cpu-period", time(period))]), 1);
        assert_eq!(limits.is_ok(), fine, "{share} {period}");
    }
    for (share, burst, fine) in [
        (5_000, 50_000, true),
        (5_000, 51_000, false),
        (50_000, 500_000, true),
    ] {
        let limits = Limits::of(&policy(&[cpu(share), ("cpu-burst", time(burst))]), 1);
        assert_eq!(limits.is_ok(), fine, "{share} {burst}");
    }
}

#[test]
fn what_a_fresh_group_is_anyway_is_no_limit_but_a_change_of_one_that_runs() {
    let policy = policy(&[
        ("oom-group", Value::Bool(false)),
        ("perf-event", Value::Bool(false)),
        ("zswap-writeback", Value::Bool(true)),
        ("devices", Value::Word("any")),
        ("memory", Value::Size(Size::Max)),
        ("memory-low", bytes(0)),
    ]);
    assert!(Limits::of(&policy, 1).unwrap().is_empty());
    assert_eq!(Limits::change(&policy, 1).unwrap().iter().count(), 6);
}

#[test]
fn limits_come_in_the_order_of_the_table_and_can_be_taken_away_with_what_belongs_to_them() {
    let mut limits = Limits::of(
        &policy(&[
            ("cpu", Value::Cpu(Cpu::Share(10_000))),
            ("cpu-period", time(5_000)),
            ("huge-pages-2MB", bytes(1 << 21)),
            ("huge-pages-1GB", bytes(1 << 30)),
            ("cpus", Value::Ranges(Ranges(vec![(0, 1)]))),
            ("memory", bytes(1)),
            ("open-files", Value::Count(Count::Number(5))),
        ]),
        1,
    )
    .unwrap();
    let keys: Vec<&str> = limits.iter().map(|(key, ..)| key).collect();
    assert_eq!(
        keys,
        ["memory", "cpu", "cpus", "huge-pages-1GB", "huge-pages-2MB"]
    );
    assert_eq!(limits.quota(), Some((5_000, 5_000)));
    limits.forget("cpu");
    assert_eq!(limits.get("cpu-period"), None);
}

#[test]
fn the_sample_has_each() {
    assert_eq!(Limits::sample().iter().count(), CONTROLS.len());
}
