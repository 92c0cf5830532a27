/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Compiles the same programs for each kind of hook that a kernel may offer (build.rs sets TIER).
 *
 * A program need not know its tier if it uses SYSCALL_EXIT and LEDGER_EXIT (hooks.h) for the ends of system
 * calls and TRACEPOINT(name) for any other tracepoint. A tracepoint's arguments have types only where BTF
 * tracing provides them: use current_task() for the current task, ARG(ctx, n, type) for another pointer, and
 * GET(pointer, field, field…) or READ (compat.h) for what it points at.
 */
#ifndef DUETECTOR_TIER_H
#define DUETECTOR_TIER_H

#define FUNCTION 1 /* trampolines (fentry, fexit) at functions of the kernel, BTF tracepoints for the rest */
#define BTF 2	     /* BTF tracepoints */
#define RAW 3	     /* raw tracepoints: no program needs BTF tracing */

#ifndef TIER
#define TIER BTF
#endif

/* Cast where the kernel can (6.2): raw tracepoints have no types; for the types of the others see
 * current_task().
 */
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

/* Each program has a section of its own: when aya reads an object, it copies the line numbers of a whole section for each
 * program in it. For the stubs of tier function these copies took 800 MB.
 */
#if TIER == FUNCTION
#define EXIT_SECTION(name) SEC("fexit/" #name)
#elif TIER == RAW
#define EXIT_SECTION(name) SEC("raw_tp/" #name)
#else
#define EXIT_SECTION(name) SEC("tp_btf/" #name)
#endif

#endif
