//! The limits that control groups hold, one entry a key: what holds it on v1, on v2, and what it is to systemd. Kernel
//! documents admin-guide/cgroup-v1/*, admin-guide/cgroup-v2; systemd.resource-control(5).

use super::Version;
use crate::profile::key::Name;

/// How one key of `[limits]` is held.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    /// The key.
    pub name: Name,
    /// How v1 holds it.
    pub v1: Hold,
    /// How v2 holds it.
    pub v2: Hold,
    /// The property of a unit that asks systemd for the same; empty when there is none.
    pub systemd: &'static str,
}

/// How one version of control groups holds a limit.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    /// The controller; empty when a group without any will do, or when there is none.
    pub controller: &'static str,
    /// What holds it.
    pub by: By,
}

/// What holds a limit.
#[derive(Clone, Copy, Debug)]
pub enum By {
    /// A file: the first of these that the kernel has. `{}` stands for the end of the key.
    File {
        /// Their names.
        files: &'static [&'static str],
        /// What a kernel without them does not do, for «this kernel …»; empty when every kernel with the controller has
        /// one.
        lacking: &'static str,
        /// What helps then.
        help: &'static str,
    },
    /// The launcher, or the group's mere existence.
    Ourselves,
    /// Nothing.
    Nothing {
        /// Why.
        why: &'static str,
        /// What to say instead.
        help: &'static str,
    },
}

impl Control {
    /// How a version holds it.
    #[must_use]
    pub fn hold(&self, version: Version) -> Hold {
        match version {
            Version::V1 => self.v1,
            Version::V2 => self.v2,
        }
    }

    /// The key for people.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self.name {
            Name::Exact(name) => name,
            Name::Open { label, .. } => label,
            _ => "PATH",
        }
    }

    /// The end of a key that this is about; empty when it has none.
    #[must_use]
    pub fn end<'k>(&self, key: &'k str) -> Option<&'k str> {
        match self.name {
            Name::Exact(name) => (name == key).then_some(""),
            Name::Open { start, .. } => key.strip_prefix(start).filter(|end| !end.is_empty()),
            _ => key.starts_with(['/', '~', '$']).then_some(""),
        }
    }
}

/// The control of a key.
#[must_use]
pub fn of(key: &str) -> Option<&'static Control> {
    CONTROLS.iter().find(|control| control.end(key).is_some())
}

/// A file name with the end of the key in it.
#[must_use]
pub fn named(file: &str, end: &str) -> String {
    file.replace("{}", end)
}

const fn file(controller: &'static str, files: &'static [&'static str]) -> Hold {
    maybe(controller, files, "", "")
}

const fn maybe(
    controller: &'static str,
    files: &'static [&'static str],
    lacking: &'static str,
    help: &'static str,
) -> Hold {
    let by = By::File {
        files,
        lacking,
        help,
    };
    Hold { controller, by }
}

const fn ourselves(controller: &'static str) -> Hold {
    Hold {
        controller,
        by: By::Ourselves,
    }
}

const fn nothing(controller: &'static str, why: &'static str, help: &'static str) -> Hold {
    Hold {
        controller,
        by: By::Nothing { why, help },
    }
}

const fn control(name: &'static str, v1: Hold, v2: Hold, systemd: &'static str) -> Control {
    Control {
        name: Name::Exact(name),
        v1,
        v2,
        systemd,
    }
}

const fn open(start: &'static str, label: &'static str, v1: Hold, v2: Hold) -> Control {
    Control {
        name: Name::Open { start, label },
        v1,
        v2,
        systemd: "",
    }
}

const SWAPACCOUNT: &str = "start the kernel with `swapaccount=1`";
const NO_QUOTA: &str = "has no CPU quotas";
const NO_BURST: &str = "saves no CPU time up (Linux 5.14)";
/// For «this kernel …».
pub const NO_IDLE: &str = "has no idle class of groups (Linux 5.15)";
const ON_V2_ONLY: &str = "this host uses cgroup v1 for memory, which has no such file";
const HALF: &str = "use `memory-soft`, which v1 has, or `memory`";

