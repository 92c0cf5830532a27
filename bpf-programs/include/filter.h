/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Decides whether a tracer records what a task does. */
#ifndef DUETECTOR_FILTER_H
#define DUETECTOR_FILTER_H

#include "maps.h"
#include "tier.h"

/* Clamps in asm: clang may drop a check that it can prove, and then the verifier rejects the access. */
#define BOUND(value, limit) asm volatile("if %0 <= %1 goto +1\n%0 = %1" : "+r"(value) : "i"(limit))

static __always_inline struct settings *get_settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

static __always_inline struct count *count_of(__u32 kind)
{
	__u32 zero = 0;
	__u64 slot = kind;
	struct counts *all = bpf_map_lookup_elem(&counts, &zero);

	if (!all)
		return NULL;
	BOUND(slot, COUNT_SLOTS - 1);
	return &all->slots[slot];
}

static __always_inline bool uid_passes(struct settings *set, __u32 uid)
{
	if (!set->uid_count)
		return true;
	for (int i = 0; i < MAX_UIDS; i++) {
		if (i < (int)set->uid_count && set->uids[i] == uid)
			return true;
	}
	return false;
}

/* True for the agent itself, which is not recorded. */
static __always_inline bool is_agent(struct settings *set, struct task_struct *task)
{
	__u32 tgid = GET(task, tgid);

	if (tgid == set->reader_tgid)
		return GET(task, group_leader, start_boottime) == set->reader_start_ns;
	return tgid == set->agent_tgid;
}

/* True if the tracer of `kind` is on and the task is not excluded. */
static __always_inline bool passes(__u32 kind, struct task_struct *task)
{
	struct settings *set = get_settings();

	if (!set || !(set->enabled & (1ULL << kind)) || is_agent(set, task))
		return false;
	return uid_passes(set, GET(task, cred, euid.val));
}

/* The same, in a program that belongs to one tracer. */
static __always_inline bool is_traced(__u32 kind, struct task_struct *task)
{
	if (refused_kind && refused_kind == kind)
		asm volatile("r1 = *(u64 *)(r10 + 8)" ::: "r1");
	return passes(kind, task);
}

#endif
