// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* A program was executed: the caller's memory is already the new program's. */
#include "file.h"

/* The arguments as they lie in the new program's memory; the kernel has just written them there. */
static __always_inline void put_argv(struct scratch *s, struct task_struct *task, struct text *text)
{
	__u64 from = task->mm->arg_start, len = task->mm->arg_end - from, at = s->size;

	text->flags = len > ARGV_LIMIT ? TEXT_CUT : 0;
	BOUND(len, ARGV_LIMIT);
	BOUND(at, RECORD_LIMIT - ARGV_LIMIT);
	if (bpf_probe_read_user(&s->record[at], len, (void *)from)) {
		text->flags = TEXT_UNREADABLE;
		len = 0;
	}
	text->len = len;
	s->size = at + len;
}

static __always_inline void put_filename(struct scratch *s, struct linux_binprm *bprm, struct text *text)
{
	__u64 at = s->size;
	long len;

	text->len = 0;
	text->flags = TEXT_UNREADABLE;
	BOUND(at, RECORD_LIMIT - ASKED_LIMIT);
	len = bpf_probe_read_kernel_str(&s->record[at], ASKED_LIMIT, bprm->filename);
	if (len <= 0)
		return;
	text->flags = 0;
	text->len = len - 1;
	s->size = at + len - 1;
}

SEC("tp_btf/sched_process_exec")
int exec_done(__u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	struct linux_binprm *bprm = (struct linux_binprm *)ctx[2];
	bool traced = is_traced(KIND_EXEC, task);
	struct exec_record *r;
	struct scratch *s;

	if (traced)
		count_seen(KIND_EXEC);
	s = take_scratch();
	if (!s) {
		lose_lifecycle(KIND_EXEC, traced);
		return 0;
	}
	r = (struct exec_record *)s->record;
	fill_header(s, task, KIND_EXEC, traced);
	r->pad = 0;
	s->size = sizeof(*r);
	put_filename(s, bprm, &r->asked);
	put_exe(s, task, &r->exe);
	put_cwd(s, task, &r->cwd);
	put_cgroup(s, task, &r->cgroup);
	put_argv(s, task, &r->argv);
	emit_lifecycle(s, KIND_EXEC, traced);
	give_back(s);
	return 0;
}
