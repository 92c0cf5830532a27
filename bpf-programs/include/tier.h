/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The same programs for each kind of hook a kernel may offer: compiled once for each, with another TIER (build.rs).
 *
 * What works in all of them without knowing which: SYSCALL_EXIT and LEDGER_EXIT (hooks.h) for the ends of system calls;
 * TRACEPOINT(name) for any other tracepoint. A tracepoint's arguments have types only where BTF tracing gives them some:
 * take a task that is current from current_task(), another pointer by ARG(ctx, n, type), and what it points at
 * by GET(pointer, field, field…) or READ (compat.h).
 */
#ifndef DUETECTOR_TIER_H
#define DUETECTOR_TIER_H

#define TRAMPOLINE 1 /* fexit at the functions of system calls, BTF tracepoints for the rest */
#define BTF 2	     /* BTF tracepoints */
#define RAW 3	     /* raw tracepoints: no program needs BTF tracing */

#ifndef TIER
#define TIER BTF
#endif

/* Cast where the kernel can do it (6.2): raw tracepoints give no types, and of those that others give see current_task(). */
#define ARG(ctx, n, type) (has_cast ? CAST(type, (ctx)[n]) : (type *)(ctx)[n])

#if TIER == RAW
#define TRACEPOINT(name) SEC("raw_tp/" #name)
#define GET(pointer, ...)                                                                                    \
	(has_cast ? ___arrow(pointer, __VA_ARGS__) : BPF_CORE_READ(pointer, __VA_ARGS__))
#define EXIT_REGS(ctx) current_regs()
#else
#define TRACEPOINT(name) SEC("tp_btf/" #name)
#define GET(pointer, ...) ___arrow(pointer, __VA_ARGS__)
#define EXIT_REGS(ctx) ((struct pt_regs *)(ctx)[0])
#endif

#if TIER == TRAMPOLINE
#define EXIT_SECTION SEC("fexit")
#elif TIER == RAW
#define EXIT_SECTION SEC("raw_tp/sys_exit")
#else
#define EXIT_SECTION SEC("tp_btf/sys_exit")
#endif

#endif
