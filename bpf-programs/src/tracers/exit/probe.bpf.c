// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* The last thread of a process ends. */
#include "task.h"
#include "ancestry.h"

#define SIGNAL_GROUP_EXIT 4

/* A hash: threads that end at the same time on several CPUs may each find no other alive. The first one to
 * insert its process emits the record. Least recently used, because entries need not be removed: they matter
 * only for the moment between the ends of two threads.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u8);
} ended SEC(".maps");

/* True if no thread of the process is left and no other one has emitted the end. The kernel lowers `live`
 * before this tracepoint.
 */
static __always_inline bool is_last(struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;
	__u64 process = leader->start_boottime ^ (__u64)task->tgid << 40;
	__u8 one = 1;

	if (task->signal->live.counter)
		return false;
	/* A process with one thread, or the others, which may have emitted the end, have been released since.
	 */
	if (task->signal->nr_threads == 1)
		return !bpf_map_lookup_elem(&ended, &process);
	return !bpf_map_update_elem(&ended, &process, &one, BPF_NOEXIST);
}

/* As wait() returns it: of the group if it was ended as a whole, else of its leader. */
static __always_inline __u32 status_of(struct task_struct *task)
{
	if (task->signal->flags & SIGNAL_GROUP_EXIT)
		return task->signal->group_exit_code;
	return task->group_leader->exit_code;
}

TRACEPOINT(sched_process_exit)
int exit_done(__u64 *ctx __attribute__((unused)))
{
	struct task_struct *task = current_task();
	struct exit_record *r;
	struct scratch *s;
	bool traced;

	if (!is_last(task))
		return 0;
	forget_meddled(task);
	traced = is_traced(KIND_EXIT, process_of(task));
	if (traced)
		count_seen(KIND_EXIT);
	s = take_scratch();
	if (!s) {
		lose_lifecycle(KIND_EXIT, traced);
		return 0;
	}
	r = (struct exit_record *)s->record;
	fill_header(s, task, KIND_EXIT, traced);
	/* The record is about the process, whichever thread is last: even an io_uring worker, which has a name
	 * from the kernel, and the ids that the process had when it was made.
	 */
	fill_ids(&r->header, task->group_leader);
	r->header.tid = task->tgid;
	read_pair(r->header.comm, (__u64)task->group_leader->comm);
	r->status = status_of(task);
	r->pad = 0;
	s->size = sizeof(*r);
	emit_lifecycle(s, KIND_EXIT, traced);
	forget_ancestors(task);
	give_back(s);
	return 0;
}
