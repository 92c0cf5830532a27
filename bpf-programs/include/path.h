/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Paths, read by walking dentries and mounts, because most programs may not call bpf_d_path. */
#ifndef DUETECTOR_PATH_H
#define DUETECTOR_PATH_H

#include <stddef.h>

#include "task.h"

/* Reads all with one copy where the fields lie side by side, as on kernels without layout randomisation. The
 * verifier knows the offsets and keeps only the branch that applies.
 */
static __always_inline long read_dentry(struct dentry_part *part, __u64 dentry)
{
	__u64 start = OFFSET(struct dentry, d_hash.pprev);
	__u64 name = OFFSET(struct dentry, d_name.name);

	if (!has_cast && OFFSET(struct dentry, d_parent) == start + 8 && OFFSET(struct dentry, d_name.len) == start + 20 &&
	    name == start + 24 && OFFSET(struct dentry, d_inode) == start + 32)
		return bpf_probe_read_kernel(part, sizeof(*part), (void *)dentry + start);
	if (has_cast) {
		__u64 short_name = dentry + start + offsetof(struct dentry_part, short_name);

		read_pair(&part->short_name[0], short_name);
		read_pair(&part->short_name[2], short_name + 16);
	}
	return READ(&part->pprev, dentry, struct dentry, d_hash.pprev) |
	       READ(&part->parent, dentry, struct dentry, d_parent) |
	       READ(&part->len, dentry, struct dentry, d_name.len) |
	       READ(&part->name, dentry, struct dentry, d_name.name) |
	       READ(&part->inode, dentry, struct dentry, d_inode);
}

/* `mnt` is the vfsmount inside the mount. */
static __always_inline long read_mount(struct mount_part *part, __u64 mnt)
{
	__u64 mount = mnt - OFFSET(struct mount, mnt);
	__u64 start = OFFSET(struct mount, mnt_parent);

	if (!has_cast && OFFSET(struct mount, mnt_mountpoint) == start + 8 &&
	    OFFSET(struct mount, mnt.mnt_root) == start + 16)
		return bpf_probe_read_kernel(part, sizeof(*part), (void *)mount + start);
	return READ(&part->parent, mount, struct mount, mnt_parent) |
	       READ(&part->mountpoint, mount, struct mount, mnt_mountpoint) |
	       READ(&part->root, mnt, struct vfsmount, mnt_root);
}

#define MNT_INTERNAL 0x4000

/* Returns the TEXT_* bits of a path that ends at the root of a mount without a parent, which is not the process's root; `mnt` is
 * the vfsmount inside the mount. Mounts that the kernel made for itself, as that of the message queues, are seen from their own
 * root. An unmounted tree that is still in use (MNT_DETACH) belongs to no namespace: its root has no path. Without a root
 * (`root_mnt` is 0) the path was to begin at the root of all mounts.
 */
static __always_inline int flags_at_end(__u64 mnt, __u64 root_mnt)
{
	__u64 namespace = 0;
	int flags = 0;

	if (!READ(&flags, mnt, struct vfsmount, mnt_flags) && flags & MNT_INTERNAL)
		return TEXT_PATH;
	if (READ(&namespace, mnt - OFFSET(struct mount, mnt), struct mount, mnt_ns) || namespace)
		return TEXT_PATH | (root_mnt ? TEXT_OUTSIDE : 0);
	return TEXT_PATH | TEXT_INCOMPLETE;
}

/* Appends a name and a NUL; never at 0, because a header comes first. Most names are short, and already read.
 */
static __always_inline void put_name(struct scratch *s, struct dentry_part *part, __u64 dentry)
{
	__u64 at = s->size, len = part->len;
	__u64 inside =
		dentry + OFFSET(struct dentry, d_hash.pprev) + offsetof(struct dentry_part, short_name);

	BOUND(len, NAME_LIMIT);
	BOUND(at, RECORD_LIMIT - NAME_LIMIT - 1);
	if (part->name == inside && len < sizeof(part->short_name))
		copy_short(&s->record[at], part->short_name);
	else
		bpf_probe_read_kernel(&s->record[at], len, (void *)part->name);
	s->record[at + len] = 0;
	s->size = at + len + 1;
}

/* Goes one name or mount up; returns TEXT_* bits at the end of the walk, else 0. A global function, so that it
 * is verified once and not once a round.
 */
