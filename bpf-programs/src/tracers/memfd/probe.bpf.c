// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* memfd_create. */
#include "misc_calls.h"

SYSCALL_EXIT(memfd_exit)
{
	emit_act(KIND_MEMFD, call, 1 | ACT_MADE | ACT_NAMED);
}
