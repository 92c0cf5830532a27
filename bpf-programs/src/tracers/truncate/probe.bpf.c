// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* truncate, ftruncate, fallocate. */
#include "fs.h"

SYSCALL_EXIT(truncate_exit)
{
	emit_fs(KIND_TRUNCATE, call);
}
