// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* truncate, ftruncate, fallocate. */
#include "fs.h"

static __always_inline struct fs_call truncate_args(const struct call *call)
{
	bool wide = call->abi & CALL_WIDE;

	switch (call->nr) {
	case NR_TRUNCATE:
		return (struct fs_call){.path = 1, .a = 2 | (wide ? PAIR : SIGNED)};
	case NR_FTRUNCATE:
		return (struct fs_call){.fd = 1, .a = 2 | (wide ? PAIR : SIGNED)};
	default:
		if (wide)
			return (struct fs_call){.fd = 1, .a = 5 | PAIR, .b = 3 | PAIR, .c = 2};
		return (struct fs_call){.fd = 1, .a = 4, .b = 3, .c = 2};
	}
}

SYSCALL_EXIT(truncate_exit)
{
	struct fs_call as = truncate_args(call);

	emit_fs(KIND_TRUNCATE, call, &as);
}
