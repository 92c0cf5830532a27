/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Files that the system itself needs in order to run any process, recognised by what they are and never by a path, which
 * whoever has a mount namespace can give to any file:
 *
 *   of the kernel   the file system is proc, sysfs or cgroup; except the memory or the environment of a process
 *   of libraries    a file or folder of root's that no other may write to, below one of the folders in map
 *                   `system_folders`, in folders that are root's alone up to that one. Folders are known by device and
 *                   inode, so nothing that is mounted there, no other file system and no container's folder of the same
 *                   name counts.
 *   without data    the devices null, zero, full, random and urandom
 *
 * The agent's default filter drops opens and usage that only read such files; no other program tests for them.
 */
#ifndef DUETECTOR_SYSTEM_FILES_H
#define DUETECTOR_SYSTEM_FILES_H

#include "file.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct system_folders);
} system_folders SEC(".maps");

#define PROC_MAGIC 0x9fa0
#define SYSFS_MAGIC 0x62656572
#define CGROUP_MAGIC 0x27e0eb
#define CGROUP2_MAGIC 0x63677270

#define S_IFREG 0100000
#define S_IFCHR 0020000
#define WRITABLE_BY_OTHERS 0022 /* with an access list the group's bits are its mask */
#define SETS_IDS 06000
#define SYSTEM_DEPTH 24 /* folders between a file and the known folder */

#define FMODE_WRITES 0x2
#define FMODE_CREATED 0x100000
#define OPEN_WRITES (03 | 0100 | 01000 | 020000000) /* O_ACCMODE, O_CREAT, O_TRUNC, the bit of O_TMPFILE */

/* Results of system_file(). */
#define SYSTEM_FILE 1
#define SYSTEM_NULL 2 /* a device without data: writing to it leaves nothing, either */

static __always_inline struct system_folders *get_system_folders(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&system_folders, &zero);
}

/* Mode and owner, side by side on kernels without layout randomisation. */
struct owner_part {
	__u16 mode;
	__u16 others;
	__u32 uid;
};

static __always_inline long read_owner(struct owner_part *part, __u64 inode)
{
	if (!has_cast && OFFSET(struct inode, i_uid) == OFFSET(struct inode, i_mode) + 4)
		return bpf_probe_read_kernel(part, sizeof(*part), (void *)inode + OFFSET(struct inode, i_mode));
	return READ(&part->mode, inode, struct inode, i_mode) | READ(&part->uid, inode, struct inode, i_uid.val);
}

/* Reads the first bytes of a dentry's name into the scratch space, because the stack is full in the longest chains of calls;
 * the rest is 0.
 */
static __always_inline __u64 *read_name(struct scratch *s, __u64 dentry)
{
	struct dentry_part *part = &s->walk.part;

	part->name = part->short_name[0] = part->short_name[1] = 0;
	READ(&part->name, dentry, struct dentry, d_name.name);
	bpf_probe_read_kernel_str(part->short_name, 16, (void *)part->name);
	return part->short_name;
}

/* The first eight bytes of a name as read_name() has them. */
#define NAME_WORD(a, b, c, d, e, f, g)                                                                       \
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 | (__u64)(f) << 40 |     \
	 (__u64)(g) << 48)

/* True for files of proc that show what is in a process's memory, or the kernel's. */
static __always_inline bool shows_memory(struct scratch *s, __u64 dentry)
{
	__u64 name = *read_name(s, dentry);

	return name == NAME_WORD('m', 'e', 'm', 0, 0, 0, 0) || name == NAME_WORD('k', 'c', 'o', 'r', 'e', 0, 0) ||
	       name == NAME_WORD('e', 'n', 'v', 'i', 'r', 'o', 'n');
}

/* True if the folder that climb() has reached is known: either for all files below it, or for the one file in it with the
 * name that was just read.
 */
__noinline int is_system_folder(struct scratch *s, __u32 dev, __u32 with_name)
{
	struct system_folders *known = get_system_folders();
	__u64 ino = 0, *name;

	if (!known || !s)
		return 0;
	READ(&ino, s->walk.part.inode, struct inode, i_ino);
	name = s->walk.part.short_name;
	for (__u32 i = 0; i < SYSTEM_FOLDERS && i < known->count; i++) {
		struct system_folder *folder = &known->folders[i];

		if (folder->ino != ino || folder->dev != dev)
			continue;
		if (!folder->mask[0] || (with_name && !((name[0] ^ folder->name[0]) & folder->mask[0]) &&
					 !((name[1] ^ folder->name[1]) & folder->mask[1])))
			return 1;
	}
	return 0;
}

/* Reads a dentry's parent and inode. */
static __always_inline void read_links(struct dentry_part *part, __u64 dentry)
{
	if (!has_cast && !read_dentry(part, dentry))
		return;
	part->parent = part->inode = 0;
	READ(&part->parent, dentry, struct dentry, d_parent);
	READ(&part->inode, dentry, struct dentry, d_inode);
}

