//! Errors of the read side as failures of a command.

use crate::exit::Failure;

/// Returns the failure for an error: exit code 2 if the query was wrong, else 1.
pub(crate) fn failure(error: analyzer::Error) -> Failure {
    if let analyzer::Error::Missing { path } = &error {
        return Failure::failed(format!(
            "no store at {}: nothing was recorded there yet; `duetector-actors start` records, --workdir sets the folder",
            path.display()
        ));
    }
    if error.is_usage() { Failure::Usage(error.into()) } else { Failure::Failed(error.into()) }
}
