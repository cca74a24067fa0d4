//! The options of `sandbox` that stand for keys of a profile.

use clap::{Args, ValueHint};

/// Options that stand for keys of a profile, as they were typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Shorthand {
    /// The most memory that the program and its children may use together (limits.memory)
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_hint = ValueHint::Other, help_heading = "Limits")]
    pub memory: Option<String>,

    /// Swap space in addition to the memory; 0 forbids swapping (limits.swap)
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_hint = ValueHint::Other, help_heading = "Limits")]
    pub swap: Option<String>,

    /// Memory to be pushed back to when the host runs short of it (limits.memory-soft)
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_hint = ValueHint::Other, help_heading = "Limits")]
    pub memory_soft: Option<String>,

    /// The most processes and threads at the same time (limits.pids)
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_hint = ValueHint::Other, help_heading = "Limits")]
    pub pids: Option<String>,

    /// CPU time as a part of one CPU: 150% is one and a half (limits.cpu)
    #[arg(long, value_name = "PERCENT", allow_negative_numbers = true, value_hint = ValueHint::Other, help_heading = "Limits")]
    pub cpu: Option<String>,

    /// The path can be read and executed, not changed ("PATH" = "read-only")
    ///
    /// For this and all paths: the longest path decides, `~` and `${XDG_…}` expand, names may be globs. Quote them, so
    /// that the shell leaves them alone.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath, help_heading = "File system")]
    pub ro: Vec<String>,

    /// The path can be changed as its own mode allows ("PATH" = "read-write")
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath, help_heading = "File system")]
    pub rw: Vec<String>,

    /// The path cannot be reached ("PATH" = "hidden")
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath, help_heading = "File system")]
    pub hide: Vec<String>,

    /// An empty file system in memory, gone afterwards ("PATH" = "tmpfs")
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath, help_heading = "File system")]
    pub tmpfs: Vec<String>,

    /// The directory may be changed, but what is on the disk stays as it is until you say so ("PATH" = "overlay")
    ///
    /// Afterwards `sandboxctl diff NAME` shows the changes, `sandboxctl apply NAME` carries them onto the disk, all or those to
    /// the paths you name, and `sandboxctl discard NAME` throws them away. NAME is what the run is called: its program, or
    /// what --name says. A later run of that name goes on with what is kept. "PATH" = "copy" throws all away at the end.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath, help_heading = "File system")]
    pub copy: Vec<String>,

    /// Show the host's SRC at DST, to be read and written ("DST" = { bind = "SRC", access = "read-write" })
    #[arg(long, value_name = "SRC:DST", value_hint = ValueHint::AnyPath, help_heading = "File system")]
    pub bind: Vec<String>,

    /// What the program sees as `/`: an imported root ("/" = { root = "NAME" }), an archive, or a directory
    ///
    /// NAME is a root that `sandboxctl root import` made; it comes before a file or directory of this name, which is
    /// written ./NAME. FILE is an archive of a root or an image, imported on its first use. In both all changes are thrown away at
    /// the end, and the image says which environment, directory and user there are, and what is run when no PROGRAM is
    /// given. DIR is shown as it is, and changes stay ("/" = { bind = "DIR", access = "read-write" }); it needs /dev,
    /// /proc and /tmp to mount on. Without --profile, `container` is taken, which has root inside, no network, and
    /// nothing of the host's files. The rules of another profile hold in it too, and their places have to exist there.
    #[arg(long, value_name = "NAME|FILE|DIR", value_hint = ValueHint::AnyPath, help_heading = "File system")]
    pub root: Option<String>,

    /// Which network the program has: the caller's, or loopback only (network.mode)
    #[arg(long, value_name = "MODE", value_parser = ["host", "none"], help_heading = "Network and names")]
    pub net: Option<String>,

    /// The host name seen inside (namespaces.hostname)
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Hostname, help_heading = "Network and names")]
    pub hostname: Option<String>,

    /// Where the program starts, as seen inside (process.working-directory)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Process")]
    pub chdir: Option<String>,

    /// Set a variable for the program (K = "V" in `[environment]`)
    #[arg(long, value_name = "K=V", value_hint = ValueHint::Other, help_heading = "Process")]
    pub env: Vec<String>,

    /// Keep a variable, or all that a `*` matches, from the program (K = false)
    #[arg(long, value_name = "K", value_hint = ValueHint::Other, help_heading = "Process")]
    pub unset_env: Vec<String>,
}
