// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* unlink, unlinkat, rmdir. */
#include "fs.h"

static __always_inline struct fs_call unlink_args(int nr)
{
	switch (nr) {
	case NR_UNLINKAT:
		return (struct fs_call){.fd = 1, .path = 2, .a = 3};
	default:
		return (struct fs_call){.path = 1};
	}
}

SYSCALL_EXIT(unlink_exit)
{
	struct fs_call as = unlink_args(call->nr);

	emit_fs(KIND_UNLINK, call, &as);
}
