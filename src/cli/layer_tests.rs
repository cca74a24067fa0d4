//! Options become a layer of the same language as a profile, and so do their mistakes.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::profile::value::{Count, Size};
use crate::report::render::{Style, render};

fn said(options: &[(Flag, &str)]) -> (Result<Option<Profile>, Diagnostics>, SourceMap) {
    let mut sources = SourceMap::new();
    let said = Said {
        image: None,
        options: options
            .iter()
            .map(|(flag, text)| (*flag, (*text).to_owned()))
            .collect(),
        working_directory: Some("/home/me/[x]".to_owned()),
    };
    (layer(&said, &mut sources), sources)
}

/// The rules as a profile would have them, with what their value's place shows.
fn rules(options: &[(Flag, &str)]) -> Vec<String> {
    let (profile, sources) = said(options);
    let profile = profile.unwrap().unwrap();
    profile
        .entries
        .iter()
        .map(|entry| {
            let value = entry
                .value
                .value
                .as_ref()
                .map_or("removed".to_owned(), Value::to_toml);
            format!(
                "{}.{} = {value} <- {}",
                entry.section,
                entry.key.value,
                sources.text(entry.value.site)
            )
        })
        .collect()
}

#[test]
fn shorthands_are_rules() {
    let found = rules(&[
        (Flag::Memory, "3G"),
        (Flag::Swap, "1073741824"),
        (Flag::MemorySoft, "25%"),
        (Flag::Pids, "512"),
        (Flag::Cpu, "150%"),
        (Flag::Net, "none"),
        (Flag::ReadOnly, "data"),
        (Flag::ReadWrite, "../y/*.txt"),
        (Flag::Hide, "~/.ssh/"),
        (Flag::Tmpfs, "/tmp"),
        (Flag::Copy, "."),
        (Flag::Bind, ".:/src"),
        (Flag::Root, "/srv/root"),
        (Flag::Hostname, "box"),
        (Flag::Chdir, "."),
        (Flag::Env, "A=b=c"),
        (Flag::UnsetEnv, "LD_*"),
    ]);
    insta::assert_snapshot!(found.join("\n"), @r#"
    limits.memory = "3G" <- 3G
    limits.swap = "1G" <- 1073741824
    limits.memory-soft = "25%" <- 25%
    limits.pids = 512 <- 512
    limits.cpu = "150%" <- 150%
    network.mode = "none" <- none
    filesystem./home/me/[[]x[]]/data = "read-only" <- data
    filesystem./home/me/y/*.txt = "read-write" <- ../y/*.txt
    filesystem.~/.ssh = "hidden" <- ~/.ssh/
    filesystem./tmp = "tmpfs" <- /tmp
    filesystem./home/me/[[]x[]] = "overlay" <- .
    filesystem./src = { bind = "/home/me/[x]", access = "read-write" } <- .:/src
    filesystem./ = { bind = "/srv/root", access = "read-write" } <- /srv/root
    namespaces.hostname = "box" <- box
    process.working-directory = "/home/me/[x]" <- .
    environment.A = "b=c" <- A=b=c
    environment.LD_* = false <- LD_*
    "#);
}

#[test]
fn set_says_any_rule() {
    let found = rules(&[
        (Flag::Set, "limits.memory=3G"),
        (Flag::Set, "limits.pids=512"),
        (Flag::Set, "filesystem./opt=read-only"),
        (
            Flag::Set,
            "filesystem.\"/a=b\"={ bind = \"/c\", access = \"read-write\" }",
        ),
        (Flag::Set, "syscalls.\"socket(AF_NETLINK)\"=deny"),
        (Flag::Set, "syscalls.socket( AF_INET )=deny"),
        (Flag::Set, "syscalls.ioctl(_, >=5)=ENOSYS"),
        (Flag::Set, "environment.'X.Y'=\"a=b\""),
        (Flag::Set, "process.umask=0077"),
        (Flag::Set, "namespaces.net=true"),
        (Flag::Set, "capabilities.CAP_NET_RAW=keep"),
        (Flag::Set, "network.mode=inherit"),
    ]);
    insta::assert_snapshot!(found.join("\n"), @r#"
    limits.memory = "3G" <- 3G
    limits.pids = 512 <- 512
    filesystem./opt = "read-only" <- read-only
    filesystem./a=b = { bind = "/c", access = "read-write" } <- { bind = "/c", access = "read-write" }
    syscalls.socket(0x10) = "deny" <- deny
    syscalls.socket(0x2) = "deny" <- deny
    syscalls.ioctl(_, >=0x5) = "ENOSYS" <- ENOSYS
    environment.X.Y = "a=b" <- "a=b"
    process.umask = "0077" <- 0077
    namespaces.net = true <- true
    capabilities.net_raw = "keep" <- keep
    network.mode = removed <- inherit
    "#);
}

#[test]
fn the_later_option_holds() {
    let (profile, _) = said(&[
        (Flag::Memory, "1G"),
        (Flag::Set, "limits.memory=2G"),
        (Flag::Pids, "1"),
        (Flag::Pids, "max"),
    ]);
    let values: Vec<Option<Value>> = profile
        .unwrap()
        .unwrap()
        .entries
        .into_iter()
        .map(|entry| entry.value.value)
        .collect();
    assert_eq!(
        values,
        [
            Some(Value::Size(Size::Bytes(2 << 30))),
            Some(Value::Count(Count::Max))
        ]
    );
    assert_eq!(said(&[]).0, Ok(None));
}

#[test]
fn mistakes_are_shown_in_the_option() {
    let (profile, sources) = said(&[
        (Flag::Memory, "3GB"),
        (Flag::Pids, "many"),
        (Flag::Net, "nothing"),
        (Flag::ReadOnly, "a/../b"),
        (Flag::Bind, "/a"),
        (Flag::Bind, "a/../b:/c"),
        (Flag::Env, "A"),
        (Flag::UnsetEnv, ""),
        (Flag::Env, "default=clean"),
        (Flag::Env, "A=inherit"),
        (Flag::Set, "pids=3"),
        (Flag::Set, "limit.memory=3G"),
        (Flag::Set, "limits.memroy=3G"),
        (Flag::Set, "limits.memory=3g"),
        (Flag::Set, "filesystem./a={ bind = }"),
        (Flag::Set, "filesystem./a={ bnd = \"/b\" }"),
        (Flag::Set, "filesystem.\"/a"),
        (Flag::Set, ""),
        (Flag::Set, "environment.A=5"),
        (Flag::Hostname, "\u{1b}[31m"),
    ]);
    insta::assert_snapshot!(
        "command_line_mistakes",
        render(&profile.unwrap_err(), &sources, Style::PLAIN)
    );
}
