// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* open, openat, openat2, creat, open_by_handle_at: one program for the ends of all of them. */
#include "open.h"

#define O_CREAT_CALL (0100 | 01000 | 01) /* what creat() stands for: O_CREAT | O_TRUNC | O_WRONLY */

static __always_inline void read_args(struct open_args *args, const struct call *call)
{
	int nr = call->nr, at = nr == NR_OPEN || nr == NR_CREAT ? 0 : 1;
	__u64 how[2] = {}; /* struct open_how */

	args->is_handle = nr == NR_OPEN_BY_HANDLE_AT;

	args->dirfd = at ? (__s32)call_arg(call, 0) : CWD;
	args->path = at ? call_arg(call, 1) : call_arg(call, 0);
	args->flags = at ? call_arg(call, 2) : call_arg(call, 1);
	args->mode = at ? call_arg(call, 3) : call_arg(call, 2);
	if (nr == NR_OPENAT2) {
		bpf_probe_read_user(how, sizeof(how), (void *)args->flags);
		args->flags = how[0];
		args->mode = how[1];
		return;
	}
	if (nr == NR_CREAT) {
		args->mode = args->flags;
		args->flags = O_CREAT_CALL;
	}
	args->flags = (__u32)args->flags;
	args->mode = !args->is_handle && args->flags & (O_ACCESS_CREAT | O_TMPFILE_BIT) ? (__u16)args->mode : 0;
}

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
	if (file)
		put_file(s, task, file, &r->file, &r->path);
	else
		put_unopened(s, task, args.dirfd), r->header.flags |= FLAG_UNVERIFIED;
	emit_data(s, KIND_OPEN);
	give_back(s);
}
