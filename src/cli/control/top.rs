//! `sandboxctl top`: what sandboxes use, looked at again and again.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::control::process::Process;
use crate::control::registry::{self, Entry, Whose};
use crate::control::sandbox::{self, Refusal, Sandbox, user_name};
use crate::control::statistics::{Processes, Statistics};
use crate::exec::group::Directories;
use crate::kernel::descriptor::stream;
use crate::kernel::{Errno, descriptor, signal, terminal};

use super::super::arguments::Interval;
use super::super::{answer, inspect};
use super::running::{command, refuse, sees_everybody};

mod frame;

pub(super) use frame::{Order, Row};

/// A sandbox that is looked at again: what does not change is found out once.
struct Known {
    sandbox: Sandbox,
    user: String,
    group: Option<Directories>,
    child: Option<Process>,
    last: Option<(Instant, Statistics)>,
}

/// All of them, by owner and inode of their records.
#[derive(Default)]
struct Crowd {
    known: BTreeMap<(u32, u64), Known>,
    /// Only this one.
    name: Option<String>,
}

impl Crowd {
    /// Looks at everything once more.
    fn look(&mut self) -> Vec<Row> {
        let found = registry::find(Whose::Seen);
        let mut before = std::mem::take(&mut self.known);
        let processes = Processes::default();
        let mut rows = Vec::new();
        for entry in found.entries {
            let key = (entry.uid(), entry.inode());
            if self.name.as_ref().is_some_and(|name| name != entry.name()) {
                continue;
            }
            let known = before
                .remove(&key)
                .filter(|known| known.sandbox.name() == entry.name());
            let Some(mut known) = known.or_else(|| meet(entry)) else {
                continue;
            };
            rows.push(known.row(&processes));
            self.known.insert(key, known);
        }
        rows
    }
}

/// One that has been started meanwhile; none while it is being started.
fn meet(entry: Entry) -> Option<Known> {
    let sandbox = Sandbox::of(entry).ok()?;
    sandbox.record.as_ref()?;
    let group = sandbox.group().ok()?;
    let child = match group {
        Some(_) => None,
        None => Some(sandbox.child().ok()?),
    };
    Some(Known {
        user: user_name(sandbox.uid()),
        sandbox,
        group,
        child,
        last: None,
    })
}

impl Known {
    fn row(&mut self, processes: &Processes) -> Row {
        let soft = self
            .sandbox
            .record
            .as_ref()
            .and_then(|record| record.memory_soft);
        let now = match (&self.group, &self.child) {
            (Some(group), _) => Statistics::of_group(group, soft),
            (None, Some(child)) if child.signal(0) != Err(Errno::ESRCH) => {
                Statistics::of_tree(child.pid(), processes)
            }
            _ => Statistics::default(),
        };
        let at = Instant::now();
        let before = self.last.replace((at, now));
        let rate = |count: fn(&Statistics) -> Option<u64>| {
            let (then, before) = before.as_ref()?;
            let more = count(&now)?.saturating_sub(count(before)?);
            let passed = at.duration_since(*then).as_secs_f64();
            // Precision beyond 2^53 does not matter.
            #[allow(clippy::cast_precision_loss)]
            (passed > 0.0).then(|| more as f64 / passed)
        };
        Row {
            name: self.sandbox.name().to_owned(),
            user: self.user.clone(),
            program: command(&self.sandbox),
            frozen: self.group.as_ref().is_some_and(Directories::is_frozen),
            cpu: rate(|now| now.cpu_usec).map(|usec| usec / 10_000.0),
            read: rate(|now| now.io_read_bytes),
            written: rate(|now| now.io_write_bytes),
            now,
        }
    }
}

pub(super) fn top(name: Option<&str>, interval: Interval) -> Result<(), i32> {
    // A name that nobody has is a mistake now; that it is gone later is not.
    if let Some(name) = name {
        sandbox::find(name).map_err(|error| refuse(&error))?;
    }
    let mut crowd = Crowd {
        name: name.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()),
        ..Crowd::default()
    };
    let interval = Duration::from_millis(interval.0.into());
    if !terminal::is_terminal(stream(0)) || !terminal::is_terminal(stream(1)) {
        crowd.look();
        // CPU time is told as a part of the time that passes.
        std::thread::sleep(interval.min(Duration::from_secs(1)));
        let rows = crowd.look();
        return answer(&frame::plain(rows, sees_everybody()));
    }
    let said = |what: &str, errno: Errno| {
        refuse(&Refusal::new(format!("cannot {what}: {}", errno.desc())))
    };
    let mut screen = Screen::open().map_err(|errno| said("use the terminal", errno))?;
    let ended = watch(&mut crowd, &mut screen, interval);
    drop(screen);
    match ended {
        Ok(None) => Ok(()),
        Ok(Some(signal)) => Err(128 + signal),
        Err(errno) => Err(said("watch", errno)),
    }
}

