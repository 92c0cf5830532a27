// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* rename, renameat, renameat2 at the functions that do the work. */
#include "names.h"

#if TIER == FUNCTION

POSITION(renameat_from);
POSITION(renameat_to);
POSITION(renameat_olddfd);
POSITION(renameat_newdfd);
POSITION(renameat_flags);
POSITION(rename_data);

FUNCTION_ENTRY(rename_begins)
{
	struct worked worked = {
		.nr = NR_RENAMEAT2,
		.fd = argument(ctx, renameat_olddfd),
		.fd2 = argument(ctx, renameat_newdfd),
		.a = (__u32)argument(ctx, renameat_flags),
	};
	struct doing *now = begin_names(KIND_RENAME, argument(ctx, renameat_from), &worked);

	if (now)
		now->name2 = argument(ctx, renameat_to);
	keep_asked(now);
	return 0;
}

/* vfs_rename: the renamed file, and the file that it replaces, before the change. */
FUNCTION_ENTRY(rename_files)
{
	struct doing *now = doing_now(KIND_RENAME);
	__u64 data = argument(ctx, rename_data), from = 0, to = 0;
	struct scratch *s;

	if (!now || now->object)
		return 0;
	now->object = 1;
	READ(&from, data, struct renamedata, old_dentry);
	READ(&to, data, struct renamedata, new_dentry);
	s = take_scratch();
	if (!s)
		return 0;
	note_file(s, from, &now->id);
	note_file(s, to, &now->replaced);
	give_back(s);
	return 0;
}

NAMES_EXIT(rename_ends, KIND_RENAME, renameat_result)

#endif
