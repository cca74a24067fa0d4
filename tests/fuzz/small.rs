//! The readers of short texts and of foreign programs' bytes: what has to hold whatever the input.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use sandbox::desktop::authority;
use sandbox::desktop::wayland::wire::{Event, Request};
use sandbox::profile::read::{Wrong, amount, cpu_set, path, time};
use sandbox::profile::value::Ranges;
use sandbox::report::escape::is_harmful;
use sandbox::section::dbus::address::Address;
use sandbox::section::dbus::rule::Who;
use sandbox::section::desktop::Display;

/// A refusal says something, and points into the text.
fn is_told(wrong: &Wrong, text: &str) {
    assert!(!wrong.message.is_empty(), "{text:?}");
    if let Some(span) = &wrong.span {
        assert!(text.get(span.clone()).is_some(), "{wrong:?} in {text:?}");
    }
}

/// Sizes, parts of CPUs, durations, lists of CPUs, paths: what is understood is within bounds and is written as a text that
/// is understood as the same.
pub fn values(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for read in [amount::bytes, amount::size] {
        match read(text) {
            Ok(size) => assert_eq!(read(&size.to_string()).as_ref(), Ok(&size), "{text:?}"),
            Err(wrong) => is_told(&wrong, text),
        }
    }
    match amount::cpu(text) {
        Ok(cpu) => assert_eq!(amount::cpu(&cpu.to_string()).as_ref(), Ok(&cpu), "{text:?}"),
        Err(wrong) => is_told(&wrong, text),
    }
    if let Err(wrong) = amount::count(text) {
        is_told(&wrong, text);
    }
    if let Ok(number) = text.parse::<i64>() {
        assert_eq!(amount::plain_bytes(number).is_ok(), number >= 0);
        assert_eq!(amount::plain_count(number).is_ok(), number >= 0);
        assert_eq!(
            time::seconds(number).is_ok(),
            (1..=3_155_760_000).contains(&number)
        );
    }
    match time::duration(text) {
        Ok(duration) => {
            assert!(duration >= Duration::from_millis(1) && duration.as_secs() <= 3_155_760_000);
            let again = format!("{}ms", duration.as_millis());
            assert_eq!(time::duration(&again), Ok(duration), "{text:?}");
        }
        Err(wrong) => is_told(&wrong, text),
    }
    if let Err(wrong) = cpu_set(text) {
        is_told(&wrong, text);
    }
    if let Some(ranges) = Ranges::parse(text) {
        assert!(
            ranges.0.iter().all(|(first, last)| first <= last),
            "{ranges:?}"
        );
        let apart = |pair: &[(u32, u32)]| matches!(pair, [(_, end), (start, _)] if *start > end.saturating_add(1));
        assert!(ranges.0.windows(2).all(apart), "{ranges:?}");
        assert_eq!(Ranges::parse(&ranges.to_string()).as_ref(), Some(&ranges));
        assert_eq!(ranges.without(&ranges), Ranges::default());
        assert_eq!(ranges.without(&Ranges::default()), ranges);
    }
    for read in [path::key, path::value] {
        match read(text) {
            Ok(written) => assert_eq!(read(&written).as_ref(), Ok(&written), "{text:?}"),
            Err(wrong) => is_told(&wrong, text),
        }
    }
    if let Some(socket) = Display::parse(text).and_then(|display| display.socket()) {
        assert_eq!(socket.parent(), Some(Path::new("/tmp/.X11-unix")));
    }
}

/// An address, a name on a bus, and another in lines: they are written as they are read, nothing in them ends an argument
/// early, and whoever holds another rule covers its name.
pub fn dbus(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let address = OsStr::from_bytes(lines.next().unwrap_or_default());
    for runtime in [None, Some(Path::new("/run/user/5"))] {
        if let Ok(found) = Address::parse(address, runtime) {
            let text = found.text();
            // One address of one pair, whatever the path.
            assert!(
                !text.as_bytes().iter().any(|byte| b";,\0\n ".contains(byte)),
                "{text:?}"
            );
            assert_eq!(Address::parse(&text, None), Ok(found.clone()), "{text:?}");
            if let Address::Path(path) = found {
                assert!(path.is_absolute());
            }
        }
    }
    let mut read = Vec::new();
    for line in lines.take(8) {
        let line = String::from_utf8_lossy(line);
        match Who::parse(&line) {
            Ok(who) => {
                let text = who.to_string();
                assert_eq!(Who::parse(&text).as_ref(), Ok(&who), "{line:?}");
                assert!(
                    !text
                        .chars()
                        .any(|letter| is_harmful(letter) || letter == ' '),
                    "{text:?}"
                );
                assert!(
                    who.covers(&who.name) && who.holds(&who) && who.meets(&who.name, who.below)
                );
                assert!(!who.pattern().contains(['=', ',', '(']), "{text:?}");
                read.push(who);
            }
            Err(why) => assert!(!why.is_empty()),
        }
    }
    for one in &read {
        for other in &read {
            if one.holds(other) {
                assert!(
                    one.covers(&other.name) && one.meets(&other.name, other.below),
                    "{one} {other}"
                );
            }
            assert_eq!(
                one.meets(&other.name, other.below),
                other.meets(&one.name, one.below),
                "{one} {other}"
            );
        }
    }
}

/// What a compositor sends: reading ends, never goes beyond what was sent, and waits for what is missing.
pub fn wayland(data: &[u8]) {
    const REGISTRY: u32 = 2;
    let mut rest = data;
    loop {
        match Event::read(rest, REGISTRY) {
            Ok(Some((event, length))) => {
                assert!((8..=rest.len()).contains(&length) && length.is_multiple_of(4));
                // Less of it is not enough, and more changes nothing.
                assert_eq!(Event::read(&rest[..length - 1], REGISTRY), Ok(None));
                assert_eq!(
                    Event::read(&rest[..length], REGISTRY),
                    Ok(Some((event, length)))
                );
                rest = &rest[length..];
            }
            Ok(None) => {
                assert!(rest.len() < 65_536);
                break;
            }
            Err(why) => {
                assert!(!why.is_empty());
                break;
            }
        }
    }
    // What is sent is a message of the length that it says, whatever the texts.
    let text = String::from_utf8_lossy(data);
    for message in [
        Request::bind(2, 1, &text, 1, 4),
        Request::set_app_id(5, &text),
    ] {
        let bytes = message.bytes();
        let word = u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        assert_eq!((word >> 16) as usize, bytes.len());
        assert!(bytes.len().is_multiple_of(4));
    }
}

/// A file of cookies: what is handed on is one entry that is read back as itself, and its cookie is of the file.
pub fn authority(data: &[u8]) {
    for (host, number) in [(&b"box"[..], 0), (b"", 10), (b"other", u32::MAX)] {
        let copy = authority::copied(data, host, number);
        if copy.is_empty() {
            continue;
        }
        assert!(
            copy.starts_with(b"\xff\xff\0\0\0\0\0\x12MIT-MAGIC-COOKIE-1"),
            "{copy:?}"
        );
        let cookie = &copy[28..];
        assert!(cookie.is_empty() || data.windows(cookie.len()).any(|part| part == cookie));
        // It fits every display of every host.
        assert_eq!(authority::copied(&copy, b"elsewhere", 77), copy);
    }
}
