/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The kernel structs that are read, with only the fields that are read. Offsets are corrected when a program is
 * loaded (CO-RE), so order and completeness mean nothing here.
 */
#ifndef DUETECTOR_KERNEL_TYPES_H
#define DUETECTOR_KERNEL_TYPES_H

#include <linux/types.h>
#include <stdbool.h>

#define CO_RE __attribute__((preserve_access_index))

struct qstr {
	__u32 len;
	const unsigned char *name;
} CO_RE;

/* Also to read one pointer. */
struct hlist_head {
	struct hlist_node *first;
} CO_RE;

struct hlist_node {
	struct hlist_node *next, **pprev;
} CO_RE;

struct hlist_bl_node {
	struct hlist_bl_node *next, **pprev;
} CO_RE;

struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
} CO_RE;

struct super_block {
	__u32 s_dev;
	unsigned long s_magic;
} CO_RE;

typedef struct {
	__u32 val;
} kuid_t;

struct inode {
	void *i_private;
	__u16 i_mode;
	kuid_t i_uid;
	__u32 i_rdev;
	struct super_block *i_sb;
	unsigned long i_ino;
	__s64 i_size;
	__u32 i_generation;
} CO_RE;

struct vfsmount {
	struct dentry *mnt_root;
	int mnt_flags;
} CO_RE;

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
} CO_RE;

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
} CO_RE;

struct file {
	struct path f_path;
	struct inode *f_inode;
	void *private_data;
	unsigned int f_flags;
	unsigned int f_mode;
} CO_RE;

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
	unsigned long *open_fds;
} CO_RE;

struct files_struct {
	struct {
		int counter;
	} count;
	struct fdtable *fdt;
} CO_RE;

struct fs_struct {
	int umask;
	struct path root, pwd;
} CO_RE;

struct mm_struct {
	unsigned long arg_start, arg_end;
	struct file *exe_file;
} CO_RE;

struct linux_binprm {
	const char *filename;
	const char *interp; /* the same address, unless an interpreter runs the file */
	const char *fdpath;
	struct file *executable;
	int execfd;
} CO_RE;

struct callback_head {
	struct callback_head *next;
} CO_RE;

typedef struct {
	__u32 val;
} kgid_t;

/* Sixty-four bits; 6.3 renamed the field inside. */
typedef struct {
	__u32 cap[2];
} kernel_cap_t;

struct proc_ns_operations {
	int type; /* until 6.17 */
} CO_RE;

struct ns_common {
	const struct proc_ns_operations *ops;
	__u32 inum;
} CO_RE;

/* 6.18 moved the type ("ns: add ns_type to struct ns_common"). */
struct ns_common___since_6_18 {
	__u32 ns_type;
} CO_RE;

struct user_namespace {
	struct user_namespace *parent;
	int level;
	kuid_t owner;
	struct ns_common ns;
} CO_RE;

struct cred {
	kuid_t uid;
	kgid_t gid;
	kuid_t suid;
	kgid_t sgid;
	kuid_t euid;
	kgid_t egid;
	kuid_t fsuid;
	kgid_t fsgid;
	kernel_cap_t cap_effective;
	struct user_namespace *user_ns;
} CO_RE;

struct mnt_namespace {
	struct ns_common ns;
} CO_RE;

struct xa_node {
	unsigned char shift;
	void *slots[64];
} CO_RE;

struct xarray {
	void *xa_head;
} CO_RE;

struct idr {
	struct xarray idr_rt;
} CO_RE;

struct pid_namespace {
	struct ns_common ns;
	struct idr idr; /* struct pid by number */
} CO_RE;

struct net {
	struct ns_common ns;
} CO_RE;

struct uts_namespace {
	struct ns_common ns;
} CO_RE;

struct cgroup_namespace {
	struct ns_common ns;
} CO_RE;

struct time_namespace {
	struct ns_common ns;
} CO_RE;

struct nsproxy {
	struct uts_namespace *uts_ns;
	struct ipc_namespace *ipc_ns;
	struct mnt_namespace *mnt_ns;
	struct pid_namespace *pid_ns_for_children;
	struct net *net_ns;
	struct time_namespace *time_ns_for_children;
	struct cgroup_namespace *cgroup_ns;
} CO_RE;

struct upid {
	int nr;
	struct pid_namespace *ns;
} CO_RE;

struct pid {
	__u32 level;
	struct hlist_head tasks[4]; /* the first is the thread with this id */
	struct upid numbers[1];
} CO_RE;

struct kernfs_iattrs {
	kuid_t ia_uid;
} CO_RE;

struct kernfs_node {
	struct kernfs_node *parent;
	const char *name;
	__u64 id;
	struct kernfs_iattrs *iattr; /* 0 while the owner is root and nothing else was changed */
} CO_RE;

struct cgroup_root {
	int hierarchy_id;
} CO_RE;

struct cgroup {
	int level;
	struct cgroup_root *root;
	struct kernfs_node *kn;
} CO_RE;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
} CO_RE;

struct css_set {
	struct cgroup_subsys_state *subsys[16];
	struct cgroup *dfl_cgrp;
} CO_RE;

enum cgroup_subsys_id { cpu_cgrp_id = 1, memory_cgrp_id = 4, devices_cgrp_id = 5, pids_cgrp_id = 11 };

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
	int nr_threads;
	int group_exit_code;
	unsigned int flags;
	unsigned long long sum_sched_runtime; /* of threads that have ended */
} CO_RE;

struct seccomp_filter {
	struct seccomp_filter *prev;
	struct notification *notif; /* a supervisor listens */
} CO_RE;

struct sigpending {
	struct {
		unsigned long sig[1];
	} signal;
} CO_RE;

struct seccomp {
	struct seccomp_filter *filter;
} CO_RE;

struct thread_info {
	unsigned long flags;
	__u32 status; /* x86 only */
} CO_RE;

struct task_struct {
	struct thread_info thread_info;
	int pid, tgid;
	int exit_code;
	unsigned int flags;
	unsigned int ptrace; /* not 0: a debugger has attached to it */
	char comm[16];
	__u64 start_boottime;
	struct task_struct *real_parent, *group_leader;
	struct pid *thread_pid;
	struct hlist_node pid_links[4]; /* the first is in the list of its own id */
	const struct cred *cred;
	kuid_t loginuid; /* this and sessionid: only with CONFIG_AUDIT */
	unsigned int sessionid;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct css_set *cgroups;
	struct io_uring_task *io_uring;
	struct callback_head *task_works;
	void *worker_private;
	struct sigpending pending; /* signals of this thread alone */
	struct seccomp seccomp; /* only with CONFIG_SECCOMP */
} CO_RE;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 seq_num;
} CO_RE;

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} CO_RE;

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long bp, bx, r10, r9, r8, ax, cx, dx, si, di, orig_ax;
} CO_RE;
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs {
	__u64 regs[31];
	__u64 orig_x0;
	__s32 syscallno;
} CO_RE;
#else
#error "only x86-64 and arm64 are known"
#endif

#endif
