// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* A program was executed: the caller's memory is already the new program's. Or the exec failed, and the caller
 * continues.
 */
#include "exec_refused.h"

/* Appends the arguments from the new program's memory, where the kernel has just written them. */
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
	len = bpf_probe_read_kernel_str(&s->record[at], ASKED_LIMIT, GET(bprm, filename));
	if (len <= 0)
		return;
	text->flags = 0;
	text->len = len - 1;
	s->size = at + len - 1;
}

/* An exec is about to succeed (6.10 and later). */
TRACEPOINT(sched_prepare_exec)
int exec_prepared(__u64 *ctx)
{
	note_script(ARG(ctx, 1, struct linux_binprm));
	return 0;
}

TRACEPOINT(sched_process_exec)
int exec_done(__u64 *ctx)
{
	struct task_struct *task = current_task();
	struct linux_binprm *bprm = ARG(ctx, 2, struct linux_binprm);
	bool traced = is_traced(KIND_EXEC, task), interpreted;
	struct exec_record *r;
	struct scratch *s;
	__u64 exe, file;

	if (traced)
		count_seen(KIND_EXEC);
	s = take_scratch();
	if (!s) {
		lose_lifecycle(KIND_EXEC, traced);
		return 0;
	}
	r = (struct exec_record *)s->record;
	fill_header(s, task, KIND_EXEC, traced);
	r->ret = r->flags = 0;
	r->call = GET(bprm, fdpath) ? EXEC_BY_DESCRIPTOR : 0;
	s->size = sizeof(*r);
	put_filename(s, bprm, &r->asked);
	r->file = r->interpreter = (struct file_id){};
	exe = (__u64)task->mm->exe_file;
	interpreted = is_interpreted(bprm);
	file = interpreted ? find_script(s, task, bprm) : exe;
	if (file)
		put_file(s, task, file, &r->file, &r->path);
	else
		put_no_path(&r->path);
	put_cwd(s, task, &r->cwd);
	put_cgroup(s, task, &r->cgroup);
	put_argv(s, task, &r->argv);
	put_no_path(&r->interpreter_path);
	if (interpreted)
		put_other_file(s, task, exe, &r->interpreter, &r->interpreter_path);
	emit_lifecycle(s, KIND_EXEC, traced);
	give_back(s);
	return 0;
}

SYSCALL_EXIT(exec_refused)
{
	if (call->ret < 0 && is_traced(KIND_EXEC, current_task()) && !is_recorded_exec())
		emit_refused(call, 0);
}
