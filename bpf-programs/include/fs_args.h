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

/* Reads the arguments that are passed in a structure: struct xattr_args, struct mount_attr. */
static __always_inline void read_structure(struct fs_record *r, struct call *call)
{
	__u64 words[2] = {};

	if (r->call == NR_SETXATTRAT) {
		bpf_probe_read_user(words, sizeof(words), (void *)call_arg(call, 4));
		r->a = (__u32)words[1];
		r->b = words[1] >> 32;
	} else if (r->call == NR_MOUNT_SETATTR) {
		bpf_probe_read_user(words, sizeof(words), (void *)call_arg(call, 3));
		r->b = words[0];
		r->c = words[1];
	}
}

#endif
