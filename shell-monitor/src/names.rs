//! Determines the name that an event is stored under.
//!
//! duetector's rule is that the payload decides, but its text comes from another program. So a name must not break
//! the store's table names, the number of names is limited, and a name must not be a kernel tracer's, whose rows are
//! evidence and whose accounts the kernel's counters must match.

use std::collections::BTreeSet;

use model::TracerName;
use thiserror::Error;

use crate::wiring::Reserved;

/// Longest name in bytes: it becomes part of a table's name.
const LONGEST_NAME: usize = 128;
/// Number of names that a child may use besides its own. Each costs a table and an account.
const MOST_NAMES: usize = 64;

/// Reasons why a name can't be a tracer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum NameError {
    /// The name is empty or too long.
    #[error("expected a name of 1 to {LONGEST_NAME} bytes")]
    Length,
    /// The name contains characters at which readers split a table's name, or control characters.
    #[error("expected a name without \":\", \"@\" or control characters")]
    Characters,
}

/// Checks whether `name` can be a tracer's.
pub(crate) fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(NameError::Length);
    }
    if name.contains(|c: char| c == ':' || c == '@' || c.is_control()) {
        return Err(NameError::Characters);
    }
    Ok(())
}

/// Chooses the names for the events of one child.
pub(crate) struct Names {
    own: TracerName,
    reserved: Reserved,
    used: BTreeSet<TracerName>,
}

impl Names {
    pub(crate) fn new(own: TracerName, reserved: Reserved) -> Self {
        Self { own, reserved, used: BTreeSet::new() }
    }

    /// Returns the child's own name.
    pub(crate) fn own(&self) -> &TracerName {
        &self.own
    }

    /// Returns the name to store an event under that asks for `asked`, or `None` if it can't have that one.
    pub(crate) fn effective(&mut self, asked: &str) -> Option<TracerName> {
        // The exact comparison comes first: children that name themselves do so in every event.
        if asked == self.own.as_str() {
            return Some(self.own.clone());
        }
        let lowered = asked.to_lowercase();
        if lowered == self.own.as_str() {
            return Some(self.own.clone());
        }
        check_name(&lowered).ok()?;
        let name = TracerName::new(&lowered);
        // Checked each time: a tracer that was added meanwhile may have taken a name that was free.
        if self.reserved.contains(&name) {
            return None;
        }
        if let Some(used) = self.used.get(&name) {
            return Some(used.clone());
        }
        if self.used.len() >= MOST_NAMES {
            return None;
        }
        self.used.insert(name.clone());
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new("child".into(), Reserved::new(["open".into()]))
    }

    #[test]
    fn the_payload_decides_in_lower_case() {
        assert_eq!(names().effective("Other"), Some("other".into()));
        assert_eq!(names().effective("CHILD"), Some("child".into()));
    }

    #[test]
    fn reserved_and_unfit_names_are_refused() {
        for name in ["open", "OPEN", "", "a:b", "a@b", "a\nb", &"x".repeat(200)] {
            assert_eq!(names().effective(name), None, "{name}");
        }
    }

    #[test]
    fn names_are_not_made_up_without_end() {
        let mut names = names();
        let given = (0..1000).filter(|index| names.effective(&format!("name{index}")).is_some()).count();
        assert_eq!(given, MOST_NAMES);
        assert_eq!(names.effective("name3"), Some("name3".into()));
    }
}
