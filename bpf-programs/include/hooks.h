/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* How a program gets to see the end of a system call: one hook sees all calls, and jumps through a table
 * indexed by the call's number.
 *
 *     sys_exit ──► dispatcher ──tail call──► stage Ledger ──tail call──► stage Events ──► end
 *                       └─────(no program in stage Ledger)───────────────────┘
 */
#ifndef DUETECTOR_HOOKS_H
#define DUETECTOR_HOOKS_H

#include "filter.h"
#include "tier.h"

/* More than the number of system calls. */
#define SYSCALL_SLOTS 512
/* Layout of the table: stage Ledger, then stage Events; in each the calls of 64-bit programs, then those of
 * 32-bit ones.
 */
#define COMPAT SYSCALL_SLOTS
#define EVENTS (2 * SYSCALL_SLOTS)

/* Programs by call. An empty slot, or an index beyond the end, ends the program. */
#define TABLE(name)                                                                                          \
	struct {                                                                                             \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);                                                       \
		__uint(max_entries, 4 * SYSCALL_SLOTS);                                                      \
		__type(key, __u32);                                                                          \
		__type(value, __u32);                                                                        \
	} name SEC(".maps")

TABLE(syscall_exits);
#if TIER == FUNCTION
/* Since 6.10 a table takes only programs for functions of one prototype. The functions of system calls have
 * two: the parameter has another name in calls that the kernel's configuration may leave out.
 */
TABLE(syscall_exits_2);
#endif

/* For each call of 32-bit programs: the 64-bit call that it equals, and how its arguments differ. Set by the
 * loader from src/syscalls.
 */
const volatile __u16 compat_calls[SYSCALL_SLOTS] = {};
#define CALL_NR 0x1ff
#define CALL_WIDE 0x200	   /* 64-bit numbers come in two registers */
#define CALL_SMALL 0x400   /* ids have 16 bits */
#define CALL_SOCKET 0x800  /* the arguments are in memory, at the address in socketcall()'s second one */
#define CALL_FOUR 0x1000   /* the call has only four arguments */
#define CALL_MEMORY 0x2000 /* the arguments are in memory, at the address in the first register */
#define CALL_PAGES 0x4000  /* the offset counts pages */
#define CALL_ONE 0x8000	   /* the call has only one argument */
#define CALL_COMPAT 0x10000
#define CALL_IPC (CALL_SOCKET | CALL_MEMORY) /* ipc()'s arguments, in another order */

#define SOCKET_CALLS (SYSCALL_SLOTS - 21)
#define IPC_CALLS (SOCKET_CALLS - 8)

/* The register of each argument, one hexadecimal digit each from the last to the first: of msgsnd, msgrcv, msgget, msgctl,
 * shmat, shmdt, shmget, shmctl through ipc(). Older programs pass the address and type of msgrcv in memory: no row has them.
 */
const __u32 ipc_orders[8] = {0x3241, 0x35241, 0x21, 0x421, 0x241, 0x4, 0x321, 0x421};

/* The operation of ipc(), as an index; 8 if it is none of those. */
static __always_inline __u32 ipc_operation(struct pt_regs *regs)
{
	__u32 operation = syscall_compat_arg(regs, 0) & 0xffff; /* without the version */

	if (operation >= 11 && operation <= 14)
		return operation - 11;
	return operation >= 21 && operation <= 24 ? operation - 17 : 8;
}

/* A 32-bit program's call number; for socketcall() and ipc() a slot for each of their operations. */
static __always_inline __u32 compat_nr(struct pt_regs *regs)
{
	__u32 nr = syscall_nr(regs);

	if (nr == NR_COMPAT_IPC)
		return IPC_CALLS + ipc_operation(regs); /* 8: the first of socketcall(), which is none */
	if (nr != NR_COMPAT_SOCKETCALL)
		return nr;
	nr = syscall_compat_arg(regs, 0);
	return SOCKET_CALLS + (nr <= 20 ? nr : 0);
}

static __always_inline __u32 slot_of(struct pt_regs *regs)
{
	__u32 nr = syscall_nr(regs);

	if (nr >= SYSCALL_SLOTS)
		return 4 * SYSCALL_SLOTS;
	return is_compat(current_task()) ? compat_nr(regs) + COMPAT : nr;
}

