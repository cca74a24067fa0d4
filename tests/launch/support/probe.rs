//! Small programs that a case starts within a sandbox, so that the tests need neither
//! a compiler nor an interpreter there: `launch probe NAME [ARGUMENT…]`.
//!
//! | name and arguments              | does                                                   |
//! | ------------------------------- | ------------------------------------------------------ |
//! | `status`                        | prints /proc/self/status                               |
//! | `fds`                           | prints `NUMBER TARGET` of every open descriptor        |
//! | `memory-hog BYTES [KIND] [SECS]`| fills `anon`, `memfd`, `shm`, `sysv` or a file by its  |
//! |                                 | path; prints `held BYTES`                              |
//! | `keep-warm BYTES SECS`          | fills memory and touches all of it again and again     |
//! | `fork-bomb SECONDS [MOST]`      | forks as fast as it can; prints `forked N refused N`   |
//! | `hop COUNT`                     | so many processes that become others all the time      |
//! | `fork-storm`                    | forks, as do all its children, until it is killed      |
//! | `burn SECONDS`                  | computes; prints `cpu-ms N`                            |
//! | `tiocsti`                       | pushes a character into the terminal on descriptor 0   |
//! | `syscall NAME\|NUMBER [ARG…]`   | prints `= VALUE` or the error's name                   |
//! | `int80 NUMBER`                  | the same through the 32-bit entry (x86_64)             |
//! | `connect tcp\|unix ADDRESS`     | prints `connected` or the error's name; `@NAME` is     |
//! |                                 | an abstract socket                                     |
//! | `userns`                        | makes a user namespace and mounts in it                |
//! | `stalk SECONDS`                 | tries to trace every new process, see `stalk`          |
//! | `do DEED…`                      | many small attempts, see `deeds`                       |
//! | `with-key NAME PROGRAM…`        | runs PROGRAM with a key in its session keyring         |
//! | `inject FILE PLACE PROGRAM…`    | one of PROGRAM's system calls fails, see `inject`      |
//!
//! A refusal exits with 1, wrong usage with 2. Arguments of `syscall` are decimal or
//! 0x… numbers, or `s:TEXT` for a pointer to a string.

use std::ffi::CString;
use std::fs;
use std::hint::black_box;
use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// What a probe found, or why it found nothing.
pub type Answer = Result<String, Refusal>;

/// Why a probe has no answer.
pub enum Refusal {
    /// The kernel refused.
    Errno(Errno),
    /// The probe was asked wrongly.
    Usage(String),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Refusal {
        Refusal::Errno(errno)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        match error.raw_os_error() {
            Some(code) => Refusal::Errno(Errno::from_raw(code)),
            None => Refusal::Usage(error.to_string()),
        }
    }
}

/// Runs the probe `name`.
pub fn run(name: &str, arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let answer = match (name, words.as_slice()) {
        ("status", []) => fs::read_to_string("/proc/self/status").map_err(Refusal::from),
        ("fds", []) => descriptors(),
        ("memory-hog", [bytes]) => hog(bytes, "anon", "0"),
        ("memory-hog", [bytes, kind]) => hog(bytes, kind, "0"),
        ("memory-hog", [bytes, kind, seconds]) => hog(bytes, kind, seconds),
        ("keep-warm", [bytes, seconds]) => keep_warm(bytes, seconds),
        ("fork-bomb", [seconds]) => fork_bomb(seconds, "20000"),
        ("fork-bomb", [seconds, most]) => fork_bomb(seconds, most),
        ("hop", [count]) => hop(count),
        ("fork-storm", []) => fork_storm(),
        ("burn", [seconds]) => burn(seconds),
        ("tiocsti", []) => push_character(),
        ("syscall", [name, arguments @ ..]) => system_call(name, arguments),
        ("int80", [number]) => foreign_call(number),
        ("connect", [kind, address]) => connect(kind, address),
        ("userns", []) => user_namespace(),
        ("stalk", [seconds]) => super::stalk::run(seconds),
        ("do", deeds) => super::deeds::run(deeds),
        ("with-key", [name, program @ ..]) => super::deeds::with_key(name, program),
        ("inject", [file, place, program @ ..]) => super::inject::run(file, place, program),
        _ => Err(Refusal::Usage(format!(
            "no probe `{name}` with these arguments"
        ))),
    };
    match answer {
        Ok(text) => {
            println!("{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Err(Refusal::Errno(errno)) => {
            println!("{errno:?}");
            ExitCode::FAILURE
        }
        Err(Refusal::Usage(text)) => {
            eprintln!("probe: {text}");
            ExitCode::from(2)
        }
    }
}

pub fn number(text: &str) -> Result<u64, Refusal> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => match text.strip_prefix('-') {
            Some(digits) => digits.parse::<u64>().map(u64::wrapping_neg),
            None => text.parse(),
        },
    };
    parsed.map_err(|_| Refusal::Usage(format!("`{text}` is not a number")))
}

