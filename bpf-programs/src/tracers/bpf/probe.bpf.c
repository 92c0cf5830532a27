// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* bpf. */
#include "misc_calls.h"

SYSCALL_EXIT(bpf_exit)
{
	emit_act(KIND_BPF, call, ACT_ATTR);
}
