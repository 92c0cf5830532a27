// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Events that keep the process table up to date, besides exec, clone and exit. */
#include "file.h"

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
	if (!task || task->pid != task->tgid || !task->signal->live.counter)
		return 0;
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
