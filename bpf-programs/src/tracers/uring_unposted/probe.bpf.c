// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Finds requests whose completion was not posted, in the list of free requests of their ring.
 *
 *     end of io_uring_enter, task work ──► the ring of the thread's last requests ──┐
 *     sweep by the agent ────────────────► rings with requests that have not ended ─┴─► settle_request()
 *     end of the process, of the ring ───► its requests, without their results ─────┘
 */
#include "free_requests.h"

#define SECOND 1000000000ULL /* before a ring is searched again */
#define YOUNG 60 /* requests younger than this part of settings.end_within_ms are left to the other hooks */

static __always_inline void settle_here(void)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct awaited_ends *of = has_kept() ? bpf_map_lookup_elem(&unposted, &thread) : NULL;
	__u64 ring;

	if (!of)
		return;
	ring = of->ring;
	if (of->count)
		of->count = settle_ring(ring, ENDED_HERE, of->count);
	if (!of->count)
		bpf_map_delete_elem(&unposted, &thread);
}

SYSCALL_EXIT(uring_entered)
{
	(void)call;
	settle_here();
}

TRACEPOINT(io_uring_task_work_run)
int uring_worked(__attribute__((unused)) __u64 *ctx)
{
	settle_here();
	return 0;
}

struct process_search {
	__u64 ring;
	__u32 tgid;
	__u32 pad;
};

static long find_ring_of(__attribute__((unused)) void *map, __attribute__((unused)) __u64 *key, struct kept *of,
			 struct process_search *search)
{
	if (!of->ring || of->pid != search->tgid)
		return 0;
	search->ring = of->ring;
	return 1;
}

static long settle_of_process(__attribute__((unused)) void *map, __u64 *key, struct kept *of,
			      struct process_search *search)
{
	if (of->ring && of->pid == search->tgid)
		settle_unknown(REQUEST_OF(*key));
	return 0;
}

/* The last thread of a process ends: the kernel has waited for its requests. */
TRACEPOINT(sched_process_exit)
int uring_ended(__attribute__((unused)) __u64 *ctx)
{
	struct task_struct *task = current_task();
	struct process_search search = {.tgid = task->tgid};

	if (!has_kept() || task->signal->live.counter || !GET(task, io_uring))
		return 0;
	bpf_for_each_map_elem(&uring_small, find_ring_of, &search, 0);
	bpf_for_each_map_elem(&uring_large, find_ring_of, &search, 0);
	if (!search.ring)
		return 0;
	settle_ring(search.ring, ENDED_HERE, ~0U);
	bpf_for_each_map_elem(&uring_small, settle_of_process, &search, 0);
	bpf_for_each_map_elem(&uring_large, settle_of_process, &search, 0);
	return 0;
}

struct ring_search {
	__u64 before; /* for requests that are older */
	__u64 again; /* for rings that were searched before that */
	__u64 now;
	__u64 ring;
};

/* Finds a ring that was not searched lately, and marks all requests of it. */
static long find_ring(__attribute__((unused)) void *map, __attribute__((unused)) __u64 *key, struct kept *of,
		      struct ring_search *search)
{
	if (!of->ring || of->walked > search->again || of->since > search->before)
		return 0;
	if (ADDRESS(of->ring, struct io_ring_ctx, refs.percpu_count_ptr) != of->ring_refs)
		return 0;
	if (!search->ring)
		search->ring = of->ring;
	if (of->ring == search->ring)
		of->walked = search->now;
	return 0;
}

static __always_inline void lose_call(__u64 key, struct kept *of)
{
	__u64 owner = of->owner;
	__u32 kind = of->kind;

	drop_kept(key);
	count_stale(owner, kind);
}

/* Records a request whose ring was closed, and forgets a call that is so old that it has probably ended unseen. */
static long settle_closed(__attribute__((unused)) void *map, __u64 *key, struct kept *of, __u64 *before)
{
	if (of->since >= *before)
		return 0;
	if (!of->ring) { /* a call, which may still wait: only if there is little room */
		if (entries[IN_URING_SMALL] > SMALL_REQUESTS / 2 || entries[IN_URING_LARGE] > LARGE_REQUESTS / 2)
			lose_call(*key, of);
		return 0;
	}
	if (ADDRESS(of->ring, struct io_ring_ctx, refs.percpu_count_ptr) != of->ring_refs)
		settle_unknown(REQUEST_OF(*key));
	return 0;
}

/* Searches one ring for requests that ended while no thread of its process was in the kernel. The agent runs the program,
 * like usage_sweep, until no ring is left.
 */
SEC("iter/task")
int uring_sweep(struct bpf_iter__task *ctx)
{
	struct ring_search search = {.now = bpf_ktime_get_boot_ns()};
	struct settings *set = get_settings();
	struct sweep sweep = {};

	if (!set || ctx->meta->seq_num)
		return 0;
	search.before = search.now - set->end_within_ms * MILLISECOND / YOUNG;
	search.again = search.now - SECOND;
	bpf_for_each_map_elem(&uring_small, find_ring, &search, 0);
	bpf_for_each_map_elem(&uring_large, find_ring, &search, 0);
	if (search.ring) {
		settle_ring(search.ring, ENDED_LATER, ~0U);
		sweep.left = 1;
	}
	search.before = search.now - set->end_within_ms * MILLISECOND;
	bpf_for_each_map_elem(&uring_small, settle_closed, &search.before, 0);
	bpf_for_each_map_elem(&uring_large, settle_closed, &search.before, 0);
	bpf_seq_write(ctx->meta->seq, &sweep, sizeof(sweep));
	return 0;
}
