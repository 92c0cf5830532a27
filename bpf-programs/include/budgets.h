/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Budgets of users in front of each ring: who floods a ring loses his own records and nobody else's.
 *
 * They apply only while a ring is more than half full, so that a machine at peace pays one comparison. Then the records
 * that each user offers are counted, in windows of about a second. Whoever offers at most QUIET of them in a window may
 * use the ring up to its end; everybody else only its third quarter, where they share the room that is left there:
 *
 *     0 ─────────────── 1/2 ──────────── 3/4 ──────────── 1
 *       everybody, free  │  shared out    │  quiet users only
 *
 * A user's part of a zone is bounded by the room that is still left in it. However many users flood, they leave some of it:
 * n of them stop when each has 1/(n + 1) of the zone. (The rule is that of dynamic queue thresholds, Choudhury and Hahne
 * 1998.) A user is a record's owner, see header.owner.
 */
#ifndef DUETECTOR_BUDGETS_H
#define DUETECTOR_BUDGETS_H

#include "filter.h"

/* Records a window that a quiet user offers at most. */
#define QUIET 256
#define WINDOW_SHIFT 30 /* a window is 2^30 ns */
/* Numbers of rings in map `budgets`; those of the data rings come first. */
#define LIFECYCLE_RING MAX_DATA_RINGS
#define SECURITY_RING (MAX_DATA_RINGS + 1)

struct budget_key {
	__u64 owner;
	__u32 ring;
	__u32 pad;
};

struct budget {
	__u64 window;
	__u64 bytes;   /* let in in this window */
	__u32 offered; /* records, in this window */
	__u32 before;  /* those of the window before */
};

/* Entries of users without recent records may be dropped: then they begin anew as quiet users. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct budget_key);
	__type(value, struct budget);
} budgets SEC(".maps");

static __always_inline struct budget *budget_of(__u64 owner, __u32 ring)
{
	struct budget_key key = {.owner = owner, .ring = ring};
	struct budget *found = bpf_map_lookup_elem(&budgets, &key), none = {};

	if (found)
		return found;
	bpf_map_update_elem(&budgets, &key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&budgets, &key);
}

/* Decides whether a record is kept out of a ring of `room` bytes that is more than half full: returns 1 + LOST_*, or 0.
 * CPUs may race for a budget: at worst a few records more or less get in.
 */
__noinline int keep_out(struct scratch *s, __u32 kind, __u32 ring, __u64 unread, __u64 room)
{
	struct settings *set = get_settings();
	struct budget *budget;
	__u64 window, end, left;

	if (!s || !set)
		return 0;
	/* At random, so that no pattern in the records decides. */
	if (set->sample && set->sampled & (1ULL << (kind & 63)) && bpf_get_prandom_u32() % set->sample)
		return 1 + LOST_SAMPLED;
	budget = budget_of(((struct header *)s->record)->owner, ring);
	if (!budget)
		return 0;
	window = bpf_ktime_get_boot_ns() >> WINDOW_SHIFT;
	if (budget->window != window) {
		budget->before = budget->window + 1 == window ? budget->offered : 0;
		budget->offered = 0;
		budget->bytes = 0;
		budget->window = window;
	}
	__sync_fetch_and_add(&budget->offered, 1);
	end = budget->offered <= QUIET && budget->before <= QUIET ? room : room / 4 * 3;
	left = unread < end ? end - unread : 0;
	if (budget->bytes >= left)
		return 1 + LOST_OVER_BUDGET;
	__sync_fetch_and_add(&budget->bytes, s->size);
	return 0;
}

#endif
