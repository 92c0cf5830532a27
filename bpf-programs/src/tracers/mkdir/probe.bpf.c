// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* mkdir, mkdirat, mknod, mknodat. */
#include "fs.h"

SYSCALL_EXIT(mkdir_exit)
{
	emit_fs(KIND_MKDIR, call);
}
