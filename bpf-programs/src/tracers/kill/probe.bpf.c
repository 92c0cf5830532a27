// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal. */
#include "misc_calls.h"

SYSCALL_EXIT(kill_exit)
{
	bool by_thread = call->nr == NR_TGKILL || call->nr == NR_RT_TGSIGQUEUEINFO;

	emit_act(KIND_KILL, call, call->nr == NR_PIDFD_SEND_SIGNAL ? ACT_PIDFD : ACT_TARGET(by_thread ? 2 : 1));
}
