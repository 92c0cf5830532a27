// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Events that keep the process table up to date, besides exec, clone and exit. */
#include "targets.h"

static __always_inline struct process_record *begin(struct scratch *s, struct task_struct *task, __u32 kind)
{
	struct process_record *r = (struct process_record *)s->record;
	struct text none = {.flags = TEXT_PATH | TEXT_UNREADABLE};

	fill_header(s, task, kind, false);
	r->exe = r->cwd = r->cgroup = none;
	r->pad = 0;
	s->size = sizeof(*r);
	return r;
}

SYSCALL_EXIT(chdir_exit)
{
	struct task_struct *task = current_task();
	struct process_record *r;
	struct scratch *s;

	if (call->ret)
		return;
	s = take_scratch();
	if (!s) {
		lose_lifecycle(KIND_CHDIR, false);
		return;
	}
	r = begin(s, task, KIND_CHDIR);
	put_cwd(s, task, &r->cwd);
	emit_lifecycle(s, KIND_CHDIR, false);
	give_back(s);
}

#define PTRACE_TRACEME 0
#define PTRACE_ATTACH 16
#define PTRACE_SEIZE 0x4206

/* A debugger has attached to a process. */
LEDGER_EXIT(debugger_exit)
{
	struct task_struct *task = current_task();
	__u64 request = call_arg(call, 0), pid, node = 0, thread, leader = 0;

	if (call->ret)
		return;
	if (request == PTRACE_TRACEME)
		meddle(task, MEDDLED_CALLS);
	if (request != PTRACE_ATTACH && request != PTRACE_SEIZE)
		return;
	pid = pid_of_number(task, call_arg(call, 1));
	COPY(&node, pid, struct pid, tasks[0].first);
	if (!pid || !node)
		return;
	thread = node - OFFSET(struct task_struct, pid_links[0]);
	COPY(&leader, thread, struct task_struct, group_leader);
	meddle_with(leader, MEDDLED_CALLS);
}

/* A process was moved: recorded for its leader, which the table knows; the moving process does not matter. */
TRACEPOINT(cgroup_attach_task)
int cgroup_moved(__u64 *ctx)
{
	struct task_struct *task = ARG(ctx, 2, struct task_struct);
	struct process_record *r;
	struct scratch *s;

	if (GET(task, pid) != GET(task, tgid))
		return 0;
	s = take_scratch();
	if (!s) {
		lose_lifecycle(KIND_CGROUP, false);
		return 0;
	}
	r = begin(s, task, KIND_CGROUP);
	put_cgroup(s, task, &r->cgroup);
	emit_lifecycle(s, KIND_CGROUP, false);
	give_back(s);
	return 0;
}

/* True if the current process is the agent. Who may start the iterator or read the settings is root anyway, but only
 * the agent has the number in its memory.
 */
static __always_inline bool has_proof(struct settings *set)
{
	__u64 shown = 0, proof = set->proof;

	return proof && !bpf_probe_read_user(&shown, sizeof(shown), (void *)set->proof_at) && shown == proof;
}

/* Lists the processes that already run; each group leader is written to the reader of the iterator. */
SEC("iter/task")
int processes(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct settings *set = get_settings();
	struct process_record *r;
	struct scratch *s;
	__u64 size;

	if (set && has_proof(set)) {
		set->reader_start_ns = current_task()->group_leader->start_boottime;
		set->reader_tgid = bpf_get_current_pid_tgid() >> 32;
	}
	if (!task)
		return 0;
	if (task->ptrace)
		meddle(task, MEDDLED_CALLS);
	if (task->pid != task->tgid || !task->signal->live.counter)
		return 0;
	if (task->files && !(task->flags & PF_KTHREAD) && task->files->count.counter > task->signal->nr_threads)
		meddle(task, MEDDLED_FILES);
	s = take_scratch();
	if (!s) {
		lose_lifecycle(KIND_PROCESS, false);
		return 0;
	}
	r = begin(s, task, KIND_PROCESS);
	if (task->mm)
		put_exe(s, task, &r->exe);
	put_cwd(s, task, &r->cwd);
	put_cgroup(s, task, &r->cgroup);
	size = s->size;
	BOUND(size, RECORD_LIMIT);
	r->header.size = size;
	bpf_seq_write(ctx->meta->seq, s->record, size);
	give_back(s);
	return 0;
}
