// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* ptrace, process_vm_readv, process_vm_writev, pidfd_getfd, process_madvise. */
#include "misc_calls.h"

SYSCALL_EXIT(ptrace_exit)
{
	__u32 how = call->nr == NR_PIDFD_GETFD ? ACT_PIDFD | ACT_MADE : call->nr == NR_PROCESS_MADVISE ? ACT_PIDFD : 0;

	emit_act(KIND_PTRACE, call, how);
}
