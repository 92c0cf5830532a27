//! A cgroup as the kernel reported it: its path, and the users who own the folders on it.

use std::sync::Arc;

/// User id of root.
const ROOT: u32 = 0;

/// A cgroup's path below its hierarchy's root, with the owners of its folders.
///
/// A user to whom a cgroup is delegated can make cgroups below it and name them as a container runtime does. So a name
/// counts only if the folder and all folders above it belong to root or to a runtime's user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cgroup {
    /// The path, absolute.
    pub path: Arc<str>,
    /// Owners of the folders from the innermost up to the topmost that is not root's; `None`: all are root's.
    owners: Option<Arc<[u32]>>,
}

impl Cgroup {
    /// Creates a cgroup; `owners` are the users of its folders from the innermost up, as far as they are given. The folders
    /// above are root's.
    pub fn new(path: impl Into<Arc<str>>, owners: &[u32]) -> Self {
        let topmost = owners.iter().rposition(|owner| *owner != ROOT);
        Self { path: path.into(), owners: topmost.map(|topmost| owners[..=topmost].into()) }
    }

    /// Returns the number of bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.path.len() + self.owners.as_deref().map_or(0, size_of_val)
    }

    /// Returns the names of the path's folders, the outermost first.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.path.split('/').filter(|name| !name.is_empty()).collect()
    }

    /// Returns how many folders from the outermost on belong to root or to one of these users.
    pub(crate) fn trusted(&self, users: &[u32]) -> usize {
        let owners = self.owners.as_deref().unwrap_or_default();
        let is_strange = |owner: &u32| *owner != ROOT && !users.contains(owner);
        let names = self.names().len();
        owners.iter().rposition(is_strange).map_or(names, |at| names.saturating_sub(at + 1))
    }
}

impl From<&str> for Cgroup {
    fn from(path: &str) -> Self {
        Self::new(path, &[])
    }
}

impl From<String> for Cgroup {
    fn from(path: String) -> Self {
        Self::new(path, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_trusted_down_to_the_first_of_another_user() {
        let of = |owners: &[u32], users: &[u32]| Cgroup::new("/a/b/c", owners).trusted(users);
        assert_eq!(of(&[], &[]), 3);
        assert_eq!(of(&[7], &[]), 2);
        assert_eq!(of(&[7, 0], &[]), 2);
        assert_eq!(of(&[0, 7], &[]), 1, "below another user's folder nothing is trusted, root's neither");
        assert_eq!(of(&[7, 7], &[7]), 3);
        assert_eq!(of(&[8, 7], &[7]), 2, "a user of a runtime's user");
        assert_eq!(of(&[7, 7, 7, 7], &[]), 0, "more owners than folders");
        assert_eq!(Cgroup::new("/a", &[0, 0]), Cgroup::from("/a"));
    }
}
