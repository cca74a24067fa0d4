//! What `sandboxctl top` costs beside a crowd of sandboxes: CPU time at its usual interval, and the time from a key to the
//! whole picture.
//!
//! `cargo bench --bench top [-- [--crowd N] [--seconds N] [--programs DIR] [--json]]`, as root or as an ordinary user.
//! `--programs` is the directory of `sandbox` and `sandboxctl`. The status is 1 above what is promised: two percent of one
//! core, and a picture within one frame (16 ms).

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};

/// Of one core, in percent.
const PROMISED_CPU: f64 = 2.0;
/// In milliseconds.
const PROMISED_FRAME: f64 = 16.0;
/// Keys pressed of each kind.
const KEYS: usize = 30;

struct Options {
    crowd: usize,
    seconds: u64,
    programs: PathBuf,
    json: bool,
}

impl Options {
    fn read() -> Result<Self, String> {
        let built = Path::new(env!("CARGO_BIN_EXE_sandboxctl"));
        let mut options = Self {
            crowd: 100,
            seconds: 20,
            programs: built.parent().unwrap_or(built).to_owned(),
            json: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("`{word}` needs a value"));
            let number = |text: String| {
                let number = text.parse::<u64>().ok().filter(|number| *number > 0);
                number.ok_or(format!("`{text}` is no number"))
            };
            match word.as_str() {
                "--crowd" => {
                    options.crowd =
                        usize::try_from(number(value()?)?).map_err(|error| error.to_string())?;
                }
                "--seconds" => options.seconds = number(value()?)?,
                "--programs" => options.programs = value()?.into(),
                "--json" => options.json = true,
                // What cargo adds.
                "--bench" => {}
                other => return Err(format!("unknown option `{other}`")),
            }
        }
        Ok(options)
    }
}

/// Sandboxes that end with this.
struct Crowd {
    children: Vec<Child>,
}

