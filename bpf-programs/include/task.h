/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Who: the header of every record, read from the task without a single copy where types allow it. */
#ifndef DUETECTOR_TASK_H
#define DUETECTOR_TASK_H

#include "emit.h"

/* The first pid namespace always has this inode number (PROC_PID_INIT_INO). */
#define FIRST_PID_NS 0xEFFFFFFCU

static __always_inline __u32 pid_ns_of(struct task_struct *task)
{
	__u64 level = task->thread_pid->level, pid = 0, ns = 0;
	__u32 inum = 0;

	if (!level)
		return FIRST_PID_NS;
	/* As a number: 6.1 refuses to add what is not a constant to a typed pointer. */
	bpf_probe_read_kernel(&pid, sizeof(pid), &task->thread_pid);
	bpf_probe_read_kernel(&ns, sizeof(ns),
			      (void *)(pid + bpf_core_field_offset(struct pid, numbers) +
				       level * bpf_core_type_size(struct upid) +
				       bpf_core_field_offset(struct upid, ns)));
	bpf_probe_read_kernel(&inum, sizeof(inum), (void *)(ns + bpf_core_field_offset(struct pid_namespace, ns.inum)));
	return inum;
}

#define TRY_HIERARCHY(set, subsys_id)                                                                        \
	if (bpf_core_enum_value_exists(enum cgroup_subsys_id, subsys_id)) {                                  \
		struct cgroup *group =                                                                       \
			(set)->subsys[bpf_core_enum_value(enum cgroup_subsys_id, subsys_id)]->cgroup;        \
		if (group->level > 0)                                                                        \
			return group;                                                                        \
	}

/* The v2 cgroup; where that is the root, the first of the v1 hierarchies that container engines use. */
static __always_inline struct cgroup *cgroup_of(struct task_struct *task)
{
	struct css_set *set = task->cgroups;

	if (set->dfl_cgrp->level > 0)
		return set->dfl_cgrp;
	TRY_HIERARCHY(set, memory_cgrp_id)
	TRY_HIERARCHY(set, pids_cgrp_id)
	TRY_HIERARCHY(set, devices_cgrp_id)
	TRY_HIERARCHY(set, cpu_cgrp_id)
	return set->dfl_cgrp;
}

static __always_inline void fill_header(struct scratch *s, struct task_struct *task, __u32 kind, bool traced)
{
	struct header *h = (struct header *)s->record;

	h->kind = kind;
	h->flags = traced ? FLAG_TRACED : 0;
	h->pid = task->tgid;
	h->time_ns = bpf_ktime_get_boot_ns();
	h->start_ns = task->group_leader->start_boottime;
	h->tid = task->pid;
	h->ppid = task->real_parent->tgid;
	h->euid = task->cred->euid.val;
	h->egid = task->cred->egid.val;
	h->cgroup_id = cgroup_of(task)->kn->id;
	h->pid_ns = pid_ns_of(task);
	h->mnt_ns = task->nsproxy->mnt_ns->ns.inum;
	read_pair(h->comm, (__u64)task->comm);
}

#endif
