// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* A process or thread was made; the child does not run yet. Fields that it inherits are not repeated in the
 * record.
 */
#include "path.h"
#include "ancestry.h"

/* True if the kernel makes a thread for itself: for io_uring, or for a CPU that has nothing to do. */
static __always_inline bool is_of_kernel(struct task_struct *child)
{
	return GET(child, flags) & PF_IO_WORKER || !GET(child, pid);
}

TRACEPOINT(task_newtask)
int clone_done(__u64 *ctx)
{
	struct task_struct *parent = current_task();
	struct task_struct *child = ARG(ctx, 0, struct task_struct);
	bool traced = is_traced(KIND_CLONE, parent);
	struct clone_record *r;
	struct cgroup *group;
	struct scratch *s;

	note_sharing(parent, child, ctx[1]);
	if (is_of_kernel(child))
		return 0;
	if (GET(child, tgid) != parent->tgid)
		inherit_ancestors(parent, child);
	/* A new thread changes nothing in the process table. */
	else if (!traced)
		return 0;
	if (traced)
		count_seen(KIND_CLONE);
	s = take_scratch();
	if (!s) {
		lose_lifecycle(KIND_CLONE, traced);
		return 0;
	}
	r = (struct clone_record *)s->record;
	fill_header(s, parent, KIND_CLONE, traced);
	/* The kernel's own copy: clone3 has them in the caller's memory. The kernel's threads have made no call. */
	r->flags = ctx[1];
	r->has_flags = !(parent->flags & PF_KTHREAD);
	/* That of the process, also for a thread: rows name a process by it. copy_process() has set the leader by now. */
	r->child_start_ns = GET(child, group_leader, start_boottime);
	group = cgroup_of(child);
	r->child_cgroup_id = GET(group, kn, id);
	r->child_pid = GET(child, tgid);
	r->child_tid = GET(child, pid);
	read_pid_ns(child, r->child_pid, &r->child_pid_ns, &r->child_ns_pid);
	s->size = sizeof(*r);
	r->cgroup.len = 0;
	r->cgroup.flags = TEXT_PATH | TEXT_UNREADABLE;
	if (group != cgroup_of(parent))
		put_cgroup(s, child, &r->cgroup);
	emit_lifecycle(s, KIND_CLONE, traced);
	give_back(s);
	return 0;
}
