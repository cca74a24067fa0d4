//! The launcher and the process that hides what gets a hidden name later.

use std::os::fd::AsFd;

use crate::exec::child::GO;
use crate::exec::failure::LaunchError;
use crate::exec::keeper::{Keeper, Said};
use crate::exec::outcome::Remark;
use crate::kernel::{Errno, descriptor};

use super::{Supervisor, interest};

impl Supervisor<'_> {
    /// The view stands: what gets a hidden name in it is hidden from now on.
    pub(super) fn keep_away(&mut self) {
        let (Some((step, names)), Some(view)) = (self.names.take(), self.lines.view.take()) else {
            return;
        };
        match Keeper::start(step, &names, view, self.child.pidfd.as_fd()) {
            Ok(keeper) => self.keeper = Some(keeper),
            Err(errno) => self.give_up(step as usize, errno),
        }
    }

    /// Takes one message of the process that hides what appears.
    pub(super) fn hear_keeper(&mut self) {
        let Some(keeper) = &mut self.keeper else {
            return;
        };
        let (step, was_ready) = (keeper.step, keeper.ready);
        match keeper.hear() {
            Said::Ready => {
                let sent = self.lines.socket.as_ref();
                let sent = sent.map(|socket| descriptor::send(socket.as_fd(), GO));
                if sent != Some(Ok(())) {
                    self.send(libc::SIGKILL);
                }
            }
            Said::Failed(errno) => self.give_up(step, errno),
            Said::Warning(text) => (self.tell)(Remark::View(text)),
            Said::Ended if self.failure.is_some() => {}
            Said::Ended if !was_ready => self.give_up(step, Errno::ECHILD),
            Said::Ended => {
                // It ends when the child does, and never before.
                let mut ended = [interest(Some(self.child.pidfd.as_fd()))];
                if descriptor::poll(&mut ended, 0) == Ok(0) {
                    self.without_keeper("killed");
                }
            }
        }
    }

    /// Nobody hides what appears: the program is not to be there then.
    pub(super) fn without_keeper(&mut self, what: &str) {
        // First, as telling waits for whoever reads it.
        self.send(libc::SIGKILL);
        (self.tell)(Remark::View(format!(
            "the process that hides files which get a hidden name later was {what}; the program is ended"
        )));
    }

    /// A step that the launcher had to do could not be done: nothing is started.
    fn give_up(&mut self, step: usize, errno: Errno) {
        self.failure = Some(LaunchError::at_step(step, errno));
        self.send(libc::SIGKILL);
    }
}