/* Results of climb(). */
#define CLIMBED 0
#define CLIMBED_TO_KNOWN 1 /* perhaps: `inos` has one bit for several inode numbers */
#define CLIMBED_OUT 2

/* Goes from s->walk.part to the folder that it is in, in its own file system. A global function, so that it is verified
 * once and not for each folder.
 */
__noinline int climb(struct scratch *s)
{
	struct system_folders *known = get_system_folders();
	struct owner_part owner;
	__u64 dentry, ino = 0;

	if (!s || !known)
		return CLIMBED_OUT;
	dentry = s->walk.part.parent;
	if (!dentry)
		return CLIMBED_OUT;
	read_links(&s->walk.part, dentry);
	if (read_owner(&owner, s->walk.part.inode) || owner.uid || owner.mode & WRITABLE_BY_OTHERS)
		return CLIMBED_OUT;
	READ(&ino, s->walk.part.inode, struct inode, i_ino);
	if (s->walk.part.parent == dentry)
		s->walk.part.parent = 0;
	return known->inos >> (ino & 63) & 1 ? CLIMBED_TO_KNOWN : CLIMBED;
}

/* True if the file that s->walk was set to is in or below a known folder of its own file system, and only root may write to
 * the folders on the way up.
 */
static __always_inline bool is_below_system_folder(struct scratch *s, __u32 dev)
{
	read_links(&s->walk.part, s->walk.dentry);
	for (__u32 i = 0; i < SYSTEM_DEPTH; i++) {
		int found = climb(s);

		if (found == CLIMBED_OUT)
			return false;
		if (found == CLIMBED)
			continue;
		if (!i)
			read_name(s, s->walk.dentry);
		if (is_system_folder(s, dev, !i))
			return true;
	}
	return false;
}

static __always_inline bool is_system_device(__u32 dev)
{
	struct system_folders *known = get_system_folders();

	return known && known->devs >> (dev & 63) & 1;
}

#define MEMORY_DEVICE(minor) (1 << 20 | (minor))

static __always_inline bool has_no_data(__u64 inode)
{
	__u32 rdev = 0;

	READ(&rdev, inode, struct inode, i_rdev);
	switch (rdev) {
	case MEMORY_DEVICE(3): /* null */
	case MEMORY_DEVICE(5): /* zero */
	case MEMORY_DEVICE(7): /* full */
	case MEMORY_DEVICE(8): /* random */
	case MEMORY_DEVICE(9): /* urandom */
		return true;
	default:
		return false;
	}
}

/* Returns whether the file that s->walk was set to is one of the system's: SYSTEM_*, or 0. A global function, so that it is
 * verified once per program.
 */
__noinline int system_file(struct scratch *s)
{
	__u64 super = 0, magic = 0;
	struct owner_part owner;
	__u32 dev = 0;

	if (!s)
		return 0;
	s->walk.inode = 0;
	READ(&s->walk.inode, s->walk.dentry, struct dentry, d_inode);
	if (!s->walk.inode)
		return 0;
	READ(&super, s->walk.inode, struct inode, i_sb);
	READ(&magic, super, struct super_block, s_magic);
	if (magic == PROC_MAGIC)
		return shows_memory(s, s->walk.dentry) ? 0 : SYSTEM_FILE;
	if (magic == SYSFS_MAGIC || magic == CGROUP_MAGIC || magic == CGROUP2_MAGIC)
		return SYSTEM_FILE;
	if (read_owner(&owner, s->walk.inode))
		return 0;
	if ((owner.mode & S_IFMT) == S_IFCHR)
		return has_no_data(s->walk.inode) ? SYSTEM_NULL : 0;
	if (owner.uid || owner.mode & WRITABLE_BY_OTHERS ||
	    ((owner.mode & S_IFMT) == S_IFREG ? owner.mode & SETS_IDS : (owner.mode & S_IFMT) != S_IFDIR))
		return 0;
	READ(&dev, super, struct super_block, s_dev);
	return is_system_device(dev) && is_below_system_folder(s, dev) ? SYSTEM_FILE : 0;
}

/* Returns FILE_OF_SYSTEM if an open with these flags only reads a file of the system; else 0. */
static __always_inline __u16 opens_system_file(struct scratch *s, __u64 file, __u64 flags)
{
	__u32 mode = 0;
	int system;

	set_walk_to_file(s, file);
	system = system_file(s);
	if (system != SYSTEM_FILE)
		return system ? FILE_OF_SYSTEM : 0;
	READ(&mode, file, struct file, f_mode);
	return flags & OPEN_WRITES || mode & (FMODE_WRITES | FMODE_CREATED) ? 0 : FILE_OF_SYSTEM;
}

/* Returns 1 + the slot of the filter that drops what was done with this file, 0 if none does. */
static __always_inline __u32 system_filter(__u32 kind, __u16 known)
{
	struct settings *set = get_settings();

	if (!(known & FILE_OF_SYSTEM) || !set)
		return 0;
	return kind == KIND_USAGE ? set->system_filters >> 16 : set->system_filters & 0xffff;
}

#endif
