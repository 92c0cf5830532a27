//! The control socket of the running agent, a Unix socket in the work folder. A caller sends one JSON request in one line
//! and receives one JSON answer in one line. Only root and the agent's own user may connect.

mod cache;
mod client;
mod server;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use cache::{Cache, Change, answer as answer_cache};
pub(crate) use client::{AskError, ask, fetch, fetch_answer, read_answer};
pub(crate) use server::{Ask, Control};

/// A request to a running agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Return the state of all tracers and actors.
    Status,
    /// Return the configuration in force.
    Config,
    /// Load the configuration again and apply it. Answered when that is done.
    Reload,
    /// Enable or disable tracers. Answered when that is done. Called `turn` on the wire.
    #[serde(rename = "turn")]
    SetEnabled {
        /// Names or sections of the tracers.
        tracers: Vec<String>,
        /// True to enable, false to disable.
        on: bool,
    },
    /// Change the cache of a shell tracer, if requested, and return it.
    Cache {
        /// Name of the tracer in `status`.
        tracer: String,
        /// Change to make before the cache is returned.
        change: Change,
    },
    /// Stop the agent. Answered before it has ended.
    Stop {
        /// True to keep pinned programs and rings, false to unpin them, none for what `ebpf.pin_keep` says.
        #[serde(default)]
        keep: Option<bool>,
    },
    /// Make an actor panic, to test that it is restarted. Only with the feature `fault-injection`.
    #[cfg(feature = "fault-injection")]
    InjectPanic {
        /// Name of the actor in `status`.
        actor: String,
    },
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// The request was carried out; the value depends on the request.
    Ok(serde_json::Value),
    /// The request was refused or failed, with the reason.
    Error(String),
}

impl Answer {
    /// Converts a result to an answer.
    pub(crate) fn of<T: Serialize>(found: Result<T, String>) -> Self {
        let value = found.and_then(|found| serde_json::to_value(found).map_err(|cause| cause.to_string()));
        value.map_or_else(Self::Error, Self::Ok)
    }
}

impl Request {
    /// Returns how long the agent may take to answer. A change is answered when it is complete, which may include flushing
    /// a sink or the last records of a tracer.
    pub(crate) fn patience(&self) -> Duration {
        match self {
            Self::Reload | Self::SetEnabled { .. } => Duration::from_secs(120),
            _ => Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_enabled_keeps_its_first_name_on_the_wire() {
        let request = Request::SetEnabled { tracers: vec!["open".to_owned()], on: false };
        let wire = serde_json::json!({"command": "turn", "tracers": ["open"], "on": false});
        assert_eq!(serde_json::to_value(request).unwrap(), wire);
    }
}
