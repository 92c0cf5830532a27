// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* ptrace, process_vm_readv, process_vm_writev, pidfd_getfd, process_madvise. */
#include "misc_calls.h"

SYSCALL_EXIT(ptrace_exit)
{
	__u32 how = ACT_TARGET(1);

	if (call->nr == NR_PIDFD_GETFD)
		how = ACT_PIDFD | ACT_MADE;
	else if (call->nr == NR_PROCESS_MADVISE)
		how = ACT_PIDFD;
	else if (call->nr == NR_PTRACE) /* PTRACE_TRACEME, 0, is about the caller, and its other arguments mean nothing */
		how = call_arg(call, 0) ? ACT_TARGET(2) : 0;
	emit_act(KIND_PTRACE, call, how);
}