__noinline int walk_step(struct scratch *s)
{
	struct dentry_part *part;
	struct walk *walk;

	if (!s)
		return TEXT_INCOMPLETE;
	walk = &s->walk;
	part = &walk->part;
	if (walk->dentry == walk->root_dentry && walk->mnt == walk->root_mnt)
		return TEXT_PATH;
	if (walk->dentry == walk->mount.root) {
		__u64 parent = walk->mount.parent + OFFSET(struct mount, mnt);

		if (parent == walk->mnt)
			return flags_at_end(parent, walk->root_mnt);
		if (!walk->inode) /* not that of the mountpoint, which is below it */
			READ(&walk->inode, walk->dentry, struct dentry, d_inode);
		walk->dentry = walk->mount.mountpoint;
		walk->mnt = parent;
		return read_mount(&walk->mount, parent) ? TEXT_PATH | TEXT_INCOMPLETE : 0;
	}
	/* Every dentry has a parent: 0 means that the load faulted. */
	if (read_dentry(part, walk->dentry) || !part->parent || s->size + part->len >= walk->end)
		return TEXT_PATH | TEXT_INCOMPLETE;
	s->name_at[walk->names & (WALK_LIMIT - 1)] = s->size;
	put_name(s, part, walk->dentry);
	if (!walk->inode)
		walk->inode = part->inode;
	if (part->parent == walk->dentry)
		return TEXT_PATH | TEXT_DETACHED;
	if (!walk->names++ && !part->pprev)
		walk->deleted = TEXT_DELETED;
	walk->dentry = part->parent;
	return 0;
}

/* Makes up to STRIDE steps. The verifier follows every round of a loop; this keeps the rounds few. */
__noinline int walk_on(struct scratch *s)
{
	for (int i = 0; i < STRIDE; i++) {
		int flags = walk_step(s);

		if (flags)
			return flags;
	}
	return 0;
}

/* Appends the names from s->walk.dentry up to the task's root; returns TEXT_* bits. Global as well: verified
 * once a program, and not once for each path of a record.
 */
__noinline int walk_path(struct scratch *s)
{
	if (!s)
		return TEXT_INCOMPLETE;
	s->walk.end = s->size + PATH_LIMIT;
	if (s->walk.end > RECORD_LIMIT - NAME_LIMIT - 1)
		s->walk.end = RECORD_LIMIT - NAME_LIMIT - 1;
	s->walk.names = s->walk.below;
	s->walk.below = s->walk.deleted = 0;
	s->walk.inode = 0;
	if (read_mount(&s->walk.mount, s->walk.mnt))
		return TEXT_PATH | TEXT_INCOMPLETE;
	for (int i = 0; i < WALK_LIMIT / STRIDE; i++) {
		int flags = walk_on(s);

		if (flags)
			return flags | s->walk.deleted;
	}
	return TEXT_PATH | TEXT_INCOMPLETE | s->walk.deleted;
}

/* Sets the root that the task's paths begin at. */
static __always_inline void set_root(struct scratch *s, struct task_struct *task)
{
	s->walk.root_dentry = (__u64)task->fs->root.dentry;
	s->walk.root_mnt = (__u64)task->fs->root.mnt;
}

/* Appends the path that `s->walk` was set to, as one text of the record. Without a task, the root was already
 * set.
 */
static __always_inline void put_path(struct scratch *s, struct task_struct *task, struct text *text)
{
	__u32 start = s->size;

	if (task)
		set_root(s, task);
	text->flags = s->walk.dentry ? walk_path(s) : TEXT_PATH | TEXT_UNREADABLE;
	text->len = s->size - start;
}

/* Appends the path of a name that was looked up in a folder: `parent` is the address of its struct path, `last` of the name
 * as struct qstr, `type` of its LAST_*. Names other than the usual are those of the folder itself (`.`), or of one above.
 */
