//! States of processes and their texts: equal ones are kept once, for as long as a process has them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

use crate::{Cgroup, Text};

/// State of a process between two changes (exec, chdir, move to another cgroup).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProcessInfo {
    /// Executable file, absolute.
    pub exe: Option<Text>,
    /// Working folder, absolute.
    pub cwd: Option<Text>,
    /// The process's cgroup; [`crate::Identity::cgroup`] says of which hierarchy.
    pub cgroup: Option<Cgroup>,
}

/// Estimated bytes of a state without its texts, and of a text without its bytes: allocations and map entries.
const STATE: usize = 192;
const TEXT: usize = 96;

impl ProcessInfo {
    /// Returns the bytes that the state would take if no other process shared it.
    pub(super) fn alone(&self) -> usize {
        let texts = [&self.exe, &self.cwd].into_iter().flatten().map(Text::len);
        let lengths = texts.chain(self.cgroup.as_ref().map(Cgroup::bytes));
        STATE + lengths.map(|length| TEXT + length).sum::<usize>()
    }
}

/// Values in use, each with the number of its users.
#[derive(Debug)]
struct Counted<T>(HashMap<T, (T, u32)>);

impl<T: Clone + Eq + Hash> Counted<T> {
    fn new() -> Self {
        Self(HashMap::new())
    }

    /// Adds a user of a value that is in use already, and returns the value.
    fn again(&mut self, value: &T) -> Option<T> {
        let (known, users) = self.0.get_mut(value)?;
        *users += 1;
        Some(known.clone())
    }

    /// Adds a user of a value; returns the value that all users share, and whether this is the first one.
    fn take(&mut self, value: &T) -> (T, bool) {
        let (known, users) = self.0.entry(value.clone()).or_insert_with(|| (value.clone(), 0));
        *users += 1;
        (known.clone(), *users == 1)
    }

    /// Removes a user; returns whether it was the last one.
    fn release(&mut self, value: &T) -> bool {
        let Entry::Occupied(mut entry) = self.0.entry(value.clone()) else { return false };
        entry.get_mut().1 -= 1;
        let last = entry.get().1 == 0;
        if last {
            entry.remove();
        }
        last
    }
}

/// States of processes, by content.
#[derive(Debug)]
pub(super) struct States {
    states: Counted<Arc<ProcessInfo>>,
    texts: Counted<Text>,
    cgroups: Counted<Cgroup>,
    bytes: usize,
}

impl Default for States {
    fn default() -> Self {
        Self { states: Counted::new(), texts: Counted::new(), cgroups: Counted::new(), bytes: 0 }
    }
}

impl States {
    /// Returns the estimated number of bytes of all states.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the state equal to this one that all processes share, with one user more.
    pub(super) fn take(&mut self, info: &Arc<ProcessInfo>) -> Arc<ProcessInfo> {
        if let Some(known) = self.states.again(info) {
            return known;
        }
        let (texts, cgroups, bytes) = (&mut self.texts, &mut self.cgroups, &mut self.bytes);
        let mut text = |text: &Text| {
            let (shared, first) = texts.take(text);
            *bytes += if first { TEXT + text.len() } else { 0 };
            shared
        };
        let (exe, cwd) = (info.exe.as_ref().map(&mut text), info.cwd.as_ref().map(&mut text));
        let cgroup = info.cgroup.as_ref().map(|cgroup| {
            let (shared, first) = cgroups.take(cgroup);
            *bytes += if first { TEXT + cgroup.bytes() } else { 0 };
            shared
        });
        *bytes += STATE;
        self.states.take(&Arc::new(ProcessInfo { exe, cwd, cgroup })).0
    }

    /// Removes a user of a state.
    pub(super) fn release(&mut self, state: &Arc<ProcessInfo>) {
        if !self.states.release(state) {
            return;
        }
        self.bytes -= STATE;
        for text in [&state.exe, &state.cwd].into_iter().flatten() {
            if self.texts.release(text) {
                self.bytes -= TEXT + text.len();
            }
        }
        if let Some(cgroup) = &state.cgroup
            && self.cgroups.release(cgroup)
        {
            self.bytes -= TEXT + cgroup.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_states_and_texts_are_kept_once_and_only_while_they_are_used() {
        let info = |exe: &str, cwd: &[u8]| {
            let cgroup = Some("/user.slice".into());
            Arc::new(ProcessInfo { exe: Some(exe.into()), cwd: Some(Text::from_bytes(cwd)), cgroup })
        };
        let mut states = States::default();
        let first = states.take(&info("/bin/sh", b"/\xff"));
        let bytes = states.bytes();
        assert_eq!(bytes, first.alone());
        assert!(Arc::ptr_eq(&first, &states.take(&info("/bin/sh", b"/\xff"))));
        assert_eq!(states.bytes(), bytes);
        let other = states.take(&info("/bin/sh", b"/tmp"));
        assert_eq!(states.bytes(), bytes + STATE + TEXT + 4, "the executable and the cgroup are shared");
        let path = |state: &ProcessInfo| state.cgroup.as_ref().map(|cgroup| Arc::as_ptr(&cgroup.path));
        assert_eq!(path(&other), path(&first));
        [&first, &first, &other].into_iter().for_each(|state| states.release(state));
        assert_eq!(states.bytes(), 0);
    }
}
