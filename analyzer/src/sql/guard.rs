//! Keeps a statement to what it may do: read, within its bounds.

use std::sync::{Arc, Mutex};

use model::lock::lock;
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::meter::Meter;

/// Number of SQLite's instructions between two looks at the bounds.
const INSTRUCTIONS: i32 = 10_000;
/// Functions that do more than compute.
const REFUSED: [&str; 2] = ["load_extension", "fts3_tokenizer"];

/// The guard of a connection.
#[derive(Debug)]
pub(super) struct Guard {
    meter: Arc<Meter>,
    refused: Arc<Mutex<Option<String>>>,
}

impl Guard {
    /// Sets the guard. From then on, only SELECT can be prepared on the connection.
    pub(super) fn set(connection: &mut Connection, meter: &Arc<Meter>) -> rusqlite::Result<Self> {
        let refused = Arc::new(Mutex::new(None));
        let note = refused.clone();
        connection.authorizer(Some(move |context: AuthContext<'_>| {
            let Some(what) = refusal(&context.action) else { return Authorization::Allow };
            lock(&note).get_or_insert(what);
            Authorization::Deny
        }))?;
        watch(connection, meter)?;
        Ok(Self { meter: meter.clone(), refused })
    }

    pub(super) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Returns what was refused since the last call of [`Self::forget`].
    pub(super) fn refused(&self) -> Option<String> {
        lock(&self.refused).clone()
    }

    pub(super) fn forget(&self) {
        *lock(&self.refused) = None;
    }
}

/// Makes SQLite end the statements of a connection when they were stopped or their time is over, as the meter says.
pub(crate) fn watch(connection: &mut Connection, meter: &Arc<Meter>) -> rusqlite::Result<()> {
    let watched = meter.clone();
    connection.progress_handler(INSTRUCTIONS, Some(move || watched.has_to_end()))
}

/// Returns what a statement asks for that it may not do.
fn refusal(action: &AuthAction<'_>) -> Option<String> {
    Some(match action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => return None,
        AuthAction::Function { function_name } => {
            if !REFUSED.contains(function_name) {
                return None;
            }
            format!("the function {function_name}")
        }
        // The tables themselves ask for the version of the file.
        AuthAction::Pragma { pragma_name: "user_version", pragma_value: None } => return None,
        AuthAction::Pragma { pragma_name, .. } => format!("PRAGMA {pragma_name}"),
        AuthAction::Attach { .. } => "ATTACH".to_owned(),
        AuthAction::Detach { .. } => "DETACH".to_owned(),
        AuthAction::Insert { table_name } => format!("a change of {table_name}"),
        AuthAction::Update { table_name, .. } | AuthAction::Delete { table_name } => {
            format!("a change of {table_name}")
        }
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => "a transaction".to_owned(),
        _ => "a change of tables or views".to_owned(),
    })
}
