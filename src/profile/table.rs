//! The entries of the table of keys (see [`super::key`]). A table: long, flat, and read from top to bottom.

use super::key::{Key, Kind, Name, Section};
use super::read::Wrong;
use crate::section::dbus::{MODES, RIGHTS};

const fn key(
    section: Section,
    name: Name,
    kind: Kind,
    default: &'static str,
    example: &'static str,
) -> Key {
    Key {
        section,
        name,
        kind,
        default,
        since: "0.1.0",
        summary: "",
        detail: "",
        security: None,
        example,
    }
}

impl Key {
    const fn says(mut self, summary: &'static str, detail: &'static str) -> Self {
        self.summary = summary;
        self.detail = detail;
        self
    }
    const fn warns(mut self, security: &'static str) -> Self {
        self.security = Some(security);
        self
    }
}

/// Words that `capabilities.default` takes, and each capability too.
pub const KEEP_WORDS: &[&str] = &["keep", "drop"];
/// What `[execute]` says of programs.
pub const ALLOW_WORDS: &[&str] = &["allow", "deny"];
/// Architectures that `syscalls.architectures` can name beside the native one.
pub const ARCHITECTURES: &[&str] = &["x86"];

/// Every key, section by section.
pub static KEYS: &[Key] = &[
    // ---------------------------------------------------------------- limits
    key(Section::Limits, Name::Exact("memory"), Kind::Size, "no limit", "memory = \"3G\"").says(
        "the most memory that the program and all its children may use together",
        "Bytes with K, M, G, T (binary), \"25%\" of this host's RAM, or \"max\". Counts anonymous memory, page cache, tmpfs, \
         shared memory and kernel memory of the whole sandbox. At the limit the kernel reclaims, swaps within `swap`, and at last \
         kills a process. cgroup v1 `memory.limit_in_bytes`, v2 `memory.max`, systemd `MemoryMax`.",
    ),
    key(Section::Limits, Name::Exact("swap"), Kind::Size, "no limit", "swap = \"3G\"").says(
        "swap space that may be used in addition to `memory`",
        "v2 and systemd cap swap by itself (`memory.swap.max`, `MemorySwapMax`); v1 caps the sum, so that `memory` + `swap` is \
         written to `memory.memsw.limit_in_bytes`, and `memory` must be set too. 0 forbids swapping.",
    ),
    key(Section::Limits, Name::Exact("memory-soft"), Kind::Size, "no limit", "memory-soft = \"1G\"").says(
        "memory that the program is pushed back to when the host runs short of it",
        "Without memory pressure the program runs free up to `memory`. What exactly happens under pressure says \
         `memory-soft-mode`. v1 `memory.soft_limit_in_bytes`; v2 has no file of that meaning.",
    ),
    key(Section::Limits, Name::Exact("memory-soft-mode"), Kind::Word(&["pressure", "throttle", "protect"]), "\"pressure\"", "memory-soft-mode = \"pressure\"").says(
        "what `memory-soft` means",
        "`\"pressure\"`: nothing happens until the host runs short of memory; then the program is pushed back towards the soft \
         limit. v1: the kernel does so (`memory.soft_limit_in_bytes`). v2: the launcher watches the host's memory pressure (PSI) \
         and has the kernel reclaim down to the soft limit through `memory.reclaim`; this never throttles. `\"throttle\"`: v2 `memory.high`, \
         systemd `MemoryHigh`: at the soft limit the kernel reclaims and holds the program back at once, whether or not anybody \
         else needs the memory; a program that needs more than that nearly stands still. `\"protect\"`: v2 `memory.low`, \
         systemd `MemoryLow`: the opposite favour; memory up to the soft limit is taken from the program last. The two are \
         refused on v1, which has nothing like them.",
    ),
    key(Section::Limits, Name::Exact("memory-high"), Kind::Size, "no limit", "memory-high = \"2G\"").says(
        "memory above which the program is throttled, at all times",
        "The kernel reclaims and holds the program back, but kills nothing. v2 `memory.high`, systemd `MemoryHigh`; v1 has no \
         such file. A program without swap that needs more stands nearly still, and its stalls can make systemd-oomd kill \
         another group of the same user.",
    ),
    key(Section::Limits, Name::Exact("memory-low"), Kind::Size, "0", "memory-low = \"512M\"").says(
        "memory of the program that the kernel takes last when the host runs short of it",
        "A favour, not a bound; it counts only as far as all groups above allow it too. v2 `memory.low`, systemd `MemoryLow`; v1 has \
         no such file.",
    ),
    key(Section::Limits, Name::Exact("memory-min"), Kind::Size, "0", "memory-min = \"128M\"").says(
        "memory of the program that the kernel never takes",
        "Rather than take it the kernel kills other programs. It counts only as far as all groups above allow it too. v2 \
         `memory.min`, systemd `MemoryMin`; v1 has no such file.",
    ),
    key(Section::Limits, Name::Exact("swappiness"), Kind::Integer(0, 200), "the host's", "swappiness = 10").says(
        "how readily the program's memory is swapped rather than its page cache dropped",
        "0 to 200; 100 treats both alike, 0 swaps only in need. v1 `memory.swappiness`. v2 has no such file: there `swap = 0` \
         forbids swapping.",
    ),
    key(Section::Limits, Name::Exact("zswap"), Kind::Size, "no limit", "zswap = \"256M\"").says(
        "compressed memory of the program in zswap, before it is written to swap",
        "Bytes after compression; 0 keeps the program out of zswap. v2 `memory.zswap.max`, systemd `MemoryZSwapMax`; v1 has no \
         such file. Needs a kernel with zswap.",
    ),
    key(Section::Limits, Name::Exact("zswap-writeback"), Kind::Bool, "true", "zswap-writeback = false").says(
        "whether what is in zswap may be written to the swap device",
        "`false`: the program's memory is compressed, but never written to a disk. v2 `memory.zswap.writeback` (Linux 6.8), systemd \
         `MemoryZSwapWriteback`.",
    ),
    key(Section::Limits, Name::Exact("oom-group"), Kind::Bool, "false", "oom-group = true").says(
        "whether everything in the sandbox is killed together when memory runs out",
        "`false`: the kernel kills one process, and the rest goes on. v2 `memory.oom.group`; on v1 the launcher kills the rest as \
         soon as the kernel has killed one. systemd `OOMPolicy=kill`.",
    ),
    key(Section::Limits, Name::Exact("pids"), Kind::Count, "no limit", "pids = 512").says(
        "the most processes and threads at the same time",
        "Further forks fail with EAGAIN. Threads count. `pids.max` on v1 and v2, systemd `TasksMax`.",
    ),
    key(Section::Limits, Name::Exact("cpu"), Kind::Cpu, "no limit", "cpu = \"150%\"").says(
        "CPU time, as a part of one CPU",
        "\"150%\" is one and a half CPUs. v1 `cpu.cfs_quota_us` per `cpu.cfs_period_us`, v2 `cpu.max`, systemd \
         `CPUQuotaPerSecUSec`.",
    ),
    key(Section::Limits, Name::Exact("cpu-period"), Kind::Duration, "100 ms", "cpu-period = \"10ms\"").says(
        "the time over which `cpu` is dealt out",
        "1 ms to 1 s. A short one spreads the pauses of a program at its limit, and costs more. v1 `cpu.cfs_period_us`, v2 the \
         second number in `cpu.max`, systemd `CPUQuotaPeriodUSec`.",
    ),
    key(Section::Limits, Name::Exact("cpu-burst"), Kind::Duration, "none", "cpu-burst = \"20ms\"").says(
        "CPU time that may be saved up from periods that needed less, and spent beyond `cpu` later",
        "At most what `cpu` gives in one period. v1 `cpu.cfs_burst_us`, v2 `cpu.max.burst` (Linux 5.14); systemd has no property for it.",
    ),
    key(Section::Limits, Name::Exact("cpu-weight"), Kind::Weight, "100", "cpu-weight = 50").says(
        "share of the CPU against others when it is contended",
        "1 to 10000, 100 is everybody's default. v2 `cpu.weight`, systemd `CPUWeight`; v1 `cpu.shares` = weight × 1024 / 100. \
         `\"idle\"`: only CPU time that nobody else wants (`cpu.idle`, Linux 5.15).",
    ),
    key(Section::Limits, Name::Exact("cpus"), Kind::Ranges, "all of the caller's", "cpus = \"0-3,7\"").says(
        "the CPUs that the program may run on",
        "The program cannot leave them, unlike an affinity. `cpuset.cpus` on v1 and v2, systemd `AllowedCPUs`. On v1 the memory \
         nodes of the group are filled in too, since a group without them takes no process.",
    ),
    key(Section::Limits, Name::Exact("memory-nodes"), Kind::Ranges, "all of the caller's", "memory-nodes = \"0\"").says(
        "the memory nodes (NUMA) that the program's memory comes from",
        "`cpuset.mems` on v1 and v2, systemd `AllowedMemoryNodes`.",
    ),
    key(Section::Limits, Name::Exact("io-weight"), Kind::Integer(1, 10_000), "100", "io-weight = 50").says(
        "share of block devices against others when they are contended",
        "1 to 10000, 100 is everybody's default. v2 `io.weight`, else `io.bfq.weight`; v1 `blkio.bfq.weight`, else `blkio.weight`, \
         whose 1000 is 10000 here and whose 100 is 100, as systemd (`IOWeight`) counts. It acts where the device's scheduler is BFQ or, on v2, iocost \
         is switched on for it; elsewhere a warning says that it does not.",
    ),
    key(Section::Limits, Name::Path, Kind::Rates, "no limit", "\"/home\" = { read = \"20M\", write = \"10M\", write-operations = 200 }").says(
        "how much may be read and written in a second on the block device that the path lies on",
        "The path is a block device (`\"/dev/sda\"`) or anything on its file system; `~` and `${…}` expand as in `[filesystem]`. `read` and `write` \
         are bytes, `read-operations` and `write-operations` are numbers, all in a second. The kernel limits whole disks, so that a \
         partition stands for its disk; of two paths on one disk the smaller rate holds. v1 \
         `blkio.throttle.read_bps_device` and so on, which see only direct and synchronous writing, not what goes through the page cache; v2 `io.max`; \
         systemd `IOReadBandwidthMax`, `IOWriteBandwidthMax`, `IOReadIOPSMax`, `IOWriteIOPSMax`.",
    ),
    key(Section::Limits, Name::Open { start: "huge-pages-", label: "huge-pages-SIZE" }, Kind::Bytes, "no limit", "huge-pages-2MB = \"64M\"").says(
        "memory in huge pages of that size (hugetlbfs)",
        "The size is the kernel's name, `2MB` or `1GB`. Bytes, rounded down to whole pages. Beyond it a fault gets SIGBUS. v1 `hugetlb.SIZE.limit_in_bytes`, v2 \
         `hugetlb.SIZE.max`; systemd has no property for it.",
    ),
    key(Section::Limits, Name::Open { start: "rdma-handles-", label: "rdma-handles-DEVICE" }, Kind::Count, "no limit", "rdma-handles-mlx5_0 = 4").says(
        "handles of an RDMA device that may be open",
        "`hca_handle` in `rdma.max` on v1 and v2; systemd has no property for it.",
    ),
    key(Section::Limits, Name::Open { start: "rdma-objects-", label: "rdma-objects-DEVICE" }, Kind::Count, "no limit", "rdma-objects-mlx5_0 = 2000").says(
        "objects of an RDMA device that may exist",
        "`hca_object` in `rdma.max` on v1 and v2; systemd has no property for it.",
    ),
    key(Section::Limits, Name::Open { start: "misc-", label: "misc-RESOURCE" }, Kind::Count, "no limit", "misc-sev = 4").says(
        "how much may be used of a resource that the kernel only counts",
        "The resources of this host are in `misc.capacity` at the top of the hierarchy. `misc.max` on v1 and v2 (Linux 5.13); systemd has no property for it.",
    ),
    key(Section::Limits, Name::Exact("net-class"), Kind::NetClass, "none", "net-class = \"10:1\"").says(
        "the class that marks the program's network packets, for tc(8) and iptables(8)",
        "Two hexadecimal numbers as tc writes them, or one (`\"0x100001\"`). v1 `net_cls.classid`. v2 has no such file: there firewall rules match the group itself \
         (nft `socket cgroupv2`, iptables `-m cgroup --path`).",
    ),
    key(Section::Limits, Name::Open { start: "net-priority-", label: "net-priority-INTERFACE" }, Kind::Integer(0, u32::MAX as i64), "0", "net-priority-eth0 = 5").says(
        "the priority of the program's packets on an interface",
        "v1 `net_prio.ifpriomap`. v2 has no such file.",
    ),
    key(Section::Limits, Name::Exact("perf-event"), Kind::Bool, "false", "perf-event = true").says(
        "whether `perf stat -G` can count the sandbox by itself",
        "v1: a group of its own in the hierarchy `perf_event`, which holds no limit. On v2 every group can be counted (`perf stat --for-each-cgroup`).",
    ),
    key(Section::Limits, Name::Exact("devices"), Kind::Word(&["any", "listed"]), "\"any\"", "devices = \"listed\"").says(
        "which devices may be used, whatever nodes for them can be reached or made",
        "`\"listed\"`: null, zero, full, random, urandom, tty, ptmx, pts, and what `[devices]` allows; the kernel refuses all others with \
         EPERM. v1 `devices.deny` and `devices.allow`, v2 a BPF program at the group, systemd `DevicePolicy=strict`. Needs CAP_SYS_ADMIN in the \
         initial user namespace.",
    ),
    key(Section::Limits, Name::Exact("open-files"), Kind::Count, "the caller's", "open-files = 8192").says(
        "the highest number of open descriptors of a process (RLIMIT_NOFILE)",
        "Per process; setrlimit(2). Both the soft and the hard limit are set. Raising the hard limit needs CAP_SYS_RESOURCE.",
    ),
    key(Section::Limits, Name::Exact("processes"), Kind::Count, "the caller's", "processes = 200").says(
        "processes of this user in this user namespace (RLIMIT_NPROC)",
        "Counts by user, not by sandbox, and does not bind root; `pids` is the limit to use. setrlimit(2).",
    ),
    key(Section::Limits, Name::Exact("core-size"), Kind::Bytes, "the caller's", "core-size = 0").says(
        "size of a core dump (RLIMIT_CORE)",
        "Per process. A core handler that the host pipes dumps to ignores it, but for 1, which that handler reads as «none».",
    ),
    key(Section::Limits, Name::Exact("file-size"), Kind::Bytes, "the caller's", "file-size = \"1G\"").says(
        "the largest file that can be written (RLIMIT_FSIZE)",
        "Per file; SIGXFSZ at the limit. setrlimit(2).",
    ),
    key(Section::Limits, Name::Exact("address-space"), Kind::Bytes, "the caller's", "address-space = \"4G\"").says(
        "virtual memory of each process (RLIMIT_AS)",
        "Per process, not for the sandbox as a whole: no replacement for `memory`. Breaks programs that reserve address space \
         (browsers, Go, sanitizers). setrlimit(2).",
    ),
    key(Section::Limits, Name::Exact("data-size"), Kind::Bytes, "the caller's", "data-size = \"2G\"").says(
        "private writable memory of each process (RLIMIT_DATA)",
        "Per process. setrlimit(2).",
    ),
    key(Section::Limits, Name::Exact("stack-size"), Kind::Bytes, "the caller's", "stack-size = \"8M\"").says(
        "stack of the main thread (RLIMIT_STACK)",
        "Per process. setrlimit(2).",
    ),
    key(Section::Limits, Name::Exact("locked-memory"), Kind::Bytes, "the caller's", "locked-memory = \"64K\"").says(
        "memory that may be locked against swapping (RLIMIT_MEMLOCK)",
        "Per process. setrlimit(2).",
    ),
    key(Section::Limits, Name::Exact("cpu-time"), Kind::Duration, "the caller's", "cpu-time = \"10m\"").says(
        "CPU time of each process in all (RLIMIT_CPU)",
        "Per process, whole seconds; SIGXCPU at the limit. See `cpu` for a rate, `process.timeout` for wall time.",
    ),
    key(Section::Limits, Name::Exact("pending-signals"), Kind::Count, "the caller's", "pending-signals = 1024").says(
        "queued signals and timers of this user (RLIMIT_SIGPENDING)",
        "setrlimit(2).",
    ),
    key(Section::Limits, Name::Exact("message-queues"), Kind::Bytes, "the caller's", "message-queues = \"800K\"").says(
        "bytes in POSIX message queues of this user (RLIMIT_MSGQUEUE)",
        "setrlimit(2).",
    ),
    key(Section::Limits, Name::Exact("realtime-priority"), Kind::Integer(0, 99), "the caller's", "realtime-priority = 0").says(
        "the highest real-time priority (RLIMIT_RTPRIO)",
        "0 forbids real-time scheduling. What the program starts with is `process.scheduler`. setrlimit(2).",
    ),
    key(Section::Limits, Name::Exact("realtime-time"), Kind::Duration, "the caller's", "realtime-time = \"200ms\"").says(
        "CPU time that a real-time thread may use without waiting (RLIMIT_RTTIME)",
        "Keeps a program of `process.scheduler` \"fifo:N\" or \"round-robin:N\" from taking a CPU for good. SIGKILL at the limit. \
         Has no effect on other schedulers. setrlimit(2).",
    ),
    key(Section::Limits, Name::Exact("nice-limit"), Kind::Integer(-20, 19), "the caller's", "nice-limit = 0").says(
        "the lowest nice value that the program may give itself (RLIMIT_NICE)",
        "-20 to 19; 19 forbids any lowering. Binds programs without CAP_SYS_NICE on the host. The kernel counts it as 20 - N (0 for 19), which is what \
         `ulimit -e` shows; raising it needs CAP_SYS_RESOURCE. What the program starts with is `process.nice`. setrlimit(2).",
    ),
    // ------------------------------------------------------------ namespaces
    key(Section::Namespaces, Name::Exact("user"), Kind::Namespace, "new when one is needed", "user = true").says(
        "the user namespace: ids, and what capabilities count for",
        "`true`: a new one; `false`: the caller's; a path: that one. Without a word one is made when an ordinary user's profile \
         needs it for the other namespaces or for mounts. user_namespaces(7).",
    ),
    key(Section::Namespaces, Name::Exact("mount"), Kind::Namespace, "new when `[filesystem]`, `[devices]` or `pid` need it", "mount = true").says(
        "the mount namespace: what is mounted where",
        "`true`: a new one; `false`: the caller's; a path: that one. mount_namespaces(7).",
    ),
    key(Section::Namespaces, Name::Exact("pid"), Kind::Namespace, "the caller's", "pid = true").says(
        "the process id namespace: which processes are seen and can be signalled",
        "In a new one the program's own processes are all there are, /proc shows just these, and all end with the sandbox. \
         pid_namespaces(7).",
    ),
    key(Section::Namespaces, Name::Exact("ipc"), Kind::Namespace, "the caller's", "ipc = true").says(
        "the IPC namespace: System V objects and POSIX message queues",
        "`true`: a new one; `false`: the caller's; a path: that one; `\"sandbox:NAME\"`: that of a running sandbox, as for `net`. \
         ipc_namespaces(7).",
    ),
    key(Section::Namespaces, Name::Exact("uts"), Kind::Namespace, "the caller's; new with `hostname`", "uts = true").says(
        "the UTS namespace: host name and domain name",
        "`true`: a new one; `false`: the caller's; a path: that one; `\"sandbox:NAME\"`: that of a running sandbox, as for `net`. \
         uts_namespaces(7).",
    ),
    key(Section::Namespaces, Name::Exact("net"), Kind::Namespace, "the caller's", "net = true").says(
        "the network namespace: interfaces, addresses, routes, firewall, abstract sockets",
        "`true`: a new one, with a loopback interface, which is brought up, and nothing else; `false`: the caller's; a path: that one; \
         `\"sandbox:NAME\"`: that of a running sandbox of one's own, as the containers of a pod share one. It is looked up when \
         the program is started, and stays when that sandbox ends. An ordinary user's is then made below that sandbox's user \
         namespace. network_namespaces(7).",
    ).warns(
        "With the caller's network the program also reaches services on the host's loopback and abstract Unix sockets.",
    ),
    key(Section::Namespaces, Name::Exact("cgroup"), Kind::Namespace, "the caller's", "cgroup = true").says(
        "the control group namespace: the group that is seen as `/`",
        "A new one has the sandbox's own group as its root. cgroup_namespaces(7).",
    ),
    key(Section::Namespaces, Name::Exact("time"), Kind::Namespace, "the caller's", "time = true").says(
        "the time namespace: offsets of the monotonic and boot-time clocks",
        "`true`: a new one; `false`: the caller's; a path: that one. time_namespaces(7).",
    ),
    key(Section::Namespaces, Name::Exact("hostname"), Kind::Hostname, "the host's", "hostname = \"box\"").says(
        "the host name seen inside",
        "Implies a new UTS namespace. sethostname(2), hostname(7).",
    ),
    // ------------------------------------------------------------ filesystem
    key(Section::Filesystem, Name::Path, Kind::View, "\"/\" = \"read-write\"", "\"~/.ssh\" = \"hidden\"").says(
        "what is seen at a path, and what may be done with it",
        "`\"read-only\"`, `\"read-write\"`; `\"hidden\"`: not there; `\"denied\"`: there, but empty and closed; `\"private\"`: a directory of the profile's own, kept between runs; \
         `\"tmpfs\"`: empty, in memory, gone afterwards, or `{ tmpfs = \"512M\" }`; \
         `\"copy\"`: the host's directory, which the program may change as it likes: changes go to memory and are thrown away, with \
         `{ copy = \"512M\" }` so much at most; `\"overlay\"`: the same, but changes are kept apart on the disk, for `sandboxctl diff`, \
         `apply` and `discard`, as with `--copy PATH`; `{ bind = \"/other\", access = \"read-only\" }`; \
         `{ text = \"content\\n\" }`; `{ root = \"NAME\" }`: a root that `sandboxctl root import` made, or the path of an archive, with \
         all changes thrown away, or unchangeable with `access = \"read-only\"`. The longest path decides, a literal path over a glob, a longer glob over a shorter one; `**` stands for directories at any depth, up to 16: `\"~/work/**/.env*\" = \"hidden\"` \
         has an exception in `\"~/work/**/.env.example\" = \"read-only\"`. A table says more: `{ access = \"read-write\", execute = false }`, where \
         `access` is any of the words. `execute`: whether what is there can be executed or mapped for execution; it holds below the path until another \
         rule says `execute = true`. An interpreter still reads a script. `create = \"dir\"` or `\"file\"`: what the host does not have is made first, with \
         mode 0700 or 0600, through no symbolic link, and never in a directory of another user's. `required = true`: a path that the host \
         does not have is an error. `~` is the home directory; \
         `${HOME}`, `${PWD}` (where the launcher was started), `${XAUTHORITY}` and the `${XDG_…}` directories expand. A path that the host does not \
         have is passed over, as the plan says. Everything is nosuid and nodev. With `\"/\" = \"hidden\"` only listed paths exist.",
    ).warns(
        "A hidden path below a directory that the host provides stays visible as a name, but is empty and closed. What a glob hides or denies is closed too when it gets \
         such a name later: made, moved there, in new directories, or put in the place of one that was hidden (`rename`, as editors save). It does not matter who made it: \
         the program itself cannot read again what it writes under such a name, unless a rule makes an exception. A process of the launcher, `sandbox-keeper`, stays for that as long as \
         the sandbox lives, and watches every directory in which such a name may appear: let a glob start in a small directory. It needs a few milliseconds, on a busy machine some tens; \
         in that time a program can open the file, and what is open stays open. What cannot be closed ends the program; \
         a directory that cannot be watched (fs.inotify.max_user_watches) is told. A symbolic link is closed itself, not what it leads to, and in a directory \
         that is closed later there are no exceptions. Not seen are changes by others below `\"copy\"` and `\"overlay\"` and by other machines, and what a program that may mount \
         has cut off before in a mount namespace of its own, nor, without `namespaces.pid`, anything by what the program leaves running when it ends. Without user namespaces, and for `\"/etc/name*\"` and the like in a directory in which only root makes files, a glob \
         is about what is there at the start. So is a path without a glob: nothing is made on the host for a hidden path that does not exist, and a file that is made later under its name is \
         seen. Where that matters, write it as a glob (`\"~/.netr[c]\"`), hide the directory, or show a directory of the profile's own in its place.",
    ),
    // --------------------------------------------------------------- devices
    key(Section::Devices, Name::Exact("default"), Kind::Word(&["minimal", "host"]), "\"minimal\" once the section says anything", "default = \"minimal\"").says(
        "what /dev is made of",
        "`\"minimal\"`: null, zero, full, random, urandom, tty, a pts of its own, shm, and what else is listed here. \
         `\"host\"`: the host's /dev as `[filesystem]` shows it.",
    ),
    key(Section::Devices, Name::Exact("gpu"), Kind::Bool, "false", "gpu = true").says(
        "graphics processors: /dev/dri, /dev/nvidia*, /dev/kfd",
        "Nodes that the host does not have are passed over. Where `[filesystem]` hides /sys and /run, what drivers look for \
         there is shown read-only, on a host that has one of the nodes: /sys/dev/char, /sys/class/drm, /sys/devices/pci*, \
         /run/udev/data and a few more; `--dry-run` lists them. The same holds for the other classes of devices.",
    ).warns("A GPU driver is a large piece of the kernel."),
    key(Section::Devices, Name::Exact("audio"), Kind::Bool, "false", "audio = true").says(
        "sound devices: /dev/snd",
        "Only for programs that use ALSA directly; a sound server is reached through its socket.",
    ),
    key(Section::Devices, Name::Exact("camera"), Kind::Bool, "false", "camera = true").says(
        "cameras: /dev/video*, /dev/media*",
        "Nodes that the host does not have are passed over.",
    ),
    key(Section::Devices, Name::Exact("input"), Kind::Bool, "false", "input = true").says(
        "input devices: /dev/input, /dev/uinput",
        "Game controllers, keyboards, mice.",
    ).warns("Every key that is pressed on this machine can be read from these."),
    key(Section::Devices, Name::Exact("kvm"), Kind::Bool, "false", "kvm = true").says(
        "hardware virtualization: /dev/kvm, /dev/vhost-net, /dev/vhost-vsock",
        "Nodes that the host does not have are passed over.",
    ),
    key(Section::Devices, Name::Exact("printer"), Kind::Bool, "false", "printer = true").says(
        "printers on a cable: /dev/usb/lp*, /dev/lp*",
        "Only for programs that write to the printer themselves; CUPS is reached through its socket.",
    ),
    key(Section::Devices, Name::Exact("serial"), Kind::Bool, "false", "serial = true").says(
        "serial lines and modems, also on USB: /dev/ttyS*, /dev/ttyUSB*, /dev/ttyACM*, /dev/ttyAMA*",
        "Microcontrollers, GPS receivers, consoles of other machines. Nodes that the host does not have are passed over.",
    ),
    key(Section::Devices, Name::Exact("tpm"), Kind::Bool, "false", "tpm = true").says(
        "security chips: /dev/tpm0, /dev/tpmrm0 and further ones",
        "Nodes that the host does not have are passed over.",
    ).warns("Keys that are sealed to this machine can be used and replaced."),
    key(Section::Devices, Name::Exact("usb"), Kind::Bool, "false", "usb = true").says(
        "USB devices as a whole, for programs with drivers of their own (libusb): /dev/bus/usb",
        "Serial lines, sound cards, cameras and keyboards on USB have nodes of their own; see the other classes.",
    ).warns("A device that can be reached so can be reprogrammed, where it takes that."),
    key(Section::Devices, Name::Device, Kind::Device, "hidden in a minimal /dev", "\"/dev/fuse\" = true").says(
        "a device node or a directory of nodes by path",
        "`true` or `\"read-write\"`: it can be used; `false` or `\"hidden\"`: it is not there. A read-only mount does not keep a program from writing to a device, so that `\"read-only\"` is refused.",
    ),
    // --------------------------------------------------------------- execute
    key(Section::Execute, Name::Exact("default"), Kind::Word(ALLOW_WORDS), "\"deny\" once the section says anything", "default = \"deny\"").says(
        "whether programs that no key names can be run",
        "`\"deny\"`: only what is allowed below can be given to execve(2); anything else is EACCES, for the program and all that it starts. The \
         dynamic loaders of the usual systems (`/lib64/ld-linux-x86-64.so.2` and so on) come with what is allowed, since no program with libraries \
         starts without; a key that denies one wins. `\"allow\"`: everything can be run that no key denies. Landlock (Linux 5.19 or later) holds it, with or \
         without mounts; nothing can be mounted inside then. Where a view is mounted (`[filesystem]`, or `namespaces.pid = true`), what is not allowed \
         lies on mounts that are `noexec` too: it cannot be mapped for execution, so that a loader that is handed it (`ld-linux-x86-64.so.2 /usr/bin/id`) \
         fails. The usual directories of libraries can be mapped; a program that loads from others needs a key that says `\"map\"`.",
    ).warns(
        "It is about programs, not about code: what may be run may run anything in itself. An interpreter that is allowed runs every script that it can read. \
         Programs that lie among libraries (`/usr/lib/git-core`) can be handed to a loader; so can any that can be read where no view is mounted. \
         A program that is made in memory (memfd_create(2)) has no path: `memfd_create = \"deny\"` in `[syscalls]` prevents it, and just-in-time compilers may need it. \
         With `default = \"allow\"` a copy of what is denied can be run. In an imported root, and in directories that are `\"copy\"`, `\"overlay\"`, `\"private\"` or \
         `\"tmpfs\"`, the mounts are about all or nothing: where something in one is allowed, Landlock alone holds the rest of it.",
    ),
    key(Section::Execute, Name::Path, Kind::Word(&["allow", "map", "deny"]), "as `default` says", "\"/usr/bin/git\" = \"allow\"").says(
        "whether a program, or everything in a directory, can be run",
        "`\"allow\"`; `\"map\"`: mapped for execution, as libraries are, and not run; or `\"deny\"`. The longest path decides, a literal path over a glob; symbolic links are \
         followed when the sandbox is started, those of an imported root within it. A script needs its interpreter to be allowed too; `sandboxctl closure PROGRAM` names it, and the \
         libraries. Landlock takes nothing away below what it allows: there `\"deny\"` is held by a mount, and is an error where no view is mounted or the host has no such \
         path. Without a view `\"map\"` is as good as `\"deny\"`. A path that the host does not have is passed over, as the plan says.",
    ),
    // --------------------------------------------------------------- desktop
    key(Section::Desktop, Name::Exact("wayland"), Kind::Word(&["none", "isolated", "auto", "host"]), "\"none\"", "wayland = \"auto\"").says(
        "how the program reaches the Wayland compositor",
        "`\"none\"`: not at all. `\"isolated\"`: through a socket of its own which the compositor was told (security-context-v1) belongs to a \
         sandbox, so that it offers no screen capture, no clipboard watching, no virtual keyboard, no screen locking; a compositor that \
         knows no such sockets is an error. `\"auto\"`: the same where the compositor can, else its ordinary socket, which `sandboxctl doctor`, \
         `sandboxctl check` and --dry-run tell. \
         `\"host\"`: the ordinary socket. Inside it is `${XDG_RUNTIME_DIR}/wayland-0`, and WAYLAND_DISPLAY says so. Where there is no \
         compositor nothing is shown.",
    ).warns("Through its ordinary socket many compositors let every client record the screen, type, and read the clipboard."),
    key(Section::Desktop, Name::Exact("x11"), Kind::Word(&["none", "nested", "virtual", "fallback", "host"]), "\"none\"", "x11 = \"nested\"").says(
        "how the program reaches an X server",
        "`\"none\"`: not at all. `\"nested\"`: a server of its own in a window: Xwayland under Wayland, else Xephyr. `\"virtual\"`: a \
         server of its own that nobody sees (Xvfb). `\"host\"`: the caller's server; only its socket and the one cookie for it are shown. \
         `\"fallback\"`: `\"host\"` where `wayland` shows nothing, else `\"none\"`. An own server listens on one socket, which \
         only this sandbox sees, asks for a cookie that only this sandbox has, and ends with it. Inside DISPLAY is another number \
         than outside, so that no client takes the abstract socket of another server for its own.",
    ).warns("X clients are not kept apart: whoever reaches the caller's server reads every key, sees every window, and types into all of them."),
    key(Section::Desktop, Name::Exact("x11-screen"), Kind::Text, "\"1280x800\"", "x11-screen = \"1920x1080\"").says(
        "the size of the screen of an X server of its own",
        "Width and height in pixels, for `x11 = \"nested\"` and `\"virtual\"`.",
    ),
    key(Section::Desktop, Name::Exact("audio"), Kind::Word(&["none", "pulse", "pipewire"]), "\"none\"", "audio = \"pulse\"").says(
        "which sound server the program reaches",
        "`\"pulse\"`: the socket of PulseAudio, or of PipeWire in its place: playing and recording. `\"pipewire\"`: that and PipeWire's own \
         socket. PULSE_SERVER and PIPEWIRE_REMOTE say so inside. ALSA without a server is `devices.audio`.",
    ).warns("Neither keeps playing and recording apart: the microphone comes with it. PipeWire's own socket can give cameras and screens too."),
    key(Section::Desktop, Name::Exact("fonts"), Kind::Bool, "false", "fonts = true").says(
        "the user's own fonts and how they are to be drawn",
        "Read-only: ~/.fonts, ~/.local/share/fonts, ~/.config/fontconfig; and the system's where `/` is not shown.",
    ),
    key(Section::Desktop, Name::Exact("themes"), Kind::Bool, "false", "themes = true").says(
        "the user's own themes, icons and settings of toolkits",
        "Read-only: ~/.themes, ~/.icons, those of ~/.local/share, and the settings of GTK, KDE, qt5ct, qt6ct and Kvantum in ~/.config; and \
         the system's where `/` is not shown.",
    ),
    key(Section::Desktop, Name::Exact("locale"), Kind::Word(&["host", "none"]), "\"host\"", "locale = \"none\"").says(
        "which language and time zone the program sees",
        "`\"host\"`: LANG, LANGUAGE, LC_* and TZ are the caller's, also under `environment.default = \"clean\"`. `\"none\"`: LANG is C.UTF-8, TZ is UTC, and the \
         others are not set: what a web page could learn from them says nothing.",
    ),
    key(Section::Desktop, Name::Exact("accessibility"), Kind::Bool, "false", "accessibility = true").says(
        "screen readers and other assistive programs",
        "The bus of assistive technologies (AT-SPI), through a filter: the program makes itself known there and answers those who \
         assist, and reaches no other program. Without it NO_AT_BRIDGE and GTK_A11Y=none have toolkits look for none. With \
         `dbus.session = \"host\"` it is not shown.",
    ),
    key(Section::Desktop, Name::Exact("input-methods"), Kind::Bool, "false", "input-methods = true").says(
        "input methods for languages that keyboards have no keys for",
        "The names of IBus and Fcitx for sandboxes on the session bus, and the variables that name an input method \
         (GTK_IM_MODULE, QT_IM_MODULE, XMODIFIERS, SDL_IM_MODULE).",
    ),
    key(Section::Desktop, Name::Exact("notifications"), Kind::Bool, "false", "notifications = true").says(
        "notifications of the desktop",
        "`org.freedesktop.Notifications` on the session bus.",
    ),
    key(Section::Desktop, Name::Exact("tray"), Kind::Bool, "false", "tray = true").says(
        "an icon in the tray of the desktop",
        "`org.kde.StatusNotifierWatcher` and an item of one's own on the session bus.",
    ),
    key(Section::Desktop, Name::Exact("mpris"), Kind::Bool, "false", "mpris = true").says(
        "control by media keys and by the desktop's player buttons",
        "The program may own names below `org.mpris.MediaPlayer2` on the session bus.",
    ),
    key(Section::Desktop, Name::Exact("printing"), Kind::Bool, "false", "printing = true").says(
        "the printers of this machine",
        "The socket of CUPS, /run/cups/cups.sock, and /etc/cups/client.conf.",
    ).warns("Who may print may, as this user, also change queues and read what was printed, as far as CUPS lets him."),
    key(Section::Desktop, Name::Exact("ssh-agent"), Kind::Bool, "false", "ssh-agent = true").says(
        "the caller's SSH agent",
        "The socket that SSH_AUTH_SOCK names, inside at `${XDG_RUNTIME_DIR}/ssh-agent`.",
    ).warns("The program can log in wherever these keys let the caller; `ssh-add -c` has each use confirmed."),
    key(Section::Desktop, Name::Exact("gpg-agent"), Kind::Word(&["none", "restricted", "host"]), "\"none\"", "gpg-agent = \"restricted\"").says(
        "the caller's GnuPG agent",
        "`\"restricted\"`: its socket for others (S.gpg-agent.extra), which signs and decrypts but neither shows nor changes keys. `\"host\"`: \
         its own socket. ~/.gnupg itself is a matter of `[filesystem]`.",
    ).warns("The program can sign and decrypt as the caller, as long as the passphrase is remembered."),
    key(Section::Desktop, Name::Exact("portals"), Kind::Bool, "false", "portals = true").says(
        "the desktop's own dialogs, run outside: files are opened, links followed and screens shared as the user says there",
        "The interfaces of xdg-desktop-portal on the session bus that ask the user or give away little, and the documents that it has \
         handed to this program alone (`${XDG_RUNTIME_DIR}/doc`). Portals know the program, by the filter of the bus, as a sandboxed \
         application, keep its permissions apart, and give it what the user chooses as documents. It is called as the desktop entry that it was started from (--app-id), \
         if that has a name like `org.gnome.gedit`; else `sandbox.NAME`, and a desktop entry that no menu shows is written below \
         `${XDG_DATA_HOME}/applications` if there is none of that name. GTK_USE_PORTAL and QT_QPA_PLATFORMTHEME have toolkits use the \
         desktop's dialogs where those are installed.",
    ).warns("Portals take it for an application of Flatpak: one of the same name that is installed there shares its permissions and documents."),
    key(Section::Desktop, Name::Exact("documents"), Kind::Word(&["none", "read-only", "read-write", "directory"]), "\"none\"", "documents = \"read-only\"").says(
        "files and directories that the program's arguments name are shown to it",
        "Paths that exist and URIs `file:…`, each alone, where `[filesystem]` has put a home directory or a `tmpfs` of the sandbox's own in \
         their place; with `\"read-write\"` also where `/` is shown read-only. The directory of a document is seen empty otherwise, and cannot be \
         written; a document right in the home directory, if it can be changed, is seen as `~/opened/NAME`, so that programs save it in \
         place. `\"directory\"` is for programs that put a lock beside a document and save by way of another file there: its directory is \
         shown with all that is in it, to be changed, but for names that begin with a dot; one right in the home directory, or in one that anybody may write to, is shown \
         alone. Not shown, with a warning, are: what a rule hides, names with a component that begins with a dot, the home directory \
         and what is above it, sockets and devices, and what is reached through another user's symbolic link. An argument that begins \
         with `-` names nothing. Arguments with links are given to the program without. Desktop entries made by `sandboxctl desktop` \
         mean those arguments alone that stand for what the user opens; see `--documents`.",
    ),
    // --------------------------------------------------------------- network
    key(Section::Network, Name::Exact("mode"), Kind::Word(&["host", "none"]), "\"host\" unless `namespaces.net` says otherwise", "mode = \"none\"").says(
        "which network the program has",
        "`\"host\"`: the caller's. `\"none\"`: a network namespace of its own with a loopback interface only.",
    ),
    key(Section::Network, Name::Exact("abstract-sockets"), Kind::Word(&["own", "own-if-possible", "host"]), "\"host\" with the host's network", "abstract-sockets = \"own\"").says(
        "which abstract Unix sockets can be reached: those without a file, whose names begin with `@`",
        "They belong to a network, not to a file system, so that `[filesystem]` does not keep them away. `\"own\"`: those that were \
         made inside; by a network namespace where there is one, else by Landlock (Linux 6.12 or later). `\"own-if-possible\"`: the \
         same, and those of the host where the kernel is older, as `--dry-run` and `sandboxctl doctor` say. `\"host\"`: those of the \
         network that the program has. unix(7).",
    ).warns(
        "X servers, session buses and others listen on abstract sockets too; some ask nobody who connects.",
    ),
    // ------------------------------------------------------------------ dbus
    key(Section::Dbus, Name::Exact("session"), Kind::Word(MODES), "\"filtered\" once a name on it is given, else as `[filesystem]` has it", "session = \"filtered\"").says(
        "how the bus of the user's session is reached",
        "`\"filtered\"`: through xdg-dbus-proxy(1), which is started beside the program for this run, lets pass what the other keys \
         name, and ends with it; without rules a program only finds the bus itself there. `\"none\"`: not at all; its socket is hidden, \
         and so are those of the service manager, of screen readers and of GNOME's file systems in the runtime directory. `\"host\"`: as \
         by any program. `DBUS_SESSION_BUS_ADDRESS` is set or removed accordingly, unless `[environment]` names it. Where this host has \
         no session bus, there is none inside. `degrade = [\"dbus.session\"]`: \"none\" where xdg-dbus-proxy is not installed. Portals \
         know the program by the systemd scope that the filter is in, where limits make one.",
    ).warns(
        "\"host\" is a way out of every sandbox: systemd on that bus starts any program outside of it (org.freedesktop.systemd1). A bus that \
         listens on an abstract socket is kept away only by `network`.",
    ),
    key(Section::Dbus, Name::Exact("system"), Kind::Word(MODES), "\"filtered\" once a name on it is given, else as `[filesystem]` has it", "system = \"none\"").says(
        "how the bus of the machine is reached",
        "The same words as for `session`; names on it are written with `system:` in front.",
    ).warns(
        "Services on it decide by user and session, not by sandbox, what they do: mounting, suspending, networks.",
    ),
    key(Section::Dbus, Name::BusName, Kind::Word(RIGHTS), "\"none\"", "\"org.freedesktop.Notifications\" = \"talk\"").says(
        "what may be done with the owner of a name on a filtered bus",
        "`\"see\"`: it is seen that it is there. `\"talk\"`: it may also be called, and heard. `\"own\"`: the program may also take the name. \
         A part of what the owner does stands in parentheses behind the name, as `[METHOD][@PATH]`: `*`, an interface with `.*`, or one \
         method with its interface, and the path of an object or, with `/*`, a tree of them: \
         `\"org.freedesktop.portal.Desktop(org.freedesktop.portal.OpenURI.*@/org/freedesktop/portal/desktop)\"`. Such a part takes \
         `\"call\"`, `\"listen\"` (its signals) or `\"talk\"` (both). Each rule becomes an option of xdg-dbus-proxy(1); what one gives, \
         no other takes away.",
    ).warns(
        "Never give org.freedesktop.systemd1, org.freedesktop.Flatpak, org.gtk.vfs.*, org.freedesktop.secrets, or the whole of \
         org.freedesktop.portal.Desktop: `sandboxctl check` names what each of them does for whoever asks.",
    ),
    // -------------------------------------------------------------- syscalls
    key(Section::Syscalls, Name::Exact("default"), Kind::SyscallAction, "\"allow\"", "default = \"allow\"").says(
        "what a system call is answered that no other key covers",
        "`\"allow\"`, `\"deny\"` (EPERM), an errno name such as `\"ENOSYS\"`, `\"kill\"`, `\"log\"` (allowed and logged) or `\"trap\"` (SIGSYS). \
         Calls that are newer than this program knows are answered ENOSYS whatever this says. seccomp(2).",
    ),
    key(Section::Syscalls, Name::Exact("architectures"), Kind::Words(ARCHITECTURES), "[]", "architectures = [\"x86\"]").says(
        "foreign system call tables that may be used beside the native one",
        "Once `[syscalls]` says anything, calls through other tables kill the program. Wine and Steam need \"x86\".",
    ).warns("Each table is another, less used way into the kernel."),
    key(Section::Syscalls, Name::Syscall, Kind::SyscallAction, "`default`", "\"@mount\" = \"deny\"").says(
        "what one call, a group of calls, or a call with certain arguments is answered",
        "A name (`ptrace`), a group with systemd's name and contents (`\"@mount\"`), or conditions on arguments, in their order: \
         `\"socket(AF_NETLINK)\"`, `\"ioctl(_, TIOCSTI)\"`, `\"clone(&CLONE_NEWUSER)\"` (any of these bits), `!=`, `<`, `<=`, `>`, `>=`. \
         Conditions beat the plain name, a name its groups, a smaller group a larger one, anything `default`. \
         Conditions on pointers are refused, since the program could change what they point to after the check. \
         Implies `process.no-new-privileges`.",
    ),
    // ---------------------------------------------------------- capabilities
    key(Section::Capabilities, Name::Exact("default"), Kind::Keep, "\"drop\" once the section says anything or a user namespace is made, else \"keep\"", "default = \"drop\"").says(
        "what happens to capabilities that are not named",
        "`\"drop\"`: taken from the bounding, permitted, effective, inheritable and ambient sets. `\"keep\"`: as the caller has them, \
         or, in a new user namespace, all of that namespace. capabilities(7).",
    ),
    key(Section::Capabilities, Name::Capability, Kind::Keep, "`default`", "net_bind_service = \"keep\"").says(
        "what happens to one capability",
        "By its name in capabilities(7), with or without `cap_`. A kept capability survives exec also for an ordinary user \
         (ambient set).",
    ),
    // ----------------------------------------------------------- environment
    key(Section::Environment, Name::Exact("default"), Kind::Word(&["pass", "clean"]), "\"pass\"", "default = \"clean\"").says(
        "what happens to variables that are not named",
        "`\"pass\"`: handed on. `\"clean\"`: not.",
    ),
    key(Section::Environment, Name::Variable, Kind::Variable, "`default`", "LD_PRELOAD = false").says(
        "what happens to one variable, or to all that a `*` matches",
        "`true`: the caller's value is passed on; `false`: unset; text: this value. A literal name beats a pattern, a longer \
         pattern a shorter one.",
    ),
    // --------------------------------------------------------------- process
    key(Section::Process, Name::Exact("no-new-privileges"), Kind::Bool, "true with `[syscalls]` rules, else false", "no-new-privileges = true").says(
        "set-user-ID programs and file capabilities give nothing",
        "PR_SET_NO_NEW_PRIVS(2const). `sudo` and `su` do not work inside.",
    ).warns("Without it, set-user-ID programs outside of a user namespace can shed parts of the sandbox."),
    key(Section::Process, Name::Exact("init"), Kind::Bool, "true", "init = false").says(
        "in a new process id namespace, a process 1 of ours that reaps and forwards signals",
        "With `false` the program itself is process 1: it must reap its children, and signals without a handler do not reach it.",
    ),
    key(Section::Process, Name::Exact("proc-subset"), Kind::Word(&["all", "pid"]), "\"all\"", "proc-subset = \"pid\"").says(
        "how much of /proc there is, in a pid namespace of its own",
        "`\"pid\"`: processes, and nothing about the machine: no /proc/cpuinfo, /proc/meminfo, /proc/stat, /proc/sys. \
         Linux 5.8 or later. proc(5), `subset`.",
    ).warns("Language runtimes, `free`, `ps` and `top` read about the machine; with `\"pid\"` many fail."),
    key(Section::Process, Name::Exact("protect-proc"), Kind::Word(&["default", "noaccess", "invisible", "ptraceable"]), "\"default\"", "protect-proc = \"invisible\"").says(
        "which of the sandbox's own processes are seen in its /proc, in a pid namespace of its own",
        "For sandboxes with several users in them. `\"noaccess\"`: those of other users have only a number; `\"invisible\"`: they are not \
         there; `\"ptraceable\"`: only those are there that may be traced. Processes of the host are never seen. Linux 5.8 or later. proc(5), `hidepid`.",
    ),
    key(Section::Process, Name::Exact("terminal"), Kind::Word(&["caller", "new", "none"]), "\"caller\"", "terminal = \"new\"").says(
        "which terminal the program has",
        "`\"caller\"`: the caller's. `\"new\"`: when the caller has one, a pseudo-terminal in a session of its own; job control and \
         the window size work, and nothing can be typed into the caller's terminal (TIOCSTI, TIOCLINUX). `\"none\"`: a session of its \
         own without a terminal.",
    ).warns("With the caller's terminal a program can push input into it, unless `ioctl(_, TIOCSTI)` and `ioctl(_, TIOCLINUX)` are denied."),
    key(Section::Process, Name::Exact("session-keyring"), Kind::Word(&["new", "caller"]), "\"new\"", "session-keyring = \"caller\"").says(
        "the kernel's session keyring",
        "Keyrings pass through every namespace; a new, empty one keeps the caller's keys away. keyctl(2), session-keyring(7).",
    ),
    key(Section::Process, Name::Exact("die-with-parent"), Kind::Bool, "true", "die-with-parent = false").says(
        "end the sandbox when the launcher is killed",
        "By PR_SET_PDEATHSIG; with a process id namespace everything in it ends.",
    ),
    key(Section::Process, Name::Exact("nice"), Kind::Integer(-20, 19), "the caller's", "nice = 10").says(
        "the nice value",
        "-20 to 19, higher is nicer. Lowering it needs CAP_SYS_NICE on the host, or a caller whose RLIMIT_NICE allows it; \
         the launcher does it from outside, so that a root of the host can also in a user namespace. What the program may do to it \
         afterwards: `limits.nice-limit`. setpriority(2).",
    ),
    key(Section::Process, Name::Exact("io-priority"), Kind::IoPriority, "the caller's; the kernel derives it from `nice` when none was ever set", "io-priority = \"idle\"").says(
        "the place in the queue for the disk",
        "`\"idle\"`: only when nobody else wants the disk; `\"best-effort:N\"`: with everybody, N from 0 (first) to 7; \
         `\"realtime:N\"`: before everybody, which needs CAP_SYS_NICE or CAP_SYS_ADMIN on the host. Counts where the device's I/O scheduler knows \
         priorities (bfq, mq-deadline). The program can change it within its privileges. ioprio_set(2).",
    ).warns("A program of a real-time class can keep all others from the disk."),
    key(Section::Process, Name::Exact("scheduler"), Kind::Scheduler, "the caller's", "scheduler = \"batch\"").says(
        "how the CPUs are shared with other programs",
        "`\"other\"`: everybody's; `\"batch\"`: for long computations; `\"idle\"`: only what others leave; `\"fifo:N\"`, `\"round-robin:N\"`: \
         real time, before everybody, N from 1 to 99 (first). Real time needs CAP_SYS_NICE on the host or a caller whose RLIMIT_RTPRIO allows it, \
         and on cgroup v1 kernels with CONFIG_RT_GROUP_SCHED also time for it in the CPU group (`cpu.rt_runtime_us`). \
         sched_setscheduler(2), sched(7).",
    ).warns("A real-time program that does not wait starves the CPU that it runs on: set `limits.realtime-time` beside it."),
    key(Section::Process, Name::Exact("cpu-affinity"), Kind::CpuSet, "the caller's", "cpu-affinity = \"0-3,7\"").says(
        "the CPUs that the program runs on",
        "Numbers and ranges, counted from 0. Each must be there and allowed by the control group. sched_setaffinity(2).",
    ).warns("A wish and no limit: the program can undo it. What it cannot undo is a control group's set of CPUs, `limits.cpus`."),
    key(Section::Process, Name::Exact("oom-score-adjust"), Kind::Integer(-1000, 1000), "the caller's", "oom-score-adjust = 500").says(
        "how readily the kernel picks this program when memory runs out",
        "-1000 to 1000, higher is sooner; -1000 is never. Lowering it below what somebody privileged has set last needs \
         CAP_SYS_RESOURCE on the host. The program can raise it further, and lower it to that again. proc_pid_oom_score_adj(5).",
    ),
    key(Section::Process, Name::Exact("umask"), Kind::Mode, "the caller's", "umask = \"0077\"").says(
        "mode bits that new files do not get",
        "Octal. umask(2).",
    ),
    key(Section::Process, Name::Exact("working-directory"), Kind::Path, "the caller's if it is seen inside, else the home directory, else /", "working-directory = \"~\"").says(
        "where the program starts",
        "`~` and `${…}` expand. It must exist inside.",
    ),
    key(Section::Process, Name::Exact("timeout"), Kind::Duration, "none", "timeout = \"10m\"").says(
        "wall time after which the program is ended",
        "SIGTERM, and SIGKILL to everything in the sandbox 5 seconds later; exit status 128+15 or 128+9.",
    ),
    key(Section::Process, Name::Exact("write-xor-execute"), Kind::Bool, "false", "write-xor-execute = true").says(
        "nothing that the program can write can be executed",
        "What `[filesystem]` shows read-write, and every directory in memory or of the profile's own, is mounted without execution: \
         neither execve(2) nor mmap(2) with PROT_EXEC works on files there. What is downloaded or compiled cannot be run. Scripts can \
         still be read by an interpreter. A rule with `execute = true` is excepted. `\"/\" = \"read-write\"` contradicts it.",
    ),
    key(Section::Process, Name::Exact("landlock"), Kind::Bool, "true with `[filesystem]` where the kernel has it", "landlock = true").says(
        "Landlock as a second wall behind the mounts",
        "The rules of `[filesystem]` are said to the kernel a second time, and hold whatever is mounted: what a program may open, \
         change, execute. Where a stricter path lies below one that gives more, the mounts alone hold, for Landlock takes nothing away; \
         `--dry-run` says how many such there are. Inside, nothing can be mounted any more. `true`: required; `false`: not used. \
         Linux 5.19 or later; landlock(7).",
    ),
    key(Section::Process, Name::Exact("nested"), Kind::Bool, "false", "nested = true").says(
        "the program makes sandboxes of its own, with mounts (bubblewrap, flatpak, Steam)",
        "A process that Landlock holds to files can mount nothing, not even in namespaces of its own. With `true` files are left to \
         the mounts alone, and Landlock keeps to sockets and signals. Browsers need no mounts for theirs.",
    ).warns("The second wall around files is left away."),
    key(Section::Process, Name::Exact("again"), Kind::Word(&["new", "join"]), "\"new\"", "again = \"join\"").says(
        "what a second start does while the program runs",
        "`\"join\"`: it is run inside of the sandbox that runs already, as by `sandboxctl join`, so that a program which has one \
         instance for each home directory (browsers, mail programs, office suites) finds its first one and opens what it was given \
         there. That is done only where the very same rules hold, for the same program or another one that the profile names in \
         `programs`; else a new sandbox is started, and a warning says why. A document that the running sandbox does not show is \
         refused. The environment is that of the first start, and what is run there ends with the first program. \
         `\"new\"`, and `--new` for one start: a sandbox of its own.",
    ),
    // ------------------------------------------------------------------ user
    key(Section::User, Name::Exact("uid"), Kind::Id, "\"caller\"", "uid = \"root\"").says(
        "the user id seen inside a new user namespace",
        "`\"caller\"`: one's own; `\"root\"`: 0; or a number. On the host the program stays the caller. user_namespaces(7).",
    ),
    key(Section::User, Name::Exact("gid"), Kind::Id, "\"caller\"", "gid = \"root\"").says(
        "the group id seen inside a new user namespace",
        "As `uid`.",
    ),
    key(Section::User, Name::Exact("subordinate-ids"), Kind::Bool, "false", "subordinate-ids = true").says(
        "map the caller's ranges of /etc/subuid and /etc/subgid as the other ids inside",
        "Done by newuidmap(1) and newgidmap(1), which must be root's and in a system directory. With it programs inside can switch \
         users, as package managers and services do; the files of an imported root are theirs with `sandboxctl root import --ids \
         subordinate`, and this key then comes with the root. `sandboxctl doctor` says whether the range and the helpers are there.",
    ),
    key(Section::User, Name::Exact("groups"), Kind::Word(&["none", "caller"]), "\"none\" where capabilities are given up and this caller may drop groups", "groups = \"none\"").says(
        "whether the caller's supplementary groups are dropped",
        "They give what a group may do with files (`disk`, `docker`, `kvm`), whatever the capabilities. Root drops them, and so does who \
         has `subordinate-ids`. Another ordinary user cannot: in a user namespace they are seen as 65534 and still count, so that \
         `\"none\"` is refused, and what a group may reach has to be hidden by its path. `\"caller\"` keeps them. setgroups(2).",
    ).warns("With `\"caller\"` a program of root's reaches what root's groups may."),
    key(Section::User, Name::Exact("join-as-root"), Kind::Bool, "false", "join-as-root = true").says(
        "let `sandboxctl join --as-root-inside` be root (uid 0) inside",
        "For upkeep of a sandbox whose program is not root. It takes a root inside: `user.subordinate-ids`, or `user.uid = \"root\"`, \
         with which everybody is. Who joins has no more capabilities than `[capabilities]` keeps.",
    ),
];

