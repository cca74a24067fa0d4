//! One layer put on a tree, member by member. What cannot be harmless is refused by its name.

use std::io::{self, Read};
use std::rc::Rc;

use super::member::{Whiteout, components, whiteout};
use super::stream::Budget;
use super::tape::{Kind, Member, Tape};
use super::tree::Tree;
use crate::kernel::Errno;

/// What was counted on the way, over all layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Members.
    pub entries: u64,
    /// Device nodes in /dev, which are left out.
    pub devices: u64,
}

/// Puts the members of an archive on a tree. `lower` tells whether there are layers below, so that whiteouts mean something.
///
/// # Errors
/// The first member that is refused, or what reading and writing say.
pub fn apply<R: Read>(
    tape: &mut Tape<R>,
    tree: &mut Tree,
    whiteouts: bool,
    budget: &Rc<Budget>,
    count: &mut Count,
) -> io::Result<()> {
    tree.next_layer();
    while let Some(member) = tape.next_member()? {
        count.entries += 1;
        let limits = budget.limits();
        if count.entries > limits.entries {
            return Err(too_much(
                &member.path,
                &format!(
                    "is one more than the {} entries that are allowed",
                    limits.entries
                ),
            ));
        }
        if !budget.fits(member.size) {
            return Err(too_much(
                &member.path,
                &format!("is too large: {}", budget.exceeded()),
            ));
        }
        let names =
            components(&member.path, limits.depth).map_err(|why| refused(&member.path, &why))?;
        if whiteouts && removes(tree, &names, &member)? {
            continue;
        }
        one(tape, tree, &names, &member, budget, count)?;
    }
    Ok(())
}

/// Quoted, with the odd bytes made visible later, when it is printed.
fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn too_much(path: &[u8], why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::QuotaExceeded,
        format!("the entry `{}` {why}", shown(path)),
    )
}

fn refused(path: &[u8], why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the entry `{}` {why}", shown(path)),
    )
}

/// What the kernel said about a member, in words where it is the archive's fault.
fn failed(member: &Member, error: Errno) -> io::Error {
    let why = match error {
        Errno::ELOOP | Errno::ENOTDIR => {
            "lies below something that is no directory, such as a symbolic link".to_owned()
        }
        Errno::EOVERFLOW => "belongs to an id that there is not".to_owned(),
        Errno::ENOSPC | Errno::EDQUOT => return error.into(),
        other => format!("cannot be made: {}", other.desc()),
    };
    refused(&member.path, &why)
}

/// Carries out what a name says about lower layers; false when it says nothing.
fn removes(tree: &mut Tree, names: &[&[u8]], member: &Member) -> io::Result<bool> {
    let Some((name, parents)) = names.split_last() else {
        return Ok(false);
    };
    // Below a whiteout's name there can be nothing.
    if parents.iter().any(|parent| parent.starts_with(b".wh.")) {
        let old = parents.iter().any(|parent| parent.starts_with(b".wh..wh."));
        return match old {
            true => Ok(true),
            false => Err(refused(&member.path, "lies below a whiteout")),
        };
    }
    let done = match whiteout(name).map_err(|why| refused(&member.path, &why))? {
        Whiteout::None => return Ok(false),
        Whiteout::Ignored => Ok(()),
        Whiteout::Remove(name) => tree.whiteout(parents, name),
        Whiteout::Opaque => tree.opaque(parents),
    };
    done.map_err(|error| failed(member, error))?;
    Ok(true)
}

fn one<R: Read>(
    tape: &mut Tape<R>,
    tree: &mut Tree,
    names: &[&[u8]],
    member: &Member,
    budget: &Rc<Budget>,
    count: &mut Count,
) -> io::Result<()> {
    if names.is_empty() && member.kind != Kind::Directory {
        return Err(refused(&member.path, "is the root, and no directory"));
    }
    let done = match member.kind {
        Kind::File => {
            return match tree.file(names, member, tape) {
                Err(error) => Err(match error.raw_os_error() {
                    Some(number) => failed(member, Errno::from_raw(number)),
                    None => io::Error::new(
                        error.kind(),
                        format!("at the entry `{}`: {error}", shown(&member.path)),
                    ),
                }),
                done => done,
            };
        }
        Kind::Directory => tree.directory(names, member),
        Kind::Symlink if member.target.is_empty() || member.target.contains(&0) => {
            return Err(refused(
                &member.path,
                "is a symbolic link that says nothing",
            ));
        }
        Kind::Symlink => tree.symlink(names, member),
        Kind::HardLink => {
            let why = |why: &str| {
                refused(
                    &member.path,
                    &format!("is a hard link to `{}`, which {why}", shown(&member.target)),
                )
            };
            let target =
                components(&member.target, budget.limits().depth).map_err(|text| why(&text))?;
            match tree.hard_link(names, &target) {
                Err(Errno::ENOENT) => return Err(why("is not there")),
                Err(Errno::EISDIR) => return Err(why("is a directory")),
                Err(Errno::EINVAL) => return Err(why("is itself")),
                done => done,
            }
        }
        Kind::Device if names.first().is_some_and(|name| *name == b"dev") => {
            count.devices += 1;
            return Ok(());
        }
        Kind::Device => {
            return Err(refused(&member.path, "is a device node outside of /dev"));
        }
        Kind::Fifo => tree.fifo(names, member),
    };
    done.map_err(|error| failed(member, error))
}