impl Crowd {
    fn start(options: &Options, home: &Path) -> Result<Self, String> {
        let mut crowd = Self {
            children: Vec::new(),
        };
        for _ in 0..options.crowd {
            let mut command = Command::new(options.programs.join("sandbox"));
            command
                .args(["--no-profile", "--pids", "10", "--memory", "100M", "--"])
                // It waits for the end of a standard input that stays open.
                .arg("/bin/cat")
                .env("HOME", home)
                .env("XDG_RUNTIME_DIR", home)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            crowd.children.push(command.spawn().map_err(said)?);
        }
        let started = Instant::now();
        loop {
            let mut command = Command::new(options.programs.join("sandboxctl"));
            command.args(["list", "--json"]);
            command.env("HOME", home).env("XDG_RUNTIME_DIR", home);
            let output = command.output().map_err(said)?;
            let text = String::from_utf8_lossy(&output.stdout);
            let running = text.matches("\"status\": \"running\"").count();
            if running >= options.crowd {
                return Ok(crowd);
            }
            if started.elapsed() > Duration::from_secs(60) {
                return Err(format!("only {running} of {} sandboxes run", options.crowd));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.children {
            drop(child.stdin.take());
        }
        for child in &mut self.children {
            // It ends by itself now.
            let _ = child.wait();
        }
    }
}

/// `sandboxctl top` on a terminal of its own.
struct Top {
    child: Child,
    terminal: File,
}

impl Top {
    fn start(options: &Options, home: &Path) -> Result<Self, String> {
        let size = Winsize {
            ws_row: 60,
            ws_col: 160,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(Some(&size), None).map_err(|errno| errno.to_string())?;
        let end = || pair.slave.try_clone().map_err(said);
        let mut command = Command::new(options.programs.join("sandboxctl"));
        command
            .arg("top")
            .env("HOME", home)
            .env("XDG_RUNTIME_DIR", home)
            .env("TERM", "xterm")
            .stdin(end()?)
            .stdout(end()?)
            .stderr(Stdio::null())
            .process_group(0);
        let mut top = Self {
            child: command.spawn().map_err(said)?,
            terminal: File::from(pair.master),
        };
        drop(pair.slave);
        top.picture(Duration::from_secs(5))?;
        Ok(top)
    }

    /// Reads until nothing comes for a while; when the last of it came, and how much there was.
    fn picture(&mut self, patience: Duration) -> Result<(Instant, usize), String> {
        let mut last = (Instant::now(), 0);
        let mut wait = patience;
        let mut buffer = [0; 65536];
        loop {
            let timeout = PollTimeout::try_from(wait).map_err(|error| error.to_string())?;
            let mut fds = [PollFd::new(self.terminal.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, timeout).map_err(|errno| errno.to_string())? == 0 {
                return Ok(last);
            }
            let length = self.terminal.read(&mut buffer).map_err(said)?;
            last = (Instant::now(), last.1 + length);
            wait = Duration::from_millis(60);
        }
    }

    /// The time from a key to the end of the picture, and its bytes.
    fn press(&mut self, key: u8) -> Result<(f64, usize), String> {
        let pressed = Instant::now();
        self.terminal.write_all(&[key]).map_err(said)?;
        let (drawn, length) = self.picture(Duration::from_secs(2))?;
        match length {
            0 => Err("a key changes nothing".to_owned()),
            _ => Ok((drawn.duration_since(pressed).as_secs_f64() * 1e3, length)),
        }
    }

    /// CPU time until now in seconds (/proc/PID/schedstat: nanoseconds).
    fn cpu(&self) -> Result<f64, String> {
        let text = std::fs::read_to_string(format!("/proc/{}/schedstat", self.child.id()));
        let text = text.map_err(said)?;
        let first = text.split(' ').next().and_then(|word| word.parse().ok());
        first
            .map(|nanoseconds: f64| nanoseconds / 1e9)
            .ok_or("/proc has no CPU time".to_owned())
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        let _ = self.terminal.write_all(b"q");
        let _ = self.child.wait();
    }
}

fn said(error: std::io::Error) -> String {
    error.to_string()
}

/// The least and the median of times, and the size of the last picture.
struct Redraw {
    least: f64,
    median: f64,
    bytes: usize,
}

fn redraw(top: &mut Top, keys: &[u8]) -> Result<Redraw, String> {
    let mut times = Vec::with_capacity(KEYS);
    let mut bytes = 0;
    for key in keys.iter().cycle().take(KEYS) {
        let (time, length) = top.press(*key)?;
        times.push(time);
        bytes = length;
    }
    times.sort_by(f64::total_cmp);
    let at = |index: usize| times.get(index).copied().unwrap_or(f64::NAN);
    Ok(Redraw {
        least: at(0),
        median: at(KEYS / 2),
        bytes,
    })
}

fn measure(options: &Options, home: &Path) -> Result<bool, String> {
    let crowd = Crowd::start(options, home)?;
    let mut top = Top::start(options, home)?;
    // What is found out once is known by then.
    top.picture(Duration::from_secs(3))?;
    let (before, started) = (top.cpu()?, Instant::now());
    let mut pictures = 0;
    while started.elapsed() < Duration::from_secs(options.seconds) {
        let (_, length) = top.picture(Duration::from_secs(3))?;
        pictures += usize::from(length > 0);
    }
    let percent = (top.cpu()? - before) / started.elapsed().as_secs_f64() * 100.0;
    let sorted = redraw(&mut top, b"cmpin")?;
    let looked = redraw(&mut top, b" ")?;
    drop(top);
    drop(crowd);
    if options.json {
        println!(
            "{:#}",
            serde_json::json!({
                "crowd": options.crowd,
                "cpu_percent": percent,
                "pictures": pictures,
                "redraw_ms": { "least": sorted.least, "median": sorted.median, "bytes": sorted.bytes },
                "look_and_redraw_ms": { "least": looked.least, "median": looked.median, "bytes": looked.bytes },
            })
        );
    } else {
        println!("`sandboxctl top` beside {} sandboxes:", options.crowd);
        println!(
            "  {percent:.2} % of one core, over {pictures} pictures (promised: {PROMISED_CPU} %)"
        );
        for (what, found) in [("sorted anew", &sorted), ("looked at anew", &looked)] {
            println!(
                "  {what}: {:.1} ms from the key to the whole picture of {} bytes, at best {:.1} (promised: {PROMISED_FRAME} ms)",
                found.median, found.bytes, found.least
            );
        }
    }
    // The median of a machine that does other things too says nothing about this program.
    Ok(percent < PROMISED_CPU && sorted.least < PROMISED_FRAME && looked.least < PROMISED_FRAME)
}

fn main() -> ExitCode {
    let home = std::env::temp_dir().join(format!("sandbox-top-{}", std::process::id()));
    let kept = Options::read().and_then(|options| {
        std::fs::create_dir(&home).map_err(said)?;
        measure(&options, &home)
    });
    let _ = std::fs::remove_dir_all(&home);
    match kept {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("top: more than is promised");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("top: {error}");
            ExitCode::FAILURE
        }
    }
}
