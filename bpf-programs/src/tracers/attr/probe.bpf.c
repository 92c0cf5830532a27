// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Mode, owner, times and extended attributes: the calls of the chmod, chown, utime, setxattr and removexattr
 * families.
 */
#include "fs.h"

SYSCALL_EXIT(attr_exit)
{
	emit_fs(KIND_ATTR, call);
}
