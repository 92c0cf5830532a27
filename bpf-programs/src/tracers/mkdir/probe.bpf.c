// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* mkdir, mkdirat, mknod, mknodat. */
#include "fs.h"

static __always_inline struct fs_call mkdir_args(int nr)
{
	switch (nr) {
	case NR_MKDIR:
		return (struct fs_call){.path = 1, .a = 2};
	case NR_MKDIRAT:
		return (struct fs_call){.fd = 1, .path = 2, .a = 3};
	case NR_MKNOD:
		return (struct fs_call){.path = 1, .a = 2, .b = 3};
	default:
		return (struct fs_call){.fd = 1, .path = 2, .a = 3, .b = 4};
	}
}

SYSCALL_EXIT(mkdir_exit)
{
	struct fs_call as = mkdir_args(call->nr);

	emit_fs(KIND_MKDIR, call, &as);
}
