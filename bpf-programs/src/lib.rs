//! Kernel tracers: what they record, the eBPF programs that see it, the actors that carry it out.
//!
//! [`spawn`] puts them under a supervisor; [`checks::check`] tells what this kernel and user allow. One folder a
//! tracer (`open`, `exec`, …) has its kernel half and its decoder; [`programs`] lists them.

pub mod accept;
mod act;
pub mod attr;
pub mod bind;
pub mod bpf;
pub mod cast;
pub mod checks;
pub mod clone;
pub mod close;
pub mod config;
pub mod connect;
pub mod dns;
pub mod exec;
mod exercise;
pub mod exit;
pub mod facts;
mod fleet;
mod fs;
pub mod host;
pub mod kill;
pub mod ledger;
pub mod lifecycle;
pub mod link;
pub mod loader;
mod manifest;
pub mod memfd;
pub mod mkdir;
pub mod module;
pub mod mount;
pub mod open;
pub mod programs;
pub mod ptrace;
pub mod rename;
mod rules;
pub mod setuid;
mod sock;
mod spawn;
pub mod syscalls;
pub mod template;
mod text;
pub mod tier;
pub mod tracer;
pub mod trampoline;
pub mod truncate;
pub mod udp;
pub mod unlink;
pub mod unseen;
pub mod uring;
pub mod uring_sock;
pub mod uring_udp;
pub mod usage;
pub mod wire;

pub use config::{EbpfConfig, TracerConfig, TracersConfig, UsageFiles};
pub use exercise::exercise;
pub use fleet::{EbpfTracers, NotTurned, Prepared, TracerHandle, spawn};
pub use host::{EbpfHost, HostState};
pub use loader::Pinning;
pub use spawn::{is_pinned, unpin};
#[cfg(feature = "fault-injection")]
pub use tracer::InjectPanic;
pub use tracer::{EbpfTracer, SetAttached, TracerState};