/// Where the keys of each section begin, and behind the last one where they end. A profile has hundreds of keys, each of which
/// is looked for among those of its section alone.
static STARTS: [usize; Section::ALL.len() + 1] = {
    let mut starts = [0; Section::ALL.len() + 1];
    let mut at = 0;
    while at < KEYS.len() {
        let mut later = KEYS[at].section as usize + 1;
        while later < starts.len() {
            starts[later] += 1;
            later += 1;
        }
        at += 1;
    }
    starts
};

/// The keys of a section.
#[must_use]
pub fn of(section: Section) -> &'static [Key] {
    let at = section as usize;
    let range = STARTS.get(at).zip(STARTS.get(at + 1));
    range
        .and_then(|(start, end)| KEYS.get(*start..*end))
        .unwrap_or_default()
}

/// The exact key of that name.
#[must_use]
pub fn find(section: Section, name: &str) -> Option<&'static Key> {
    let mut keys = of(section).iter();
    keys.find(|key| matches!(key.name, Name::Exact(exact) if exact == name))
}

/// A name that a profile could be expected to take, and why it is no key.
struct Retired {
    section: Section,
    /// As people know it from elsewhere.
    names: &'static [&'static str],
    why: &'static str,
    help: &'static str,
}

/// Limits that would be accepted by a kernel, and do nothing.
static RETIRED: &[Retired] = &[
    Retired {
        section: Section::Limits,
        names: &["kernel-memory", "kmem", "kmem-limit"],
        why: "has no effect on today's kernels (`memory.kmem.limit_in_bytes` is written and forgotten)",
        help: "kernel memory counts towards `memory`",
    },
    Retired {
        section: Section::Limits,
        names: &["kernel-memory-tcp", "kmem-tcp", "tcp-memory"],
        why: "has no effect on today's kernels (`memory.kmem.tcp.limit_in_bytes` is deprecated)",
        help: "memory of network buffers counts towards `memory`",
    },
    Retired {
        section: Section::Limits,
        names: &["resident-set", "resident-size", "rss", "memory-rss"],
        why: "has no effect: Linux does not look at RLIMIT_RSS (setrlimit(2))",
        help: "`memory` holds for the program and its children together",
    },
    Retired {
        section: Section::Limits,
        names: &["file-locks", "locks"],
        why: "has no effect: Linux has not looked at RLIMIT_LOCKS since 2.4.25 (setrlimit(2))",
        help: "leave it out",
    },
];

