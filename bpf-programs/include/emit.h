/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The only way out: scratch space, counters, rings, wake-ups. */
#ifndef DUETECTOR_EMIT_H
#define DUETECTOR_EMIT_H

#include "filter.h"

/* Ring position at the last forced wake-up. CPUs may race here: the worst is one wake-up more. */
__u64 data_woken, lifecycle_woken;

/* The compiler may prove a bound that the verifier can't see; this one neither can lose. */
#define BOUND(value, limit) asm volatile("if %0 <= %1 goto +1\n%0 = %1" : "+r"(value) : "i"(limit))

/* Atomic, because a program in a soft interrupt may come in between on the same CPU. */
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

/* A slot is claimed by exchange and not by depth, so that no order of release is assumed. */
static __always_inline struct scratch *take_scratch(void)
{
	for (__u32 i = 0; i < SCRATCH_SLOTS; i++) {
		__u32 slot = i;
		struct scratch *s = bpf_map_lookup_elem(&scratches, &slot);

		if (s && !__sync_lock_test_and_set(&s->busy, 1))
			return s;
	}
	return NULL;
}

static __always_inline void give_back(struct scratch *s)
{
	*(volatile __u32 *)&s->busy = 0;
}

/* One wake-up each time so much has come in, and none while the agent keeps up: it looks by itself besides.
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

/* A record of a tracer, already counted as seen. */
static __always_inline void emit_data(struct scratch *s, __u32 kind)
{
	struct settings *set = get_settings();
	__u64 flags = wakeup(&data, &data_woken, set ? set->data_wakeup : 0);

	if (output(&data, s, flags))
		count_lost(kind);
}

/* A record for the process table, and for the tracer if it is FLAG_TRACED. */
static __always_inline void emit_lifecycle(struct scratch *s, __u32 kind, bool traced)
{
	struct settings *set = get_settings();
	__u64 flags = wakeup(&lifecycle, &lifecycle_woken, set ? set->lifecycle_wakeup : 0);

	if (!output(&lifecycle, s, flags))
		return;
	count_lost(COUNT_LIFECYCLE);
	if (traced)
		count_lost(kind);
}

/* No scratch space for a record of the lifecycle ring. */
static __always_inline void lose_lifecycle(__u32 kind, bool traced)
{
	count_lost(COUNT_LIFECYCLE);
	if (traced)
		count_lost(kind);
}

#endif
