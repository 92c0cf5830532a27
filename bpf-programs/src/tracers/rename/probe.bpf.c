// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* rename, renameat, renameat2. */
#include "fs.h"

static __always_inline struct fs_call rename_args(int nr)
{
	switch (nr) {
	case NR_RENAME:
		return (struct fs_call){.path = 1, .path2 = 2};
	case NR_RENAMEAT:
		return (struct fs_call){.fd = 1, .path = 2, .fd2 = 3, .path2 = 4};
	default:
		return (struct fs_call){.fd = 1, .path = 2, .fd2 = 3, .path2 = 4, .a = 5};
	}
}

SYSCALL_EXIT(rename_exit)
{
	struct fs_call as = rename_args(call->nr);

	emit_fs(KIND_RENAME, call, &as);
}