fn descriptors() -> Answer {
    let mut lines = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let number = entry.file_name().to_string_lossy().into_owned();
        if let Ok(target) = fs::read_link(entry.path()) {
            lines.push((number.parse().unwrap_or(u32::MAX), target));
        }
    }
    lines.sort();
    // Reading the folder took a descriptor itself.
    let own = format!("/proc/{}/fd", std::process::id());
    let lines = lines
        .iter()
        .filter(|(_, target)| !target.ends_with("fd") || *target != *own);
    let text: Vec<String> = lines
        .map(|(n, target)| format!("{n} {}", target.display()))
        .collect();
    Ok(text.join("\n"))
}

/// Fills memory a MiB at a time, so that a limit strikes in the middle.
fn hog(bytes: &str, kind: &str, seconds: &str) -> Answer {
    let wanted = number(bytes)?;
    let pause = Duration::from_secs(number(seconds)?);
    let piece = vec![0xa5_u8; 1 << 20];
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut segment = Segment(std::ptr::null_mut());
    let mut file = match kind {
        "anon" => None,
        "sysv" => {
            segment = Segment::new(wanted)?;
            None
        }
        path if path.starts_with('/') => Some(
            fs::File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .open(path)?,
        ),
        "memfd" => Some(fs::File::from(memfd_create(c"hog", MFdFlags::MFD_CLOEXEC)?)),
        "shm" => {
            let path = format!("/dev/shm/probe-{}", std::process::id());
            let file = fs::File::options()
                .write(true)
                .create_new(true)
                .open(&path)?;
            fs::remove_file(&path)?;
            Some(file)
        }
        _ => return Err(Refusal::Usage(format!("no kind of memory `{kind}`"))),
    };
    let mut held = 0;
    while held < wanted {
        match &mut file {
            Some(file) => file.write_all(&piece)?,
            None if !segment.0.is_null() => segment.fill(held, &piece),
            None => kept.push(black_box(piece.clone())),
        }
        held += piece.len() as u64;
    }
    println!("held {held}");
    io::stdout().flush()?;
    thread::sleep(pause);
    black_box(&kept);
    Ok(String::new())
}

/// Shared memory of System V, which is gone with its last user.
struct Segment(*mut u8);

impl Segment {
    fn new(bytes: u64) -> Result<Segment, Refusal> {
        let size = usize::try_from(bytes.next_multiple_of(1 << 20)).unwrap_or(usize::MAX);
        // SAFETY: takes no pointer.
        let id = Errno::result(unsafe { libc::shmget(libc::IPC_PRIVATE, size, 0o600) })?;
        // SAFETY: the kernel chooses where.
        let address = unsafe { libc::shmat(id, std::ptr::null(), 0) };
        let attached = Errno::last();
        // SAFETY: no structure is needed for this command.
        unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
        if address as isize == -1 {
            return Err(Refusal::Errno(attached));
        }
        Ok(Segment(address.cast()))
    }

