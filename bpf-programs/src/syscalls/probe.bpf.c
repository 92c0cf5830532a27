// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Every system call's end comes by here, and goes on to the program that wants to see it. One hook for all, because
 * what a call pays for being looked at is paid by every call, however many programs are behind it; and a raw one,
 * because a tracepoint of one system call costs each of its calls more than the programs do.
 */
#include "hooks.h"

#define DISPATCH(name, table)                                                                                \
	EXIT_SECTION int name(__u64 *ctx)                                                                    \
	{                                                                                                    \
		__u32 slot = slot_of(EXIT_REGS(ctx));                                                        \
                                                                                                             \
		bpf_tail_call(ctx, &table, slot);                                                            \
		bpf_tail_call(ctx, &table, slot + EVENTS);                                                   \
		return 0;                                                                                    \
	}

#if TIER == TRAMPOLINE
/* A trampoline's program is of one function: as many as there are functions of calls to look at, for each table. The
 * loader says which is whose.
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
#define EACH_256(name, table)                                                                                \
	EACH_64(name, table, 0)                                                                              \
	EACH_64(name, table, 1)                                                                              \
	EACH_64(name, table, 2)                                                                              \
	EACH_64(name, table, 3)

EACH_256(at_, syscall_exits)
EACH_256(at_2_, syscall_exits_2)
#else
DISPATCH(syscall_exit, syscall_exits)
#endif
