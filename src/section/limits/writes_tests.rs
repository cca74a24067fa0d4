#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::policy::Traced;
use crate::section::limits::CONTROLS;

fn held(limits: &Limits, version: Version) -> Vec<LimitWrite> {
    let group = Group {
        version: &|_| Some(version),
        lacks: &|_| false,
        may_fail: &|_| false,
    };
    writes(limits, group)
}

fn shown(limits: &Limits, version: Version) -> String {
    let lines: Vec<_> = held(limits, version)
        .iter()
        .map(ToString::to_string)
        .collect();
    lines.join("\n")
}

fn with(limits: Limits, key: &str, amount: Amount) -> Limits {
    limits.with(key, Traced::default_value(amount))
}

fn one(key: &str, amount: Amount) -> Limits {
    with(Limits::default(), key, amount)
}

fn all() -> Limits {
    let mut limits = Limits::sample().with_number("memory", 3 << 30);
    let disk = Disk { major: 8, minor: 0 };
    limits.locate(&[("/".to_owned(), Ok(disk))].into());
    limits
}

#[test]
fn v1() {
    insta::assert_snapshot!(shown(&all(), Version::V1), @r"
    memory.limit_in_bytes = 3221225472 (limits.memory)
    memory.memsw.limit_in_bytes = 4294967296 (limits.swap)
    memory.soft_limit_in_bytes = 536870912 (limits.memory-soft)
    memory.swappiness = 100 (limits.swappiness)
    pids.max = 100 (limits.pids)
    cpu.cfs_period_us = 100000 (limits.cpu)
    cpu.cfs_quota_us = 100000 (limits.cpu)
    cpu.cfs_burst_us = 100 (limits.cpu-burst)
    cpu.shares = 1024 (limits.cpu-weight)
    cpuset.cpus = 0 (limits.cpus)
    cpuset.mems = 0 (limits.memory-nodes)
    blkio.bfq.weight = 100 (limits.io-weight)
    hugetlb.2MB.limit_in_bytes = 2097152 (limits.huge-pages-2MB)
    misc.max = RESOURCE 100 (limits.misc-RESOURCE)
    net_cls.classid = 100 (limits.net-class)
    net_prio.ifpriomap = lo 1 (limits.net-priority-lo)
    blkio.throttle.read_bps_device = 8:0 1048576 (limits./)
    rdma.max = DEVICE hca_handle=100 hca_object=100 (limits.rdma-handles-DEVICE)
    ");
}

#[test]
fn v2() {
    insta::assert_snapshot!(shown(&all(), Version::V2), @r"
    memory.max = 3221225472 (limits.memory)
    memory.swap.max = 1073741824 (limits.swap)
    memory.high = 536870912 (limits.memory-high)
    memory.low = 536870912 (limits.memory-low)
    memory.min = 536870912 (limits.memory-min)
    memory.zswap.max = 536870912 (limits.zswap)
    memory.zswap.writeback = 0 (limits.zswap-writeback)
    memory.oom.group = 1 (limits.oom-group)
    pids.max = 100 (limits.pids)
    cpu.max = 100000 100000 (limits.cpu)
    cpu.max.burst = 100 (limits.cpu-burst)
    cpu.weight = 100 (limits.cpu-weight)
    cpuset.cpus = 0 (limits.cpus)
    cpuset.mems = 0 (limits.memory-nodes)
    io.weight = 100 (limits.io-weight)
    hugetlb.2MB.max = 2097152 (limits.huge-pages-2MB)
    misc.max = RESOURCE 100 (limits.misc-RESOURCE)
    io.max = 8:0 rbps=1048576 (limits./)
    rdma.max = DEVICE hca_handle=100 hca_object=100 (limits.rdma-handles-DEVICE)
    ");
}

/// One limit, and what is written for it on v1 and v2.
#[test]
fn each_limit_in_each_version() {
    let number = |n| Amount::Number(n);
    let cpu = |key: &str, amount| with(one("cpu", number(5_000)), key, amount);
    let soft = |mode| {
        with(
            one("memory-soft", number(9)),
            "memory-soft-mode",
            Amount::Word(mode),
        )
    };
    let ranges = |text| Amount::Ranges(Ranges::parse(text).unwrap());
    let both = one("rdma-handles-a", number(4));
    let cases = [
        (
            one("cpus", ranges("0-3,7")),
            "cpuset.cpus=0-3,7",
            "cpuset.cpus=0-3,7",
        ),
        (
            one("memory-nodes", ranges("0")),
            "cpuset.mems=0",
            "cpuset.mems=0",
        ),
        (
            one("memory", Amount::Max),
            "memory.limit_in_bytes=-1",
            "memory.max=max",
        ),
        (
            one("swap", Amount::Max),
            "memory.memsw.limit_in_bytes=-1",
            "memory.swap.max=max",
        ),
        (soft("pressure"), "memory.soft_limit_in_bytes=9", ""),
        (
            soft("throttle"),
            "memory.soft_limit_in_bytes=9",
            "memory.high=9",
        ),
        (
            soft("protect"),
            "memory.soft_limit_in_bytes=9",
            "memory.low=9",
        ),
        (one("memory-high", number(7)), "", "memory.high=7"),
        (one("memory-low", number(7)), "", "memory.low=7"),
        (one("memory-min", number(7)), "", "memory.min=7"),
        (one("swappiness", number(10)), "memory.swappiness=10", ""),
        (one("zswap", number(0)), "", "memory.zswap.max=0"),
        (
            one("zswap-writeback", Amount::Flag(false)),
            "",
            "memory.zswap.writeback=0",
        ),
        (
            one("oom-group", Amount::Flag(true)),
            "",
            "memory.oom.group=1",
        ),
        (one("pids", Amount::Max), "pids.max=max", "pids.max=max"),
        (
            one("cpu", number(50)),
            "cpu.cfs_period_us=1000000 cpu.cfs_quota_us=5000",
            "cpu.max=5000 1000000",
        ),
        (
            one("cpu", Amount::Max),
            "cpu.cfs_quota_us=-1",
            "cpu.max=max",
        ),
        (
            cpu("cpu-period", number(10_000)),
            "cpu.cfs_period_us=10000 cpu.cfs_quota_us=5000",
            "cpu.max=5000 10000",
        ),
        (
            cpu("cpu-burst", number(20_000)),
            "cpu.cfs_period_us=100000 cpu.cfs_quota_us=50000 cpu.cfs_burst_us=20000",
            "cpu.max=50000 100000 cpu.max.burst=20000",
        ),
        (
            one("cpu-weight", number(50)),
            "cpu.shares=512",
            "cpu.weight=50",
        ),
        (
            one("cpu-weight", Amount::Word("idle")),
            "cpu.idle=1",
            "cpu.idle=1",
        ),
        (
            one("io-weight", number(1000)),
            "blkio.bfq.weight=181",
            "io.weight=1000",
        ),
        (
            one("huge-pages-2MB", number(1 << 21)),
            "hugetlb.2MB.limit_in_bytes=2097152",
            "hugetlb.2MB.max=2097152",
        ),
        (
            both.clone(),
            "rdma.max=a hca_handle=4",
            "rdma.max=a hca_handle=4",
        ),
        (
            with(both, "rdma-objects-a", number(9)),
            "rdma.max=a hca_handle=4 hca_object=9",
            "rdma.max=a hca_handle=4 hca_object=9",
        ),
        (
            one("misc-sev", number(3)),
            "misc.max=sev 3",
            "misc.max=sev 3",
        ),
        (
            one("net-class", number(0x10_0001)),
            "net_cls.classid=1048577",
            "",
        ),
        (
            one("net-priority-eth0", number(5)),
            "net_prio.ifpriomap=eth0 5",
            "",
        ),
        (one("perf-event", Amount::Flag(true)), "", ""),
    ];
    for (limits, v1, v2) in cases {
        for (version, expected) in [(Version::V1, v1), (Version::V2, v2)] {
            let written: Vec<String> = held(&limits, version)
                .iter()
                .map(|write| format!("{}={}", write.file, write.value))
                .collect();
            assert_eq!(written.join(" "), expected, "{limits:?} {version:?}");
        }
    }
}

#[test]
fn a_controller_that_the_group_has_in_neither_version_is_left_out() {
    let group = Group {
        version: &|name| match name {
            "memory" => Some(Version::V1),
            "io" => Some(Version::V2),
            _ => None,
        },
        lacks: &|file| file == "io.weight",
        may_fail: &|key| key == "memory",
    };
    let limits = all();
    let written = writes(&limits, group);
    let files: Vec<&str> = written.iter().map(|write| write.file.as_str()).collect();
    assert_eq!(
        files,
        [
            "memory.limit_in_bytes",
            "memory.memsw.limit_in_bytes",
            "memory.soft_limit_in_bytes",
            "memory.swappiness",
            "io.bfq.weight",
            "io.max"
        ]
    );
    assert!(written[0].may_fail && !written[1].may_fail);
}

#[test]
fn rates_of_two_paths_on_one_disk_are_the_smaller() {
    let rates = |read, write| {
        Amount::Rates(Rates {
            read,
            write,
            ..Rates::default()
        })
    };
    let mut limits = with(
        one("/a", rates(Some(5), None)),
        "/b",
        rates(Some(3), Some(9)),
    );
    let disk = |minor| Ok(Disk { major: 254, minor });
    let mut disks: BTreeMap<String, Result<Disk, String>> =
        [("/a".to_owned(), disk(0)), ("/b".to_owned(), disk(0))].into();
    limits.locate(&disks);
    assert_eq!(
        shown(&limits, Version::V2),
        "io.max = 254:0 rbps=3 wbps=9 (limits./a)"
    );
    disks.insert("/b".to_owned(), disk(1));
    limits.locate(&disks);
    assert_eq!(
        shown(&limits, Version::V1),
        "blkio.throttle.read_bps_device = 254:0 5 (limits./a)\n\
         blkio.throttle.read_bps_device = 254:1 3 (limits./b)\n\
         blkio.throttle.write_bps_device = 254:1 9 (limits./b)"
    );
}

#[test]
fn v1_denies_all_devices_before_it_allows_some() {
    let rule = |block, minor, write| DeviceRule {
        block,
        major: Some(1),
        minor,
        write,
        make: write,
    };
    let devices = DeviceLimit {
        allowed: vec![rule(false, Some(3), true), rule(true, None, false)],
        may_fail: false,
        site: Site::DEFAULT,
    };
    let written: Vec<String> = device_writes(&devices)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        written,
        [
            "devices.deny = a (limits.devices)",
            "devices.allow = c 1:3 rwm (limits.devices)",
            "devices.allow = b 1:* r (limits.devices)"
        ]
    );
}

#[test]
fn bfq_weights_keep_everybodys_100() {
    for (weight, bfq) in [
        (1, 1),
        (50, 50),
        (100, 100),
        (111, 101),
        (1_000, 181),
        (10_000, 1_000),
        (u64::MAX, 1_000),
        (0, 1),
    ] {
        assert_eq!(bfq_weight(weight), bfq, "{weight}");
    }
}

#[test]
fn reading_back_knows_the_forms_of_the_files() {
    for (file, written, read, same) in [
        ("cpuset.cpus", "0-3", "0,1,2,3\n", true),
        ("cpuset.cpus", "0-3", "0-2\n", false),
        ("cpuset.cpus", "0-3", "\n", false),
        (
            "io.max",
            "8:0 rbps=5",
            "8:0 rbps=5 wbps=max riops=max wiops=max\n",
            true,
        ),
        (
            "io.max",
            "8:0 rbps=5",
            "8:16 rbps=5 wbps=max\n8:0 rbps=6 wbps=max\n",
            false,
        ),
        ("io.max", "8:0 rbps=5", "\n", false),
        (
            "blkio.throttle.read_bps_device",
            "254:0 5",
            "8:0 1\n254:0 5\n",
            true,
        ),
        (
            "blkio.throttle.read_bps_device",
            "254:0 5",
            "254:0 50\n",
            false,
        ),
        ("io.weight", "50", "default 50\n8:0 60\n", true),
        ("io.weight", "50", "default 100\n", false),
        ("blkio.bfq.weight", "50", "50\n", true),
        (
            "rdma.max",
            "mlx5_0 hca_handle=4",
            "mlx4_0 hca_handle=9\nmlx5_0 hca_handle=4 hca_object=max\n",
            true,
        ),
        ("misc.max", "sev 3", "sev_es max\nsev 3\n", true),
        ("net_prio.ifpriomap", "lo 5", "lo 5\neth0 0\n", true),
        ("net_prio.ifpriomap", "lo 5", "lo 0\neth0 5\n", false),
        ("hugetlb.2MB.max", "3145728", "2097152\n", true),
        ("hugetlb.2MB.max", "4194304", "2097152\n", false),
        (
            "hugetlb.1GB.limit_in_bytes",
            "1073741825",
            "1073741824\n",
            true,
        ),
        ("memory.limit_in_bytes", "-1", "9223372036854771712\n", true),
        ("memory.limit_in_bytes", "-1", "4096\n", false),
        ("cpu.max", "max", "max 100000\n", true),
        ("cpu.idle", "1", "1\n", true),
        ("cpu.cfs_burst_us", "1000", "0\n", false),
    ] {
        assert_eq!(agrees(file, written, read), same, "{file} {written} {read}");
    }
}

/// Any limits, some of them absurd.
pub(crate) fn any_limits() -> impl Strategy<Value = Limits> {
    let labels: Vec<&'static str> = CONTROLS
        .iter()
        .map(|control| match control.label() {
            "PATH" => "/a",
            label => label,
        })
        .chain([
            "memory-soft-mode",
            "cpu-period",
            "/b",
            "huge-pages-2MB",
            "misc-x",
        ])
        .collect();
    let amount = prop_oneof![
        any::<u64>().prop_map(Amount::Number),
        Just(Amount::Max),
        any::<bool>().prop_map(Amount::Flag),
        prop_oneof![
            Just("idle"),
            Just("listed"),
            Just("throttle"),
            Just("protect")
        ]
        .prop_map(Amount::Word),
        proptest::collection::vec((any::<u32>(), any::<u32>()), 0..4).prop_map(|ranges| {
            let ranges = ranges.into_iter().map(|(a, b)| (a.min(b), a.max(b)));
            Amount::Ranges(Ranges::of(ranges.collect()))
        }),
        any::<[Option<u64>; 4]>().prop_map(|[read, write, read_operations, write_operations]| {
            Amount::Rates(Rates {
                read,
                write,
                read_operations,
                write_operations,
            })
        }),
    ];
    proptest::collection::vec((proptest::sample::select(labels), amount), 0..12).prop_map(|all| {
        all.into_iter()
            .fold(Limits::default(), |limits, (key, amount)| {
                with(limits, key, amount)
            })
    })
}

/// A name that cannot leave the group's directory, and a value of one line, as long as a file takes.
pub(crate) fn is_well_formed(write: &LimitWrite) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
    write.file.chars().all(plain)
        && write.file.starts_with(write.controller)
        && write.value.len() < 4096
        && !write.value.chars().any(char::is_control)
}

