//! Classes of devices, with what is shown beside their nodes, and what a /proc of one's own shows.
#![allow(clippy::unwrap_used)]

use super::tests::{around, device, hidden, lowered, ro, show, tmpfs};
use super::*;

const HOST: &str = "/usr/ /run/udev/data/ /dev/null! /dev/dri/card0! /dev/ttyUSB0! /dev/ttyS1! /dev/ttyS!
    /dev/tpm0! /dev/tpmrm0! /sys/class/drm/ /sys/class/tty/ /sys/class/net/ /sys/dev/char/ /sys/kernel/
    /sys/devices/pci0000:00/ /sys/devices/pci0000:40/ /proc/sys/ /proc/meminfo";

/// Steps and notes that are about these places.
fn about(rules: &[(Section, &str, Value)], around: &Surroundings, places: &[&str]) -> String {
    let shown = show(&lowered(rules, around, HOST).unwrap());
    let lines = shown.lines().filter(|line| {
        places.iter().any(|place| line.contains(place)) && !line.starts_with("touch")
    });
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_class_shows_what_it_needs_where_it_is_hidden() {
    let rules = [
        ro("/"),
        hidden("/sys"),
        tmpfs("/run"),
        device("gpu", Value::Bool(true)),
        device("serial", Value::Bool(true)),
        device("usb", Value::Bool(true)),
    ];
    insta::assert_snapshot!(about(
        &rules,
        &around(),
        &["/sys", "/run", "/dev/tty", "/dev/dri", "usb"]
    ), @r#"
    mkdir /dev/dri
    show /dev/dri read-write devices
    show /dev/ttyS1 read-write devices
    show /dev/ttyUSB0 read-write devices
    tmpfs /run 755
    mkdir /run/udev/data
    show /run/udev/data read-only
    tmpfs /sys 711
    mkdir /sys/class/drm
    show /sys/class/drm read-only
    mkdir /sys/class/tty
    show /sys/class/tty read-only
    mkdir /sys/dev/char
    show /sys/dev/char read-only
    mkdir /sys/devices/pci0000:00
    show /sys/devices/pci0000:00 read-only
    mkdir /sys/devices/pci0000:40
    show /sys/devices/pci0000:40 read-only
    seal /sys
    # this host has no device for `usb`
    "#);
}

#[test]
fn nothing_is_put_over_what_is_seen() {
    let rules = [
        ro("/"),
        device("gpu", Value::Bool(true)),
        device("tpm", Value::Bool(true)),
    ];
    insta::assert_snapshot!(about(
        &rules,
        &around(),
        &["/sys", "/run", "/dev/tpm", "/dev/dri"]
    ), @r#"
    mkdir /dev/dri
    show /dev/dri read-write devices
    show /dev/tpm0 read-write devices
    show /dev/tpmrm0 read-write devices
    "#);
}

#[test]
fn a_path_has_the_last_word() {
    let rules = [
        ro("/"),
        hidden("/sys"),
        hidden("/sys/class/drm"),
        hidden("/run"),
        device("gpu", Value::Bool(true)),
    ];
    insta::assert_snapshot!(about(&rules, &around(), &["/sys", "/run"]), @r#"
    tmpfs /run 711
    mkdir /run/udev/data
    show /run/udev/data read-only
    tmpfs /sys 711
    mkdir /sys/dev/char
    show /sys/dev/char read-only
    mkdir /sys/devices/pci0000:00
    show /sys/devices/pci0000:00 read-only
    mkdir /sys/devices/pci0000:40
    show /sys/devices/pci0000:40 read-only
    seal /sys
    seal /run
    # `/sys/class/drm` is not there: `/sys` shows nothing of the host
    "#);
}

#[test]
fn nothing_but_processes() {
    let around = Surroundings {
        pid_namespace: true,
        real_root: true,
        user_namespace: true,
        ..around()
    };
    let rules = [
        ro("/"),
        ro("/proc/sys"),
        hidden("/proc/meminfo"),
        (Section::Process, "proc-subset", Value::Word("pid")),
        (Section::Process, "protect-proc", Value::Word("invisible")),
    ];
    insta::assert_snapshot!(about(&rules, &around, &["/proc"]), @r#"
    MountProc { target: "/proc", options: ProcOptions { only_processes: true, hide: Some("invisible") } }
    # `/proc/meminfo` is not there: `process.proc-subset` leaves nothing but processes
    # `/proc/sys` is not there: `process.proc-subset` leaves nothing but processes
    "#);
}

#[test]
fn it_takes_a_proc_of_its_own() {
    let rules = [(Section::Process, "protect-proc", Value::Word("noaccess"))];
    let errors = lowered(&rules, &around(), HOST).unwrap_err();
    assert!(
        errors[0].message.contains("/proc is the caller's"),
        "{errors:?}"
    );
    let own = Surroundings {
        pid_namespace: true,
        ..around()
    };
    assert!(lowered(&rules, &own, HOST).is_ok());
    let rules = [&rules[..], &[tmpfs("/proc")]].concat();
    let errors = lowered(&rules, &own, HOST).unwrap_err();
    assert!(errors[0].message.contains("another rule"), "{errors:?}");
}
