// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* link, linkat, symlink, symlinkat. */
#include "fs.h"

SYSCALL_EXIT(link_exit)
{
	emit_fs(KIND_LINK, call);
}
