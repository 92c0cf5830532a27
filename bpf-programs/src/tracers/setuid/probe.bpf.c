// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* setuid, setgid, capset and related calls. */
#include "misc_calls.h"

SYSCALL_EXIT(setuid_exit)
{
	emit_act(KIND_SETUID, call, call->nr == NR_SETGROUPS ? 0 : ACT_IDS);
}
