//! The child is made, and what must be set from outside is set while it waits.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::kernel::clone::{Child, Side};
use crate::kernel::{Errno, descriptor, heap, process, signal};

use super::child::{self, GO, Lines};
use super::companion::Companions;
use super::failure::LaunchError;
use super::group::{Group, GroupError};
use super::keeper::View;
use super::outcome::Remark;
use super::outside;
use super::prepare::c_path;
use super::prepared::Prepared;
use super::priority;
use super::share;

/// A group that could not be made or entered, as a failure of the step that asked for it.
pub(super) fn refused(step: u32, error: GroupError) -> LaunchError {
    LaunchError {
        step: Some(step as usize),
        doing: String::new(),
        errno: None,
        site: Some(error.site),
        detail: error.to_string(),
        cause: error.cause,
        help: error.help,
        begun: false,
    }
}

/// The launcher's ends.
pub(super) struct Ends {
    /// To the child, until it has become the program.
    pub socket: Option<OwnedFd>,
    /// From process 1, which says here that the program was stopped on its terminal.
    pub status: Option<OwnedFd>,
    /// Where what appears later is to be hidden.
    pub view: Option<View>,
}

/// Makes the child, sets what is set from outside, and lets it go.
#[inline(never)] // the launcher stays where it is called, and what it needs of the stack is not to stay with it
pub(super) fn start(
    prepared: &Prepared,
    run: Option<&Path>,
    mut group: Option<&mut Group>,
    companions: &mut Companions,
    tell: &mut dyn FnMut(Remark),
) -> Result<(Child, Ends), LaunchError> {
    let pair = descriptor::socket_pair()
        .map_err(|errno| LaunchError::doing("making a socket pair", errno))?;
    let (own_socket, child_socket) = pair;
    let (own_status, child_status) = if prepared.new_terminal && prepared.init {
        let (read, write) =
            descriptor::pipe().map_err(|errno| LaunchError::doing("making a pipe", errno))?;
        (Some(read), Some(write))
    } else {
        (None, None)
    };
    let doors = match (&prepared.group, &group) {
        // A real-time process enters a group only if that has time for it, and must be in it before it becomes one.
        (Some(_), _) if priority::is_real_time(&prepared.priorities) => Vec::new(),
        (Some((step, _)), Some(group)) => group.doors().map_err(|error| refused(*step, error))?,
        _ => Vec::new(),
    };
    let run_directory = match (prepared.run_directory, run) {
        (Some(step), None) => return Err(LaunchError::at_step(step, Errno::ENOENT)),
        (Some(step), Some(run)) => {
            Some(c_path(run).map_err(|errno| LaunchError::at_step(step, errno))?)
        }
        (None, _) => None,
    };
    let arguments = pointers(&prepared.execute.arguments);
    let environment = pointers(&prepared.execute.environment);
    let birthplace = group.as_deref().and_then(Group::birthplace);
    let (side, born) = share::make_child(prepared, birthplace)?;
    let child = match side {
        Side::Child => {
            drop((own_socket, own_status));
            child::run(
                prepared,
                Lines {
                    socket: child_socket,
                    status: child_status,
                    doors: &doors,
                    run: run_directory.as_deref(),
                    arguments: &arguments,
                    environment: &environment,
                },
            )
        }
        Side::Parent(child) => child,
    };
    heap::share();
    drop((child_socket, child_status));
    let mut view = None;
    let set = outside::map_ids_of_own(prepared, child.pid)
        .and_then(|()| {
            view = View::open(prepared, child.pid)?;
            Ok(())
        })
        .and_then(|()| match &prepared.join {
            Some(join) => join.enter_group(child.pid),
            None => Ok(()),
        })
        // Not before it is sure that there are namespaces to show them in.
        .and_then(|()| outside::create(prepared))
        .and_then(|()| outside::make_own_directories(prepared))
        .and_then(|()| match (&prepared.group, &mut group) {
            (Some((step, _)), Some(group)) => {
                let entered = group.enter(child.pid, born);
                for warning in group.warnings() {
                    tell(Remark::Group(warning.to_string()));
                }
                entered.map_err(|error| refused(*step, error))
            }
            _ => Ok(()),
        })
        // In the scope of the run, if there is one, before they talk to anybody: by it they are known.
        .and_then(|()| {
            let group = group.as_deref();
            (prepared.companions.iter())
                .try_for_each(|(step, one)| companions.start(*step, one, run, group, child.pid))
        })
        .and_then(|()| {
            priority::set_all(&prepared.priorities, child.pid, &mut |step, errno| {
                tell(Remark::Dropped { step, errno });
            })
        })
        .and_then(|()| {
            descriptor::send(own_socket.as_fd(), GO)
                .map_err(|errno| LaunchError::doing("letting the child go", errno))
        });
    if let Err(error) = set {
        // It has done nothing yet; without GO it ends by itself, and this makes sure of it.
        let _ = signal::send(child.pidfd.as_fd(), libc::SIGKILL);
        let _ = process::wait_for(child.pidfd.as_fd(), libc::WEXITED);
        return Err(error);
    }
    Ok((
        child,
        Ends {
            socket: Some(own_socket),
            status: own_status,
            view,
        },
    ))
}

pub(super) fn pointers(strings: &[std::ffi::CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|text| text.as_ptr())
        .chain(std::iter::once(std::ptr::null()))
        .collect()
}
