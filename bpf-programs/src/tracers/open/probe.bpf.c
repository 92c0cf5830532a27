// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* open, openat, openat2, creat, open_by_handle_at: one program for the ends of all of them. */
#include "open.h"

SYSCALL_EXIT(open_exit)
{
	struct task_struct *task = current_task();
	struct open_args args = {};
	struct open_record *r;
	struct scratch *s;
	__u64 file = 0;

	read_args(&args, call);
	s = begin_open(task, &args);
	if (!s)
		return;
	count_seen(KIND_OPEN);
	r = (struct open_record *)s->record;
	r->ret = call->ret;
	if (drops_early(s)) {
		give_back(s);
		return;
	}
	if (call->ret >= 0)
		file = file_of(task, call->ret);
	if (!file)
		put_unopened(s, task, args.dirfd);
	/* The flags of openat2 are in the caller's memory. */
	if (!file || call->nr == NR_OPENAT2 || is_doubtful(task, call))
		r->header.flags |= FLAG_UNVERIFIED;
	if (!file || put_opened(s, task, file))
		emit_data(s, KIND_OPEN);
	give_back(s);
}
