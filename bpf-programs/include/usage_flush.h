/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Flushes the usage ledger: makes its entries into records. */
#ifndef DUETECTOR_USAGE_FLUSH_H
#define DUETECTOR_USAGE_FLUSH_H

#include "usage.h"

/* No program can be adding to the entry: remove it too. */
#define FLUSH_REMOVE 1

#define TAKE(from) __sync_lock_test_and_set(&(from), 0)

/* Appends the parts of a long path, after the first. */
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
		if (PART_AT(i) >= r->path.len)
			return 0;
		part.part = i;
		found = bpf_map_lookup_elem(&usage_parts, &part);
		if (!found) { /* there was no room for this part */
			r->path.len = PART_AT(i);
			r->path.flags |= TEXT_INCOMPLETE;
			return 0;
		}
		bpf_probe_read_kernel(&s->record[sizeof(*r) + PART_AT(i)], USAGE_PART, found);
	}
	return 0;
}

static __always_inline void drop_entry(const struct usage_key *key, __u64 owner, __u32 side, __u32 names)
{
	struct usage_part_key part = {.key = *key, .side = side};

	(void)(side ? DELETE_ENTRY(usage_1, IN_USAGE_1, key, owner) : DELETE_ENTRY(usage_0, IN_USAGE_0, key, owner));
	for (__u32 i = 1; i < USAGE_PARTS; i++) {
		if (PART_AT(i) >= names)
			break;
		part.part = i;
		/* Counted one by one: a sum would have the verifier follow every combination of results. */
		(void)DELETE_ENTRY(usage_parts, IN_USAGE_PARTS, &part, owner);
	}
}

static __always_inline bool is_last_sweep(void)
{
	struct settings *set = get_settings();

	return set && set->last_sweep;
}

/* Emits an entry's sums; -1 if the ring had no room, and the entry still has them. The key is copied, because
 * before 6.5 a global function's argument cannot be a map's key.
 */
__noinline int flush_entry(const struct usage_key *of, __u32 side, __u32 mode)
{
	struct usage_key own, *key = &own;
	struct usage_entry *entry;
	struct usage_record *r;
	struct scratch *s;
	__u32 names, filter, refused = 0;

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
	bpf_probe_read_kernel(&s->kept.owner, sizeof(*entry), entry);
	r->calls = TAKE(entry->record.calls);
	r->bytes = TAKE(entry->record.bytes);
	r->header.time_ns = bpf_ktime_get_boot_ns();
	names = r->path.len;
	if (names > USAGE_FIRST)
		put_parts(s, key, side);
	s->size = sizeof(*r) + r->path.len;
	if (r->calls || r->bytes) {
		settle_system_file(r);
		filter = system_filter(KIND_USAGE, r->file.known);
		refused = filter ? 0 : put_data(s, KIND_USAGE);
		if (refused && is_last_sweep()) {
			count_seen(KIND_USAGE);
			count_refused(s->kept.owner, KIND_USAGE, refused - 1);
			refused = 0;
		} else if (refused) {
			__sync_fetch_and_add(&entry->record.calls, r->calls);
			__sync_fetch_and_add(&entry->record.bytes, r->bytes);
		} else {
			/* Counted only now: what stays in the ledger was not seen yet. */
			count_seen(KIND_USAGE);
			if (filter)
				count_filtered(KIND_USAGE, filter - 1);
			entry->record.first_ns = entry->record.tick = 0;
			entry->record.header.flags &= ~FLAG_NO_RESULT;
		}
	}
	if (!refused && mode == FLUSH_REMOVE)
		drop_entry(key, s->kept.owner, side, names);
	give_back(s);
	return refused ? -1 : 0;
}

/* Flushes the entries for what a descriptor referred to. */
__noinline int flush_fd(__u32 tgid, __s32 fd, __u32 mode)
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
			flush_entry(&key, set->usage_side, mode);
	}
	return 0;
}

/* Other threads of the process may be adding to its entries: then these stay. */
static __always_inline __u32 flush_mode(struct task_struct *task)
{
	return task->signal->nr_threads == 1 ? FLUSH_REMOVE : 0;
}

#endif
