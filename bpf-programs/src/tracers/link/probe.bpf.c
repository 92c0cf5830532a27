// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* link, linkat, symlink, symlinkat. */
#include "fs.h"

static __always_inline struct fs_call link_args(int nr)
{
	switch (nr) {
	case NR_LINK:
		return (struct fs_call){.path = 1, .path2 = 2};
	case NR_LINKAT:
		return (struct fs_call){.fd = 1, .path = 2, .fd2 = 3, .path2 = 4, .a = 5};
	case NR_SYMLINK:
		return (struct fs_call){.path = 2, .word = 1};
	default:
		return (struct fs_call){.fd = 2, .path = 3, .word = 1};
	}
}

SYSCALL_EXIT(link_exit)
{
	struct fs_call as = link_args(call->nr);

	emit_fs(KIND_LINK, call, &as);
}
