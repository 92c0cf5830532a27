// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* chroot, unshare, setns. The root and the namespaces are those that the kernel gave the task. */
#include "ipc_types.h"
#include "misc_calls.h"

#define NSFS_MAGIC 0x6e736673

/* Fills in the task's root folder, as seen from the root of all mounts. */
static __always_inline void put_new_root(struct scratch *s, struct task_struct *task, struct act_record *r)
{
	__u64 dentry = (__u64)task->fs->root.dentry;

	s->walk.dentry = dentry;
	s->walk.mnt = (__u64)task->fs->root.mnt;
	s->walk.root_dentry = s->walk.root_mnt = 0;
	put_path(s, NULL, &r->path);
	note_path(s, r->path.flags);
	if (!s->walk.inode) /* the root of all mounts: no name was read */
		READ(&s->walk.inode, dentry, struct dentry, d_inode);
	identify(s, &r->file);
}

/* Fills in the namespace that setns() was to enter, or the process behind a pidfd whose namespaces it was to enter. */
static __always_inline void put_entered(struct task_struct *task, struct act_record *r)
{
	__u64 file = file_of(task, (__s32)r->args[0]), inode = 0, super = 0, magic = 0, ns = 0, ops = 0;
	__u32 inum = 0;

	READ(&inode, file, struct file, f_inode);
	READ(&super, inode, struct inode, i_sb);
	READ(&magic, super, struct super_block, s_magic);
	if (magic != NSFS_MAGIC) {
		if (!r->ret || r->ret == -1 /* EPERM; for other files the call says EINVAL */)
			put_target_behind(task, r);
		return;
	}
	READ(&ns, inode, struct inode, i_private);
	READ(&inum, ns, struct ns_common, inum);
	r->ids[3] = inum;
	if (bpf_core_field_exists(struct ns_common___since_6_18, ns_type)) {
		READ(&r->of_type, ns, struct ns_common___since_6_18, ns_type);
	} else {
		READ(&ops, ns, struct ns_common, ops);
		READ(&r->of_type, ops, struct proc_ns_operations, type);
	}
}

#define INUM(type, of) ({                                                                                    \
	__u32 inum = 0;                                                                                      \
	READ(&inum, of, struct type, ns.inum);                                                               \
	inum;                                                                                                \
})

/* Fills in the task's namespaces, except those in the header. */
static __always_inline void put_namespaces(struct task_struct *task, struct act_record *r)
{
	__u64 all = (__u64)task->nsproxy, user = (__u64)task->cred->user_ns;
	__u64 uts = 0, ipc = 0, cgroup = 0, pid = 0, time = 0;

	READ(&uts, all, struct nsproxy, uts_ns);
	READ(&ipc, all, struct nsproxy, ipc_ns);
	READ(&cgroup, all, struct nsproxy, cgroup_ns);
	READ(&pid, all, struct nsproxy, pid_ns_for_children);
	READ(&time, all, struct nsproxy, time_ns_for_children);
	r->ids[0] = both(INUM(user_namespace, user), INUM(uts_namespace, uts));
	r->ids[1] = both(INUM(ipc_namespace, ipc), INUM(cgroup_namespace, cgroup));
	r->ids[2] = both(INUM(pid_namespace, pid), INUM(time_namespace, time));
}

/* Fills the record behind its header. */
__noinline int fill_namespace(struct scratch *s)
{
	struct task_struct *task = current_task();
	struct act_record *r;

	if (!s)
		return 0;
	r = (struct act_record *)s->record;
	if (r->call == NR_CHROOT) {
		if (!r->ret)
			put_new_root(s, task, r);
		else
			r->header.flags |= FLAG_UNVERIFIED;
		put_asked(s, r->args[0], false, &r->word);
		return 0;
	}
	put_namespaces(task, r);
	if (r->call == NR_SETNS) {
		put_entered(task, r);
		if (are_files_shared(task))
			r->header.flags |= FLAG_UNVERIFIED;
	}
	return 0;
}

SYSCALL_EXIT(namespace_exit)
{
	struct scratch *s = begin_act(KIND_NAMESPACE, call, call->ret);

	if (!s)
		return;
	fill_act(s, 0, call->abi);
	fill_namespace(s);
	emit_data(s, KIND_NAMESPACE);
	give_back(s);
}