static __always_inline void put_path_below(struct scratch *s, __u64 parent, __u64 last, __u64 type, struct text *text)
{
	__u64 start = s->size, from = 0, len = 0;
	__u32 length = 0, usual = 0;

	READ(&s->walk.mnt, parent, struct path, mnt);
	READ(&s->walk.dentry, parent, struct path, dentry);
	READ(&from, last, struct qstr, name);
	READ(&length, last, struct qstr, len);
	bpf_probe_read_kernel(&usual, sizeof(usual), (void *)type);
	len = length;
	BOUND(start, RECORD_LIMIT - NAME_LIMIT - 1);
	BOUND(len, NAME_LIMIT);
	s->walk.below = 0;
	if (!usual) {
		bpf_probe_read_kernel(&s->record[start], len, (void *)from);
		s->record[start + len] = 0;
		s->size = start + len + 1;
		s->name_at[0] = start;
		s->walk.below = 1;
	}
	set_root(s, current_task());
	text->flags = walk_path(s) | TEXT_RESOLVED | (length > NAME_LIMIT ? TEXT_INCOMPLETE : 0);
	text->len = s->size - start;
}

static __always_inline void put_cwd(struct scratch *s, struct task_struct *task, struct text *text)
{
	s->walk.dentry = (__u64)task->fs->pwd.dentry;
	s->walk.mnt = (__u64)task->fs->pwd.mnt;
	put_path(s, task, text);
}

static __always_inline void put_exe(struct scratch *s, struct task_struct *task, struct text *text)
{
	s->walk.dentry = (__u64)task->mm->exe_file->f_path.dentry;
	s->walk.mnt = (__u64)task->mm->exe_file->f_path.mnt;
	put_path(s, task, text);
}

/* Returns the owner of a cgroup's folder. An owner who can't be read is not root. */
static __always_inline __u32 folder_owner(__u64 node)
{
	__u64 attributes = 0;
	__u32 uid = 0;

	if (READ(&attributes, node, struct kernfs_node, iattr))
		return NO_ID;
	if (attributes && READ(&uid, attributes, struct kernfs_iattrs, ia_uid.val))
		return NO_ID;
	return uid;
}

/* Goes one cgroup up, as walk_step. */
__noinline int cgroup_step(struct scratch *s)
{
	__u64 node, parent = 0, name = 0, at;
	__u32 uid;
	long len;

	if (!s)
		return TEXT_INCOMPLETE;
	node = s->walk.dentry;
	at = s->size;
	if (bpf_probe_read_kernel(&parent, sizeof(parent), (void *)node + kernfs_parent_offset()) ||
	    READ(&name, node, struct kernfs_node, name))
		return TEXT_PATH | TEXT_INCOMPLETE;
	if (!parent)
		return TEXT_PATH;
	BOUND(at, RECORD_LIMIT - NAME_LIMIT - 1);
	len = bpf_probe_read_kernel_str(&s->record[at], NAME_LIMIT + 1, (void *)name);
	if (len <= 0 || at + len > s->walk.end)
		return TEXT_PATH | TEXT_INCOMPLETE;
	s->size = at + len;
	uid = folder_owner(node);
	s->owners[s->walk.names++ & (CGROUP_DEPTH - 1)] = uid;
	if (uid)
		s->owned = s->walk.names;
	s->walk.dentry = parent;
	return 0;
}

/* Appends the names of the cgroup in its hierarchy. */
__noinline int walk_cgroup(struct scratch *s)
{
	if (!s)
		return TEXT_INCOMPLETE;
	s->walk.end = s->size + CGROUP_LIMIT;
	s->walk.names = s->owned = 0;
	for (int i = 0; i < CGROUP_DEPTH; i++) {
		int flags = cgroup_step(s);

		if (flags)
			return flags;
	}
	return TEXT_PATH | TEXT_INCOMPLETE;
}

/* Appends the owners of the cgroup's folders, and their number. */
static __always_inline void put_owners(struct scratch *s)
{
	__u64 at = s->size, len = s->owned * sizeof(__u32);

	BOUND(len, sizeof(s->owners));
	BOUND(at, RECORD_LIMIT - sizeof(s->owners) - sizeof(s->owned));
	bpf_probe_read_kernel(&s->record[at], len, s->owners);
	at += len;
	bpf_probe_read_kernel(&s->record[at], sizeof(s->owned), &s->owned);
	s->size = at + sizeof(s->owned);
}

static __always_inline void put_cgroup(struct scratch *s, struct task_struct *task, struct text *text)
{
	__u32 start = s->size, flags;

	s->walk.dentry = (__u64)GET(cgroup_of(task), kn);
	flags = walk_cgroup(s);
	if (s->owned) {
		put_owners(s);
		flags |= TEXT_OWNED;
	}
	text->flags = flags;
	text->len = s->size - start;
}

#endif
