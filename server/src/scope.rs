//! Scopes: the parts of the server that tokens open.

use serde::{Deserialize, Serialize};

/// A part of the server that a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Rows, and questions about files and processes.
    Rows,
    /// Attributes for policy engines.
    Attributes,
    /// Statements of SQL.
    Sql,
    /// Rows as they are stored.
    Follow,
}

impl Scope {
    /// All scopes that there are.
    pub const ALL: [Self; 4] = [Self::Rows, Self::Attributes, Self::Sql, Self::Follow];

    /// Returns the name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Attributes => "attributes",
            Self::Sql => "sql",
            Self::Follow => "follow",
        }
    }

    /// Returns the names of all scopes.
    pub(crate) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}
