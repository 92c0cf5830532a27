//! Kernel tracers: what they record, the eBPF programs that see it, the actors that carry it out.
//!
//! [`spawn`] puts them under a supervisor; [`checks::check`] tells what this kernel and user allow. One folder a
//! tracer (`open`, `exec`, …) has its kernel half and its decoder; [`programs`] lists them.

pub mod cast;
pub mod checks;
pub mod clone;
pub mod config;
pub mod connect;
pub mod exec;
mod exercise;
pub mod exit;
pub mod facts;
mod fleet;
pub mod host;
pub mod lifecycle;
pub mod loader;
pub mod open;
pub mod programs;
mod spawn;
pub mod template;
mod text;
pub mod tracer;
pub mod wire;

pub use config::{EbpfConfig, TracerConfig, TracersConfig};
pub use exercise::exercise;
pub use fleet::{EbpfTracers, NotTurned, Prepared, TracerHandle, spawn};
pub use host::{EbpfHost, HostState};
pub use loader::Pinning;
pub use spawn::{is_pinned, unpin};
#[cfg(feature = "fault-injection")]
pub use tracer::InjectPanic;
pub use tracer::{EbpfTracer, SetAttached, TracerState};
