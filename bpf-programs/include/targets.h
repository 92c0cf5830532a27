/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The process that a call acts on, from the kernel's own objects when the call ends: behind a pidfd, or with the number that the
 * call was given.
 *
 *     pidfd ──► struct pid ◄── table of the caller's pid namespace ◄── number
 *                   └──► thread ──► its process: id in the initial pid namespace, start
 */
#ifndef DUETECTOR_TARGETS_H
#define DUETECTOR_TARGETS_H

#include "fs.h"
#include "idr.h"

#define ACT_TARGET_SHIFT 8 /* above it: which argument, counted from 1, is the number of the target; 0: none */
#define ACT_TARGET(n) ((n) << ACT_TARGET_SHIFT)
#define ACT_PIDFD 0x80 /* the first argument is a descriptor of the target process */

#define EBADF 9
#define ESRCH 3
#define PIDFD_SELF_THREAD -10000 /* in place of a descriptor: the caller; since 6.14 */
#define PIDFD_SELF_PROCESS -10001

#define ANON_INODE_FS_MAGIC 0x09041934
#define PID_FS_MAGIC 0x50494446
#define PROC_SUPER_MAGIC 0x9fa0
#define PIDFD_NAME 0x5d64666469705bULL /* "[pidfd]" in memory order */

struct proc_inode {
	struct pid *pid;
	struct inode vfs_inode;
} CO_RE;

/* The struct pid behind a pidfd; also behind a process's folder in /proc, which pidfd_send_signal takes as well. Another file
 * has none: its private data is something else.
 */
static __always_inline __u64 pid_of_file(__u64 file)
{
	__u64 inode = 0, super = 0, magic = 0, dentry = 0, name = 0, word = 0, pid = 0;
	__u16 mode = 0;

	READ(&inode, file, struct file, f_inode);
	READ(&super, inode, struct inode, i_sb);
	READ(&magic, super, struct super_block, s_magic);
	if (magic == PID_FS_MAGIC) { /* since 6.9, "pidfd: add pidfs" */
		READ(&pid, inode, struct inode, i_private);
	} else if (magic == ANON_INODE_FS_MAGIC) {
		READ(&dentry, file, struct file, f_path.dentry);
		READ(&name, dentry, struct dentry, d_name.name);
		bpf_probe_read_kernel(&word, sizeof(word), (void *)name);
		if (word == PIDFD_NAME)
			READ(&pid, file, struct file, private_data);
	} else if (magic == PROC_SUPER_MAGIC) {
		READ(&mode, inode, struct inode, i_mode);
		if ((mode & S_IFMT) == S_IFDIR)
			READ(&pid, inode - OFFSET(struct proc_inode, vfs_inode), struct proc_inode, pid);
	}
	return pid;
}

/* The struct pid of a task's thread. A number, because 6.1 refuses to add a variable to a typed pointer. */
static __always_inline __u64 own_pid(struct task_struct *task)
{
	__u64 pid = 0;

	bpf_probe_read_kernel(&pid, sizeof(pid), &task->thread_pid);
	return pid;
}

/* The struct pid with this number in the task's pid namespace; 0 if there is none. */
static __always_inline __u64 pid_of_number(struct task_struct *task, __u32 number)
{
	__u64 own = own_pid(task), ns = 0, head = 0, found, at;
	__u32 level = 0, its_number = 0;

	READ(&level, own, struct pid, level);
	at = OFFSET(struct pid, numbers) + (__u64)level * bpf_core_type_size(struct upid);
	bpf_probe_read_kernel(&ns, sizeof(ns), (void *)(own + at + OFFSET(struct upid, ns)));
	COPY(&head, ns, struct pid_namespace, idr.idr_rt.xa_head);
	found = object_of_number(head, number);
	if (!found)
		return 0;
	bpf_probe_read_kernel(&its_number, sizeof(its_number), (void *)(found + at + OFFSET(struct upid, nr)));
	return its_number == number ? found : 0;
}

/* Fills in the thread of a struct pid, and its process. Of one that has ended only the number is left. */
static __always_inline void put_target(struct act_record *r, __u64 pid)
{
	__u64 node = 0, task, leader = 0;

	READ(&r->target_tid, pid, struct pid, numbers[0].nr);
	r->target_pid = r->target_tid;
	COPY(&node, pid, struct pid, tasks[0].first);
	if (!node)
		return;
	task = node - OFFSET(struct task_struct, pid_links[0]);
	READ(&r->target_pid, task, struct task_struct, tgid);
	READ(&leader, task, struct task_struct, group_leader);
	READ(&r->target_start_ns, leader, struct task_struct, start_boottime);
}

/* Fills in the process behind the descriptor that is the call's first argument. */
static __always_inline void put_target_behind(struct task_struct *task, struct act_record *r)
{
	__s32 fd = r->args[0];
	__u64 file = file_of(task, fd), pid = 0;

	if (file)
		pid = pid_of_file(file);
	else if (fd == PIDFD_SELF_THREAD && r->ret != -EBADF)
		pid = own_pid(task);
	else if (fd == PIDFD_SELF_PROCESS && r->ret != -EBADF)
		pid = own_pid(GET(task, group_leader));
	if (pid)
		put_target(r, pid);
}

/* Fills in the process that the call is about, as `how` says. Global: verified once a program. */
__noinline int fill_target(struct scratch *s, __u32 how)
{
	struct task_struct *task = current_task();
	struct act_record *r;
	__s32 number;
	__u64 pid;

	if (!s)
		return 0;
	r = (struct act_record *)s->record;
	if (how & ACT_PIDFD) {
		put_target_behind(task, r);
		return 0;
	}
	/* Zero and negative numbers stand for groups of processes. */
	number = r->args[((how >> ACT_TARGET_SHIFT) - 1) & 1];
	pid = number > 0 && r->ret != -ESRCH ? pid_of_number(task, number) : 0;
	if (!pid)
		return 0;
	put_target(r, pid);
	if (!r->target_start_ns) /* a number that only names a group or a session */
		r->target_pid = r->target_tid = 0;
	return 0;
}

#endif
