/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* libaio: what the kernel returned of each request, and what had been requested. Events that a program takes
 * from the shared ring itself, without a system call, are not seen.
 */
#ifndef DUETECTOR_AIO_H
#define DUETECTOR_AIO_H

#include "usage_flush.h"

#define AIO_EVENTS 256

struct aio_event {
	__u64 data;
	__u64 asked; /* struct iocb */
	__s64 ret;
	__s64 ret2;
};

struct aio_asked {
	__u64 data;
	__u32 key, flags;
	__u16 opcode;
	__s16 priority;
	__u32 fd;
};

/* Counts the event at this address. A global function, so that it is verified once and not once a round. */
__noinline int use_event(__u64 at)
{
	struct task_struct *task = current_task();
	struct use use = {.via = VIA_AIO};
	struct aio_event event = {};
	struct aio_asked asked = {};
	__u32 opcode;

	bpf_probe_read_user(&event, sizeof(event), (void *)at);
	bpf_probe_read_user(&asked, sizeof(asked), (void *)event.asked);
	/* PREAD 0, PWRITE 1, FSYNC 2, FDSYNC 3, POLL 5, PREADV 7, PWRITEV 8 */
	opcode = 1U << (asked.opcode & 31);
	if (event.ret < 0 || !(opcode & 0x183))
		return 0;
	use.direction = opcode & 0x81 ? USAGE_READ : USAGE_WRITTEN;
	use.bytes = event.ret;
	use.fd = asked.fd;
	use.file = file_of(task, use.fd);
	use.unverified = true;
	count_use(task, &use);
	return 0;
}

__noinline int some_events(__u64 at, __u32 count)
{
	for (__u32 i = 0; i < STRIDE && i < count; i++)
		use_event(at + i * sizeof(struct aio_event));
	return 0;
}

#endif
