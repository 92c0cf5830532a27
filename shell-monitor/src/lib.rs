//! Tracers that are other programs. A *shell* tracer runs a command at an interval; a *subprocess* tracer keeps a
//! child process that speaks duetector's JSON-lines protocol. No misbehaviour of such a program affects another
//! tracer or the agent.
//!
//! [`spawn`] starts all of them from their settings; each is a supervised actor with its own status.
//! [`Monitor::prepare`] changes the set while the agent runs. The hosts of the two kinds are
//! actors too; see [`host`].

mod backlog;
mod command;
pub mod config;
mod control;
mod fuzz_target;
pub mod host;
pub mod launch;
pub mod launcher;
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
mod state;
pub mod stderr;
mod stdin_writer;
pub mod stdout_parser;
pub mod subprocess;
mod switch;
mod tracer;
pub mod user;
mod validate;
pub mod wiring;

pub use config::Config;
pub use fuzz_target::fuzz_target;
pub use host::{Host, HostError, HostState};
pub use launch::Launcher;
pub use monitor::{Monitor, spawn};
pub use shell::{ClearCache, GetCache, SetCache, ShellTracer};
pub use state::{ShellState, SubprocessState};
pub use subprocess::SubprocessTracer;
pub use tracer::{Kind, Tracer};
pub use wiring::{Reserved, Wiring};
