// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Files that chmod, chown, utimes, setxattr and removexattr have found; the programs at the ends of the calls (probe.bpf.c)
 * add the result. Functions of extended attributes have no mount as a parameter: mnt_want_write, which comes before, has it;
 * for a file that is open, mnt_want_write_file has the file.
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

static __always_inline bool is_xattr_by_file(__u32 nr)
{
	return nr == NR_FSETXATTR || nr == NR_FREMOVEXATTR || nr == NR_SETXATTRAT || nr == NR_REMOVEXATTRAT;
}

/* Notes that the current call is about to change the attributes of a file of this mount. */
static __always_inline struct doing *begin_xattr(__u32 nr, __u64 asked, __u64 mnt)
{
	struct doing *now = begin_doing(KIND_ATTR);

	if (!now)
		return NULL;
	drop_kept(task_address());
	now->done = 1;
	now->nr = nr;
	now->asked = asked;
	now->mnt = mnt;
	return now;
}

/* The same for the request of a worker of io_uring, where these requests are done. Its record is kept since its submission;
 * `asked` is the request.
 */
static __always_inline void begin_xattr_of_worker(__u64 mnt)
{
	__u64 req = has_kept() ? request_of_worker() : 0;
	struct doing *now = doing_now(KIND_ATTR);
	__u8 op = 0;

	READ(&op, req, struct io_kiocb, opcode);
	if (req && op == OP_SETXATTR && !(now && now->object && now->asked == req))
		begin_xattr(NR_SETXATTR, req, mnt);
}

/* mnt_want_write: the mount. Overlayfs calls the function again for its upper layer; by then the file is known. */
FUNCTION_ENTRY(xattr_mount)
{
	struct call call = {.regs = current_regs()};
	__u64 mnt = argument(ctx, xattr_mount_at), asked;
	struct task_struct *task = current_task();
	struct doing *now;

	if (task->flags & PF_IO_WORKER) {
		begin_xattr_of_worker(mnt);
		return 0;
	}
	name_call(&call);
	if (!is_xattr_by_path(call.nr) || !is_traced(KIND_ATTR, task) || task->flags & PF_KTHREAD)
		return 0;
	asked = arg(&call, fs_calls[call.nr & CALL_NR].path);
	now = doing_now(KIND_ATTR);
	if (now && now->object && now->nr == call.nr && now->asked == asked)
		return 0;
	begin_xattr(call.nr, asked, mnt);
	return 0;
}

POSITION(xattr_file_at);

/* mnt_want_write_file: the file behind the descriptor. */
FUNCTION_ENTRY(xattr_file)
{
	struct call call = {.regs = current_regs()};
	__u64 file = argument(ctx, xattr_file_at);
	struct task_struct *task = current_task();
	struct scratch *s;
	struct doing *now;

	name_call(&call);
	if (!is_xattr_by_file(call.nr) || !is_traced(KIND_ATTR, task) || task->flags & (PF_IO_WORKER | PF_KTHREAD))
		return 0;
	now = begin_xattr(call.nr, 0, ADDRESS(file, struct file, f_path.mnt));
	if (!now)
		return 0;
	now->file = file;
	s = take_scratch();
	if (!s)
		return 0;
	note_file(s, ADDRESS(file, struct file, f_path.dentry), &now->id);
	give_back(s);
	return 0;
}

/* Replaces the folder of the current request's path by the path as resolved, and adds the file. A global function, so that it
 * is verified once; the addresses are in `doing`, because a typed pointer cannot be an argument.
 */
__noinline int resolve_request(__u64 req)
{
	struct doing *now = doing_now(KIND_ATTR);
	struct scratch *s = now ? recall(req) : NULL;
	struct fs_record *r;
	__u64 len;

	if (!now || !s)
		return 0;
	r = (struct fs_record *)s->record;
	len = r->asked.len;
	BOUND(len, ASKED_LIMIT);
	s->size = sizeof(*r) + len;
	s->given.has = 0;
	s->walk.mnt = now->mnt;
	put_found(s, now->name, now->word);
	keep_owned(s, req, KIND_ATTR);
	give_back(s);
	return 0;
}

/* Keeps the record with the kernel's copy of the attribute's name. */
static __always_inline void note_xattr(__u64 dentry, __u64 name)
{
	struct call call = {.regs = current_regs()};
	struct doing *now = doing_now(KIND_ATTR);
	struct scratch *s;

	if (!now || !now->mnt || now->object)
		return;
	now->object = 1;
	now->file = 0;
	if (current_task()->flags & PF_IO_WORKER) {
		now->name = dentry;
		now->word = name;
		if (now->asked == request_of_worker())
			resolve_request(now->asked);
		return;
	}
	name_call(&call);
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