    /// The caller stays within the size.
    fn fill(&self, at: u64, piece: &[u8]) {
        let at = usize::try_from(at).unwrap_or(0);
        // SAFETY: `at` is less than the segment's size.
        let to = unsafe { self.0.add(at) };
        // SAFETY: the segment has whole pieces, so that this one fits behind `at`; it does not overlap the piece.
        unsafe { std::ptr::copy_nonoverlapping(piece.as_ptr(), to, piece.len()) };
    }
}

/// Memory in use, not only held: for the kernel there is no cheap page in it.
fn keep_warm(bytes: &str, seconds: &str) -> Answer {
    let mut memory = vec![1_u8; usize::try_from(number(bytes)?).unwrap_or(usize::MAX)];
    let end = Instant::now() + Duration::from_secs(number(seconds)?);
    println!("warm");
    io::stdout().flush()?;
    while Instant::now() < end {
        for page in memory.chunks_mut(4096) {
            if let Some(first) = page.first_mut() {
                *first = first.wrapping_add(1);
            }
        }
        black_box(&memory);
    }
    Ok("kept warm".to_owned())
}

/// Children sleep until they are killed at the end, which comes early with the `most`th.
fn fork_bomb(seconds: &str, most: &str) -> Answer {
    let most = number(most)?;
    let end = Instant::now() + Duration::from_secs(number(seconds)?);
    let (mut children, mut refused) = (Vec::new(), 0_u64);
    while Instant::now() < end && (children.len() as u64) < most {
        // SAFETY: this process has one thread, and the child makes system calls only.
        match unsafe { libc::fork() } {
            0 => loop {
                // SAFETY: takes no pointer. Our parent kills us, or its end does.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
                // SAFETY: takes no argument.
                if unsafe { libc::getppid() } <= 1 {
                    // SAFETY: takes no pointer; ends this process at once.
                    unsafe { libc::_exit(0) };
                }
                // SAFETY: takes no pointer.
                unsafe { libc::sleep(60) };
            },
            -1 => {
                refused += 1;
                thread::sleep(Duration::from_millis(1));
            }
            pid => children.push(pid),
        }
    }
    for pid in &children {
        // SAFETY: takes no pointer; the child is ours and was not waited for.
        unsafe { libc::kill(*pid, libc::SIGKILL) };
    }
    for pid in &children {
        // SAFETY: a null status is allowed.
        unsafe { libc::waitpid(*pid, std::ptr::null_mut(), 0) };
    }
    Ok(format!("forked {} refused {refused}", children.len()))
}

/// Who lists such processes, and then kills what was listed, kills none of them. To be had with a pid namespace or a
/// control group only, by which they are found again.
fn hop(count: &str) -> Answer {
    // What its child left is ours to reap.
    nix::sys::prctl::set_child_subreaper(true)?;
    for _ in 0..number(count)? {
        // SAFETY: this process has one thread, and the child makes system calls only.
        if unsafe { libc::fork() } == 0 {
            loop {
                // SAFETY: takes no pointer.
                unsafe { libc::usleep(300) };
                // SAFETY: as above.
                if unsafe { libc::fork() } > 0 {
                    // SAFETY: takes no pointer; ends this process at once.
                    unsafe { libc::_exit(0) };
                }
                // SAFETY: takes no pointer.
                unsafe { libc::setsid() };
            }
        }
    }
    println!("hopping");
    loop {
        // SAFETY: a null status is allowed.
        if unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } < 0 {
            thread::sleep(Duration::from_secs(1));
        }
    }
}

