// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* rename, renameat, renameat2. */
#include "fs.h"

SYSCALL_EXIT(rename_exit)
{
	emit_fs(KIND_RENAME, call);
}
