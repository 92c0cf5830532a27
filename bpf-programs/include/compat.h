/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Fields that the kernel renamed, and where architectures differ. */
#ifndef DUETECTOR_COMPAT_H
#define DUETECTOR_COMPAT_H

#include "kernel_types.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

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

/* What perf hands a program at `sys_exit_*`; its layout is part of the kernel's interface. */
struct sys_exit {
	__u64 common;
	__s32 nr;
	__u32 pad;
	__s64 ret;
};

#if defined(__TARGET_ARCH_x86)
#define NR_OPEN 2
#define NR_CLONE 56
#define NR_FORK 57
#define NR_VFORK 58
#define NR_FCHDIR 81
#define NR_CREAT 85
#define NR_CONNECT 42
#define NR_OPENAT 257

static __always_inline __u64 syscall_arg(struct pt_regs *regs, int n)
{
	return n == 0 ? regs->di : n == 1 ? regs->si : n == 2 ? regs->dx : regs->r10;
}

static __always_inline int syscall_nr(struct pt_regs *regs)
{
	return regs->orig_ax;
}

/* A 32-bit program's call: its numbers mean other calls. */
static __always_inline bool is_compat(struct task_struct *task)
{
	return task->thread_info.status & 2 /* TS_COMPAT */;
}
#else
/* No such calls: numbers that none has. */
#define NR_OPEN -2
#define NR_CREAT -3
#define NR_FORK -4
#define NR_VFORK -5
#define NR_CLONE 220
#define NR_FCHDIR 50
#define NR_CONNECT 203
#define NR_OPENAT 56

/* The result is in x0, where the first argument was. */
static __always_inline __u64 syscall_arg(struct pt_regs *regs, int n)
{
	return n == 0 ? regs->orig_x0 : regs->regs[n];
}

static __always_inline int syscall_nr(struct pt_regs *regs)
{
	return regs->syscallno;
}

static __always_inline bool is_compat(struct task_struct *task)
{
	return task->thread_info.flags & (1 << 22) /* TIF_32BIT */;
}
#endif

#define NR_CLONE3 435
#define NR_OPENAT2 437

static __always_inline struct pt_regs *current_regs(void)
{
	return (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
}

#endif
