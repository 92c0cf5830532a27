/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* How records leave the programs: scratch space, counters, rings, wake-ups. Nothing else writes to the rings.
 */
#ifndef DUETECTOR_EMIT_H
#define DUETECTOR_EMIT_H

#include "hooks.h"
#include "rules.h"

/* Ring positions at the last forced wake-up. CPUs may race here: at worst there is one wake-up more. */
__u64 data_woken[MAX_DATA_RINGS], lifecycle_woken;

/* Atomic, because a program in a soft interrupt may interrupt this one on the same CPU. */
static __always_inline void count_seen(__u32 kind)
{
	struct count *count = bpf_map_lookup_elem(&counts, &kind);

	if (count)
		__sync_fetch_and_add(&count->seen, 1);
}

static __always_inline void count_lost(__u32 kind)
{
	struct count *count = bpf_map_lookup_elem(&counts, &kind);

	if (count)
		__sync_fetch_and_add(&count->lost, 1);
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

/* Wakes the agent once each time `threshold` bytes have come in, and not while it keeps up: it also polls by
 * itself.
 */
static __always_inline __u64 wakeup(void *ring, __u64 *woken, __u32 threshold)
{
	__u64 produced;

	if (bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) < threshold)
		return BPF_RB_NO_WAKEUP;
	produced = bpf_ringbuf_query(ring, BPF_RB_PROD_POS);
	if (produced - *woken < threshold)
		return BPF_RB_NO_WAKEUP;
	*woken = produced;
	return BPF_RB_FORCE_WAKEUP;
}

static __always_inline long output(void *ring, struct scratch *s, __u64 flags)
{
	__u64 size = s->size;

	BOUND(size, RECORD_LIMIT);
	((struct header *)s->record)->size = size;
	return bpf_ringbuf_output(ring, s->record, size, flags);
}

#define SAMPLED_OUT 1

/* While a ring is nearly full, lets in only a share of the records of tracers that flood, so that others find
 * room. Records are chosen at random, so that no pattern in them decides.
 */
static __always_inline bool sampled_out(void *ring, struct settings *set, __u32 kind)
{
	if (!set->sample || !(set->sampled & (1ULL << (kind & 63))))
		return false;
	return bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) > set->sample_at && bpf_get_prandom_u32() % set->sample;
}

#define PUT_INTO(ring, n)                                                                                    \
	case n:                                                                                              \
		if (sampled_out(&ring, set, kind))                                                           \
			return SAMPLED_OUT;                                                                  \
		return output(&ring, s, wakeup(&ring, &data_woken[n], set->data_wakeup))

/* Outputs into this CPU's ring. A global function, so that it is verified once and not for each program. */
__noinline int put_data(struct scratch *s, __u32 kind)
{
	struct settings *set = get_settings();
	__u32 ring = 0;

	if (!s || !set)
		return -1;
	if (set->data_rings > 1 && set->cpus_a_ring)
		ring = bpf_get_smp_processor_id() / set->cpus_a_ring;
	switch (ring) {
		PUT_INTO(data_1, 1);
		PUT_INTO(data_2, 2);
		PUT_INTO(data_3, 3);
		PUT_INTO(data_4, 4);
		PUT_INTO(data_5, 5);
		PUT_INTO(data_6, 6);
		PUT_INTO(data_7, 7);
	default: /* also CPUs that came online after the agent started */
		PUT_INTO(data, 0);
	}
}

/* Emits a tracer's record that was already counted as seen, unless a filter drops it. A global function, as
 * put_data.
 */
__noinline int emit_data(struct scratch *s, __u32 kind)
{
	struct count *count;
	int refused;

	if (!s || (get_rules() && apply_rules(s, true)))
		return 0;
	refused = put_data(s, kind);
	if (!refused)
		return 0;
	count = bpf_map_lookup_elem(&counts, &kind);
	if (count)
		__sync_fetch_and_add(refused == SAMPLED_OUT ? &count->sampled : &count->lost, 1);
	return 0;
}

/* Emits a record for the process table, and for the tracer too if it has FLAG_TRACED. */
static __always_inline void emit_lifecycle(struct scratch *s, __u32 kind, bool traced)
{
	struct settings *set = get_settings();
	__u64 flags = wakeup(&lifecycle, &lifecycle_woken, set ? set->lifecycle_wakeup : 0);

	if (traced && set && set->rules && apply_rules(s, true)) {
		((struct header *)s->record)->flags &= ~FLAG_TRACED;
		traced = false;
	}
	if (!output(&lifecycle, s, flags))
		return;
	count_lost(COUNT_LIFECYCLE);
	if (traced)
		count_lost(kind);
}

/* Counts a record of the lifecycle ring as lost because there was no scratch space. */
static __always_inline void lose_lifecycle(__u32 kind, bool traced)
{
	count_lost(COUNT_LIFECYCLE);
	if (traced)
		count_lost(kind);
}

#endif
