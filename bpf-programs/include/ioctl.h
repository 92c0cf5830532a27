/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Commands of ioctl by which two files share blocks. */
#ifndef DUETECTOR_IOCTL_H
#define DUETECTOR_IOCTL_H

#include "usage.h"

#define FICLONE 0x40049409
#define FICLONERANGE 0x4020940d
#define FIDEDUPERANGE 0xc0189436

static __always_inline bool is_clone(__u32 command)
{
	return command == FICLONE || command == FICLONERANGE;
}

static __always_inline bool shares_blocks(__u32 command)
{
	return is_clone(command) || command == FIDEDUPERANGE;
}

/* Bytes that one file got from another. The descriptors only serve as hints for the flush when they are closed. */
struct shared {
	__u64 from, to;
	__u64 bytes;
	__s32 from_fd, to_fd;
	__u32 via;
};

/* Counts a read of one file and a write of the other. */
static __always_inline void count_shared(const struct shared *shared)
{
	struct task_struct *task = current_task();

	for (int i = 0; i < 2; i++) {
		struct use use = {.bytes = shared->bytes, .via = shared->via};

		use.file = i ? shared->to : shared->from;
		use.fd = i ? shared->to_fd : shared->from_fd;
		use.direction = i ? USAGE_WRITTEN : USAGE_READ;
		count_use(task, &use);
	}
}

/* Words of struct file_clone_range. */
#define RANGE_FD 0
#define RANGE_FROM 1
#define RANGE_LENGTH 2 /* 0: to the end of the file */

/* Words of struct file_dedupe_range, and of its destinations. */
#define DEDUPE_SIZE 24
#define DEDUPE_COUNT 2
#define DESTINATIONS 127 /* as many as the kernel accepts: the structure fits in a page */
#define DESTINATION_SIZE 32
#define DESTINATION_LENGTH 2
#define DESTINATION_STATUS 3

/* Reads a word in the caller's memory. A global function, because the stack is full in the longest chain of calls. */
__noinline __u64 range_word(__u64 at, __u32 word)
{
	__u64 value = 0;

	bpf_probe_read_user(&value, sizeof(value), (void *)at + word * sizeof(value));
	return value;
}

/* Returns the descriptor of the file that a call takes blocks from. */
static __always_inline __s32 source_of(const struct call *call, __u32 command)
{
	__u64 argument = call_arg(call, 2);

	return command == FICLONERANGE ? range_word(argument, RANGE_FD) : argument;
}

#endif
