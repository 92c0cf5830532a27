//! Kernel tracers: their records, their eBPF programs, and the actors that read and decode the records.
//!
//! [`spawn`] starts them under a supervisor; [`checks::check`] reports which can run with this kernel and these permissions.
//! Each tracer (`open`, `exec`, …) has a directory with its eBPF program in C and its decoder in Rust; [`programs`] lists
//! all of them.
//!
//! ```text
//!  eBPF programs ─▶ ring buffers ─▶ EbpfHost ─▶ a queue per tracer ─▶ EbpfTracer ─▶ the collector
//!  (probe.bpf.c)                    (host)                            (tracer, <name>/mod.rs)
//! ```

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
pub mod exit;
pub mod facts;
mod fleet;
mod fs;
mod fuzz_target;
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
pub use fleet::{EbpfTracers, NotSwitched, Prepared, TracerHandle, spawn};
pub use fuzz_target::fuzz_target;
pub use host::{EbpfHost, HostState};
pub use loader::Pinning;
pub use spawn::{is_pinned, unpin};
#[cfg(feature = "fault-injection")]
pub use tracer::InjectPanic;
pub use tracer::{EbpfTracer, SetAttached, TracerState};
