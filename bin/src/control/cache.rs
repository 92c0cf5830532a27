//! The request to show, set or clear the cache of a shell tracer, and its answer.

use actors::AskError;
use model::{Text, TracerName};
use serde::{Deserialize, Serialize};
use shell_monitor::{ClearCache, GetCache, Monitor, SetCache};

/// Change to make before the cache is returned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// Leave the cache as it is.
    Keep,
    /// Empty the cache.
    Clear,
    /// Replace the cache by this text.
    Set(String),
}

/// The content of a cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cache {
    pub(crate) tracer: String,
    /// The cached output; none before the first run and after clearing.
    pub(crate) output: Option<String>,
    /// The exact bytes in hexadecimal, if they are not valid UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_bytes: Option<String>,
}

/// Answers the request in the running agent.
pub(crate) async fn answer(monitor: &Monitor, tracer: String, change: Change) -> Result<Cache, String> {
    let name = TracerName::new(&tracer);
    let Some(shell) = monitor.shell(&name) else {
        return Err(if monitor.tracers().iter().any(|tracer| tracer.name == name) {
            format!("tracer {tracer:?} has no cache: only shell tracers have a cache")
        } else {
            format!("no shell tracer {tracer:?}: `duetector-actors tracers` shows the kind of each")
        });
    };
    let in_words = |cause: AskError| cause.to_string();
    match change {
        Change::Keep => {}
        Change::Clear => shell.ask(ClearCache).await.map_err(in_words)?,
        Change::Set(text) => shell.ask(SetCache(text.into_bytes())).await.map_err(in_words)?,
    }
    let text = shell.ask(GetCache).await.map_err(in_words)?.map(|bytes| Text::from_bytes(&bytes));
    Ok(Cache {
        tracer,
        output: text.as_ref().map(|text| text.to_str().into_owned()),
        output_bytes: text.and_then(|text| text.raw_hex()),
    })
}
