// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* FICLONE, FICLONERANGE and FIDEDUPERANGE, at the end of ioctl. All other commands end the program after a few comparisons
 * (some 12 ns more than for a call without a program, by bpf_stats_enabled on the machine of docs/BENCHMARKS.md): only
 * the commands that tracer truncate records go on to its program.
 */
#include "fs_args.h"
#include "ioctl.h"

/* Returns the size of the file behind a descriptor. A global function for the same reason as range_word(). */
__noinline __u64 size_behind(__s32 fd)
{
	__u64 inode = 0, size = 0;

	READ(&inode, file_of(current_task(), fd), struct file, f_inode);
	READ(&size, inode, struct inode, i_size);
	return size;
}

/* Counts bytes that one file got from another, both known by their descriptors. */
static __always_inline void count_between(__s32 from_fd, __s32 to_fd, __u64 bytes, __u32 via, bool unverified)
{
	count_side(from_fd, bytes, via, unverified, USAGE_READ);
	count_side(to_fd, bytes, via, unverified, USAGE_WRITTEN);
}

static __always_inline void count_clone(struct call *call, __u32 command)
{
	__s32 from_fd = source_of(call, command), to_fd = call_arg(call, 0);
	__u64 range = call_arg(call, 2), bytes = 0;

	if (command == FICLONERANGE)
		bytes = range_word(range, RANGE_LENGTH);
	if (!bytes)
		bytes = size_behind(from_fd);
	if (command == FICLONERANGE && !range_word(range, RANGE_LENGTH))
		bytes -= range_word(range, RANGE_FROM);
	count_between(from_fd, to_fd, bytes, VIA_CLONE_RANGE, command == FICLONERANGE);
}

/* Counts the destinations that had the same bytes. When the call ends the kernel writes its copy of the whole structure, with
 * the results, to the caller's memory.
 */
static __always_inline void count_deduped(struct call *call)
{
	__u64 range = call_arg(call, 2), at = range + DEDUPE_SIZE;
	__u32 count = range_word(range, DEDUPE_COUNT) & 0xffff;
	__s32 from_fd = call_arg(call, 0);

	for (__u32 i = 0; i < DESTINATIONS && i < count; i++, at += DESTINATION_SIZE) {
		if ((__s32)range_word(at, DESTINATION_STATUS))
			continue;
		count_between(from_fd, range_word(at, RANGE_FD), range_word(at, DESTINATION_LENGTH), VIA_DEDUPE_RANGE,
			      true);
	}
}

static __always_inline void count_shares(struct call *call)
{
	__u32 command;

	name_call(call);
	command = call_arg(call, 1);
	if (is_clone(command))
		count_clone(call, command);
	else if (command == FIDEDUPERANGE)
		count_deduped(call);
}

/* The command is in another register in 32-bit programs. */
#define IOCTL_EXIT(name, table)                                                                                     \
	EXIT_SECTION(name) int name(__u64 *ctx)                                                              \
	{                                                                                                    \
		struct pt_regs *regs = EXIT_REGS(ctx);                                                       \
		struct call call = {.regs = regs, .ret = ctx[1]};                                            \
                                                                                                             \
		if (shares_blocks(syscall_arg(regs, 1)) || shares_blocks(syscall_compat_arg(regs, 1)))       \
			if (!call.ret)                                                                       \
				count_shares(&call);                                                         \
		if (space_flags(syscall_arg(regs, 1)) || space_flags(syscall_compat_arg(regs, 1)))           \
			NEXT(table);                                                                         \
		return 0;                                                                                    \
	}

IOCTL_EXIT(usage_ioctl, syscall_exits)
#if TIER == FUNCTION
IOCTL_EXIT(usage_ioctl_2, syscall_exits_2)
#endif
