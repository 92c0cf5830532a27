// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* unlink, unlinkat, rmdir at the functions that do the work; and the resolution of paths for all calls that change names. */
#include "names.h"

#if TIER == FUNCTION

#define REMOVE_FOLDER 0x200 /* AT_REMOVEDIR */

#define ECHILD 10

struct nameidata {
	struct qstr last;
	int last_type;
	struct filename *name;
} CO_RE;

POSITION(parentat_nd);
POSITION(parentat_name);
POSITION(parentat_parent);
POSITION(parentat_last);
POSITION(parentat_type);
POSITION(parentat_result);

/* The kernel has resolved a path up to its last name, or has not found it: the end of path_parentat. If the compiler has
 * inlined path_parentat, the end of __filename_parentat, which on x86 before 6.6 has too many parameters for a trampoline.
 */
FUNCTION_EXIT(names_resolved)
{
	struct doing *now = bpf_task_storage_get(&doing, bpf_get_current_task_btf(), 0, 0);
	struct found found = {
		.parent = argument(ctx, parentat_parent),
		.ret = argument(ctx, parentat_result),
	};
	__u64 name = 0;
	struct scratch *s;

	if (!now || !now->kind || now->kind == KIND_OPEN)
		return 0;
	if (parentat_nd != ABSENT) {
		__u64 nd = argument(ctx, parentat_nd);

		if (found.ret == -ECHILD) /* the kernel repeats the search with locks */
			return 0;
		READ(&name, nd, struct nameidata, name);
		found.last = nd + OFFSET(struct nameidata, last);
		found.type = nd + OFFSET(struct nameidata, last_type);
	} else {
		name = argument(ctx, parentat_name);
		found.last = argument(ctx, parentat_last);
		found.type = argument(ctx, parentat_type);
	}
	if (!found.ret)
		READ(&now->mnt, found.parent, struct path, mnt);
	if (name != now->name && name != now->name2)
		return 0;
	now->kept = 1;
	if (name == now->name) {
		now->object = 0;
		s = begin_record(now);
		if (s)
			put_first_found(s, &found);
	} else {
		s = now->kind == KIND_RENAME ? recall(task_address()) : begin_record(now);
		if (s && now->kind != KIND_RENAME)
			put_first(s, current_task());
		if (s)
			put_second_found(s, &found);
	}
	if (!s)
		return 0;
	keep_record(s, now);
	give_back(s);
	return 0;
}

POSITION(unlinkat_dfd);
POSITION(unlinkat_name);
POSITION(rmdir_dfd);
POSITION(rmdir_name);

FUNCTION_ENTRY(unlink_begins)
{
	struct worked worked = {.nr = NR_UNLINKAT, .fd = argument(ctx, unlinkat_dfd)};

	begin_names(KIND_UNLINK, argument(ctx, unlinkat_name), &worked);
	return 0;
}

NAMES_OBJECT(unlink_file, KIND_UNLINK, unlink_dentry)
NAMES_EXIT(unlink_ends, KIND_UNLINK, unlinkat_result)

FUNCTION_ENTRY(rmdir_begins)
{
	struct worked worked = {.nr = NR_UNLINKAT, .fd = argument(ctx, rmdir_dfd), .a = REMOVE_FOLDER};

	begin_names(KIND_UNLINK, argument(ctx, rmdir_name), &worked);
	return 0;
}

NAMES_OBJECT(rmdir_folder, KIND_UNLINK, rmdir_dentry)
NAMES_EXIT(rmdir_ends, KIND_UNLINK, rmdir_result)

#endif
