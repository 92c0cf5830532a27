/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The header of every record: process, user, cgroup and namespaces, read from the task without a single copy
 * where types allow it.
 */
#ifndef DUETECTOR_TASK_H
#define DUETECTOR_TASK_H

#include "emit.h"

/* The inode number of the initial pid namespace, the same everywhere (PROC_PID_INIT_INO). */
#define FIRST_PID_NS 0xEFFFFFFCU
/* Set in the kernel's worker threads for io_uring. */
#define PF_IO_WORKER 0x10
/* Set in the kernel's own threads. */
#define PF_KTHREAD 0x00200000

#include "meddling.h"

/* The task that a record names: for an io_uring worker the first thread of the process that it works for. */
static __always_inline struct task_struct *process_of(struct task_struct *task)
{
	return task->flags & PF_IO_WORKER ? task->group_leader : task;
}

/* Reads a process's pid namespace, and its id in it; `outer` is its id in the first one. */
static __always_inline void read_pid_ns(struct task_struct *task, __u32 outer, __u32 *pid_ns, __u32 *ns_pid)
{
	struct task_struct *leader = GET(task, group_leader);
	__u64 level = GET(leader, thread_pid, level), pid = 0, number;
	__u64 ns = 0;

	*pid_ns = FIRST_PID_NS;
	*ns_pid = outer;
	if (!level)
		return;
	/* A number, because 6.1 refuses to add a variable to a typed pointer. */
	bpf_probe_read_kernel(&pid, sizeof(pid), &leader->thread_pid);
	number = pid + OFFSET(struct pid, numbers) + level * bpf_core_type_size(struct upid);
	bpf_probe_read_kernel(ns_pid, sizeof(*ns_pid), (void *)(number + OFFSET(struct upid, nr)));
	bpf_probe_read_kernel(&ns, sizeof(ns), (void *)(number + OFFSET(struct upid, ns)));
	bpf_probe_read_kernel(pid_ns, sizeof(*pid_ns), (void *)(ns + OFFSET(struct pid_namespace, ns.inum)));
}

static __always_inline struct cgroup *hierarchy(struct css_set *set, __u32 id)
{
#if TIER == RAW
	struct cgroup_subsys_state *state = NULL;

	if (!has_cast) {
		bpf_probe_read_kernel(&state, sizeof(state), (void *)&set->subsys + id * sizeof(state));
		return GET(state, cgroup);
	}
#endif
	return set->subsys[id]->cgroup;
}

#define TRY_HIERARCHY(set, subsys_id)                                                                        \
	if (bpf_core_enum_value_exists(enum cgroup_subsys_id, subsys_id)) {                                  \
		struct cgroup *group =                                                                       \
			hierarchy(set, bpf_core_enum_value(enum cgroup_subsys_id, subsys_id));               \
		if (GET(group, level) > 0 && GET(group, root, hierarchy_id))                                 \
			return group;                                                                        \
	}

/* The first of the v1 hierarchies that container engines use in which the task is not at the root, else its v2
 * cgroup. In this order, because where both are mounted not all engines move containers in v2. A controller
 * that v2 manages is skipped: its cgroup is the nearest ancestor that has the controller, which says nothing.
 */
static __always_inline struct cgroup *cgroup_of(struct task_struct *task)
{
	struct css_set *set = GET(task, cgroups);

	TRY_HIERARCHY(set, memory_cgrp_id)
	TRY_HIERARCHY(set, pids_cgrp_id)
	TRY_HIERARCHY(set, devices_cgrp_id)
	TRY_HIERARCHY(set, cpu_cgrp_id)
	return GET(set, dfl_cgrp);
}

/* Returns the owner of a task's record: its user, the maker of the user's namespace, or, where that is root, the
 * cgroup.
 */
