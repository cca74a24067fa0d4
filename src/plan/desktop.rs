//! Displays of a sandbox's own: the steps that make their sockets and their cookies, and the X server behind one.

use std::ffi::OsString;
use std::path::Path;

use super::companion::{Companion, Loss, Ready, Stop, Word};
use super::compile::Builder;
use super::step::NamespaceKind;
use super::{Action, Note};
use crate::profile::key::Section;
use crate::profile::value::Value;
use crate::report::Site;
use crate::section::desktop::{self, AUTHORITY, Server, WAYLAND, Wayland, X11, X11_SOCKETS};
use crate::section::namespaces::Namespaces;

/// What compositors are told makes the sandbox.
const ENGINE: &str = "sandbox";
/// The X server's socket in the directory of the run.
const SOCKET: &str = "X";

impl Builder<'_> {
    /// What `[desktop]` comes to on this host.
    pub(super) fn decide_desktop(&mut self) {
        let decided = desktop::decide(self.policy, self.facts);
        let decided = self.take(decided).unwrap_or_default();
        let note = |(site, text): &(Site, String)| Note {
            text: text.clone(),
            help: None,
            site: *site,
        };
        self.plan.notes.extend(decided.notes.iter().map(note));
        self.desktop = decided;
    }

    /// Has a directory of the run made, once.
    pub(super) fn run_directory(&mut self, site: Site, because: &str) {
        if !self.has(|action| *action == Action::RunDirectory) {
            self.step(Action::RunDirectory, site, because);
        }
    }

    /// What is made for the run, outside of the sandbox. Without mounts none of it could be shown.
    pub(super) fn displays(&mut self) {
        let Some(screen) = self.desktop.screen.clone().filter(|_| self.mounts) else {
            return;
        };
        if !self
            .facts
            .caller
            .directories
            .contains_key("XDG_RUNTIME_DIR")
        {
            return;
        }
        const BECAUSE: &str = "sockets and cookies of displays are made there";
        if let Wayland::Isolated { socket } = screen.wayland.value {
            self.run_directory(screen.wayland.site, BECAUSE);
            self.step(
                Action::WaylandContext {
                    compositor: socket,
                    name: WAYLAND.into(),
                    engine: ENGINE.to_owned(),
                    app: self
                        .request
                        .app
                        .clone()
                        .unwrap_or_else(|| self.request.name.clone()),
                },
                screen.wayland.site,
                "",
            );
        }
        let (site, number) = (screen.x11.site, screen.number);
        let copy = match &screen.x11.value {
            X11::None => return,
            X11::Host {
                number, cookies, ..
            } => cookies.clone().map(|cookies| (cookies, *number)),
            X11::Own { .. } => None,
        };
        self.run_directory(site, BECAUSE);
        self.step(
            Action::Cookie {
                name: AUTHORITY.into(),
                copy,
            },
            site,
            "",
        );
        if let X11::Own {
            server,
            program,
            screen,
        } = &screen.x11.value
        {
            let companion = self.x_server(*server, program, *screen, number);
            self.step(Action::StartCompanion(companion), site, "");
        }
    }

    /// An X server's abstract socket is kept away by no mount. What is asked for the caller's server to be out of reach is told
    /// where it is not.
    pub(super) fn abstract_displays(&mut self, decided: &Namespaces) {
        let asked = self
            .policy
            .get(Section::Desktop, "x11")
            .filter(|said| matches!(said.value, Value::Word("none" | "nested" | "virtual")));
        let apart = decided.is_new(NamespaceKind::Net)
            || self
                .ruleset
                .as_ref()
                .is_some_and(|ruleset| ruleset.scopes.abstract_sockets);
        let (Some(said), Some(number), false) =
            (asked, self.facts.desktop.abstract_displays.first(), apart)
        else {
            return;
        };
        self.plan.warnings.push(Note {
            text: format!("the X server :{number} can still be tried at its abstract socket: only its cookie keeps the program out"),
            help: Some("`network.abstract-sockets = \"own\"` (Linux 6.12 or later), `network.mode = \"none\"`, or an X server that is started with `-nolisten local`".to_owned()),
            site: said.site,
        });
    }

    /// It is told its number: a server that looks for a free one takes the sockets of others for left over when it has no
    /// abstract socket of its own to find out by. With a number it locks that first (/tmp/.X100-lock).
    fn x_server(
        &self,
        server: Server,
        program: &Path,
        (width, height): (u32, u32),
        number: u32,
    ) -> Companion {
        let mut arguments = vec![Word::text(format!(":{number}"))];
        let usual = [
            "-noreset",
            "-displayfd",
            "3",
            "-nolisten",
            "tcp",
            "-nolisten",
            "local",
            "-auth",
        ]
        .map(Word::text);
        arguments.extend(usual);
        arguments.push(Word::run("", AUTHORITY));
        let size = format!("{width}x{height}");
        let own: Vec<String> = match server {
            Server::Xephyr => {
                let title = format!("{} (sandbox)", self.request.name);
                vec![
                    "-screen".into(),
                    size,
                    "-resizeable".into(),
                    "-title".into(),
                    title,
                ]
            }
            Server::Xwayland if self.facts.desktop.sized_xwayland => {
                vec!["-geometry".into(), size]
            }
            Server::Xwayland => Vec::new(),
            Server::Xvfb => vec!["-screen".into(), "0".into(), format!("{size}x24")],
        };
        arguments.extend(own.into_iter().map(Word::text));
        Companion {
            name: format!("X server ({})", server.name()),
            program: program.to_owned(),
            arguments,
            environment: self.server_environment(server),
            ready: Ready::Number {
                name: SOCKET.into(),
                target: Path::new(X11_SOCKETS).join("X"),
            },
            // It has a lock and a socket to remove.
            stop: Stop::Terminate,
            loss: Loss::Told,
            identity: None,
        }
    }

    /// Only how it finds the display that it draws on.
    fn server_environment(&self, server: Server) -> Vec<(OsString, Word)> {
        let names: &[&str] = match server {
            Server::Xephyr => &["DISPLAY", "XAUTHORITY", "HOME"],
            Server::Xwayland => &["WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "HOME"],
            Server::Xvfb => &[],
        };
        let caller = &self.facts.caller;
        names
            .iter()
            .filter_map(|name| Some((OsString::from(name), Word::text(caller.variable(name)?))))
            .chain([("PATH".into(), Word::text("/usr/bin:/bin"))])
            .collect()
    }
}
