//! `store verify`: checks that the store is as it was written.

use std::io::IsTerminal as _;
use std::time::Duration;

use store::segment::verify;

use super::store_file::file;
use crate::cli_common::Common;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, to_json};

/// Time to wait for a lock on the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// Prints what is wrong with the store.
pub(super) fn run(common: &Common, format: Output) -> Outcome {
    let path = file(common)?;
    let connection = store::open::for_reading(&path, PATIENCE).map_err(anyhow::Error::from)?;
    // What is read is of one moment, while the agent goes on.
    let moment = connection.unchecked_transaction().map_err(anyhow::Error::from)?;
    let progress = std::io::stderr().is_terminal();
    let findings = verify(&moment, |segment| {
        if progress {
            output::complain(&format!("checking {segment}"));
        }
    });
    let findings = findings.map_err(anyhow::Error::from)?;
    match format {
        Output::Json => output::print(&to_json(&findings)?)?,
        Output::Table if findings.is_empty() => output::print("everything is as it was written")?,
        Output::Table => {
            for finding in &findings {
                output::print(&format!("{}: {}", finding.subject, finding.what))?;
            }
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(Failure::No) }
}
