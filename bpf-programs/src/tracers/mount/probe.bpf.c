// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* mount, umount2, pivot_root, move_mount, open_tree, mount_setattr. */
#include "fs.h"

static __always_inline struct fs_call mount_args(int nr)
{
	switch (nr) {
	case NR_MOUNT:
		return (struct fs_call){.path = 2, .path2 = 1, .word = 3, .a = 4};
	case NR_UMOUNT2:
		return (struct fs_call){.path = 1, .a = 2};
	case NR_PIVOT_ROOT:
		return (struct fs_call){.path = 1, .path2 = 2};
	case NR_OPEN_TREE:
	case NR_MOUNT_SETATTR:
		return (struct fs_call){.fd = 1, .path = 2, .a = 3};
	default:
		return (struct fs_call){.fd = 1, .path = 2, .fd2 = 3, .path2 = 4, .a = 5};
	}
}

SYSCALL_EXIT(mount_exit)
{
	struct fs_call as = mount_args(call->nr);

	emit_fs(KIND_MOUNT, call, &as);
}
