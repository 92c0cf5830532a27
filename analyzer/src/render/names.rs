//! Names of users and groups, as this machine knows them. A store may come from another machine, so tables can show the
//! numbers instead; programs always get the numbers.

use std::cell::RefCell;
use std::collections::HashMap;

use nix::unistd::{Gid, Group, Uid, User};

/// Finds the name of a number; `None` where it has none.
type Lookup = fn(u32) -> Option<String>;

/// Looks names up, each number once: a lookup may ask a directory service.
#[derive(Debug)]
pub struct Names {
    users: Known,
    groups: Known,
}

#[derive(Debug)]
struct Known {
    lookup: Lookup,
    found: RefCell<HashMap<u32, Option<String>>>,
}

impl Names {
    /// Makes a look-up of names of this machine; if `numeric`, numbers stay numbers.
    pub fn new(numeric: bool) -> Self {
        if numeric { Self::by(|_| None, |_| None) } else { Self::by(user_name, group_name) }
    }

    /// Names that these functions find.
    pub(super) fn by(users: Lookup, groups: Lookup) -> Self {
        let known = |lookup| Known { lookup, found: RefCell::default() };
        Self { users: known(users), groups: known(groups) }
    }

    /// Returns the name of a user, else its number.
    pub fn user(&self, uid: i64) -> String {
        self.users.name(uid)
    }

    /// The name of a group, else its number.
    pub(super) fn group(&self, gid: i64) -> String {
        self.groups.name(gid)
    }
}

impl Known {
    fn name(&self, number: i64) -> String {
        let name = u32::try_from(number)
            .ok()
            .and_then(|id| self.found.borrow_mut().entry(id).or_insert_with(|| (self.lookup)(id)).clone());
        name.unwrap_or_else(|| number.to_string())
    }
}

/// Returns the name of a user.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    Some(User::from_uid(Uid::from_raw(uid)).ok()??.name)
}

/// Returns the name of a group.
pub(crate) fn group_name(gid: u32) -> Option<String> {
    Some(Group::from_gid(Gid::from_raw(gid)).ok()??.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_without_a_name_stays_a_number() {
        let names = Names::by(|uid| (uid == 7).then(|| "seven".to_owned()), |_| None);
        assert_eq!(
            [7, 8, -1, i64::MAX].map(|uid| names.user(uid)),
            ["seven", "8", "-1", "9223372036854775807"]
        );
        assert_eq!(names.group(7), "7");
        assert_eq!(Names::new(true).user(0), "0");
    }
}
