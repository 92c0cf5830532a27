//! How a command ends: DESIGN's exit codes as a type.

use std::fmt;
use std::process::ExitCode;

/// Why a command did not succeed; each has its exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was tried and failed: 1.
    Failed(anyhow::Error),
    /// It was asked for wrongly, on the command line or in the configuration: 2.
    Usage(anyhow::Error),
    /// Nothing could be traced: 3.
    NothingTraced(anyhow::Error),
    /// The answer is no, and it has been printed: 1.
    No,
}

/// What a command returns.
pub(crate) type Outcome = Result<(), Failure>;

impl Failure {
    /// A failure in words.
    pub(crate) fn failed(message: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Self {
        Self::Failed(anyhow::Error::msg(message))
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::No => 1,
            Self::Usage(_) => 2,
            Self::NothingTraced(_) => 3,
        }
    }

    /// What went wrong, in words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Failed(cause) | Self::Usage(cause) | Self::NothingTraced(cause) => format!("{cause:#}"),
            Self::No => String::new(),
        }
    }

    /// The same, of which only the words are kept.
    pub(crate) fn clone_words(&self) -> Self {
        let cause = anyhow::Error::msg(self.words());
        match self {
            Self::Failed(_) => Self::Failed(cause),
            Self::Usage(_) => Self::Usage(cause),
            Self::NothingTraced(_) => Self::NothingTraced(cause),
            Self::No => Self::No,
        }
    }

    /// Says on stderr what went wrong and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Failed(cause) | Self::Usage(cause) | Self::NothingTraced(cause) => {
                crate::output::complain(&format!("error: {cause:#}"));
            }
            Self::No => {}
        }
        ExitCode::from(self.code())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(cause: anyhow::Error) -> Self {
        Self::Failed(cause)
    }
}
