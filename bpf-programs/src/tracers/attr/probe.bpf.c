// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Mode, owner, times and extended attributes: the calls of the chmod, chown, utime, setxattr and removexattr
 * families.
 */
#include "names.h"

SYSCALL_EXIT(attr_exit)
{
	if (!end_found(KIND_ATTR, call))
		emit_fs(KIND_ATTR, call);
}
