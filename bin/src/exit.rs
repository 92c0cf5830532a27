//! The exit codes of all commands as a type.

use std::fmt;

/// The reason why a command did not succeed. Each variant has its exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The operation failed: exit code 1.
    Failed(anyhow::Error),
    /// The command line or the configuration is wrong: exit code 2.
    Usage(anyhow::Error),
    /// No tracer can run: exit code 3.
    NothingTraced(anyhow::Error),
    /// The answer is negative and has been printed already: exit code 1.
    No,
}

/// The result of a command.
pub(crate) type Outcome = Result<(), Failure>;

impl Failure {
    /// Creates a failure with exit code 1 and that message.
    pub(crate) fn failed(message: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Self {
        Self::Failed(anyhow::Error::msg(message))
    }

    /// Returns the exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::No => 1,
            Self::Usage(_) => 2,
            Self::NothingTraced(_) => 3,
        }
    }

    /// Returns the message with all its causes.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Failed(cause) | Self::Usage(cause) | Self::NothingTraced(cause) => format!("{cause:#}"),
            Self::No => String::new(),
        }
    }

    /// Returns a copy with the same exit code and message, without the chain of causes.
    pub(crate) fn clone_words(&self) -> Self {
        let cause = anyhow::Error::msg(self.words());
        match self {
            Self::Failed(_) => Self::Failed(cause),
            Self::Usage(_) => Self::Usage(cause),
            Self::NothingTraced(_) => Self::NothingTraced(cause),
            Self::No => Self::No,
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(cause: anyhow::Error) -> Self {
        Self::Failed(cause)
    }
}
