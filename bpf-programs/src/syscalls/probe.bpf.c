// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* The end of every system call passes here, and jumps to the program that records it (hooks.h). One hook for
 * all, because every call pays for a hook however many programs are behind it; and a raw one, because the
 * tracepoint of a single system call costs each of its calls more than the programs do.
 */
#include "hooks.h"

#define DISPATCH(name, table)                                                                                \
	EXIT_SECTION(name) int name(__u64 *ctx)                                                              \
	{                                                                                                    \
		__u32 slot = slot_of(EXIT_REGS(ctx));                                                        \
                                                                                                             \
		bpf_tail_call(ctx, &table, slot);                                                            \
		bpf_tail_call(ctx, &table, slot + EVENTS);                                                   \
		return 0;                                                                                    \
	}

#if TIER == FUNCTION
/* A program with a trampoline belongs to one function, so there are as many programs as functions of recorded
 * calls, for each table. The loader assigns them. How the functions are divided between the tables depends on how the
 * kernel was built: Debian's 6.1.192 has 283 of 286 in one, its 6.12.117 has 201 and 87.
 */
#define EACH_8(name, table, tens)                                                                            \
	DISPATCH(name##tens##0, table)                                                                       \
	DISPATCH(name##tens##1, table)                                                                       \
	DISPATCH(name##tens##2, table)                                                                       \
	DISPATCH(name##tens##3, table)                                                                       \
	DISPATCH(name##tens##4, table)                                                                       \
	DISPATCH(name##tens##5, table)                                                                       \
	DISPATCH(name##tens##6, table)                                                                       \
	DISPATCH(name##tens##7, table)
#define EACH_64(name, table, hundreds)                                                                       \
	EACH_8(name, table, hundreds##0)                                                                     \
	EACH_8(name, table, hundreds##1)                                                                     \
	EACH_8(name, table, hundreds##2)                                                                     \
	EACH_8(name, table, hundreds##3)                                                                     \
	EACH_8(name, table, hundreds##4)                                                                     \
	EACH_8(name, table, hundreds##5)                                                                     \
	EACH_8(name, table, hundreds##6)                                                                     \
	EACH_8(name, table, hundreds##7)
#define EACH_384(name, table)                                                                                \
	EACH_64(name, table, 0)                                                                              \
	EACH_64(name, table, 1)                                                                              \
	EACH_64(name, table, 2)                                                                              \
	EACH_64(name, table, 3)                                                                              \
	EACH_64(name, table, 4)                                                                              \
	EACH_64(name, table, 5)

EACH_384(at_, syscall_exits)
EACH_384(at_2_, syscall_exits_2)
#else
DISPATCH(syscall_exit, syscall_exits)
#endif
