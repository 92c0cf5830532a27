//! The read side over HTTP: duetector's API and our own, for a process of its own that may read the store and nothing else.
//!
//! ```text
//! request ─► log and headers ─► token ─► bounds of the body ─► question, on a bounded number of threads ─► store
//! ```
//!
//! The server opens the store read-only, as the commands do, and reaches the agent only over the read socket. It starts
//! as root or not; before it answers, it has no capabilities and is another user ([`privileges`]).

pub mod address;
pub mod agent;
mod api;
mod body;
mod clock;
mod duetector;
mod gate;
mod health;
mod metrics;
mod params;
pub mod privileges;
mod problem;
mod questions;
mod scope;
pub mod server;
pub mod settings;
mod state;
mod stores;
pub mod tokens;

pub use address::{Address, Listener};
pub use agent::{ActorState, Agent, AgentStatus, TracerState};
pub use scope::Scope;
pub use server::Server;
pub use settings::ServerSettings;
pub use tokens::Tokens;
