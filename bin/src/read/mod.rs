//! The read socket of the running agent, a Unix socket in the work folder. A caller sends one JSON request in one line. No
//! request changes anything, so that the group that may read the store (`[store] group`) may connect, too: the socket's mode
//! lets it, and the kernel checks that.
//!
//! After the answer to `follow`, rows follow as they are stored, in messages ([`Message`]): a line of JSON each, after which come
//! as many bytes as it says.
//!
//! ```text
//! {"command":"follow","tracers":["open"]}                       ─►
//! ◄─  {"ok":{"collector_id":"host","output":1,"store":"/…"}}
//! ◄─  {"rows":{"tracer":"open","first_id":7,"rows":2,…,"schema":3192,"data":1800}}  and 3192 + 1800 bytes
//! ◄─  {"stored":{"output":1}}                                   the rows since the last such line were stored together
//! ◄─  {"left_out":120}                                          the caller read too slowly
//! ◄─  {"end":"stopped"}                                         the agent has stopped
//! ```

mod client;
mod server;

use serde::{Deserialize, Serialize};
use store::carry::Carried;

pub(crate) use client::{FollowError, Following, status};
pub(crate) use server::Read;

/// A request that changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Return the state of all tracers and actors.
    Status,
    /// Send rows as they are stored.
    Follow {
        /// Names that the rows are stored under; none: rows of all tracers.
        #[serde(default)]
        tracers: Vec<String>,
        /// Send what is in memory first, if the rows are not stored anywhere else.
        #[serde(default)]
        recent: bool,
    },
}

/// The answer to `follow`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// The collector that the rows are stored under.
    pub(crate) collector_id: String,
    /// Number of the output that rows are stored in at the moment. Only ids of rows of one output are comparable.
    pub(crate) output: u64,
    /// Path of the store, if there is one.
    pub(crate) store: Option<String>,
}

/// A message of the agent to those who follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    /// Rows of one tracer; their bytes come next.
    Rows(Carried),
    /// The rows since the last such message were stored together.
    Stored {
        /// Number of the output that they were stored in.
        output: u64,
    },
    /// Number of rows that are missing here, because the follower read too slowly.
    LeftOut(u64),
    /// Nothing more comes, for this reason.
    End(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_changes_anything_is_a_request() {
        let follow = r#"{"command":"follow","tracers":["open"]}"#;
        let expected = Request::Follow { tracers: vec!["open".to_owned()], recent: false };
        assert_eq!(serde_json::from_str::<Request>(follow).unwrap(), expected);
        for command in ["stop", "reload", "turn", "cache", "config", "inject-panic"] {
            let request = format!(r#"{{"command":"{command}"}}"#);
            assert!(serde_json::from_str::<Request>(&request).is_err(), "{command}");
        }
    }
}
