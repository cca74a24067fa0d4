#![allow(clippy::unwrap_used)]

use super::*;
use crate::plan::companion::Word;

fn shell(script: &str, ready: Ready) -> Companion {
    Companion {
        name: "test".to_owned(),
        program: "/bin/sh".into(),
        arguments: vec![
            Word::text("-c"),
            Word::text(script),
            Word::text("sh"),
            Word::run("", "x"),
        ],
        environment: vec![("A".into(), Word::text("b"))],
        ready,
        stop: Stop::Kill,
        loss: Loss::Told,
        identity: None,
    }
}

fn start(script: &str, ready: Ready) -> (Companions, Result<(), LaunchError>, tempfile::TempDir) {
    let run = tempfile::tempdir().unwrap();
    let mut companions = Companions::default();
    let result = companions.start(7, &shell(script, ready), Some(run.path()), None, 1);
    (companions, result, run)
}

#[test]
fn it_has_what_it_was_given_and_nothing_else() {
    let script = "ls /proc/self/fd > $1; env >> $1; grep NoNewPrivs /proc/self/status >> $1; echo 12 >&3; exec sleep 60";
    let ready = Ready::Number {
        name: "X0".into(),
        target: "/tmp/.X11-unix/X".into(),
    };
    let (companions, result, run) = start(script, ready);
    result.unwrap();
    let told = std::fs::read_to_string(run.path().join("x")).unwrap();
    // The last number is that of the directory that ls reads.
    assert!(told.starts_with("0\n1\n2\n3\n4\n"), "{told}");
    assert!(!told.contains("\n5\n") && told.contains("A=b\n"), "{told}");
    assert!(!told.contains("HOME="), "{told}");
    assert!(told.contains("NoNewPrivs:\t1"), "{told}");
    let link = std::fs::read_link(run.path().join("X0")).unwrap();
    assert_eq!(link, Path::new("/tmp/.X11-unix/X12"));
    let pid = companions.0[0].pidfd.try_clone().unwrap();
    drop(companions);
    assert_eq!(signal::send(pid.as_fd(), 0), Err(Errno::ESRCH));
}

#[test]
fn one_that_fails_tells_why() {
    for (script, expected) in [
        (
            "echo no luck >&2; exit 3",
            "it ended with status 3 before it served: no luck",
        ),
        (
            "exec 3>&-; sleep 0.1; exit 4",
            "it ended with status 4 before it served",
        ),
        ("echo abc >&3; sleep 9", "it said `abc` instead of a number"),
    ] {
        let ready = Ready::Number {
            name: "n".into(),
            target: "/t".into(),
        };
        let error = start(script, ready).1.unwrap_err();
        assert_eq!((error.step, error.detail.as_str()), (Some(7), expected));
    }
    let mut other = shell("", Ready::Byte);
    other.program = "/etc/passwd".into();
    let error = Companions::default()
        .start(1, &other, None, None, 1)
        .unwrap_err();
    assert_eq!(error.errno, Some(Errno::EACCES));
    other.program = "/no/such/program".into();
    let error = Companions::default()
        .start(1, &other, None, None, 1)
        .unwrap_err();
    assert!(error.detail.contains("/no/such/program"), "{error:?}");
}

#[test]
fn an_early_end_is_told_once() {
    let (mut companions, result, _run) = start("printf x >&3; echo bye >&2", Ready::Byte);
    result.unwrap();
    let mut told = Vec::new();
    for _ in 0..200 {
        let (remarks, _) = companions.look();
        told.extend(remarks.iter().map(|remark| format!("{remark:?}")));
        if told.is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    assert_eq!(told, ["Companion(\"the test ended with status 0: bye\")"]);
}