proptest! {
    #[test]
    fn whatever_is_asked_for_is_written_well(mut limits in any_limits(), old in any::<u32>(), gone in any::<u32>()) {
        let disk = |minor| Ok(Disk { major: 8, minor });
        limits.locate(&[("/a".to_owned(), disk(0)), ("/b".to_owned(), disk(1))].into());
        let bit = |name: &str, bits: u32| name.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) & bits & 7 != 0;
        let group = Group {
            version: &|name| Some(if bit(name, old) { Version::V1 } else { Version::V2 }),
            lacks: &|file| bit(file, gone),
            may_fail: &|_| false,
        };
        for write in writes(&limits, group) {
            prop_assert!(is_well_formed(&write), "{write:?}");
        }
    }

    #[test]
    fn lists_read_back(ranges in proptest::collection::vec((0_u32..5000, 0_u32..5000), 0..8)) {
        let ranges = Ranges::of(ranges.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect());
        prop_assert_eq!(Ranges::parse(&ranges.to_string()), Some(ranges.clone()));
        prop_assert_eq!(ranges.without(&ranges), Ranges::default());
    }
}

#[test]
fn quotas_never_fall_below_a_millisecond() {
    for share in [10, 99, 100, 101, 10_000, 1_000_000] {
        let (quota, period) = quota(share);
        assert!(quota >= 1_000, "{share}");
        assert_eq!(
            u128::from(quota) * 10_000,
            u128::from(share) * u128::from(period)
        );
    }
}

