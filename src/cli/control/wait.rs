//! `sandboxctl wait`: until a sandbox has ended, and then with its status.

use serde_json::json;

use crate::control::sandbox::{self, Refusal, Sandbox};
use crate::kernel::Errno;

use super::super::{answer, status};
use super::running::refuse;

pub(super) fn wait(name: &str, json: bool) -> Result<(), i32> {
    let sandbox = sandbox::find(name).map_err(|error| refuse(&error))?;
    if sandbox.is_attached() {
        return wait_for_attached(&sandbox, json);
    }
    loop {
        match sandbox.entry.wait() {
            Ok(()) => break,
            Err(Errno::EINTR) => {}
            Err(errno) => {
                return Err(refuse(&Refusal::new(format!(
                    "cannot wait for `{name}`: {}",
                    errno.desc()
                ))));
            }
        }
    }
    let ended = sandbox
        .entry
        .content()
        .ok()
        .and_then(|content| content.ended);
    if json {
        answer(&format!(
            "{:#}\n",
            json!({
                "name": sandbox.name(),
                "uid": sandbox.uid(),
                "status": ended.map(|ended| ended.status),
                "timed_out": ended.map(|ended| ended.timed_out),
                "oom_kills": ended.and_then(|ended| ended.oom_kills),
            })
        ))?;
    }
    match ended {
        Some(ended) if ended.status == status::OK => Ok(()),
        Some(ended) => Err(ended.status),
        None => {
            refuse(&Refusal::new(format!(
                "`{name}` has ended, but its launcher did not say how: it was killed, or never started the program"
            )));
            Err(status::NOT_SET_UP)
        }
    }
}

/// How a process ended is told to its parent alone.
fn wait_for_attached(sandbox: &Sandbox, json: bool) -> Result<(), i32> {
    sandbox
        .wait_for_attached()
        .map_err(|error| refuse(&error))?;
    if json {
        let nothing = serde_json::Value::Null;
        answer(&format!(
            "{:#}\n",
            json!({
                "name": sandbox.name(), "uid": sandbox.uid(), "status": nothing, "timed_out": nothing, "oom_kills": nothing,
            })
        ))?;
    }
    Ok(())
}
