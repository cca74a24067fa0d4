//! Every verdict is logged: to the system's log (facility authpriv, RFC 3164 as syslog(3) writes it), or to the kernel's
//! where no log daemon listens.

use std::io::Write;
use std::os::unix::net::UnixDatagram;

use crate::show::show;

/// What is logged about a request.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Real user id of the caller.
    pub uid: u32,
    /// Its login name, where there is one.
    pub user: Option<&'a str>,
    /// What was asked for.
    pub name: &'a [u8],
    /// With these arguments.
    pub arguments: &'a [Vec<u8>],
    /// Whether it is granted.
    pub allowed: bool,
    /// Why, or by which rule.
    pub reason: &'a str,
}

/// authpriv, facility 10 (RFC 5424, table 1).
const FACILITY: u8 = 10 << 3;
const NOTICE: u8 = 5;
const WARNING: u8 = 4;
/// A longer line is cut: log daemons cut at 1024 or 8192.
const LONGEST: usize = 1000;

/// The line, without what the log daemon adds; foreign text is escaped, so that one entry is one line.
#[must_use]
pub fn line(entry: &Entry<'_>) -> String {
    let verdict = if entry.allowed { "allowed" } else { "refused" };
    let user = entry.user.map_or_else(|| entry.uid.to_string(), show);
    let shown = |bytes: &[u8]| show(&String::from_utf8_lossy(bytes)).replace('"', "\\\"");
    let mut line = format!(
        "{user} ({}): {verdict}: {}; {}",
        entry.uid,
        shown(entry.name),
        show(entry.reason)
    );
    for (at, argument) in entry.arguments.iter().enumerate() {
        line.push_str(if at == 0 { "; arguments: \"" } else { " \"" });
        line.push_str(&shown(argument));
        line.push('"');
    }
    if line.len() > LONGEST {
        let mut end = LONGEST;
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Writes an entry. Never waits for a log daemon that does not listen.
///
/// # Errors
/// Why neither log takes it.
pub fn write(entry: &Entry<'_>) -> Result<(), String> {
    let priority = FACILITY | if entry.allowed { NOTICE } else { WARNING };
    let text = format!(
        "<{priority}>sandbox-suid[{}]: {}",
        std::process::id(),
        line(entry)
    );
    let daemon = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to(text.as_bytes(), "/dev/log")
    });
    let Err(daemon) = daemon else {
        return Ok(());
    };
    let kernel = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/kmsg")
        .and_then(|mut kernel| kernel.write_all(text.as_bytes()));
    kernel.map_err(|kernel| format!("/dev/log: {daemon}; /dev/kmsg: {kernel}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_is_one_line_whatever_the_caller_says() {
        let arguments = [
            b"a\nroot (0): allowed".to_vec(),
            b"\x1b[2J\"".to_vec(),
            vec![b'x'; 5000],
        ];
        let text = line(&Entry {
            uid: 1000,
            user: Some("ann"),
            name: b"x\ny",
            arguments: &arguments,
            allowed: false,
            reason: "no",
        });
        assert!(text.starts_with("ann (1000): refused: x\\ny; no; arguments: \"a\\nroot (0): allowed\" \"\\u{1b}[2J\\\"\" \"xxx"));
        assert!(!text.contains('\n') && !text.contains('\x1b'));
        assert!(text.len() <= LONGEST + 4);
    }
}
