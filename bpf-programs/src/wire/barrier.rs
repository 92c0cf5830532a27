//! Waiting for eBPF programs that are running.

use std::io;

/// `MEMBARRIER_CMD_GLOBAL`.
const GLOBAL: libc::c_int = 1;

/// Returns once every eBPF program that ran on any CPU as this was called has ended: the kernel does so by waiting for a
/// grace period of RCU (kernel/sched/membarrier.c), and programs are readers.
///
/// # Errors
/// A kernel with CPUs that have no clock tick (`nohz_full`) refuses.
pub fn wait_for_programs() -> io::Result<()> {
    // SAFETY: the call takes three numbers and touches no memory of ours.
    let done = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