/// Every limit that a control group holds, in the order in which a fresh group takes them: v1 wants `memory` before its sum
/// with `swap`, and both the quota before the burst.
pub static CONTROLS: &[Control] = &[
    control(
        "memory",
        file("memory", &["memory.limit_in_bytes"]),
        file("memory", &["memory.max"]),
        "MemoryMax",
    ),
    control(
        "swap",
        maybe(
            "memory",
            &["memory.memsw.limit_in_bytes"],
            "does not count swap",
            SWAPACCOUNT,
        ),
        maybe(
            "memory",
            &["memory.swap.max"],
            "does not count swap",
            SWAPACCOUNT,
        ),
        "MemorySwapMax",
    ),
    control(
        "memory-soft",
        maybe(
            "memory",
            &["memory.soft_limit_in_bytes"],
            "has no soft limits",
            "",
        ),
        ourselves("memory"),
        "",
    ),
    control(
        "memory-high",
        nothing("memory", ON_V2_ONLY, HALF),
        file("memory", &["memory.high"]),
        "MemoryHigh",
    ),
    control(
        "memory-low",
        nothing("memory", ON_V2_ONLY, ""),
        file("memory", &["memory.low"]),
        "MemoryLow",
    ),
    control(
        "memory-min",
        nothing("memory", ON_V2_ONLY, ""),
        file("memory", &["memory.min"]),
        "MemoryMin",
    ),
    control(
        "swappiness",
        file("memory", &["memory.swappiness"]),
        nothing(
            "memory",
            "cgroup v2 has no swappiness of a group",
            "`swap = 0` forbids swapping; for the whole host: sysctl vm.swappiness",
        ),
        "",
    ),
    control(
        "zswap",
        nothing("memory", ON_V2_ONLY, "`swap` counts what is in zswap too"),
        maybe(
            "memory",
            &["memory.zswap.max"],
            "has no zswap that is counted by group (Linux 5.19, CONFIG_ZSWAP)",
            "",
        ),
        "MemoryZSwapMax",
    ),
    control(
        "zswap-writeback",
        nothing("memory", ON_V2_ONLY, ""),
        maybe(
            "memory",
            &["memory.zswap.writeback"],
            "cannot keep a group's memory in zswap (Linux 6.8, CONFIG_ZSWAP)",
            "",
        ),
        "MemoryZSwapWriteback",
    ),
    control(
        "oom-group",
        ourselves("memory"),
        maybe(
            "memory",
            &["memory.oom.group"],
            "does not kill groups as a whole (Linux 4.19)",
            "",
        ),
        "OOMPolicy",
    ),
    control(
        "pids",
        file("pids", &["pids.max"]),
        file("pids", &["pids.max"]),
        "TasksMax",
    ),
    control(
        "cpu",
        maybe(
            "cpu",
            &["cpu.cfs_quota_us"],
            NO_QUOTA,
            "use `limits.cpu-weight`",
        ),
        maybe("cpu", &["cpu.max"], NO_QUOTA, "use `limits.cpu-weight`"),
        "CPUQuotaPerSecUSec",
    ),
    control(
        "cpu-burst",
        maybe("cpu", &["cpu.cfs_burst_us"], NO_BURST, ""),
        maybe("cpu", &["cpu.max.burst"], NO_BURST, ""),
        "",
    ),
    control(
        "cpu-weight",
        file("cpu", &["cpu.shares"]),
        file("cpu", &["cpu.weight"]),
        "CPUWeight",
    ),
    control(
        "cpus",
        file("cpuset", &["cpuset.cpus"]),
        file("cpuset", &["cpuset.cpus"]),
        "AllowedCPUs",
    ),
    control(
        "memory-nodes",
        file("cpuset", &["cpuset.mems"]),
        file("cpuset", &["cpuset.mems"]),
        "AllowedMemoryNodes",
    ),
    control(
        "io-weight",
        maybe(
            "blkio",
            &["blkio.bfq.weight", "blkio.weight"],
            "shares no block devices by weight",
            "modprobe bfq",
        ),
        maybe(
            "io",
            &["io.weight", "io.bfq.weight"],
            "shares no block devices by weight",
            "modprobe bfq",
        ),
        "IOWeight",
    ),
    Control {
        name: Name::Path,
        v1: maybe(
            "blkio",
            &["blkio.throttle.read_bps_device"],
            "limits no rates of block devices (CONFIG_BLK_DEV_THROTTLING)",
            "",
        ),
        v2: maybe(
            "io",
            &["io.max"],
            "limits no rates of block devices (CONFIG_BLK_DEV_THROTTLING)",
            "",
        ),
        systemd: "IOReadBandwidthMax, IOWriteBandwidthMax, IOReadIOPSMax, IOWriteIOPSMax",
    },
    open(
        "huge-pages-",
        "huge-pages-SIZE",
        maybe(
            "hugetlb",
            &["hugetlb.{}.limit_in_bytes"],
            "has no huge pages of that size",
            "ls /sys/kernel/mm/hugepages",
        ),
        maybe(
            "hugetlb",
            &["hugetlb.{}.max"],
            "has no huge pages of that size",
            "ls /sys/kernel/mm/hugepages",
        ),
    ),
    open(
        "rdma-handles-",
        "rdma-handles-DEVICE",
        file("rdma", &["rdma.max"]),
        file("rdma", &["rdma.max"]),
    ),
    open(
        "rdma-objects-",
        "rdma-objects-DEVICE",
        file("rdma", &["rdma.max"]),
        file("rdma", &["rdma.max"]),
    ),
    open(
        "misc-",
        "misc-RESOURCE",
        file("misc", &["misc.max"]),
        file("misc", &["misc.max"]),
    ),
    control(
        "net-class",
        file("net_cls", &["net_cls.classid"]),
        nothing(
            "",
            "cgroup v2 has no classes of packets, and no cgroup v1 hierarchy with the controller `net_cls` is mounted",
            "match the group itself: nft `socket cgroupv2`, iptables `-m cgroup --path`; or mount net_cls: mkdir /sys/fs/cgroup/net_cls; mount -t cgroup -o net_cls cgroup /sys/fs/cgroup/net_cls",
        ),
        "",
    ),
    open(
        "net-priority-",
        "net-priority-INTERFACE",
        file("net_prio", &["net_prio.ifpriomap"]),
        nothing(
            "",
            "cgroup v2 has no priorities of packets, and no cgroup v1 hierarchy with the controller `net_prio` is mounted",
            "mount it: mkdir /sys/fs/cgroup/net_prio; mount -t cgroup -o net_prio cgroup /sys/fs/cgroup/net_prio",
        ),
    ),
    control("perf-event", ourselves("perf_event"), ourselves(""), ""),
    control(
        "devices",
        file("devices", &["devices.deny", "devices.allow"]),
        ourselves(""),
        "DevicePolicy",
    ),
];

