// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* A process or thread was made; the child does not run yet. Fields that it inherits are not repeated in the
 * record.
 */
#include "path.h"
#include "ancestry.h"

#define PF_KTHREAD 0x00200000
#define CLONE_VM 0x100
#define CLONE_VFORK 0x4000

/* Fills in the flags of the call that the parent is in. When the kernel makes a thread for itself there is no
 * such call.
 */
static __always_inline void put_flags(struct clone_record *r, struct task_struct *parent)
{
	struct call call = {.regs = current_regs()};

	r->flags = 0;
	r->has_flags = 0;
	if (parent->flags & PF_KTHREAD)
		return;
	name_call(&call);
	r->has_flags = 1;
	if (call.nr == NR_CLONE)
		r->flags = (__u32)call_arg(&call, 0);
	else if (call.nr == NR_CLONE3) /* the first field of struct clone_args */
		r->has_flags =
			!bpf_probe_read_user(&r->flags, sizeof(r->flags), (void *)call_arg(&call, 0));
	else if (call.nr == NR_VFORK)
		r->flags = CLONE_VFORK | CLONE_VM;
	else if (call.nr != NR_FORK)
		r->has_flags = 0;
}

TRACEPOINT(sched_process_fork)
int clone_done(__u64 *ctx)
{
	struct task_struct *parent = current_task();
	struct task_struct *child = ARG(ctx, 1, struct task_struct);
	bool traced = is_traced(KIND_CLONE, parent);
	struct clone_record *r;
	struct cgroup *group;
	struct scratch *s;

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
	put_flags(r, parent);
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
