// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* A process or thread was made; the child does not run yet. What it inherits is not repeated. */
#include "path.h"

#define PF_KTHREAD 0x00200000
#define CLONE_VM 0x100
#define CLONE_VFORK 0x4000

/* The flags of the call the parent is in. It is none of these when the kernel makes a thread for itself. */
static __always_inline void put_flags(struct clone_record *r, struct task_struct *parent)
{
	struct pt_regs *regs = current_regs();
	int nr = syscall_nr(regs);

	r->flags = 0;
	r->has_flags = 0;
	if (parent->flags & PF_KTHREAD || is_compat(parent))
		return;
	r->has_flags = 1;
	if (nr == NR_CLONE)
		r->flags = (__u32)syscall_arg(regs, 0);
	else if (nr == NR_CLONE3) /* the first field of struct clone_args */
		r->has_flags =
			!bpf_probe_read_user(&r->flags, sizeof(r->flags), (void *)syscall_arg(regs, 0));
	else if (nr == NR_VFORK)
		r->flags = CLONE_VFORK | CLONE_VM;
	else if (nr != NR_FORK)
		r->has_flags = 0;
}

SEC("tp_btf/sched_process_fork")
int clone_done(__u64 *ctx)
{
	struct task_struct *parent = (struct task_struct *)ctx[0];
	struct task_struct *child = (struct task_struct *)ctx[1];
	bool traced = is_traced(KIND_CLONE, parent);
	struct clone_record *r;
	struct scratch *s;

	if (traced)
		count_seen(KIND_CLONE);
	/* A thread changes nothing in the process table. */
	else if (child->tgid == parent->tgid)
		return 0;
	s = take_scratch();
	if (!s) {
		lose_lifecycle(KIND_CLONE, traced);
		return 0;
	}
	r = (struct clone_record *)s->record;
	fill_header(s, parent, KIND_CLONE, traced);
	put_flags(r, parent);
	r->child_start_ns = child->start_boottime;
	r->child_cgroup_id = cgroup_of(child)->kn->id;
	r->child_pid = child->tgid;
	r->child_tid = child->pid;
	s->size = sizeof(*r);
	r->cgroup.len = 0;
	r->cgroup.flags = TEXT_PATH | TEXT_UNREADABLE;
	if (r->child_cgroup_id != r->header.cgroup_id)
		put_cgroup(s, child, &r->cgroup);
	emit_lifecycle(s, KIND_CLONE, traced);
	give_back(s);
	return 0;
}
