// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* FICLONE and FICLONERANGE, at the end of ioctl. All other commands end the program after two comparisons (some 12 ns more
 * than for a call without a program, by bpf_stats_enabled on the machine of docs/BENCHMARKS.md): no tracer has a
 * program of stage Events for ioctl.
 */
#include "ioctl.h"

/* Returns the size of the file behind a descriptor. A global function for the same reason as range_word(). */
__noinline __u64 size_behind(__s32 fd)
{
	__u64 inode = 0, size = 0;

	READ(&inode, file_of(current_task(), fd), struct file, f_inode);
	READ(&size, inode, struct inode, i_size);
	return size;
}

static __always_inline void count_clone(struct call *call)
{
	struct shared shared = {.via = VIA_CLONE_RANGE};
	__u64 range;
	__u32 command;

	name_call(call);
	command = call_arg(call, 1);
	if (!is_clone(command))
		return;
	shared.unverified = are_files_shared(current_task());
	shared.from_fd = source_of(call, command);
	shared.to_fd = call_arg(call, 0);
	shared.from = file_of(current_task(), shared.from_fd);
	shared.to = file_of(current_task(), shared.to_fd);
	range = call_arg(call, 2);
	if (command == FICLONERANGE)
		shared.bytes = range_word(range, RANGE_LENGTH);
	if (!shared.bytes)
		shared.bytes = size_behind(shared.from_fd);
	if (command == FICLONERANGE && !range_word(range, RANGE_LENGTH))
		shared.bytes -= range_word(range, RANGE_FROM);
	count_shared(&shared);
}

/* The command is in another register in 32-bit programs. */
#define IOCTL_EXIT(name)                                                                                     \
	EXIT_SECTION int name(__u64 *ctx)                                                                    \
	{                                                                                                    \
		struct pt_regs *regs = EXIT_REGS(ctx);                                                       \
		struct call call = {.regs = regs, .ret = ctx[1]};                                            \
                                                                                                             \
		if (is_clone(syscall_arg(regs, 1)) || is_clone(syscall_compat_arg(regs, 1)))                 \
			if (!call.ret)                                                                       \
				count_clone(&call);                                                          \
		return 0;                                                                                    \
	}

IOCTL_EXIT(usage_ioctl)
#if TIER == FUNCTION
IOCTL_EXIT(usage_ioctl_2)
#endif
