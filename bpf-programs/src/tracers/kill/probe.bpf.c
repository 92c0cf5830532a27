// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal. */
#include "misc_calls.h"

SYSCALL_EXIT(kill_exit)
{
	emit_act(KIND_KILL, call, call->nr == NR_PIDFD_SEND_SIGNAL ? ACT_PIDFD : 0);
}
