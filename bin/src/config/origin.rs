//! Where a value comes from, and what is said about values that were taken with reservations.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// The source of a value. The order is that of precedence; within a file, that of the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// The built-in default: no source sets this key.
    Default,
    /// A position in a configuration file. `line` and `column` count from 1.
    File { path: PathBuf, line: usize, column: usize },
    /// Python duetector's default, for a key that a file in duetector's format leaves out.
    Duetector(PathBuf),
    /// An environment variable, by name.
    Env(String),
    /// The argument of a `--set` option.
    Set(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, .. } => write!(f, "{}:{line}", path.display()),
            Self::Duetector(path) => write!(f, "{}, duetector's default", path.display()),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Set(argument) => write!(f, "--set {argument}"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A remark about a setting that was accepted, but not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Warning {
    pub(super) origin: Origin,
    pub(super) key: Key,
    pub(super) message: String,
    pub(super) kind: WarningKind,
}

/// The reason for a [`Warning`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WarningKind {
    /// A setting of Python duetector that has no equivalent, or only an approximate one.
    Duetector,
    /// An old name of a setting of ours.
    Renamed,
}

impl Warning {
    /// Returns what all warnings of this kind have in common, as the message of a log line.
    pub(crate) fn headline(&self) -> &'static str {
        match self.kind {
            WarningKind::Duetector => "a setting of Python duetector could not be kept as it is",
            WarningKind::Renamed => "a setting has a new name",
        }
    }

    /// Returns whether the warning is about a file in Python duetector's format.
    pub(crate) fn is_duetector(&self) -> bool {
        self.kind == WarningKind::Duetector
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.origin, self.key.join("."), self.message)
    }
}

/// The parts of a dotted key.
pub(crate) type Key = Vec<String>;
