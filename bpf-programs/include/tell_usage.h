/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* How what is in the ledger becomes records: taken out in one step, or still there. */
#ifndef DUETECTOR_TELL_USAGE_H
#define DUETECTOR_TELL_USAGE_H

#include "usage.h"

/* Nobody else can be counting in it: the entry can go. */
#define TELL_ALONE 1

#define TAKE(from) __sync_lock_test_and_set(&(from), 0)

/* The parts of a long path behind its first, and out of their map. */
__noinline int put_parts(struct scratch *s, const struct usage_key *key, __u32 side)
{
	struct usage_part_key part = {.side = side};
	struct usage_record *r;
	struct usage_part *found;

	if (!s || !key)
		return 0;
	r = (struct usage_record *)s->record;
	part.key = *key;
	for (__u32 i = 1; i < USAGE_PARTS; i++) {
		if (i * USAGE_PART >= r->path.len)
			return 0;
		part.part = i;
		found = bpf_map_lookup_elem(&usage_parts, &part);
		if (!found) { /* there was no room for it */
			r->path.len = i * USAGE_PART;
			r->path.flags |= TEXT_INCOMPLETE;
			return 0;
		}
		bpf_probe_read_kernel(&s->record[sizeof(*r) + i * USAGE_PART], USAGE_PART, found);
	}
	return 0;
}

static __always_inline void drop_entry(const struct usage_key *key, __u32 side, __u32 names)
{
	struct usage_part_key part = {.key = *key, .side = side};

	if (side)
		bpf_map_delete_elem(&usage_1, key);
	else
		bpf_map_delete_elem(&usage_0, key);
	for (__u32 i = 1; i < USAGE_PARTS; i++) {
		if (i * USAGE_PART >= names)
			break;
		part.part = i;
		bpf_map_delete_elem(&usage_parts, &part);
	}
}

/* Tells what an entry has; -1: there was no room in the ring, and it has it still. The key is copied, because before 6.5
 * what a global function was handed is no key for a map.
 */
__noinline int tell_entry(const struct usage_key *of, __u32 side, __u32 how)
{
	struct usage_key own, *key = &own;
	struct usage_entry *entry;
	struct usage_record *r;
	struct scratch *s;
	__u32 names, refused = 0;

	if (!of)
		return 0;
	own = *of;
	entry = find_entry(side, key);
	if (!entry)
		return 0;
	s = take_scratch();
	if (!s)
		return -1;
	r = (struct usage_record *)s->record;
	bpf_probe_read_kernel(s->record, sizeof(*entry), entry);
	r->calls = TAKE(entry->record.calls);
	r->bytes = TAKE(entry->record.bytes);
	r->header.time_ns = bpf_ktime_get_boot_ns();
	names = r->path.len;
	if (names > USAGE_PART)
		put_parts(s, key, side);
	s->size = sizeof(*r) + r->path.len;
	if (r->calls || r->bytes) {
		refused = put_data(s, KIND_USAGE);
		if (refused) {
			__sync_fetch_and_add(&entry->record.calls, r->calls);
			__sync_fetch_and_add(&entry->record.bytes, r->bytes);
		} else {
			/* Only now: what stays in the ledger was not seen yet. */
			count_seen(KIND_USAGE);
			entry->record.first_ns = entry->record.tick = 0;
		}
	}
	if (!refused && how == TELL_ALONE)
		drop_entry(key, side, names);
	give_back(s);
	return refused ? -1 : 0;
}

/* Tells what there may be of what a descriptor stood for. */
__noinline int tell_fd(__u32 tgid, __s32 fd, __u32 how)
{
	struct usage_fd at = {.tgid = tgid, .fd = fd};
	struct usage_hint *hint = bpf_map_lookup_elem(&usage_fds, &at);
	struct settings *set = get_settings();
	struct usage_key key;
	__u32 directions;

	if (!hint || !set)
		return 0;
	key = hint->key;
	directions = hint->directions;
	bpf_map_delete_elem(&usage_fds, &at);
	for (__u32 i = 0; i < USAGE_DIRECTIONS; i++) {
		key.direction = i;
		if (directions & 1U << i)
			tell_entry(&key, set->usage_side, how);
	}
	return 0;
}

/* Other threads of the process may be counting in its entries. */
static __always_inline __u32 how_of(struct task_struct *task)
{
	return task->signal->nr_threads == 1 ? TELL_ALONE : 0;
}

#endif
