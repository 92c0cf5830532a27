// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Files that chmod, chown, utimes, setxattr and removexattr have found; the programs at the ends of the calls (probe.bpf.c)
 * add the result. Functions of extended attributes have no mount as a parameter: mnt_want_write, which comes before, has it.
 */
#include "names.h"

#if TIER == FUNCTION

PATH_FOUND(chmod_found, KIND_ATTR, chmod_path)
PATH_FOUND(chown_found, KIND_ATTR, chown_path)
PATH_FOUND(utimes_found, KIND_ATTR, utimes_path)

POSITION(xattr_mount_at);

static __always_inline bool is_xattr_by_path(__u32 nr)
{
	return nr == NR_SETXATTR || nr == NR_LSETXATTR || nr == NR_REMOVEXATTR || nr == NR_LREMOVEXATTR ||
	       nr == NR_SETXATTRAT || nr == NR_REMOVEXATTRAT;
}

/* mnt_want_write: the mount. Overlayfs calls the function again for its upper layer; by then the file is known. */
FUNCTION_ENTRY(xattr_mount)
{
	struct call call = {.regs = current_regs()};
	struct task_struct *task = current_task();
	struct doing *now;
	__u64 asked;

	name_call(&call);
	if (!is_xattr_by_path(call.nr) || !is_traced(KIND_ATTR, task) || task->flags & (PF_IO_WORKER | PF_KTHREAD))
		return 0;
	asked = arg(&call, fs_calls[call.nr & CALL_NR].path);
	now = doing_now(KIND_ATTR);
	if (now && now->object && now->nr == call.nr && now->asked == asked)
		return 0;
	now = begin_doing(KIND_ATTR);
	if (!now)
		return 0;
	drop_kept(task_address());
	now->done = 1;
	now->nr = call.nr;
	now->asked = asked;
	now->mnt = argument(ctx, xattr_mount_at);
	return 0;
}

static __always_inline void note_xattr(__u64 dentry, __u64 name)
{
	struct call call = {.regs = current_regs()};
	struct doing *now = doing_now(KIND_ATTR);
	struct scratch *s;

	if (!now || !now->mnt || now->object)
		return;
	name_call(&call);
	now->object = 1;
	s = begin_fs(KIND_ATTR, current_task(), call.nr);
	if (!s)
		return;
	read_fs_call(s, call.abi);
	s->walk.mnt = now->mnt;
	keep_found(s, now, dentry, name);
	give_back(s);
}

/* A kernel may lack the function. Then the program is attached to a substitute, which has no parameter with the expected
 * name, and does nothing.
 */
#define XATTR_FOUND(program, position_of_dentry, position_of_name)                                           \
	POSITION(position_of_dentry);                                                                        \
	POSITION(position_of_name);                                                                          \
	FUNCTION_ENTRY(program)                                                                              \
	{                                                                                                    \
		if (position_of_name != ABSENT)                                                              \
			note_xattr(argument(ctx, position_of_dentry), argument(ctx, position_of_name));      \
		return 0;                                                                                    \
	}

XATTR_FOUND(xattr_set, xattr_set_dentry, xattr_set_name)
XATTR_FOUND(xattr_removed, xattr_removed_dentry, xattr_removed_name)
XATTR_FOUND(acl_set, acl_set_dentry, acl_set_name)
XATTR_FOUND(acl_removed, acl_removed_dentry, acl_removed_name)

#endif
