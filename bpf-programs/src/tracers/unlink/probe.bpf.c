// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* unlink, unlinkat, rmdir. */
#include "fs.h"

SYSCALL_EXIT(unlink_exit)
{
	emit_fs(KIND_UNLINK, call);
}
