// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Finds requests whose completion found the queue full: in their ring's list of requests that are about to be freed. */
#include "unposted.h"

#define OVERFLOW_LIMIT 4096

/* Position, by ring, at which the search for the next request in the list continues: the queue stays full until all of
 * them have ended. A hash, because rings are anywhere in memory; the oldest entry may be dropped: then the search begins anew.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, __u64);
	__type(value, __u64);
} overflows SEC(".maps");

struct overflow_walk {
	__u64 node;
	__u64 user_data;
	__u64 found; /* the request */
	__s32 res;
	__u32 skip; /* requests that found room in the queue */
};

static __always_inline bool is_request_of(__u64 req, __u64 user_data, __s32 res)
{
	__u64 its_data = 0;
	__s32 its_res = 0;

	READ(&its_data, req, struct io_kiocb, cqe.user_data);
	READ(&its_res, req, struct io_kiocb, cqe.res);
	return its_data == user_data && its_res == res && !is_unposted(req);
}

static long find_overflown(__attribute__((unused)) __u32 index, struct overflow_walk *walk)
{
	__u64 req;

	if (!walk->node)
		return 1;
	req = walk->node - OFFSET(struct io_kiocb, comp_list);
	walk->node = ADDRESS(walk->node, struct io_wq_work_node, next);
	if (is_unposted(req))
		return 0;
	if (walk->skip) {
		walk->skip--;
		return 0;
	}
	if (!is_request_of(req, walk->user_data, walk->res))
		return 0;
	walk->found = req;
	return 1;
}

/* Returns the request whose completion found no room. Those of one batch overflow in their order, the first of them behind
 * those that found room.
 */
__noinline __u64 overflown(__u64 ring, __u64 user_data, __s32 res)
{
	struct overflow_walk walk = {.user_data = user_data, .res = res};
	__u64 *next = bpf_map_lookup_elem(&overflows, &ring), rings;
	__u64 first = ADDRESS(ring, struct io_ring_ctx, submit_state.compl_reqs.first);
	__u32 filled = 0, posted = 0;

	if (next && first) {
		walk.node = *next;
	} else {
		walk.node = first;
		READ(&filled, ring, struct io_ring_ctx, cached_cq_tail);
		rings = ADDRESS(ring, struct io_ring_ctx, rings);
		READ(&posted, rings, struct io_rings, cq.tail);
		walk.skip = filled - posted;
	}
	bpf_loop(OVERFLOW_LIMIT, find_overflown, &walk, 0);
	if (!walk.found) {
		walk.node = first;
		walk.skip = 0;
		bpf_loop(OVERFLOW_LIMIT, find_overflown, &walk, 0);
	}
	if (walk.found && walk.node)
		bpf_map_update_elem(&overflows, &ring, &walk.node, BPF_ANY);
	else
		bpf_map_delete_elem(&overflows, &ring);
	if (walk.found)
		return walk.found;
	first = request_of_worker();
	return first && is_request_of(first, user_data, res) ? first : 0;
}

/* Adds the bytes that a request moved to the ledger. */
__noinline int finish_use(__u64 req)
{
	__s32 res = 0;
	__u8 op = 0;

	READ(&op, req, struct io_kiocb, opcode);
	READ(&res, req, struct io_kiocb, cqe.res);
	if (!settle_uses(req, true))
		complete_use(req, op & 63, res);
	return 0;
}

TRACEPOINT(io_uring_cqe_overflow)
int uring_overflow(__u64 *ctx)
{
	__u64 req = overflown(ctx[0], ctx[1], ctx[2]), file = 0;
	__u8 op = 0;

	if (!req)
		return 0;
	READ(&op, req, struct io_kiocb, opcode);
	READ(&file, req, struct io_kiocb, file);
	if (op == OP_ACCEPT || op == OP_CONNECT || op == OP_BIND || op == OP_LISTEN) {
		finish_sock(req);
		drop_kept(req);
	} else if (op <= OP_LAST && BIT(op) & USING_OPS) {
		finish_use(req);
		if (!(BIT(op) & COPYING_OPS) && udp_of(file)) {
			finish_datagram(req);
			drop_kept(req);
		}
	} else {
		finish_file(req);
	}
	return 0;
}
