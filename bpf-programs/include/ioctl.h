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

/* Bytes that one file got from the other. The descriptors only say when to flush. */
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

/* struct file_clone_range */
struct range {
	__s64 fd;
	__u64 from;
	__u64 length; /* 0: to the end of the file */
	__u64 to;
};

/* The range that a call asks for; that of a whole file has only its descriptor. */
static __always_inline void read_range(struct range *range, const struct call *call, __u32 command)
{
	range->fd = call_arg(call, 2);
	if (command == FICLONERANGE)
		bpf_probe_read_user(range, sizeof(*range), (void *)range->fd);
}

#endif
