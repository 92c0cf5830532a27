/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The file of a layer behind a file of overlayfs. Where overlayfs is a module, its types are not in the
 * kernel's own type information: then the layout since 5.19 is assumed, and what is found is checked.
 */
#ifndef DUETECTOR_OVERLAY_H
#define DUETECTOR_OVERLAY_H

#include "device.h"

#define OVERLAYFS_MAGIC 0x794c7630
#define S_IFMT 0170000
#define S_IFDIR 0040000

struct ovl_inode {
	struct inode vfs_inode;
	struct dentry *__upperdentry;
} CO_RE;

/* Added in 6.5, which also moved the stack of layers into a struct of its own ("ovl: move ovl_entry into
 * ovl_inode").
 */
struct backing_file {
	struct file file;
} CO_RE;

/* The offset of the upper layer's dentry from the inode: it has always followed directly. */
static __always_inline __u64 upper_offset(void)
{
	if (bpf_core_field_exists(struct ovl_inode, __upperdentry))
		return OFFSET(struct ovl_inode, __upperdentry) - OFFSET(struct ovl_inode, vfs_inode);
	return bpf_core_type_size(struct inode);
}

/* The first lower layer's inode: in `struct ovl_path { layer, dentry }`, which is in the inode or first in the
 * stack.
 */
static __always_inline __u64 lower_inode(__u64 lower)
{
	__u64 dentry = 0, stack = 0, inode = 0;

	if (bpf_core_field_exists(struct backing_file, file)) {
		bpf_probe_read_kernel(&stack, sizeof(stack), (void *)lower);
		lower = stack + 8;
	}
	bpf_probe_read_kernel(&dentry, sizeof(dentry), (void *)lower + 8);
	if (dentry)
		READ(&inode, dentry, struct dentry, d_inode);
	return inode;
}

static __always_inline void put_layer(struct file_id *id, __u64 overlay)
{
	__u64 at = overlay + upper_offset(), upper = 0, inode = 0, super = 0, magic = 0;
	__u32 layer = LAYER_UPPER;
	__u16 mode = 0;

	bpf_probe_read_kernel(&upper, sizeof(upper), (void *)at);
	if (upper) {
		READ(&inode, upper, struct dentry, d_inode);
	} else {
		layer = LAYER_LOWER;
		inode = lower_inode(at + 8);
	}
	if (!inode)
		return;
	READ(&mode, inode, struct inode, i_mode);
	READ(&id->real_ino, inode, struct inode, i_ino);
	/* A lower file gives its inode number to the overlay's, but for folders; layers may be encoded in the
	 * upper half.
	 */
	if ((mode ^ id->mode) & S_IFMT || (layer == LAYER_LOWER && (mode & S_IFMT) != S_IFDIR &&
					   (__u32)id->real_ino != (__u32)id->ino)) {
		id->real_ino = 0;
		return;
	}
	READ(&super, inode, struct inode, i_sb);
	READ(&magic, super, struct super_block, s_magic);
	id->known |= read_device(&id->real_dev, inode, super, magic);
	READ(&id->real_generation, inode, struct inode, i_generation);
	id->layer = layer;
}

#endif
