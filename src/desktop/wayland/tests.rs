//! The protocol against a compositor of our own, which speaks only as much of it as is needed.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use super::wire::{Event, Request};
use super::*;

fn event(object: u32, opcode: u16, arguments: &[u8]) -> Vec<u8> {
    let mut out = object.to_ne_bytes().to_vec();
    let length = u32::try_from(arguments.len() + 8).unwrap() << 16;
    out.extend((length | u32::from(opcode)).to_ne_bytes());
    out.extend(arguments);
    out
}

fn text(text: &str) -> Vec<u8> {
    let mut out = u32::try_from(text.len() + 1)
        .unwrap()
        .to_ne_bytes()
        .to_vec();
    out.extend(text.bytes());
    out.push(0);
    while out.len() % 4 != 0 {
        out.push(0);
    }
    out
}

fn global(name: u32, interface: &str) -> Vec<u8> {
    let mut arguments = name.to_ne_bytes().to_vec();
    arguments.extend(text(interface));
    arguments.extend(1u32.to_ne_bytes());
    event(REGISTRY, 0, &arguments)
}

fn done(callback: u32) -> Vec<u8> {
    event(callback, 0, &7u32.to_ne_bytes())
}

/// Everything that a client sends up to a sync with this number, with the descriptors beside it.
fn hear(stream: &UnixStream, callback: u32) -> (Vec<u8>, Vec<OwnedFd>) {
    let (mut heard, mut beside) = (Vec::new(), Vec::new());
    let end = Request::sync(DISPLAY, callback);
    while !heard.ends_with(end.bytes()) {
        let mut bytes = [0u8; 1024];
        let (length, fd) = descriptor::receive(stream.as_fd(), &mut bytes).unwrap();
        assert_ne!(length, 0, "the client is gone");
        heard.extend(&bytes[..length]);
        beside.extend(fd);
    }
    (heard, beside)
}

/// Accepts one client, and lets `talk` answer it.
fn compositor<T: Send + 'static>(
    talk: impl FnOnce(UnixStream) -> T + Send + 'static,
) -> (tempfile::TempDir, std::path::PathBuf, thread::JoinHandle<T>) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("compositor");
    let listener = UnixListener::bind(&socket).unwrap();
    let thread = thread::spawn(move || talk(listener.accept().unwrap().0));
    (directory, socket, thread)
}

fn identity() -> Identity {
    Identity {
        engine: "org.example.Engine".to_owned(),
        app: "firefox".to_owned(),
        instance: "1a2b".to_owned(),
    }
}

#[test]
fn a_compositor_without_contexts_is_told_from_one_that_fails() {
    let (_kept, socket, thread) = compositor(|mut stream| {
        hear(&stream, FIRST_ANSWER);
        let mut said = global(1, "wl_compositor");
        said.extend(done(FIRST_ANSWER));
        stream.write_all(&said).unwrap();
    });
    assert_eq!(ask(&socket), Err(Refusal::Unknown));
    thread.join().unwrap();

    let (_kept, socket, thread) = compositor(drop);
    assert!(matches!(ask(&socket), Err(Refusal::Failed(_))));
    thread.join().unwrap();
    assert!(matches!(
        ask(Path::new("/nowhere")),
        Err(Refusal::Failed(_))
    ));
}

#[test]
fn a_socket_is_handed_over_with_everything_that_names_it() {
    let (kept, socket, thread) = compositor(|mut stream| {
        hear(&stream, FIRST_ANSWER);
        // In two pieces, the first of which ends within a message.
        let mut said = global(1, "wl_compositor");
        said.extend(global(42, MANAGER));
        said.extend(done(FIRST_ANSWER));
        let (head, tail) = said.split_at(41);
        stream.write_all(head).unwrap();
        thread::sleep(Duration::from_millis(20));
        stream.write_all(tail).unwrap();
        let heard = hear(&stream, SECOND_ANSWER);
        stream.write_all(&done(SECOND_ANSWER)).unwrap();
        heard
    });
    let at = kept.path().join("inside");
    let listener = listen(&socket, &at, &identity()).unwrap();
    let (heard, beside) = thread.join().unwrap();
    let mut expected: Vec<u8> = Vec::new();
    for message in [
        Request::bind(REGISTRY, 42, MANAGER, 1, MANAGER_ID),
        Request::create_listener(MANAGER_ID, CONTEXT),
        Request::set_sandbox_engine(CONTEXT, "org.example.Engine"),
        Request::set_app_id(CONTEXT, "firefox"),
        Request::set_instance_id(CONTEXT, "1a2b"),
        Request::commit(CONTEXT),
        Request::destroy(CONTEXT),
        Request::destroy(MANAGER_ID),
        Request::sync(DISPLAY, SECOND_ANSWER),
    ] {
        expected.extend(message.bytes());
    }
    assert_eq!(heard, expected);
    // The first is the socket that clients of the sandbox reach; the second tells that the sandbox is gone.
    let [theirs, end] = <[OwnedFd; 2]>::try_from(beside).unwrap();
    let theirs = UnixListener::from(theirs);
    let mut client = UnixStream::connect(&at).unwrap();
    client.write_all(b"x").unwrap();
    let mut byte = [0u8; 1];
    theirs.accept().unwrap().0.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
    let mut poll = [libc::pollfd {
        fd: std::os::fd::AsRawFd::as_raw_fd(&end),
        events: 0,
        revents: 0,
    }];
    assert_eq!(descriptor::poll(&mut poll, 0), Ok(0), "it is open");
    drop(listener);
    assert_eq!(descriptor::poll(&mut poll, 1000), Ok(1), "it hangs up");
}

#[test]
fn a_refusal_leaves_no_socket() {
    let (kept, socket, thread) = compositor(|mut stream| {
        hear(&stream, FIRST_ANSWER);
        let mut said = global(42, MANAGER);
        said.extend(done(FIRST_ANSWER));
        stream.write_all(&said).unwrap();
        hear(&stream, SECOND_ANSWER);
        let mut arguments = CONTEXT.to_ne_bytes().to_vec();
        arguments.extend(2u32.to_ne_bytes());
        arguments.extend(text("nested"));
        stream.write_all(&event(DISPLAY, 0, &arguments)).unwrap();
    });
    let at = kept.path().join("inside");
    let refused = listen(&socket, &at, &identity()).unwrap_err();
    assert_eq!(
        refused,
        Refusal::Failed("it says of object 5: nested".to_owned())
    );
    assert!(!at.exists());
    thread.join().unwrap();
}

#[test]
fn hostile_bytes_are_refused() {
    for (bytes, expected) in [
        (&[][..], Ok(None)),
        (&[0, 0, 0, 0][..], Ok(None)),
        // Length 4.
        (&event(2, 0, &[])[..6], Ok(None)),
    ] {
        assert_eq!(Event::read(bytes, REGISTRY), expected);
    }
    let mut short = event(REGISTRY, 0, &[]);
    assert!(Event::read(&short, REGISTRY).is_err(), "no arguments");
    short[4..8].copy_from_slice(&(4u32 << 16).to_ne_bytes());
    assert!(
        Event::read(&short, REGISTRY).is_err(),
        "shorter than its head"
    );
    // A text longer than its message.
    let mut arguments = 1u32.to_ne_bytes().to_vec();
    arguments.extend(u32::MAX.to_ne_bytes());
    assert!(Event::read(&event(REGISTRY, 0, &arguments), REGISTRY).is_err());
}
