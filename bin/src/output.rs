//! Output of commands: data on stdout, messages on stderr. A closed pipe is not an error.

use std::io::{self, Write as _};

use clap::ValueEnum;

use crate::exit::Failure;

/// Prints data and a newline on stdout.
pub(crate) fn print(data: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written =
        out.write_all(data.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    match written {
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(anyhow::Error::new(cause).context("writing to stdout")))
        }
        _ => Ok(()),
    }
}

/// Prints a message and a newline on stderr. A failure to do so can't be reported anywhere and is ignored.
pub(crate) fn complain(message: &str) {
    let _ = writeln!(io::stderr().lock(), "{message}");
}

/// Format of a command's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Text to read
    #[default]
    Table,
    /// JSON for scripts
    Json,
}

/// Formats a value as indented JSON, without any character that a terminal would act on.
pub(crate) fn to_json(value: &impl serde::Serialize) -> Result<String, Failure> {
    analyzer::render::indented(value).map_err(|cause| Failure::Failed(cause.into()))
}
