/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Searches a ring of io_uring for requests that have ended: they are in its list of free requests, and still have their
 * results.
 */
#ifndef DUETECTOR_FREE_REQUESTS_H
#define DUETECTOR_FREE_REQUESTS_H

#include "unposted.h"

#define HERE_LIMIT 1024	/* requests searched at the end of a call */
#define SWEEP_LIMIT_RING 65536

struct free_walk {
	__u64 ring;
	__u64 head; /* of the list when the walk began */
	__u64 node;
	__u64 began;
	__u32 left; /* entries to find */
	__u32 pad;
};

/* Records a free request, if something is kept of it. The list changes only at its head, by threads that hold the ring's
 * lock: all requests behind an unchanged head are free.
 */
static __always_inline long settle_free(struct free_walk *walk, __u32 ended)
{
	__u64 node = walk->node, req;
	struct kept *kept;
	__u32 settled;

	if (!node)
		return 1;
	req = node - OFFSET(struct io_kiocb, comp_list);
	walk->node = ADDRESS(node, struct io_wq_work_node, next);
	kept = find_kept(req);
	if (!kept)
		kept = find_kept(USE_OF(req));
	if (!kept || kept->since > walk->began)
		return 0;
	if (ADDRESS(walk->ring, struct io_ring_ctx, submit_state.free_list.next) != walk->head)
		return 1;
	settled = settle_request(req, ended);
	/* The result does not come from a number that changes, which the verifier would follow round by round. */
	if (walk->left > settled) {
		walk->left -= settled;
		return 0;
	}
	walk->left = 0;
	return 1;
}

static long settle_free_here(__attribute__((unused)) __u32 index, struct free_walk *walk)
{
	return settle_free(walk, ENDED_HERE);
}

static long settle_free_later(__attribute__((unused)) __u32 index, struct free_walk *walk)
{
	return settle_free(walk, ENDED_LATER);
}

static __always_inline void walk_free(struct free_walk *walk, __u32 ended)
{
	if (ended == ENDED_HERE)
		bpf_loop(HERE_LIMIT, settle_free_here, walk, 0);
	else
		bpf_loop(SWEEP_LIMIT_RING, settle_free_later, walk, 0);
}

/* Records the ring's free requests; returns how many of `wanted` entries were not found. */
static __always_inline __u32 settle_ring(__u64 ring, __u32 ended, __u32 wanted)
{
	struct free_walk walk = {.ring = ring, .left = wanted};

	if (!has_kept())
		return 0;
	walk.began = bpf_ktime_get_boot_ns();
	walk.head = ADDRESS(ring, struct io_ring_ctx, submit_state.free_list.next);
	walk.node = walk.head;
	walk_free(&walk, ended);
	if (walk.left && bpf_core_field_exists(struct io_ring_ctx, locked_free_list)) {
		walk.node = ADDRESS(ring, struct io_ring_ctx, locked_free_list.first);
		walk_free(&walk, ended);
	}
	return walk.left;
}

#endif
