// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* System calls that read, write or map a file's bytes, the most frequent first. A call that failed moved
 * nothing and is not counted; one that returned 0 is.
 */
#include "aio.h"
#include "counted.h"

#define FMODE_WRITE 2

/* Sets the use to the descriptor that is argument `at` of the call. Another thread can have exchanged the file, or the number
 * of the descriptor if the arguments are in memory.
 */
static __always_inline void use_arg(struct use *use, struct task_struct *task, struct call *call, int at)
{
	use->fd = call_arg(call, at);
	use->file = file_of(task, use->fd);
	use->unverified = is_doubtful(task, call);
}

LEDGER_EXIT(usage_io)
{
	struct task_struct *task = current_task();
	struct use use = {.bytes = call->ret};
	__u32 mode = 0;

	if (take_counted(call->nr) || call->ret < 0)
		return;
	use_arg(&use, task, call, 0);
	use.via = via_of(call->nr);
	use.direction = use.via & READERS ? USAGE_READ : USAGE_WRITTEN;
	if (use.via == VIA_VMSPLICE) { /* to a pipe, or from it */
		READ(&mode, use.file, struct file, f_mode);
		use.direction = mode & FMODE_WRITE ? USAGE_WRITTEN : USAGE_READ;
	}
	if (use.via & (VIA_RECVFROM | VIA_RECVMSG) && !received(&use, call))
		return;
	count_use(task, &use);
}

/* These calls return the number of messages; the length of each is in the caller's memory. Returns the bytes of
 * up to STRIDE messages, which are `size` apart.
 */
__noinline __u64 bytes_of_messages(__u64 lengths, __u32 size, __u32 count)
{
	__u64 bytes = 0;

	for (__u32 i = 0; i < STRIDE && i < count; i++) {
		__u32 len = 0;

		bpf_probe_read_user(&len, sizeof(len), (void *)(lengths + i * size));
		bytes += len;
	}
	return bytes;
}

LEDGER_EXIT(usage_messages)
{
	struct task_struct *task = current_task();
	struct use use = {};
	/* In struct mmsghdr the length follows a msghdr of 56 bytes, or 28. */
	__u64 lengths = call_arg(call, 1) + (call->abi ? 28 : 56);
	__u32 size = call->abi ? 32 : 64;

	if (take_counted(call->nr) || call->ret < 0)
		return;
	use_arg(&use, task, call, 0);
	use.via = via_of(call->nr);
	use.direction = use.via & READERS ? USAGE_READ : USAGE_WRITTEN;
	if (use.via == VIA_RECVMMSG && call_arg(call, 3) & TAKES_NOTHING)
		return;
	use.unverified = true;
	for (__u32 i = 0; i < MESSAGES && i < call->ret; i += STRIDE)
		use.bytes += bytes_of_messages(lengths + i * size, size, call->ret - i);
	count_use(task, &use);
}

/* Copies from one descriptor to another: a read of one and a write of the other. */
LEDGER_EXIT(usage_copy)
{
	__u32 nr = call->nr;
	/* sendfile(to, from, ...), tee(from, to, ...), splice(from, at, to, ...) */
	int from = nr == NR_SENDFILE ? 1 : 0;
	int to = nr == NR_SENDFILE ? 0 : nr == NR_TEE ? 1 : 2;
	__u32 via = nr == NR_SENDFILE ? VIA_SENDFILE
		    : nr == NR_TEE    ? VIA_TEE
		    : nr == NR_SPLICE ? VIA_SPLICE
				      : VIA_COPY_FILE_RANGE;

	if (call->ret < 0)
		return;
	count_side(call_arg(call, from), call->ret, via, false, USAGE_READ);
	count_side(call_arg(call, to), call->ret, via, false, USAGE_WRITTEN);
}

#define MAP_ANONYMOUS 0x20
#define MAP_SHARED_BITS 0x3

LEDGER_EXIT(usage_mmap)
{
	struct task_struct *task = current_task();
	__u32 flags = call_arg(call, 3);
	struct use use = {.via = VIA_MMAP, .direction = USAGE_MAPPED};

	if ((__u64)call->ret >= -4095ULL || flags & MAP_ANONYMOUS)
		return;
	use_arg(&use, task, call, 4);
	use.bytes = call_arg(call, 1);
	use.low = call_arg(call, 5) << (call->abi & CALL_PAGES ? 12 : 0);
	use.high = use.low + use.bytes;
	use.protection = (call_arg(call, 2) & 0xff) | (flags & MAP_SHARED_BITS) << 8;
	count_use(task, &use);
}

LEDGER_EXIT(usage_aio)
{
	__u64 events = call_arg(call, 3);

	for (__u32 i = 0; i < AIO_EVENTS && i < call->ret; i += STRIDE)
		some_events(events + i * sizeof(struct aio_event), call->ret - i);
}
