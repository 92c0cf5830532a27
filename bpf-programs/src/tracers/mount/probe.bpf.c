// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* mount, umount2, pivot_root, move_mount, open_tree, open_tree_attr, mount_setattr, fspick. */
#include "fs.h"

SYSCALL_EXIT(mount_exit)
{
	emit_fs(KIND_MOUNT, call);
}
