/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Files behind descriptors: identity and path. */
#ifndef DUETECTOR_FILE_H
#define DUETECTOR_FILE_H

#include "overlay.h"

/* The address of the file behind a descriptor of the current task; 0 if there is none. */
static __always_inline __u64 file_of(struct task_struct *task, __s64 fd)
{
	struct fdtable *table = task->files->fdt;
	__u64 file = 0;

	if (fd < 0 || fd >= table->max_fds)
		return 0;
	READ(&file, (void *)table->fd + fd * sizeof(file), struct hlist_head, first);
	return file;
}

/* The same, for descriptors in the struct files_struct at this address. */
static __always_inline __u64 file_among(__u64 files, __s32 fd)
{
	__u64 table = 0, slots = 0, file = 0;
	__u32 count = 0;

	READ(&table, files, struct files_struct, fdt);
	READ(&count, table, struct fdtable, max_fds);
	READ(&slots, table, struct fdtable, fd);
	if (fd < 0 || (__u32)fd >= count || !slots)
		return 0;
	READ(&file, slots + (__u32)fd * sizeof(file), struct hlist_head, first);
	return file;
}

/* Reads a file's mount and dentry into two numbers that follow each other. */
static __always_inline void read_path(__u64 *mnt_and_dentry, __u64 file)
{
	__u64 start = OFFSET(struct file, f_path.mnt);

	if (OFFSET(struct file, f_path.dentry) == start + 8) {
		read_pair(mnt_and_dentry, file + start);
		return;
	}
	READ(&mnt_and_dentry[0], file, struct file, f_path.mnt);
	READ(&mnt_and_dentry[1], file, struct file, f_path.dentry);
}

static __always_inline void set_walk_to_file(struct scratch *s, __u64 file)
{
	read_path(&s->walk.mnt, file);
}

/* Appends a string as the next text: from the caller's memory, or the kernel's copy of it. When a call ends the
 * kernel has read the string, so its page is present.
 */
static __always_inline void put_asked(struct scratch *s, __u64 from, bool in_kernel, struct text *text)
{
	__u64 at = s->size;
	long len;

	text->len = 0;
	text->flags = TEXT_UNREADABLE;
	BOUND(at, RECORD_LIMIT - ASKED_LIMIT);
	if (in_kernel)
		len = bpf_probe_read_kernel_str(&s->record[at], ASKED_LIMIT, (void *)from);
	else
		len = bpf_probe_read_user_str(&s->record[at], ASKED_LIMIT, (void *)from);
	if (len < 0)
		return;
	/* Before 6.13 an empty string has length 0, as if it had no NUL. */
	len = len ?: 1;
	text->flags = len == ASKED_LIMIT ? TEXT_CUT : 0;
	text->len = len - 1;
	s->size = at + len - 1;
}

/* Fills in the identity of the file s->walk.inode. A global function, so that it is verified once a program. */
__noinline int identify(struct scratch *s, struct file_id *id)
{
	__u64 inode, super = 0, magic = 0;
	__u32 dev = 0;

	if (!s || !id)
		return 0;
	inode = s->walk.inode;
	READ(&id->ino, inode, struct inode, i_ino);
	READ(&id->mode, inode, struct inode, i_mode);
	READ(&id->generation, inode, struct inode, i_generation);
	READ(&super, inode, struct inode, i_sb);
	READ(&magic, super, struct super_block, s_magic);
	id->known = FILE_KNOWN | read_device(&dev, inode, super, magic);
	id->dev_major = dev >> 20;
	id->dev_minor = dev & 0xfffff;
	id->fs_magic = magic;
	id->real_dev = id->real_ino = id->real_generation = id->layer = 0;
	if (id->fs_magic == OVERLAYFS_MAGIC)
		put_layer(id, inode);
	return 0;
}

/* Fills in a file's identity and path. */
static __always_inline void put_other_file(struct scratch *s, struct task_struct *task, __u64 file, struct file_id *id,
					   struct text *path)
{
	__u64 dentry;

	set_walk_to_file(s, file);
	dentry = s->walk.dentry;
	put_path(s, task, path);
	if (!s->walk.inode) /* the root: no name was read */
		READ(&s->walk.inode, dentry, struct dentry, d_inode);
	identify(s, id);
}

/* The same for the file whose path becomes the row's `fname`. */
static __always_inline void put_file(struct scratch *s, struct task_struct *task, __u64 file, struct file_id *id,
				     struct text *path)
{
	put_other_file(s, task, file, id, path);
	note_path(s, path->flags);
}

#define FMODE_BACKING 0x2000000 /* since 6.5; before, a file of a layer has the path of the one above */

/* True for a file of a layer of overlayfs, which works on it for a file that a program has opened. */
static __always_inline bool is_of_layer(__u64 file)
{
	__u64 inode = 0, dentry = 0, same = 0;
	__u32 mode = 0;

	READ(&mode, file, struct file, f_mode);
	READ(&inode, file, struct file, f_inode);
	READ(&dentry, file, struct file, f_path.dentry);
	READ(&same, dentry, struct dentry, d_inode);
	return mode & FMODE_BACKING || inode != same;
}

#define CWD -100 /* AT_FDCWD */

/* Appends the folder that the path `asked`, which is at `start` of the record, begins from if it is relative.
 */
static __always_inline void put_base(struct scratch *s, struct task_struct *task, __u64 start, struct text *asked,
				     struct text *base, __s32 dirfd)
{
	__u64 file;

	base->len = 0;
	base->flags = TEXT_PATH | TEXT_UNREADABLE;
	BOUND(start, RECORD_LIMIT - ASKED_LIMIT);
	if (asked->len && s->record[start] == '/')
		return;
	if (dirfd == CWD)
		return put_cwd(s, task, base);
	file = file_of(task, dirfd);
	if (!file)
		return;
	set_walk_to_file(s, file);
	put_path(s, task, base);
}

/* True if another thread can have put another file in a descriptor's place, or a process that shares or shared the descriptors can
 * have done so, even if that thread or process has ended since.
 */
static __always_inline bool are_files_shared(struct task_struct *task)
{
	struct signal_struct *process = GET(task, signal);

	return task->files->count.counter > 1 || GET(process, nr_threads) > 1 || GET(process, sum_sched_runtime) ||
	       meddled_with(task) & MEDDLED_FILES;
}

/* True if the files in the record of a call that ends, or its result, may be other ones than those of the call itself. */
static __always_inline bool is_doubtful(struct task_struct *task, const struct call *call)
{
	return are_files_shared(task) || has_args_in_memory(call) || is_answered_for(task);
}

#endif
