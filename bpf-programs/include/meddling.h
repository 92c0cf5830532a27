/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Processes that another one may have meddled with: the other one shared their descriptors without being a thread of theirs, or was
 * their debugger. That may not be visible any more when a call ends: the other process may have ended, and a debugger may have
 * detached. So a process stays in the map until it ends, and rows of its calls are marked as unverified. If it finds no room there,
 * because its owner has many such processes, rows of all processes of that owner are marked.
 *
 *     task_newtask (CLONE_FILES) ──► MEDDLED_FILES ──► are_files_shared()
 *     ptrace, task_newtask       ──► MEDDLED_CALLS ──► is_answered_for()
 */
#ifndef DUETECTOR_MEDDLING_H
#define DUETECTOR_MEDDLING_H

#include "owner.h"
#include "shares.h"

#define MEDDLED_FILES 1
#define MEDDLED_CALLS 2
#define MEDDLED_OWNERS 1024

struct meddled {
	__u64 owner; /* who has the entry */
	__u32 how;   /* MEDDLED_* bits */
	__u32 pad;
};

/* A hash, because process ids are reused in any order. Few processes are in it: debugged ones, and those that share their
 * descriptors with another process, which they do only by calling clone themselves. Any user can make many, so that each has a
 * share (shares.h).
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MEDDLED_PROCESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct process_key);
	__type(value, struct meddled);
} meddled SEC(".maps");

/* Owners of processes that found no room in that map: MEDDLED_* bits, which are taken to be set for all their processes. A hash,
 * because owners are any numbers.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MEDDLED_OWNERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} meddled_owners SEC(".maps");

/* Number of entries that were made, and of those that found no room. Where there are none, nothing need be looked up. */
__u64 meddled_count, meddled_refused;
/* The same bits of owners that found no room either. They are taken to be set for all processes. */
__u32 meddled_all;

static __always_inline void read_key(struct process_key *key, __u64 leader)
{
	READ(&key->start_ns, leader, struct task_struct, start_boottime);
	READ(&key->pid, leader, struct task_struct, tgid);
}

/* Forgets a process, by its leader. */
__noinline int drop_meddled(__u64 leader)
{
	struct process_key key = {};
	struct meddled *known;
	__u64 owner;

	read_key(&key, leader);
	known = bpf_map_lookup_elem(&meddled, &key);
	if (!known)
		return 0;
	owner = known->owner;
	return DELETE_ENTRY(meddled, IN_MEDDLED, &key, owner);
}

static __always_inline bool has_ended(__u64 leader)
{
	__u64 signal = 0;
	int live = 1;

	READ(&signal, leader, struct task_struct, signal);
	READ(&live, signal, struct signal_struct, live.counter);
	return !live;
}

/* Notes that a process of this owner found no room. */
__noinline int note_owner(__u64 owner, __u32 how)
{
	struct count *count = count_of(COUNT_MEDDLED_FULL);
	__u32 none = 0, *known;

	if (count)
		__sync_fetch_and_add(&count->seen, 1);
	bpf_map_update_elem(&meddled_owners, &owner, &none, BPF_NOEXIST);
	known = bpf_map_lookup_elem(&meddled_owners, &owner);
	__sync_fetch_and_or(known ?: &meddled_all, how);
	__sync_fetch_and_add(&meddled_refused, 1);
	return 0;
}

/* Notes that another process may meddle with the one that has this leader and owner; `how` has MEDDLED_* bits. Returns whether
 * there was room.
 */
__noinline int note_meddled(__u64 leader, __u64 owner, __u32 how)
{
	struct meddled entry = {.owner = owner, .how = how}, *known;
	struct settings *set = get_settings();
	__u32 room = set && set->meddled_room ? set->meddled_room : MEDDLED_PROCESSES;
	struct process_key key = {};
	bool added;

	read_key(&key, leader);
	__sync_fetch_and_add(&meddled_count, 1);
	known = bpf_map_lookup_elem(&meddled, &key);
	added = !known && ADD_ENTRY(meddled, IN_MEDDLED, room, &key, &entry, owner);
	if (added)
		return true;
	/* Another CPU may have added it. */
	known = bpf_map_lookup_elem(&meddled, &key);
	if (!known)
		return false;
	__sync_fetch_and_or(&known->how, how);
	return true;
}

/* Notes it, by the leader's address. */
static __always_inline void meddle_with(__u64 leader, __u32 how)
{
	__u64 owner = owner_at(leader);

	if (!note_meddled(leader, owner, how))
		note_owner(owner, how);
	/* If it has ended meanwhile, its end does not remove the entry. */
	else if (has_ended(leader))
		drop_meddled(leader);
}

/* Returns the address of a task's group leader. A number, because a typed pointer cannot be an argument. */
static __always_inline __u64 leader_of(struct task_struct *task)
{
	__u64 leader = 0;

	bpf_probe_read_kernel(&leader, sizeof(leader), &task->group_leader);
	return leader;
}

static __always_inline void meddle(struct task_struct *task, __u32 how)
{
	meddle_with(leader_of(task), how);
}

__noinline int find_meddled(__u64 leader)
{
	struct process_key key = {};
	struct meddled *known;

	read_key(&key, leader);
	known = bpf_map_lookup_elem(&meddled, &key);
	return meddled_all | (known ? known->how : 0);
}

__noinline int find_owner(__u64 owner)
{
	__u32 *known = bpf_map_lookup_elem(&meddled_owners, &owner);

	return known ? *known : 0;
}

/* Returns in which ways others may have meddled with the process: MEDDLED_* bits. */
static __always_inline __u32 meddled_with(struct task_struct *task)
{
	__u64 leader;
	__u32 how;

	if (!meddled_count)
		return 0;
	leader = leader_of(task);
	how = find_meddled(leader);
	return meddled_refused ? how | find_owner(owner_at(leader)) : how;
}

/* Called for a process that has ended. */
static __always_inline void forget_meddled(struct task_struct *task)
{
	if (meddled_count)
		drop_meddled(leader_of(task));
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
