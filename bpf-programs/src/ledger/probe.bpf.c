// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* When the ledger is told: as a descriptor is closed, as a process runs another program or ends, and when the agent says
 * so. Whatever is told early or late, sums are the same.
 */
#include "tell_usage.h"

#define FD_WORDS 16 /* of 64 descriptors; what higher ones stood for is told by the next sweep */
#define SWEEP_LIMIT 4096
#define STOP 1

LEDGER_EXIT(usage_close)
{
	struct task_struct *task = current_task();

	tell_fd(task->tgid, call_arg(call, 0), how_of(task));
}

/* These two are functions of their own so that no loop has branches: clang lays such out in a way that the verifier
 * refused before 6.2.
 */
__noinline int tell_if_open(__u64 open, __u32 tgid, __u32 fd, __u32 how)
{
	return open >> (fd & 63) & 1 ? tell_fd(tgid, fd, how) : 0;
}

__noinline int tell_word(__u64 open, __u32 tgid, __u32 first, __u32 how)
{
	if (!open)
		return 0;
	for (__u32 bit = 0; bit < 64; bit++)
		tell_if_open(open, tgid, first + bit, how);
	return 0;
}

/* What a process has open. */
static __always_inline void tell_open(struct task_struct *task)
{
	struct fdtable *table;
	__u32 how = how_of(task);

	if (!task->files)
		return;
	table = task->files->fdt;
	for (__u32 word = 0; word < FD_WORDS; word++) {
		__u64 open = 0;

		if (word * 64 >= table->max_fds)
			return;
		READ(&open, (void *)table->open_fds + word * sizeof(open), struct timespec64, tv_sec);
		tell_word(open, task->tgid, word * 64, how);
	}
}

#define UNUSED __attribute__((unused))

/* The last thread of a process ends. If two do at once each tells, and what one took the other has not. */
TRACEPOINT(sched_process_exit)
int usage_exit(UNUSED __u64 *ctx)
{
	struct task_struct *task = current_task();

	if (!task->signal->live.counter)
		tell_open(task);
	return 0;
}

/* What the program before did is told under its name. */
TRACEPOINT(sched_process_exec)
int usage_exec(UNUSED __u64 *ctx)
{
	tell_open(current_task());
	return 0;
}

static long sweep_entry(UNUSED void *map, const struct usage_key *key, UNUSED void *entry, struct sweep *sweep)
{
	struct usage_key copy = *key;

	if (sweep->told >= SWEEP_LIMIT || tell_entry(&copy, sweep->side, TELL_ALONE)) {
		sweep->left = 1;
		return STOP;
	}
	sweep->told++;
	return 0;
}

/* Two calls, each with one map: one call with either is refused before 6.10. */
static __noinline long sweep_0(struct sweep *sweep)
{
	return bpf_for_each_map_elem(&usage_0, sweep_entry, sweep, 0);
}

static __noinline long sweep_1(struct sweep *sweep)
{
	return bpf_for_each_map_elem(&usage_1, sweep_entry, sweep, 0);
}

/* Tells what is in the half that is not written to. An iterator, because that is a program the agent can run; of tasks,
 * because there always is one, and the first is enough.
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
