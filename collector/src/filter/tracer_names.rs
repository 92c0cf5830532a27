//! Names of the tracers that filters may name.

use std::collections::BTreeSet;

use expression::nearest;

/// Names that rows are stored under.
#[derive(Clone, Debug, Default)]
pub struct TracerNames {
    /// Names of built-in tracers, and of the agent's own rows.
    pub built_in: BTreeSet<String>,
    /// Names of templates, the rows of which have any values.
    pub templates: BTreeSet<String>,
}

impl TracerNames {
    /// Returns a warning for a name that no tracer has.
    pub(super) fn unknown(&self, name: &str) -> Option<String> {
        if self.built_in.contains(name) || self.templates.contains(name) {
            return None;
        }
        let known = self.built_in.iter().chain(&self.templates).map(String::as_str);
        Some(format!("no tracer is called {name:?}, did you mean {:?}?", nearest(name, known)))
    }
}
