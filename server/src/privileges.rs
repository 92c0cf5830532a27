//! Gives up what the server does not need: root, capabilities, and ways to get them back.

use std::io;

use nix::unistd::{Gid, Group, Uid, User, setgid, setgroups, setuid};
use rustix::thread::{CapabilitySet, CapabilitySets};
use thiserror::Error;

/// Reasons why the server can't run as another user.
#[derive(Debug, Error)]
pub enum PrivilegeError {
    /// Only root and the agent's user could read the store.
    #[error(
        "the server does not run as root, and no other user may read the store: set store.group to a group, restart the agent, \
         and start the server again; or start it as the agent's user"
    )]
    NoGroup,
    /// There is no such group.
    #[error("there is no group {0:?} (store.group): create it with `groupadd --system {0}`")]
    UnknownGroup(String),
    /// There is no such user.
    #[error(
        "there is no user {0:?} (server.user): create it with `useradd --system {0}`, or name another one"
    )]
    UnknownUser(String),
    /// Running as root is what the server is kept from.
    #[error("server.user must not be root")]
    IsRoot,
    /// The system refused.
    #[error("giving up privileges")]
    System(#[from] io::Error),
}

/// Becomes `user` in the group `group` if this process is root's. Then gives up all capabilities, and the way to new ones. Other threads
/// keep theirs, so this is called while there are none.
///
/// # Errors
/// The user or the group is missing, or the system refuses.
pub fn drop_all(user: &str, group: &str) -> Result<(), PrivilegeError> {
    if Uid::effective().is_root() {
        become_user(user, group)?;
    }
    let none = CapabilitySet::empty();
    rustix::thread::clear_ambient_capability_set().map_err(io::Error::from)?;
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).map_err(io::Error::from)?;
    rustix::thread::set_no_new_privs(true).map_err(io::Error::from)?;
    // Other processes of the same user may not read this one's memory, which has what clients ask.
    nix::sys::prctl::set_dumpable(false).map_err(io::Error::from)?;
    Ok(())
}

fn become_user(user: &str, group: &str) -> Result<(), PrivilegeError> {
    if group.is_empty() {
        return Err(PrivilegeError::NoGroup);
    }
    let group_id = match Group::from_name(group) {
        Ok(Some(found)) => found.gid,
        _ => return Err(PrivilegeError::UnknownGroup(group.to_owned())),
    };
    let uid = match User::from_name(user) {
        Ok(Some(found)) => found.uid,
        _ => user.parse().map(Uid::from_raw).map_err(|_| PrivilegeError::UnknownUser(user.to_owned()))?,
    };
    if uid.is_root() || group_id == Gid::from_raw(0) {
        return Err(PrivilegeError::IsRoot);
    }
    setgroups(&[group_id]).map_err(io::Error::from)?;
    setgid(group_id).map_err(io::Error::from)?;
    setuid(uid).map_err(io::Error::from)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_before_anything_is_given_up() {
        let refused = |user, group| become_user(user, group).unwrap_err().to_string();
        assert!(refused("nobody", "").contains("store.group"));
        assert!(refused("nobody", "no-such-group").contains("groupadd"));
        assert!(refused("no-such-user", "games").contains("useradd"));
        assert!(refused("root", "games").contains("must not be root"));
    }
}