/// The bomb of every textbook: whoever was forked forks as well.
fn fork_storm() -> Answer {
    println!("forking");
    io::stdout().flush()?;
    loop {
        // SAFETY: this process has one thread, and the child goes on with the same loop.
        if unsafe { libc::fork() } < 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn burn(seconds: &str) -> Answer {
    let end = Instant::now() + Duration::from_secs(number(seconds)?);
    let mut sum = 0_u64;
    while Instant::now() < end {
        for i in 0..10_000_u64 {
            sum = black_box(sum.wrapping_mul(31).wrapping_add(i));
        }
    }
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)?;
    let (user, system) = (usage.user_time(), usage.system_time());
    let seconds = user.tv_sec() + system.tv_sec();
    let micros = user.tv_usec() + system.tv_usec();
    Ok(format!("cpu-ms {}", seconds * 1000 + micros / 1000))
}

fn push_character() -> Answer {
    let character = b'x';
    // SAFETY: the argument points to one byte, as TIOCSTI takes.
    Errno::result(unsafe { libc::ioctl(0, libc::TIOCSTI, &raw const character) })?;
    Ok("pushed".to_owned())
}

pub fn system_call(name: &str, arguments: &[&str]) -> Answer {
    let call = match name.parse::<syscalls::Sysno>() {
        Ok(known) => known.id().into(),
        Err(_) => number(name)?.cast_signed(),
    };
    let mut texts = Vec::new(); // must outlive the call
    let mut values = [0_u64; 6];
    for (value, argument) in values.iter_mut().zip(arguments) {
        *value = match argument.strip_prefix("s:") {
            Some(text) => {
                let text = CString::new(text).map_err(|e| Refusal::Usage(e.to_string()))?;
                let address = text.as_ptr() as u64;
                texts.push(text);
                address
            }
            None => number(argument)?,
        };
    }
    let [a, b, c, d, e, f] = values;
    // SAFETY: not safe in general; the case that asks for a call answers for its arguments.
    let result = unsafe { libc::syscall(call, a, b, c, d, e, f) };
    drop(texts);
    Ok(format!("= {}", Errno::result(result)?))
}

#[cfg(target_arch = "x86_64")]
fn foreign_call(name: &str) -> Answer {
    let call = number(name)?;
    let result: i64;
    // SAFETY: the 32-bit entry with all arguments zero; rbx may not be named as an operand.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {zero}", "int 0x80", "xchg rbx, {zero}",
            zero = inout(reg) 0_u64 => _,
            inlateout("rax") call => result,
            in("rcx") 0_u64, in("rdx") 0_u64, in("rsi") 0_u64, in("rdi") 0_u64,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    let result = i64::from(result as i32);
    if (-4095..0).contains(&result) {
        return Err(Refusal::Errno(Errno::from_raw(-(result as i32))));
    }
    Ok(format!("= {result}"))
}

#[cfg(not(target_arch = "x86_64"))]
fn foreign_call(_: &str) -> Answer {
    Err(Refusal::Usage(
        "this machine has no 32-bit entry".to_owned(),
    ))
}

/// A call through the 32-bit entry, for the catalogue.
pub fn foreign(number: &str) -> Result<String, Errno> {
    match foreign_call(number) {
        Ok(text) => Ok(text),
        Err(Refusal::Errno(errno)) => Err(errno),
        Err(Refusal::Usage(_)) => Err(Errno::ENOSYS),
    }
}

fn connect(kind: &str, address: &str) -> Answer {
    let limit = Duration::from_secs(5);
    match kind {
        "unix" => match address.strip_prefix('@') {
            Some(name) => {
                let address = SocketAddr::from_abstract_name(name)?;
                drop(UnixStream::connect_addr(&address)?);
            }
            None => drop(UnixStream::connect(address)?),
        },
        "tcp" => {
            let target = address.to_socket_addrs()?.next();
            let target = target.ok_or_else(|| Refusal::Usage(format!("no address `{address}`")))?;
            drop(TcpStream::connect_timeout(&target, limit)?);
        }
        _ => return Err(Refusal::Usage(format!("no kind of address `{kind}`"))),
    }
    Ok("connected".to_owned())
}

/// Some systems allow the namespace and then refuse everything in it.
fn user_namespace() -> Answer {
    let uid = nix::unistd::Uid::effective();
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(
        Some("tmpfs"),
        "/proc",
        Some("tmpfs"),
        MsFlags::empty(),
        none,
    )?;
    Ok("works".to_owned())
}

/// The kernel's Landlock ABI, 0 without Landlock.
pub fn landlock_abi() -> u32 {
    let null = std::ptr::null::<u8>();
    // SAFETY: with flag 1 (version) the call takes no attribute.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, null, 0_usize, 1_u32) };
    u32::try_from(abi).unwrap_or(0)
}
