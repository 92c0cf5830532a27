/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Fields that the kernel renamed, and differences between architectures. */
#ifndef DUETECTOR_COMPAT_H
#define DUETECTOR_COMPAT_H

#include "kernel_types.h"
#include "syscalls.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* Set by the loader where the kernel has bpf_rdonly_cast (6.2). A field at any address is then read by one load
 * that may fault, instead of by a call of bpf_probe_read_kernel; those calls were half the cost of the
 * programs.
 */
const volatile bool has_cast = false;

/* The call is written as bytes, because the loader knows no kernel functions by name: it replaces the
 * placeholder by the function's number, or removes the call (src/cast.rs). Without has_cast the verifier never
 * gets here.
 */
static __always_inline void *rdonly_cast(__u64 address, __u64 type)
{
	register __u64 r1 asm("r1") = address;
	register __u64 r2 asm("r2") = type;
	register void *r0 asm("r0");

	asm volatile(".byte 0x85, 0x20, 0, 0, 0x64, 0x75, 0x65, 0x74" /* call kernel function "duet" */
		     : "=r"(r0), "+r"(r1), "+r"(r2)
		     :
		     : "r3", "r4", "r5");
	return r0;
}

#define CAST(type, address) ((type *)rdonly_cast((__u64)(address), bpf_core_type_id_kernel(type)))

/* Reads two numbers side by side. The name is that of a kernel struct with just this layout. */
struct timespec64 {
	__s64 tv_sec;
	long tv_nsec;
} CO_RE;

#include "tier.h"

/* Cast as well. For each pointer that is loaded through a trusted one, the verifier searches all of the
 * kernel's types to decide whether the loaded one is trusted too (btf_nested_type_is_trusted, 6.3 and later).
 * That was most of a load's time.
 */
static __always_inline struct task_struct *current_task(void)
{
	return has_cast ? CAST(struct task_struct, bpf_get_current_task_btf()) : bpf_get_current_task_btf();
}

#define OFFSET(type, field) bpf_core_field_offset(type, field)
#define READ(to, from, type, field)                                                                          \
	(has_cast ? (*(to) = (typeof(*(to)))CAST(type, from)->field, 0L)                                     \
		  : bpf_probe_read_kernel(to, sizeof(*(to)), (void *)(from) + OFFSET(type, field)))

/* Copies a field that is more than a number. */
#define COPY(to, from, type, field)                                                                          \
	bpf_probe_read_kernel(to, sizeof(*(to)), (void *)(from) + OFFSET(type, field))

/* Reads sixteen bytes. */
static __always_inline long read_pair(void *to, __u64 from)
{
	struct timespec64 *pair;

	if (!has_cast)
		return bpf_probe_read_kernel(to, 16, (void *)from);
	pair = CAST(struct timespec64, from);
	((__u64 *)to)[0] = pair->tv_sec;
	((__u64 *)to)[1] = pair->tv_nsec;
	return 0;
}

/* 6.15 renamed `parent` ("kernfs: Use RCU to access kernfs_node::parent"). */
struct kernfs_node___since_6_15 {
	struct kernfs_node *__parent;
} CO_RE;

static __always_inline __u64 kernfs_parent_offset(void)
{
	if (bpf_core_field_exists(struct kernfs_node___since_6_15, __parent))
		return bpf_core_field_offset(struct kernfs_node___since_6_15, __parent);
	return bpf_core_field_offset(struct kernfs_node, parent);
}

#if defined(__TARGET_ARCH_x86)
static __always_inline __u64 syscall_arg(struct pt_regs *regs, int n)
{
	return n == 0 ? regs->di : n == 1 ? regs->si : n == 2 ? regs->dx : n == 3 ? regs->r10 : n == 4 ? regs->r8 : regs->r9;
}

static __always_inline int syscall_nr(struct pt_regs *regs)
{
	return regs->orig_ax;
}

/* An argument of a 32-bit program's call. */
static __always_inline __u64 syscall_compat_arg(struct pt_regs *regs, int n)
{
	return (__u32)(n == 0 ? regs->bx : n == 1 ? regs->cx : n == 2 ? regs->dx : n == 3 ? regs->si : n == 4 ? regs->di : regs->bp);
}

#define NR_COMPAT_SOCKETCALL 102
#define NR_COMPAT_IPC 117

/* True in a 32-bit program's call: there the numbers mean other calls. */
static __always_inline bool is_compat(struct task_struct *task)
{
	return GET(task, thread_info.status) & 2 /* TS_COMPAT */;
}
#else
/* The result is in x0, which held the first argument. */
static __always_inline __u64 syscall_arg(struct pt_regs *regs, int n)
{
	return n == 0 ? regs->orig_x0 : regs->regs[n];
}

static __always_inline int syscall_nr(struct pt_regs *regs)
{
	return regs->syscallno;
}

static __always_inline __u64 syscall_compat_arg(struct pt_regs *regs, int n)
{
	return (__u32)syscall_arg(regs, n);
}

#define NR_COMPAT_SOCKETCALL 102
#define NR_COMPAT_IPC 117

static __always_inline bool is_compat(struct task_struct *task)
{
	return GET(task, thread_info.flags) & (1 << 22) /* TIF_32BIT */;
}
#endif

static __always_inline struct pt_regs *current_regs(void)
{
	return (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
}

#endif
