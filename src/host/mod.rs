//! This host and this caller: facts as a plain value, and the only code that gathers them.

pub mod cgroup;
pub mod dbus;
pub mod desktop;
pub mod disk;
pub mod doctor;
pub mod facts;
pub mod glob;
pub mod mountinfo;
pub mod paths;
pub mod probe;
mod remote;

pub use doctor::is_initial_user_namespace;
pub use facts::Facts;
pub use probe::{Scope, data, login_name, missing_namespaces, probe};
