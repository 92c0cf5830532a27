// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* mkdir, mkdirat, mknod, mknodat at the functions that do the work. */
#include "names.h"

#if TIER == FUNCTION

POSITION(mkdirat_dfd);
POSITION(mkdirat_name);
POSITION(mkdirat_mode);
POSITION(mknodat_name);

FUNCTION_ENTRY(mkdir_begins)
{
	struct worked worked = {
		.nr = NR_MKDIRAT,
		.fd = argument(ctx, mkdirat_dfd),
		.a = (__u16)argument(ctx, mkdirat_mode),
	};

	begin_names(KIND_MKDIR, argument(ctx, mkdirat_name), &worked);
	return 0;
}

NAMES_MADE(mkdir_made, KIND_MKDIR, mkdir_dentry, mkdir_result)
NAMES_EXIT(mkdir_ends, KIND_MKDIR, mkdirat_result)

/* io_uring has no such operation. */
FUNCTION_ENTRY(mknod_begins)
{
	struct worked none = {};

	begin_names(KIND_MKDIR, argument(ctx, mknodat_name), &none);
	return 0;
}

NAMES_MADE(mknod_made, KIND_MKDIR, mknod_dentry, mknod_result)
NAMES_MADE(create_made, KIND_MKDIR, create_dentry, create_result)
NAMES_EXIT(mknod_ends, KIND_MKDIR, mknodat_result)

#endif
