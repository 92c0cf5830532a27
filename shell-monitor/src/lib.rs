//! Tracers that are other programs: *shell* tracers run a command at an interval, *subprocess* tracers keep a
//! child that speaks duetector's JSON-lines protocol. Whatever such a program does, it costs no one but itself.
//!
//! [`spawn`] makes them all from their settings; each is a supervised actor of its own, with its story in its
//! status. [`Monitor::prepare`] and [`Monitor::apply`] bring others while the agent runs. The hosts are actors too,
//! and answer [`Attach`] and [`Detach`]; see [`host`] for why they own so little.

mod command;
pub mod config;
mod duty;
mod exercise;
pub mod host;
pub mod intake;
pub mod lines;
mod monitor;
mod names;
mod output;
mod pending;
mod pipe;
pub mod process;
pub mod protocol;
mod repair;
mod session;
pub mod settings;
pub mod shell;
pub mod stderr;
pub mod subprocess;
mod talk;
pub mod user;
mod validate;
pub mod wiring;

pub use config::Config;
pub use exercise::exercise;
pub use host::{Attach, Detach, HostError, HostState};
pub use monitor::{Kind, Monitor, Prepared, Tracer, spawn};
pub use shell::{ClearCache, GetCache, SetCache, ShellState, ShellTracer};
pub use subprocess::{SubprocessState, SubprocessTracer};
pub use wiring::{Reserved, Wiring};

use host::Host;

/// Host of shell tracers.
pub type ShellHost = Host<ShellTracer, ShellState>;
/// Host of subprocess tracers.
pub type SubprocessHost = Host<SubprocessTracer, SubprocessState>;