#[test]
fn shares_are_proportional_and_in_range() {
    let pairs = [
        (1, 10),
        (10, 102),
        (50, 512),
        (100, 1024),
        (200, 2048),
        (10_000, 102_400),
    ];
    for (weight, expected) in pairs {
        assert_eq!(shares(weight), expected, "{weight}");
    }
    assert_eq!(shares(0), 2);
    assert_eq!(shares(u64::MAX), 262_144);
}

#[test]
fn more_pids_than_there_can_be_are_written_as_many_as_there_can_be() {
    let written = held(
        &Limits::default().with_number("pids", u64::MAX),
        Version::V2,
    );
    assert_eq!(written[0].value, "4194304");
}

#[test]
fn reading_back_allows_for_pages_and_for_nothing_else() {
    assert!(agrees("memory.max", "25000000", "24997888\n"));
    assert!(agrees("memory.limit_in_bytes", "1024", "0\n"));
    assert!(!agrees("memory.max", "25000000", "25001984\n"));
    assert!(!agrees("memory.max", "25000000", "max\n"));
    assert!(!agrees("memory.max", "103809024", "80740352\n"));
    assert!(agrees("memory.max", &i64::MAX.to_string(), "max\n"));
    assert!(agrees(
        "memory.limit_in_bytes",
        &i64::MAX.to_string(),
        "9223372036854771712\n"
    ));
    assert!(!agrees("pids.max", "512", "511\n"));
    assert!(agrees("cpu.max", "150000 100000", "150000 100000\n"));
    assert!(!agrees("cpu.max", "150000 100000", "max 100000\n"));
}
