// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* The last thread of a process ends. */
#include "task.h"
#include "tree.h"

#define SIGNAL_GROUP_EXIT 4

/* Hash: threads that end at the same time on several CPUs may each find none alive but themselves. The first
 * to put its process in here tells its end. Least recently used, because nothing needs to be taken out: it
 * matters for the moment between two threads' ends.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u8);
} ended SEC(".maps");

/* No thread of the process is left, and no other has said so. `live` is lowered before this tracepoint. */
static __always_inline bool is_last(struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;
	__u64 process = leader->start_boottime ^ (__u64)task->tgid << 40;
	__u8 one = 1;

	if (task->signal->live.counter)
		return false;
	/* Alone from the start, or the others, which may have said so, have been taken off since. */
	if (task->signal->nr_threads == 1)
		return !bpf_map_lookup_elem(&ended, &process);
	return !bpf_map_update_elem(&ended, &process, &one, BPF_NOEXIST);
}

/* As wait() will tell it: of the group if it was ended as a whole, else of its leader. */
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
	traced = is_traced(KIND_EXIT, task);
	if (traced)
		count_seen(KIND_EXIT);
	s = take_scratch();
	if (!s) {
		lose_lifecycle(KIND_EXIT, traced);
		return 0;
	}
	r = (struct exit_record *)s->record;
	fill_header(s, task, KIND_EXIT, traced);
	/* It is the process that ends, whoever is last: even a worker of io_uring, whose name is the kernel's. */
	r->header.tid = task->tgid;
	read_pair(r->header.comm, (__u64)task->group_leader->comm);
	r->status = status_of(task);
	r->pad = 0;
	s->size = sizeof(*r);
	emit_lifecycle(s, KIND_EXIT, traced);
	forget_tree(task);
	give_back(s);
	return 0;
}
