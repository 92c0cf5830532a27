// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* truncate, ftruncate, fallocate, ioctl. */
#include "names.h"

SYSCALL_EXIT(truncate_exit)
{
	if (!end_found(KIND_TRUNCATE, call))
		emit_fs(KIND_TRUNCATE, call);
}

/* ioctl, with one of the commands by which it does the same as fallocate. */
SYSCALL_EXIT(truncate_ioctl)
{
	if (space_flags(call_arg(call, 1)))
		emit_fs(KIND_TRUNCATE, call);
}
