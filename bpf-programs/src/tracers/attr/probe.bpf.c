// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Mode, owner, times and extended attributes: the calls of the chmod, chown, utime, setxattr and removexattr
 * families.
 */
#include "fs.h"

static __always_inline struct fs_call attr_args(int nr)
{
	switch (nr) {
	case NR_CHMOD:
		return (struct fs_call){.path = 1, .a = 2};
	case NR_FCHMOD:
		return (struct fs_call){.fd = 1, .a = 2};
	case NR_FCHMODAT:
		return (struct fs_call){.fd = 1, .path = 2, .a = 3};
	case NR_FCHMODAT2:
		return (struct fs_call){.fd = 1, .path = 2, .a = 3, .b = 4};
	case NR_CHOWN:
	case NR_LCHOWN:
		return (struct fs_call){.path = 1, .a = 2 | ID, .b = 3 | ID};
	case NR_FCHOWN:
		return (struct fs_call){.fd = 1, .a = 2 | ID, .b = 3 | ID};
	case NR_FCHOWNAT:
		return (struct fs_call){.fd = 1, .path = 2, .a = 3 | ID, .b = 4 | ID, .c = 5};
	case NR_UTIME:
	case NR_UTIMES:
		return (struct fs_call){.path = 1};
	case NR_FUTIMESAT:
		return (struct fs_call){.fd = 1, .path = 2};
	case NR_UTIMENSAT:
		return (struct fs_call){.fd = 1, .path = 2, .a = 4};
	case NR_SETXATTR:
	case NR_LSETXATTR:
		return (struct fs_call){.path = 1, .word = 2, .a = 4, .b = 5};
	case NR_FSETXATTR:
		return (struct fs_call){.fd = 1, .word = 2, .a = 4, .b = 5};
	case NR_SETXATTRAT:
		return (struct fs_call){.fd = 1, .path = 2, .word = 4, .c = 3};
	case NR_REMOVEXATTRAT:
		return (struct fs_call){.fd = 1, .path = 2, .word = 4, .a = 3};
	case NR_REMOVEXATTR:
	case NR_LREMOVEXATTR:
		return (struct fs_call){.path = 1, .word = 2};
	default:
		return (struct fs_call){.fd = 1, .word = 2};
	}
}

SYSCALL_EXIT(attr_exit)
{
	struct fs_call as = attr_args(call->nr);

	emit_fs(KIND_ATTR, call, &as);
}