/* A call that has ended. Arguments are read by call_arg(call, n), n from 0. */
struct call {
	struct pt_regs *regs;
	__s64 ret;
	__u32 nr;  /* the 64-bit call's number, also in a 32-bit program */
	__u32 abi; /* CALL_* of a 32-bit program's call, else 0 */
};

static __always_inline void name_call(struct call *call)
{
	call->nr = syscall_nr(call->regs);
	call->abi = 0;
	if (!is_compat(current_task()))
		return;
	call->abi = compat_calls[compat_nr(call->regs) & CALL_NR];
	call->nr = call->abi & CALL_NR;
	call->abi = CALL_COMPAT | (call->abi & ~CALL_NR);
}

/* An argument of the current task's 32-bit call. A global function, so that it is verified once a program. */
__noinline __u64 compat_arg(__u32 abi, __u32 n)
{
	struct pt_regs *regs = current_regs();
	__u32 value = 0;

	if ((abi & CALL_IPC) == CALL_IPC) {
		n = n < 6 ? ipc_orders[ipc_operation(regs) & 7] >> 4 * n & 7 : 0;
		return n ? syscall_compat_arg(regs, n) : 0;
	}
	if ((abi & CALL_FOUR && n > 3) || (abi & CALL_ONE && n))
		return 0;
	if (!(abi & (CALL_SOCKET | CALL_MEMORY)))
		return syscall_compat_arg(regs, n);
	bpf_probe_read_user(&value, sizeof(value),
			    (void *)syscall_compat_arg(regs, abi & CALL_SOCKET ? 1 : 0) + n * sizeof(value));
	return value;
}

static __always_inline __u64 call_arg(const struct call *call, int n)
{
	return call->abi ? compat_arg(call->abi, n) : syscall_arg(call->regs, n);
}

/* True if the arguments of the call are in the caller's memory, where they may have changed by the end of the call. */
static __always_inline bool has_args_in_memory(const struct call *call)
{
	return call->abi & (CALL_SOCKET | CALL_MEMORY) && (call->abi & CALL_IPC) != CALL_IPC;
}

/* Reads the pointer or `long` at `index` of an array in the caller's memory. */
static __always_inline __u64 read_user_long(const struct call *call, __u64 array, __u32 index)
{
	__u64 value = 0;

	if (call->abi)
		bpf_probe_read_user(&value, 4, (void *)array + index * 4);
	else
		bpf_probe_read_user(&value, 8, (void *)array + index * 8);
	return value;
}

#define EINTR 4
#define RESTARTS 512 /* ERESTARTSYS, the first of the codes with which the kernel says that a call was interrupted */

/* Returns a call's result as the program gets it. An interrupted call may be made again after the signal; it then ends once
 * more.
 */
static __always_inline __s64 result_seen(__s64 ret)
{
	return ret <= -RESTARTS && ret >= -RESTARTS - 4 ? -EINTR : ret;
}

#define EXIT_PROGRAM(name, of, then)                                                                         \
	EXIT_SECTION(name) int name(__u64 *ctx)                                                              \
	{                                                                                                    \
		struct pt_regs *regs = EXIT_REGS(ctx);                                                       \
		struct call call = {.regs = regs, .ret = result_seen(ctx[1])};                               \
                                                                                                             \
		name_call(&call);                                                                            \
		of(&call);                                                                                   \
		then;                                                                                        \
		return 0;                                                                                    \
	}

#define NEXT(table) bpf_tail_call(ctx, &table, slot_of(regs) + EVENTS)
#define NONE(table)

#if TIER == FUNCTION
#define EXIT_PROGRAMS(name, then)                                                                            \
	EXIT_PROGRAM(name, name##_of, then(syscall_exits))                                                   \
	EXIT_PROGRAM(name##_2, name##_of, then(syscall_exits_2))
#else
#define EXIT_PROGRAMS(name, then) EXIT_PROGRAM(name, name##_of, then(syscall_exits))
#endif

#define AT_EXIT(name, then)                                                                                  \
	static __always_inline void name##_of(struct call *call);                                            \
	EXIT_PROGRAMS(name, then)                                                                            \
	static __always_inline void name##_of(struct call *call)

/* Defines a program of stage Events: `SYSCALL_EXIT(name) { … }`, which has `call`. */
#define SYSCALL_EXIT(name) AT_EXIT(name, NONE)

/* Defines a program of stage Ledger: the same, and then the call's program of stage Events runs. */
#define LEDGER_EXIT(name) AT_EXIT(name, NEXT)

#endif
