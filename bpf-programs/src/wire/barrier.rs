//! Waiting for eBPF programs that are running.

use std::io;

/// Value of `MEMBARRIER_CMD_GLOBAL` (linux/membarrier.h).
const GLOBAL: libc::c_int = 1;

/// Returns once every eBPF program that was running on any CPU at the time of the call has ended: the kernel waits for an
/// RCU grace period (kernel/sched/membarrier.c), and programs are RCU readers.
///
/// # Errors
/// Fails on a kernel with CPUs that have no clock tick (`nohz_full`).
pub fn wait_for_programs() -> io::Result<()> {
    // SAFETY: the call takes three numbers and touches no memory of ours.
    let done = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