/// Keys that say how another key is meant, and the other key.
pub const MODIFIERS: &[(&str, &str)] =
    &[("memory-soft-mode", "memory-soft"), ("cpu-period", "cpu")];

/// Whether a key of `[limits]` is about a control group rather than a process.
#[must_use]
pub fn is_held_by_group(key: &str) -> bool {
    of(key).is_some() || MODIFIERS.iter().any(|(name, _)| *name == key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::key::Section;
    use crate::profile::table::KEYS;

    #[test]
    fn every_control_is_a_key_whose_text_names_its_files_and_property() {
        for control in CONTROLS {
            let key = KEYS
                .iter()
                .find(|key| key.section == Section::Limits && key.name == control.name)
                .unwrap_or_else(|| panic!("{} is no key", control.label()));
            for hold in [control.v1, control.v2] {
                if let By::File { files, .. } = hold.by {
                    for file in files {
                        let file =
                            named(file, control.label().rsplit('-').next().unwrap_or_default());
                        assert!(key.detail.contains(&file), "{}: {file}", control.label());
                    }
                }
            }
            for property in control.systemd.split(", ") {
                assert!(
                    key.detail.contains(property),
                    "{}: {property}",
                    control.label()
                );
            }
        }
        for (name, other) in MODIFIERS {
            assert!(of(other).is_some() && of(name).is_none(), "{name}");
        }
    }

    #[test]
    fn keys_with_an_end_are_found() {
        let label = |key| of(key).map(Control::label);
        assert_eq!(label("huge-pages-2MB"), Some("huge-pages-SIZE"));
        assert_eq!(label("huge-pages-"), None);
        assert_eq!(label("~/x"), Some("PATH"));
        assert_eq!(label("open-files"), None);
        assert_eq!(named("hugetlb.{}.max", "1GB"), "hugetlb.1GB.max");
    }
}
