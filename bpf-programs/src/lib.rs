//! Kernel tracers: their records, their eBPF programs, and the actors that read and decode the records.
//!
//! [`spawn`] starts them under a supervisor; [`checks::check`] reports which can run with this kernel and these permissions.
//! Each tracer (`open`, `exec`, …) has a directory with its eBPF program in C and its decoder in Rust; [`catalog`] lists
//! all of them.
//!
//! ```text
//!  eBPF programs ─▶ ring buffers ─▶ EbpfHost ─▶ a queue per tracer ─▶ EbpfTracer ─▶ the collector
//!  (probe.bpf.c)                    (host)                            (tracer, tracers/<name>/mod.rs)
//! ```

pub mod cast;
pub mod catalog;
pub mod checks;
pub mod config;
mod errors;
pub mod facts;
mod fleet;
mod fuzz_target;
pub mod host;
mod kernel;
pub mod ledger;
mod loader;
mod lowered;
mod manifest;
pub mod programs;
mod spawn;
pub mod syscalls;
pub mod template;
mod text;
pub mod tier;
pub mod tracer;
pub mod tracers;
pub mod trampoline;
pub mod unseen;
pub mod wire;

pub use config::{EbpfConfig, KernelSettings, TracerConfig, TracersConfig, UsageFiles};
pub use fleet::{EbpfTracers, NotSwitched, TracerHandle, spawn};
pub use fuzz_target::fuzz_target;
pub use host::{EbpfHost, HostState};
pub use loader::Pinning;
pub use spawn::{is_pinned, unpin};
pub use tracer::{EbpfTracer, TracerState};
