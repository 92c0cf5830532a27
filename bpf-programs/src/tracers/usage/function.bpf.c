// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Files that share blocks by an ioctl (FICLONE, FICLONERANGE, FIDEDUPERANGE): the bytes count as read from one and written
 * to the other. On overlayfs the kernel calls these functions a second time for the files of the layers, and also when it copies a
 * file up; neither of these counts.
 */
#include "counted.h"
#include "doing.h"
#include "ioctl.h"

#if TIER == FUNCTION

POSITION(cloned_in);
POSITION(cloned_out);
POSITION(cloned_result);
POSITION(deduped_in);
POSITION(deduped_out);
POSITION(deduped_result);

/* Counts the bytes if the current call is an ioctl that asks for this. */
static __always_inline void count_ioctl(struct shared *shared, __s64 result)
{
	struct call call = {.regs = current_regs()};
	struct task_struct *task = current_task();
	__u32 command;

	if (result < 0 || task->flags & (PF_KTHREAD | PF_IO_WORKER))
		return;
	name_call(&call);
	command = call_arg(&call, 1);
	if (call.nr != NR_IOCTL || is_of_layer(shared->to))
		return;
	shared->bytes = result;
	if (is_clone(command) && shared->via == VIA_CLONE_RANGE) {
		shared->from_fd = source_of(&call, command);
		shared->to_fd = call_arg(&call, 0);
	} else if (command == FIDEDUPERANGE && shared->via == VIA_DEDUPE_RANGE) {
		shared->from_fd = call_arg(&call, 0);
		shared->to_fd = -1;
	} else {
		return;
	}
	count_shared(shared);
}

FUNCTION_EXIT(usage_cloned)
{
	struct shared shared = {.via = VIA_CLONE_RANGE};

	shared.from = argument(ctx, cloned_in);
	shared.to = argument(ctx, cloned_out);
	count_ioctl(&shared, argument(ctx, cloned_result));
	return 0;
}

FUNCTION_EXIT(usage_deduped)
{
	struct shared shared = {.via = VIA_DEDUPE_RANGE};

	shared.from = argument(ctx, deduped_in);
	shared.to = argument(ctx, deduped_out);
	count_ioctl(&shared, argument(ctx, deduped_result));
	return 0;
}

/* The ends of the functions that read, write and their variants use for the file behind the descriptor. */
#define MOVED(program, ways)                                                                                 \
	POSITION(program##_file);                                                                            \
	POSITION(program##_ret);                                                                             \
	FUNCTION_EXIT(program)                                                                               \
	{                                                                                                    \
		count_early(argument(ctx, program##_file), argument(ctx, program##_ret), ways, 0);           \
		return 0;                                                                                    \
	}

MOVED(usage_vfs_read, VIA_READ | VIA_PREAD)
MOVED(usage_vfs_write, VIA_WRITE | VIA_PWRITE)
MOVED(usage_vfs_readv, VIA_READV | VIA_PREADV | VIA_PREADV2)
MOVED(usage_vfs_writev, VIA_WRITEV | VIA_PWRITEV | VIA_PWRITEV2)

#endif