static __always_inline __u64 owner_of(struct task_struct *task, const struct header *h)
{
	const struct cred *cred = GET(task, cred);
	__u32 user = h->euid;
	__u64 ns = 0;

	if (GET(cred, user_ns, level)) {
		/* A number, because a typed pointer cannot be an argument. */
		bpf_probe_read_kernel(&ns, sizeof(ns), &cred->user_ns);
		user = maker_of_namespace(ns);
	}
	return user ? user : OWNER_CGROUP | h->cgroup_id;
}

/* Fills in who logged in. A child inherits both numbers, and what changes ids leaves them. */
static __always_inline void put_login(struct header *h, struct task_struct *task)
{
	h->loginuid = NO_ID;
	h->sessionid = NO_ID;
	if (bpf_core_field_exists(struct task_struct, loginuid))
		h->loginuid = GET(task, loginuid.val);
	if (bpf_core_field_exists(struct task_struct, sessionid))
		h->sessionid = GET(task, sessionid);
}

/* Fills in the ids of a process. */
static __always_inline void fill_ids(struct header *h, struct task_struct *task)
{
	h->euid = GET(task, cred, euid.val);
	h->egid = GET(task, cred, egid.val);
	h->ruid = GET(task, cred, uid.val);
	h->fsuid = GET(task, cred, fsuid.val);
}

#define FILTERS_OF_TASK 64 /* filters of seccomp that are searched */

/* True if one of these filters of seccomp has a supervisor, and if there are more than are searched. */
__noinline int is_supervised(__u64 filter)
{
	__u64 listener = 0;

	for (int i = 0; i < FILTERS_OF_TASK && filter; i++) {
		READ(&listener, filter, struct seccomp_filter, notif);
		if (listener)
			return true;
		READ(&filter, filter, struct seccomp_filter, prev);
	}
	return filter != 0;
}

#define SIGSYS_PENDING (1UL << 30)

/* True if something else than the kernel may answer the task's calls: then a result does not say that anything was done. Seccomp can
 * ask a supervisor (user notification), or leave a call to a handler of SIGSYS; until the handler runs, the result is the call's own
 * number. With tier function calls that seccomp answers are not seen. A debugger can stop the task inside of clone or exec, and
 * change the call's number and arguments before it ends.
 */
static __always_inline bool is_answered_for(struct task_struct *task)
{
	__u64 filter = 0;

	if (meddled_with(task) & MEDDLED_CALLS)
		return true;
	if (TIER == FUNCTION || !bpf_core_field_exists(struct task_struct, seccomp.filter) || !GET(task, seccomp.filter))
		return false;
	if (GET(task, pending.signal.sig[0]) & SIGSYS_PENDING)
		return true;
	/* As a number: a typed pointer cannot be an argument. */
	bpf_probe_read_kernel(&filter, sizeof(filter), &task->seccomp.filter);
	return is_supervised(filter);
}

static __always_inline void fill_header(struct scratch *s, struct task_struct *task, __u32 kind, bool traced)
{
	struct header *h = (struct header *)s->record;
	struct cgroup *group;

	h->kind = kind;
	h->flags = (traced ? FLAG_TRACED : 0) | (is_compat(task) ? FLAG_COMPAT : 0);
	h->pid = GET(task, tgid);
	h->time_ns = bpf_ktime_get_boot_ns();
	h->start_ns = GET(task, group_leader, start_boottime);
	h->tid = GET(task, pid);
	h->ppid = GET(task, real_parent, tgid);
	fill_ids(h, task);
	group = cgroup_of(task);
	h->cgroup_id = GET(group, kn, id);
	h->hierarchy = GET(group, root, hierarchy_id);
	h->owner = owner_of(task, h);
	read_pid_ns(task, h->pid, &h->pid_ns, &h->ns_pid);
	h->mnt_ns = GET(task, nsproxy, mnt_ns, ns.inum);
	put_login(h, task);
	h->net_ns = GET(task, nsproxy, net_ns, ns.inum);
	h->pad = 0;
	read_pair(h->comm, (__u64)task->comm);
}

#endif
