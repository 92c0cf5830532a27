// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* A program was executed: the caller's memory is already the new program's. Or the exec failed, and the caller
 * continues.
 */
#include "exec_file.h"

#define MAX_ARGS 256	  /* limit for an exec that failed */
#define EMPTY_PATH 0x1000 /* AT_EMPTY_PATH */

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

static __always_inline void put_no_path(struct text *text)
{
	text->len = 0;
	text->flags = TEXT_PATH | TEXT_UNREADABLE;
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

/* Appends up to STRIDE arguments from the `first` on; 1 when there are no more, or no room. A global function,
 * so that the verifier follows the sum of both loops' rounds. The page of an argument that the kernel had not
 * reached may be absent.
 */
__noinline int put_some_args(struct scratch *s, __u64 argv, __u32 abi, __u32 first)
{
	struct call call = {.abi = abi};
	struct exec_record *r;

	if (!s)
		return 1;
	r = (struct exec_record *)s->record;
	for (int i = 0; i < STRIDE; i++) {
		__u64 from = read_user_long(&call, argv, first + i), at = s->size;
		long len;

		if (!from)
			return 1;
		BOUND(at, RECORD_LIMIT - ASKED_LIMIT);
		len = bpf_probe_read_user_str(&s->record[at], ASKED_LIMIT, (void *)from);
		if (!len) /* an empty string, see put_asked */
			s->record[at] = 0, len = 1;
		if (len < 0 || len == ASKED_LIMIT || r->argv.len + len > ARGV_LIMIT) {
			r->argv.flags = TEXT_CUT;
			return 1;
		}
		r->argv.len += len;
		s->size = at + len;
	}
	return 0;
}

/* Appends the arguments of an exec that failed. */
__noinline int put_args(struct scratch *s, __u64 argv, __u32 abi)
{
	struct exec_record *r;

	if (!s)
		return 0;
	r = (struct exec_record *)s->record;
	r->argv.len = r->argv.flags = 0;
	if (!argv)
		return 0;
	for (__u32 i = 0; i < MAX_ARGS; i += STRIDE)
		if (put_some_args(s, argv, abi, i))
			return 0;
	r->argv.flags = TEXT_CUT;
	return 0;
}

/* Fills in what was to be executed, and the folder that the search started from. */
static __always_inline void put_refused(struct scratch *s, struct task_struct *task, const struct call *call)
{
	struct exec_record *r = (struct exec_record *)s->record;
	int at = call->nr == NR_EXECVEAT ? 1 : 0;
	__s32 fd = at ? (__s32)call_arg(call, 0) : CWD;
	__u64 file = given_back(s, 0);

	r->flags = at ? call_arg(call, 4) : 0;
	put_asked(s, call_arg(call, at), false, &r->asked);
	if (!file && r->flags & EMPTY_PATH && !r->asked.len && !r->asked.flags)
		file = file_of(task, fd);
	if (file)
		put_file(s, task, file, &r->file, &r->path);
	else
		put_base(s, task, sizeof(*r), &r->asked, &r->path, fd);
	put_cwd(s, task, &r->cwd);
	r->cgroup.len = 0;
	r->cgroup.flags = TEXT_PATH | TEXT_UNREADABLE;
	put_args(s, call_arg(call, at + 1), call->abi);
	put_no_path(&r->interpreter_path);
}

SYSCALL_EXIT(exec_refused)
{
	struct task_struct *task = current_task();
	struct exec_record *r;
	struct scratch *s;

	if (call->ret >= 0 || !is_traced(KIND_EXEC, task))
		return;
	count_seen(KIND_EXEC);
	s = take_scratch();
	if (!s) {
		count_lost(KIND_EXEC);
		return;
	}
	r = (struct exec_record *)s->record;
	fill_header(s, task, KIND_EXEC, true);
	r->file = r->interpreter = (struct file_id){};
	r->header.flags |= FLAG_UNVERIFIED;
	r->ret = call->ret;
	r->call = call->nr;
	if (!drops_early(s)) {
		s->size = sizeof(*r);
		put_refused(s, task, call);
		if (!get_rules() || !apply_rules(s, true))
			emit_lifecycle(s, KIND_EXEC, true);
	}
	give_back(s);
}
