/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Processes that another one may have meddled with: the other one shared their descriptors without being a thread of theirs, or was
 * their debugger. That may not be visible any more when a call ends: the other process may have ended, and a debugger may have
 * detached. So a process stays in the map until it ends, and rows of its calls are marked as unverified.
 *
 *     task_newtask (CLONE_FILES) ──► MEDDLED_FILES ──► are_files_shared()
 *     ptrace, task_newtask       ──► MEDDLED_CALLS ──► is_answered_for()
 */
#ifndef DUETECTOR_MEDDLING_H
#define DUETECTOR_MEDDLING_H

#include "filter.h"

#define MEDDLED_FILES 1
#define MEDDLED_CALLS 2

/* A hash, because process ids are reused in any order. Few processes are in it: debugged ones, and those that share their
 * descriptors with another process, which they do only by calling clone themselves.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MEDDLED_PROCESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct process_key);
	__type(value, __u32);
} meddled SEC(".maps");

/* Number of entries that were made. If there are none, nothing need be looked up. */
__u64 meddled_count;
/* MEDDLED_* bits of processes that found no room in the map. They are taken to be set for all processes. */
__u32 meddled_all;

/* Notes that another process may meddle with this one; `how` has MEDDLED_* bits. */
__noinline int note_meddled(__u64 start_ns, __u32 pid, __u32 how)
{
	struct process_key key = {.start_ns = start_ns, .pid = pid};
	__u32 *known = bpf_map_lookup_elem(&meddled, &key);

	if (known) {
		__sync_fetch_and_or(known, how);
		return 0;
	}
	__sync_fetch_and_add(&meddled_count, 1);
	if (bpf_map_update_elem(&meddled, &key, &how, BPF_ANY)) {
		struct count *count = count_of(COUNT_MEDDLED_FULL);

		if (count)
			__sync_fetch_and_add(&count->seen, 1);
		__sync_fetch_and_or(&meddled_all, how);
	}
	return 0;
}

__noinline int find_meddled(__u64 start_ns, __u32 pid)
{
	struct process_key key = {.start_ns = start_ns, .pid = pid};
	__u32 *known = bpf_map_lookup_elem(&meddled, &key);

	return meddled_all | (known ? *known : 0);
}

/* Returns in which ways others may have meddled with the process: MEDDLED_* bits. */
static __always_inline __u32 meddled_with(struct task_struct *task)
{
	return meddled_count ? find_meddled(GET(task, group_leader, start_boottime), GET(task, tgid)) : 0;
}

/* Called for a process that has ended. */
static __always_inline void forget_meddled(struct task_struct *task)
{
	struct process_key key = {.start_ns = GET(task, group_leader, start_boottime), .pid = task->tgid};

	if (meddled_count)
		bpf_map_delete_elem(&meddled, &key);
}

static __always_inline void meddle(struct task_struct *task, __u32 how)
{
	note_meddled(GET(task, group_leader, start_boottime), GET(task, tgid), how);
}

#define CLONE_FILES 0x400
#define CLONE_THREAD 0x10000

/* Called for a new process or thread. If a debugger follows forks, it also traces the child, from its beginning. */
static __always_inline void note_sharing(struct task_struct *parent, struct task_struct *child, __u64 flags)
{
	if (parent->flags & PF_KTHREAD)
		return;
	if ((flags & (CLONE_FILES | CLONE_THREAD)) == CLONE_FILES) {
		meddle(parent, MEDDLED_FILES);
		meddle(child, MEDDLED_FILES);
	}
	if (GET(child, ptrace))
		meddle(child, MEDDLED_CALLS);
}

#endif
