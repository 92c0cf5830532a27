/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The device that stat shows for a file. It is that of the file system, except on btrfs: there each subvolume counts its
 * inodes alone, and has a device of its own.
 */
#ifndef DUETECTOR_DEVICE_H
#define DUETECTOR_DEVICE_H

#include "path.h"

#define BTRFS_MAGIC 0x9123683e

/* Positions in structs of btrfs, set by the loader (src/subvolumes.rs), because the types of a module are not in the kernel's
 * own type information: that of the subvolume's address, counted from a file's inode, and that of the subvolume's device, which
 * is never 0; 0: not known.
 */
const volatile __s32 subvolume_at = 0;
const volatile __u32 subvolume_device_at = 0;

/* Fills in the device of a file and returns 0, or FILE_SUBVOLUME_UNKNOWN if it is that of the whole file system. */
static __always_inline __u16 read_device(__u32 *dev, __u64 inode, __u64 super, __u64 magic)
{
	__u64 subvolume = 0;

	READ(dev, super, struct super_block, s_dev);
	if (magic != BTRFS_MAGIC)
		return 0;
	if (!subvolume_device_at ||
	    bpf_probe_read_kernel(&subvolume, sizeof(subvolume), (void *)inode + subvolume_at) ||
	    bpf_probe_read_kernel(dev, sizeof(*dev), (void *)subvolume + subvolume_device_at))
		return FILE_SUBVOLUME_UNKNOWN;
	return 0;
}

#endif
