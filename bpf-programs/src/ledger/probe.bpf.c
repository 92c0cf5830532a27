// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Points at which the usage ledger is flushed: a descriptor is closed, a process runs another program or ends,
 * or the agent asks for it. Sums are the same whenever that is.
 */
#include "usage_flush.h"

#define FD_WORDS 16 /* words of 64 descriptors; entries of higher ones are flushed by the next sweep */
#define SWEEP_LIMIT 4096
#define STOP 1

LEDGER_EXIT(usage_close)
{
	struct task_struct *task = current_task();

	flush_fd(task->tgid, call_arg(call, 0), flush_mode(task));
}

/* Two separate functions so that no loop contains branches: clang compiles those in a way that the verifier
 * refused before 6.2.
 */
__noinline int flush_if_open(__u64 open, __u32 tgid, __u32 fd, __u32 mode)
{
	return open >> (fd & 63) & 1 ? flush_fd(tgid, fd, mode) : 0;
}

__noinline int flush_word(__u64 open, __u32 tgid, __u32 first, __u32 mode)
{
	if (!open)
		return 0;
	for (__u32 bit = 0; bit < 64; bit++)
		flush_if_open(open, tgid, first + bit, mode);
	return 0;
}

/* Flushes the entries of all descriptors that a process has open. */
static __always_inline void flush_open(struct task_struct *task)
{
	struct fdtable *table;
	__u32 mode = flush_mode(task);

	if (!task->files)
		return;
	table = task->files->fdt;
	for (__u32 word = 0; word < FD_WORDS; word++) {
		__u64 open = 0;

		if (word * 64 >= table->max_fds)
			return;
		READ(&open, (void *)table->open_fds + word * sizeof(open), struct timespec64, tv_sec);
		flush_word(open, task->tgid, word * 64, mode);
	}
}

#define UNUSED __attribute__((unused))

/* The last thread of a process ends. If two end at once, both flush: each takes only what the other has not. */
TRACEPOINT(sched_process_exit)
int usage_exit(UNUSED __u64 *ctx)
{
	struct task_struct *task = current_task();

	if (!task->signal->live.counter)
		flush_open(task);
	return 0;
}

/* Uses by the previous program are flushed under that program's name. */
TRACEPOINT(sched_process_exec)
int usage_exec(UNUSED __u64 *ctx)
{
	flush_open(current_task());
	return 0;
}

static long sweep_entry(UNUSED void *map, const struct usage_key *key, UNUSED void *entry, struct sweep *sweep)
{
	struct usage_key copy = *key;

	if (sweep->flushed >= SWEEP_LIMIT || flush_entry(&copy, sweep->side, FLUSH_REMOVE)) {
		sweep->left = 1;
		return STOP;
	}
	sweep->flushed++;
	return 0;
}

/* Two calls, each with one map: before 6.10 one call that may use either is refused. */
static __noinline long sweep_0(struct sweep *sweep)
{
	return bpf_for_each_map_elem(&usage_0, sweep_entry, sweep, 0);
}

static __noinline long sweep_1(struct sweep *sweep)
{
	return bpf_for_each_map_elem(&usage_1, sweep_entry, sweep, 0);
}

/* Flushes the buffer that is not written to. An iterator, because the agent can run it at will; over tasks,
 * because there always is one, and only the first is used.
 */
SEC("iter/task")
int usage_sweep(struct bpf_iter__task *ctx)
{
	struct settings *set = get_settings();
	struct sweep sweep = {};

	if (!set || ctx->meta->seq_num)
		return 0;
	sweep.side = !set->usage_side;
	if (sweep.side)
		sweep_1(&sweep);
	else
		sweep_0(&sweep);
	bpf_seq_write(ctx->meta->seq, &sweep, sizeof(sweep));
	return 0;
}
