/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Arguments of calls that change names and attributes of files, made from src/syscalls/calls.in. */
#ifndef DUETECTOR_FS_ARGS_H
#define DUETECTOR_FS_ARGS_H

#include "file.h"

/* The position of each argument, counted from 1; 0: the call has none. A path without a descriptor starts from
 * the working folder; a descriptor without a path is the file itself.
 */
struct fs_call {
	__u8 fd, path;
	__u8 fd2, path2;
	__u8 word;
	__u8 a, b, c;
} __attribute__((aligned(8)));

/* Flag beside an argument's position: a signed number, which some calls of 32-bit programs pass as two halves. */
#define LONG 0x10
/* A user or group id. */
#define ID 0x40

const struct fs_call fs_calls[SYSCALL_SLOTS] = {FS_CALLS};

static __always_inline __u64 arg(const struct call *call, __u32 at)
{
	__u32 n = (at & 7) - 1;
	__u64 value;

	if (!at)
		return 0;
	value = call_arg(call, n);
	if (!call->abi)
		return value;
	if (at & LONG)
		return call->abi & CALL_WIDE ? value | call_arg(call, n + 1) << 32 : (__u64)(__s64)(__s32)value;
	if (at & ID && call->abi & CALL_SMALL)
		return (__u16)value == (__u16)-1 ? (__u32)-1 : (__u16)value;
	return value;
}

static __always_inline __s32 folder(const struct call *call, int at)
{
	return at ? (__s32)arg(call, at) : CWD;
}

#define FALLOC_FL_KEEP_SIZE 0x01
#define FALLOC_FL_PUNCH_HOLE 0x02
#define FALLOC_FL_ZERO_RANGE 0x10

/* Returns the flags with which fallocate does the same as this command of ioctl; 0 if fallocate has none for it. The structure has
 * another size in 32-bit programs, and the command's number has that size in it.
 */
static __always_inline __u32 space_flags(__u32 command)
{
	switch (command & 0xc000ffff) {
	case 0x40005828: /* FS_IOC_RESVSP */
	case 0x4000582a: /* FS_IOC_RESVSP64 */
		return FALLOC_FL_KEEP_SIZE;
	case 0x40005829: /* FS_IOC_UNRESVSP */
	case 0x4000582b: /* FS_IOC_UNRESVSP64 */
		return FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;
	case 0x40005839: /* FS_IOC_ZERO_RANGE */
		return FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE;
	}
	return 0;
}

/* Reads the arguments that are passed in a structure: struct xattr_args, struct mount_attr, struct space_resv. */
static __always_inline void read_structure(struct fs_record *r, struct call *call)
{
	__u64 words[2] = {};

	if (r->call == NR_SETXATTRAT) {
		bpf_probe_read_user(words, sizeof(words), (void *)call_arg(call, 4));
		r->a = (__u32)words[1];
		r->b = words[1] >> 32;
	} else if (r->call == NR_IOCTL) {
		/* In 32-bit programs the numbers are not aligned. */
		bpf_probe_read_user(words, sizeof(words), (void *)call_arg(call, 2) + (call->abi ? 4 : 8));
		r->a = words[1];
		r->b = words[0];
		r->c = space_flags(call_arg(call, 1));
	} else if (r->call == NR_MOUNT_SETATTR || r->call == NR_OPEN_TREE_ATTR) {
		bpf_probe_read_user(words, sizeof(words), (void *)call_arg(call, 3));
		r->b = words[0];
		r->c = words[1];
	}
}

#endif