/// What is wrong with a name that is no key because it would do nothing.
pub(crate) fn retired(section: Section, name: &str) -> Option<Wrong> {
    let retired = RETIRED
        .iter()
        .find(|retired| retired.section == section && retired.names.contains(&name))?;
    Some(
        Wrong::new(format!("`{name}` {}", retired.why))
            .label("would limit nothing")
            .help(retired.help),
    )
}

/// Keys of the document itself, outside of all tables, with one line about each.
///
/// `"inherit"` is no value of any of them: a layer that says nothing keeps what lower layers say.
pub static TOP: &[(&str, &str, &str)] = &[
    (
        "description",
        "description = \"Mozilla Firefox web browser\"",
        "one line that says what the profile is for",
    ),
    (
        "programs",
        "programs = [\"firefox\", \"firefox-esr\"]",
        "programs that take this profile when no --profile is given",
    ),
    (
        "extends",
        "extends = [\"desktop-app\", \"web-browser\"]",
        "profiles merged below this one, left to right",
    ),
    (
        "degrade",
        "degrade = [\"limits.memory-soft\"]",
        "rules that this host may fail to apply with a warning instead of an error; only rules that add strictness",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::document;
    use crate::profile::key::Kind;
    use crate::report::{Source, SourceKind, SourceMap};

    #[test]
    fn no_word_means_two_things() {
        for key in KEYS {
            if let Kind::Word(words) | Kind::Words(words) = key.kind {
                assert!(!words.contains(&"inherit"), "{}", key.example);
            }
        }
    }

    #[test]
    fn each_section_has_its_keys() {
        assert!(KEYS.is_sorted_by_key(|key| key.section));
        for (at, section) in Section::ALL.into_iter().enumerate() {
            assert_eq!(section as usize, at);
            assert!(!of(section).is_empty());
            assert!(of(section).iter().all(|key| key.section == section));
        }
    }

    #[test]
    fn nothing_is_refused_that_is_a_key() {
        for name in RETIRED.iter().flat_map(|retired| retired.names) {
            assert!(find(Section::Limits, name).is_none(), "{name}");
            assert!(retired(Section::Limits, name).is_some());
            assert!(retired(Section::Process, name).is_none());
        }
    }

    #[test]
    fn every_example_is_a_profile() {
        let mut sources = SourceMap::new();
        let mut check = |text: String| {
            let id = sources.add(Source {
                name: "example.toml".to_owned(),
                kind: SourceKind::Embedded,
                text: text.clone().into(),
            });
            let parsed = document::parse("example", id, &text);
            assert_eq!(parsed.diagnostics, [], "{text}");
            parsed.profile
        };
        for key in KEYS {
            let profile = check(format!("[{}]\n{}\n", key.section, key.example));
            assert_eq!(profile.entries.len(), 1, "{}", key.example);
        }
        for (name, example, _) in TOP {
            check(format!("{example}\n[limits]\npids = 1\n# {name}\n"));
        }
    }
}
