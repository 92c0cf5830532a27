// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* ptrace, process_vm_readv, process_vm_writev. */
#include "misc_calls.h"

SYSCALL_EXIT(ptrace_exit)
{
	emit_act(KIND_PTRACE, call, 0);
}