/// Until a key or a signal ends it; which signal.
fn watch(crowd: &mut Crowd, screen: &mut Screen, interval: Duration) -> Result<Option<i32>, Errno> {
    let colour = inspect::paint().on;
    let mut order = Order::Memory;
    let mut rows = crowd.look();
    let mut next = Instant::now() + interval.min(Duration::from_millis(300));
    loop {
        let size = terminal::size(stream(1))?;
        let style = frame::Style {
            width: of_terminal(size.ws_col, 80),
            height: of_terminal(size.ws_row, 24),
            colour,
            users: sees_everybody(),
            order,
        };
        screen.draw(&frame::screen(&mut rows, style))?;
        let left = next.saturating_duration_since(Instant::now());
        match screen.wait(left)? {
            Input::Nothing => {
                rows = crowd.look();
                next = Instant::now() + interval;
            }
            Input::Key(b'q' | b'Q' | 3) => return Ok(None),
            Input::Key(b' ') => rows = crowd.look(),
            Input::Key(key) => order = Order::of_key(key).unwrap_or(order),
            Input::Gone => return Ok(None),
            Input::Signal(libc::SIGWINCH) => {}
            Input::Signal(libc::SIGTSTP) => screen.stop()?,
            Input::Signal(libc::SIGCONT) => screen.enter()?,
            Input::Signal(number) => return Ok(Some(number)),
        }
    }
}

/// A terminal that does not know its size says 0.
fn of_terminal(size: u16, usual: usize) -> usize {
    match usize::from(size) {
        0 => usual,
        size => size.max(3),
    }
}

/// What ends the waiting.
enum Input {
    Nothing,
    Key(u8),
    Signal(i32),
    /// The terminal is gone.
    Gone,
}

/// The terminal as it is while we draw on it; as it was when this is dropped.
struct Screen {
    saved: libc::termios,
    signals: OwnedFd,
}

/// The other screen, without a cursor.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
/// Back.
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";

const SIGNALS: [i32; 7] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGTSTP,
    libc::SIGCONT,
    libc::SIGWINCH,
];

impl Screen {
    fn open() -> Result<Self, Errno> {
        let saved = terminal::attributes(stream(0))?;
        // From here on no signal ends us before the terminal is as it was.
        signal::block(&SIGNALS)?;
        let screen = Self {
            saved,
            signals: signal::descriptor(&SIGNALS)?,
        };
        screen.enter()?;
        Ok(screen)
    }

    /// Keys come one by one, and are not shown.
    fn enter(&self) -> Result<(), Errno> {
        let mut attributes = self.saved;
        attributes.c_lflag &= !(libc::ICANON | libc::ECHO);
        terminal::set_attributes(stream(0), &attributes)?;
        write(ENTER)
    }

    fn leave(&self) {
        // Nothing more can be done for a terminal that is gone.
        let _ = write(LEAVE);
        let _ = terminal::set_attributes(stream(0), &self.saved);
    }

    /// As the suspend key demands.
    fn stop(&self) -> Result<(), Errno> {
        self.leave();
        let _ = signal::send_to(std::process::id().cast_signed(), libc::SIGSTOP);
        self.enter()
    }

    fn draw(&self, frame: &str) -> Result<(), Errno> {
        write(frame)
    }

    fn wait(&self, patience: Duration) -> Result<Input, Errno> {
        let entry = |fd: BorrowedFd<'_>| libc::pollfd {
            fd: fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let mut fds = [entry(self.signals.as_fd()), entry(stream(0))];
        let milliseconds = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        match descriptor::poll(&mut fds, milliseconds) {
            Ok(0) => return Ok(Input::Nothing),
            Err(Errno::EINTR) => return Ok(Input::Signal(libc::SIGWINCH)),
            Err(errno) => return Err(errno),
            Ok(_) => {}
        }
        if let [signals, _] = fds
            && signals.revents != 0
            && let Some(came) = signal::next(self.signals.as_fd())?
        {
            return Ok(Input::Signal(came.number));
        }
        let mut key = [0];
        match descriptor::read(stream(0), &mut key) {
            Ok(1..) => Ok(Input::Key(key[0])),
            _ => Ok(Input::Gone),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
    }
}

fn write(text: &str) -> Result<(), Errno> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let written = descriptor::write(stream(1), rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(())
}
