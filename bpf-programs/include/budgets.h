/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Budgets of users in front of each ring: a user who floods a ring loses his own records and nobody else's. "User" here
 * means the owner of a record, see header.owner.
 *
 * Budgets apply only while a ring is more than half full, so that on a calm machine a record costs one comparison. Then the
 * records that each user offers are counted, in windows of about a quarter of a second. A user who offers more than
 * QUIET_RECORDS or QUIET_BYTES in a window floods. He counts as flooding in that window and for FLOOD_WINDOWS more, because
 * in a flood of many users each of them is without a processor now and then. All others are quiet. Users who flood may fill
 * the ring only to five eighths:
 *
 *     0 ─────────────── 1/2 ─────── 5/8 ──────────────────── 1
 *       everybody,       │ everybody, │    quiet users only
 *       without budgets  │ by budgets │
 *
 * In a window, a quiet user may put in only a part of the room that is left at that time (the rule is that of dynamic queue
 * thresholds, Choudhury and Hahne 1998), so that room is left for others. The part is 1/KNOWN_PART for a user who made
 * records in the window before and was quiet then. It is 1/FIRST_PART for any other user, such as one who begins a flood:
 * a hundred who begin at once leave (127/128)^100 of that room, nearly half, to those whom they might disturb.
 */
#ifndef DUETECTOR_BUDGETS_H
#define DUETECTOR_BUDGETS_H

#include "filter.h"

/* Limits of what a quiet user offers in a window. */
#define QUIET_RECORDS 128
#define QUIET_BYTES (64 * 1024)
#define FLOOD_WINDOWS 256 /* about a minute */
/* Parts of the room that is left: those of a user who was quiet in the window before, and of any other. */
#define KNOWN_PART 32
#define FIRST_PART 128
#define WINDOW_SHIFT 28 /* a window is 2^28 ns */
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
	__u64 floods_until; /* a window */
	__u64 bytes;	    /* let in in this window */
	__u32 offered;	    /* records, in this window */
	__u32 offered_bytes;
	__u32 known; /* 1: there were records in the window before, and the user was quiet then */
	__u32 pad;
};

/* Entries of users without recent records may be dropped: then they begin anew as quiet users. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct budget_key);
	__type(value, struct budget);
} budgets SEC(".maps");

/* Not on the stack: the deepest calls have none left before 6.13 (udp.h). */
static const struct budget no_budget = {};

static __always_inline struct budget *budget_of(__u64 owner, __u32 ring)
{
	struct budget_key key = {.owner = owner, .ring = ring};
	struct budget *found = bpf_map_lookup_elem(&budgets, &key);

	if (found)
		return found;
	bpf_map_update_elem(&budgets, &key, &no_budget, BPF_NOEXIST);
	return bpf_map_lookup_elem(&budgets, &key);
}

/* Decides whether a record is kept out of a ring of `room` bytes that is more than half full: returns 1 + LOST_*, or 0.
 * CPUs may race for a budget: at worst a few records more or less get in.
 */
__noinline int keep_out(struct scratch *s, __u32 kind, __u32 ring, __u64 unread, __u64 room)
{
	struct settings *set = get_settings();
	__u64 window, end, left, part;
	struct budget *budget;
	bool floods;

	if (!s || !set)
		return 0;
	budget = budget_of(((struct header *)s->record)->owner, ring);
	if (!budget)
		return 0;
	window = bpf_ktime_get_boot_ns() >> WINDOW_SHIFT;
	if (budget->window != window) {
		budget->known = budget->window + 1 == window && budget->floods_until <= window;
		budget->offered = 0;
		budget->offered_bytes = 0;
		budget->bytes = 0;
		budget->window = window;
	}
	__sync_fetch_and_add(&budget->offered, 1);
	__sync_fetch_and_add(&budget->offered_bytes, s->size);
	if (budget->offered > QUIET_RECORDS || budget->offered_bytes > QUIET_BYTES)
		budget->floods_until = window + FLOOD_WINDOWS;
	floods = budget->floods_until > window;
	/* At random, so that no pattern in the records decides. */
	if (floods && set->sample && set->sampled & (1ULL << (kind & 63)) && bpf_get_prandom_u32() % set->sample)
		return 1 + LOST_SAMPLED;
	end = floods ? room / 8 * 5 : room;
	left = unread < end ? end - unread : 0;
	part = floods ? left : left / (budget->known ? KNOWN_PART : FIRST_PART);
	if (budget->bytes >= part)
		return 1 + LOST_OVER_BUDGET;
	__sync_fetch_and_add(&budget->bytes, s->size);
	return 0;
}

#endif
