//! The user that a program runs as: `user = "name"` or `"uid"`, either with `":group"`.
//!
//! No thread of the agent takes on the user's ids; only the launcher does (see [`crate::launcher`]).

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::io;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist, getgroups};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Reasons why a program can't run as a user. The text says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UserError {
    /// The user does not exist.
    #[error(
        "no user {0:?} on this system: expected the name of a user, or a number with a group (\"1000:1000\")"
    )]
    Unknown(String),
    /// The group does not exist.
    #[error("no group {0:?} on this system: expected a name or a number")]
    UnknownGroup(String),
    /// Running as another user needs root.
    #[error("running as {0:?} needs root: start the agent as root, or as that user")]
    NotRoot(String),
}

/// Ids of a process: user, group and supplementary groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ids {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// User, group and supplementary groups to run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    /// Name and home folder, if the system knows them.
    account: Option<(String, String)>,
}

impl Identity {
    /// Finds the user that `user` names.
    ///
    /// # Errors
    /// The system does not know the user or group.
    pub fn find(user: &str) -> Result<Self, UserError> {
        let (name, group) = user.split_once(':').map_or((user, None), |(name, group)| (name, Some(group)));
        let account = match User::from_name(name) {
            Ok(Some(account)) => Some(account),
            _ => name.parse().ok().and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten()),
        };
        let unknown = || UserError::Unknown(user.to_owned());
        let gid = match (group, &account) {
            (Some(group), _) => find_group(group)?,
            (None, Some(account)) => account.gid,
            (None, None) => return Err(unknown()),
        };
        let uid = match &account {
            Some(account) => account.uid,
            None => name.parse().map(Uid::from_raw).map_err(|_| unknown())?,
        };
        let groups = account.as_ref().map_or_else(|| Ok(vec![gid]), |account| groups_of(account, gid));
        let groups = groups.map_err(|_| unknown())?;
        let account = account.map(|account| (account.name, account.dir.to_string_lossy().into_owned()));
        Ok(Self { uid, gid, groups, account })
    }

    /// Checks whether this process may run programs as `user`.
    ///
    /// # Errors
    /// The user is unknown, or another one than the agent's, which is not root.
    pub fn check(user: &str) -> Result<(), UserError> {
        let identity = Self::find(user)?;
        if Uid::effective().is_root() || identity.is_own() {
            Ok(())
        } else {
            Err(UserError::NotRoot(user.to_owned()))
        }
    }

    /// Returns the user's id.
    pub fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// Sets the environment variables that name the user: HOME, USER, LOGNAME. A user without an account has none of
    /// these; its home is `/`.
    pub(crate) fn set_environment(&self, env: &mut BTreeMap<OsString, OsString>) {
        let (name, home) = match &self.account {
            Some((name, home)) => (Some(name), &**home),
            None => (None, "/"),
        };
        env.insert("HOME".into(), home.into());
        for variable in ["USER", "LOGNAME"] {
            match name {
                Some(name) => env.insert(variable.into(), name.into()),
                None => env.remove(OsStr::new(variable)),
            };
        }
    }

    /// Returns the ids that the launcher has to take on. Without root there are none: [`Identity::check`] has made sure
    /// that the identity is the agent's own.
    pub(crate) fn ids(&self) -> Option<Ids> {
        Uid::effective().is_root().then(|| Ids {
            uid: self.uid.as_raw(),
            gid: self.gid.as_raw(),
            groups: self.groups.iter().map(|gid| gid.as_raw()).collect(),
        })
    }

    /// Returns whether the agent already runs with this identity.
    fn is_own(&self) -> bool {
        let group =
            self.gid == Gid::effective() || getgroups().is_ok_and(|groups| groups.contains(&self.gid));
        self.uid == Uid::effective() && group
    }
}

fn find_group(group: &str) -> Result<Gid, UserError> {
    let named = Group::from_name(group).ok().flatten().map(|group| group.gid);
    let found = named.or_else(|| group.parse().ok().map(Gid::from_raw));
    found.ok_or_else(|| UserError::UnknownGroup(group.to_owned()))
}

fn groups_of(account: &User, gid: Gid) -> io::Result<Vec<Gid>> {
    let name = CString::new(account.name.as_str())?;
    Ok(getgrouplist(&name, gid)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_groups_are_found() {
        let root = Identity::find("root").unwrap();
        assert_eq!((root.uid.as_raw(), root.gid.as_raw()), (0, 0));
        assert_eq!(Identity::find("0").unwrap(), root);
        let other = Identity::find("0:12345").unwrap();
        assert_eq!((other.uid.as_raw(), other.gid.as_raw()), (0, 12345));
        let stranger = Identity::find("54321:root").unwrap();
        assert_eq!((stranger.uid.as_raw(), stranger.groups), (54321, vec![Gid::from_raw(0)]));
        assert_eq!(stranger.account, None);
    }

    #[test]
    fn unknown_users_and_groups_are_errors() {
        for user in ["", "no-such-user", "54321", "-1", "no-such-user:0", ":0"] {
            assert_eq!(Identity::find(user), Err(UserError::Unknown(user.to_owned())), "{user}");
        }
        assert_eq!(Identity::find("root:no-such"), Err(UserError::UnknownGroup("no-such".to_owned())));
    }
}
