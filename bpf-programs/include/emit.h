/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* How records leave the programs: scratch space, counters, rings, wake-ups. Nothing else writes to the rings.
 */
#ifndef DUETECTOR_EMIT_H
#define DUETECTOR_EMIT_H

#include "hooks.h"
#include "budgets.h"
#include "rules.h"

/* Ring positions at the last forced wake-up. CPUs may race here: at worst there is one wake-up more. */
__u64 data_woken[MAX_DATA_RINGS], lifecycle_woken, security_woken;

/* Atomic, because a program in a soft interrupt may interrupt this one on the same CPU. */
static __always_inline void count_seen(__u32 kind)
{
	struct count *count = count_of(kind);

	if (count)
		__sync_fetch_and_add(&count->seen, 1);
}

static __always_inline void count_lost(__u32 kind)
{
	struct count *count = count_of(kind);

	if (count)
		__sync_fetch_and_add(&count->lost[LOST_RING_FULL], 1);
}

/* Takes a free slot by an atomic exchange and not by nesting depth, so that slots may be released in any order.
 */
static __always_inline struct scratch *take_scratch(void)
{
	for (__u32 i = 0; i < SCRATCH_SLOTS; i++) {
		__u32 slot = i;
		struct scratch *s = bpf_map_lookup_elem(&scratches, &slot);

		if (s && !__sync_lock_test_and_set(&s->busy, 1)) {
			s->slot = i;
			s->rules = s->tests_done = s->failed = s->has_path = s->cgroup_state = s->tree_known = 0;
			return s;
		}
	}
	return NULL;
}

static __always_inline void give_back(struct scratch *s)
{
	*(volatile __u32 *)&s->busy = 0;
}

static __always_inline __u64 owner_of_record(struct scratch *s)
{
	return ((struct header *)s->record)->owner;
}

/* Counts a record that is lost, also by owner: first by owner, because the agent reads the counters in the other
 * order.
 */
__noinline int count_refused(__u64 owner, __u32 kind, __u32 cause)
{
	struct loss_key key = {.owner = owner, .kind = kind, .cause = cause};
	struct count *count = count_of(kind);
	__u64 *losses_so_far = bpf_map_lookup_elem(&losses, &key), one = 1, index = cause;

	if (!losses_so_far && bpf_map_update_elem(&losses, &key, &one, BPF_NOEXIST))
		losses_so_far = bpf_map_lookup_elem(&losses, &key);
	if (losses_so_far)
		__sync_fetch_and_add(losses_so_far, 1);
	BOUND(index, LOST_CAUSES - 1);
	if (count)
		__sync_fetch_and_add(&count->lost[index], 1);
	return 0;
}

/* Wakes the agent once each time `threshold` bytes have come in, and not while it keeps up: it also polls by
 * itself.
 */
static __always_inline __u64 wakeup(void *ring, __u64 unread, __u64 *woken, __u32 threshold)
{
	__u64 produced;

	if (unread < threshold)
		return BPF_RB_NO_WAKEUP;
	produced = bpf_ringbuf_query(ring, BPF_RB_PROD_POS);
	if (produced - *woken < threshold)
		return BPF_RB_NO_WAKEUP;
	*woken = produced;
	return BPF_RB_FORCE_WAKEUP;
}

/* Outputs into a ring; returns 0, or 1 + LOST_* for a record that was kept out. While the ring is at most half full, no
 * one is kept out.
 */
static __always_inline int output(void *ring, struct scratch *s, __u32 kind, __u32 number, __u64 *woken,
				  __u32 threshold)
{
	__u64 unread = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);
	__u64 room = bpf_ringbuf_query(ring, BPF_RB_RING_SIZE), size = s->size;
	int refused;

	BOUND(size, RECORD_LIMIT);
	((struct header *)s->record)->size = size;
	if (unread > room / 2) {
		refused = keep_out(s, kind, number, unread, room);
		if (refused)
			return refused;
	}
	if (bpf_ringbuf_output(ring, s->record, size, wakeup(ring, unread, woken, threshold)))
		return 1 + LOST_RING_FULL;
	return 0;
}

