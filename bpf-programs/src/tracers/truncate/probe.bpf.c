// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* truncate, ftruncate, fallocate. */
#include "names.h"

SYSCALL_EXIT(truncate_exit)
{
	if (!end_found(KIND_TRUNCATE, call))
		emit_fs(KIND_TRUNCATE, call);
}
