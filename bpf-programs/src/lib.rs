//! Kernel tracers: their records, their eBPF programs, and the actors that read and decode the records.
//!
//! [`spawn`] starts them under a supervisor; [`check()`] reports which can run with this kernel and these permissions.
//! Each tracer (`open`, `exec`, …) has a directory with its eBPF program in C and its decoder in Rust; [`tracers()`] lists
//! all of them.
//!
//! ```text
//!  eBPF programs ─▶ ring buffers ─▶ EbpfHost ─▶ a queue per tracer ─▶ EbpfTracer ─▶ the collector
//!  (*.bpf.c)                        (host)                            (tracer, tracers/<name>/mod.rs)
//! ```

mod by_function;
mod cast;
mod catalog;
mod checks;
mod config;
mod errors;
mod facts;
mod fleet;
mod fuzz_target;
mod host;
mod kernel;
mod ledger;
mod loader;
mod lowered;
mod manifest;
mod pin_choice;
mod programs;
mod prototypes;
mod spawn;
mod subvolumes;
mod syscalls;
mod system_folders;
pub mod template;
#[doc(hidden)]
pub mod testing;
mod text;
mod tier;
mod tracer;
mod tracers;
mod trampoline;
mod unseen;
mod wire;

pub use catalog::tracers;
pub use checks::{Check, Checks, check};
pub use config::{EbpfConfig, KernelSettings, TracerConfig, TracersConfig};
pub use fleet::{EbpfTracers, NotSwitched, TracerHandle, spawn};
pub use fuzz_target::FUZZ_TARGETS;
pub use loader::Pinning;
pub use pin_choice::PinChoice;
pub use programs::Tracer;
pub use spawn::{leave_many_links, unpin};
pub use tier::Tier;
pub use tracer::{EbpfTracer, TracerState};
