//! The running agent, as the server sees it: over the read socket, which changes nothing.

use model::AccountSnapshot;

/// A way to the agent whose store is served.
pub trait Agent: Send + Sync + 'static {
    /// Returns the state of the agent. Blocks for some time if the agent is busy.
    ///
    /// # Errors
    /// No agent is running, or it can't be reached: a sentence.
    fn status(&self) -> Result<AgentStatus, String>;
}

/// The state of the agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentStatus {
    /// Version of the agent.
    pub version: String,
    /// Seconds since its start.
    pub uptime_s: f64,
    /// All tracers that run or should run.
    pub tracers: Vec<TracerState>,
    /// All actors of the agent.
    pub actors: Vec<ActorState>,
    /// Number of followers of the live rows.
    pub followers: u64,
}

/// The state of a tracer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TracerState {
    /// Name that its rows are stored under.
    pub name: String,
    /// Phase of its life cycle, in lower case.
    pub phase: String,
    /// Number of restarts.
    pub restarts: u64,
    /// Counters of its records.
    pub account: AccountSnapshot,
    /// Records that are on their way to the store.
    pub in_flight: i64,
}

/// The state of an actor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActorState {
    /// Name of the actor.
    pub name: String,
    /// Phase of its life cycle, in lower case.
    pub phase: String,
    /// Number of restarts.
    pub restarts: u64,
}
