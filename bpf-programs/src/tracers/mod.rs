//! Kernel tracers, a directory each: the eBPF program in C, and in Rust its hooks and the decoder of its records.
//!
//! Tracers whose records have the same shape share a decoder: `fs` for calls on files, `act` for calls that act on
//! processes or the kernel, `sock` for sockets. [`lifecycle`] only keeps the process table, and the `uring` modules are
//! programs that several tracers share.

pub(crate) mod accept;
pub(crate) mod act;
pub(crate) mod attr;
pub(crate) mod bind;
pub(crate) mod bpf;
pub(crate) mod clone;
pub(crate) mod close;
pub(crate) mod connect;
pub(crate) mod dns;
pub(crate) mod exec;
pub(crate) mod exit;
pub(crate) mod fs;
pub(crate) mod ipc;
pub(crate) mod kill;
pub(crate) mod lifecycle;
pub(crate) mod link;
pub(crate) mod memfd;
pub(crate) mod mkdir;
pub(crate) mod module;
pub(crate) mod mount;
pub(crate) mod namespace;
pub(crate) mod open;
pub(crate) mod ptrace;
pub(crate) mod rename;
pub(crate) mod setuid;
pub(crate) mod sock;
pub(crate) mod truncate;
pub(crate) mod udp;
pub(crate) mod unlink;
pub(crate) mod uring;
pub(crate) mod uring_sock;
pub(crate) mod uring_udp;
pub(crate) mod uring_unposted;
pub(crate) mod usage;