/* The number of this CPU's data ring; a number without a ring stands for ring 0. */
static __always_inline __u32 data_ring(struct settings *set)
{
	return set->data_rings > 1 && set->cpus_a_ring ? bpf_get_smp_processor_id() / set->cpus_a_ring : 0;
}

/* Cases of a switch over data_ring(), the last of which is also for CPUs that came online after the agent started. */
#define EACH_DATA_RING(DO)                                                                                   \
	DO(data_1, 1);                                                                                       \
	DO(data_2, 2);                                                                                       \
	DO(data_3, 3);                                                                                       \
	DO(data_4, 4);                                                                                       \
	DO(data_5, 5);                                                                                       \
	DO(data_6, 6);                                                                                       \
	DO(data_7, 7);                                                                                       \
	default:                                                                                             \
		DO(data, 0)

#define PUT_INTO(ring, n)                                                                                    \
	case n:                                                                                              \
		return output(&ring, s, kind, n, &data_woken[n], set->data_wakeup)

/* Outputs into this CPU's ring. A global function, so that it is verified once and not for each program. */
__noinline int put_data(struct scratch *s, __u32 kind)
{
	struct settings *set = get_settings();

	if (!s || !set)
		return 1 + LOST_RING_FULL;
	switch (data_ring(set)) {
		EACH_DATA_RING(PUT_INTO);
	}
}

#define HAS_ROOM(ring, n)                                                                                    \
	case n:                                                                                              \
		return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) < bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE) / 8 * 3

/* True if this CPU's ring is not near the half beyond which budgets apply: then a sweep may go on, and otherwise it leaves
 * the rest to the next one. More than a quarter of a pinned ring does not wait for the store for long.
 */
__noinline int has_room_for_sweep(void)
{
	struct settings *set = get_settings();

	if (!set)
		return 0;
	switch (data_ring(set)) {
		EACH_DATA_RING(HAS_ROOM);
	}
}

/* Emits a tracer's record that was already counted as seen, unless a filter drops it. A global function, as
 * put_data.
 */
__noinline int emit_data(struct scratch *s, __u32 kind)
{
	struct settings *set = get_settings();
	int refused;

	if (!s || !set || (set->rules && apply_rules(s, true)))
		return 0;
	if (set->security & (1ULL << (kind & 63)))
		refused = output(&security, s, kind, SECURITY_RING, &security_woken, set->security_wakeup);
	else
		refused = put_data(s, kind);
	if (refused)
		count_refused(owner_of_record(s), kind, refused - 1);
	return 0;
}

/* Outputs into the lifecycle ring. A global function, as put_data. */
__noinline int put_lifecycle(struct scratch *s, __u32 kind)
{
	struct settings *set = get_settings();

	if (!s || !set)
		return 1 + LOST_RING_FULL;
	return output(&lifecycle, s, kind, LIFECYCLE_RING, &lifecycle_woken, set->lifecycle_wakeup);
}

/* Emits a record for the process table, and for the tracer too if it has FLAG_TRACED. */
static __always_inline void emit_lifecycle(struct scratch *s, __u32 kind, bool traced)
{
	struct settings *set = get_settings();
	int refused;

	if (traced && set && set->rules && apply_rules(s, true)) {
		((struct header *)s->record)->flags &= ~FLAG_TRACED;
		traced = false;
	}
	refused = put_lifecycle(s, kind);
	if (!refused)
		return;
	count_lost(COUNT_LIFECYCLE);
	if (traced)
		count_refused(owner_of_record(s), kind, refused - 1);
}

/* Counts a record of the lifecycle ring as lost because there was no scratch space. */
static __always_inline void lose_lifecycle(__u32 kind, bool traced)
{
	count_lost(COUNT_LIFECYCLE);
	if (traced)
		count_lost(kind);
}

#endif
