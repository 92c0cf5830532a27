//! The two ways out: data on stdout, words on stderr. A reader that has gone away is no error.

use std::io::{self, Write as _};

use crate::exit::Failure;

/// Prints data, with a newline.
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

/// Prints a line of words. When stderr is gone there is nobody to tell.
pub(crate) fn complain(words: &str) {
    let _ = writeln!(io::stderr().lock(), "{words}");
}
