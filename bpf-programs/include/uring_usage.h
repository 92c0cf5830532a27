/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Requests of io_uring that move a file's bytes: they are added to the ledger when they complete. */
#ifndef DUETECTOR_URING_USAGE_H
#define DUETECTOR_URING_USAGE_H

#include "received.h"
#include "uring_sock.h"
#include "usage.h"

#define OP_READV 1
#define OP_WRITEV 2
#define OP_READ_FIXED 4
#define OP_WRITE_FIXED 5
#define OP_SENDMSG 9
#define OP_RECVMSG 10
#define OP_READ 22
#define OP_WRITE 23
#define OP_RECV 27
#define OP_SPLICE 30
#define OP_TEE 33
#define OP_SENDMSG_ZC 48
#define OP_READ_MULTISHOT 49
#define OP_RECV_ZC 58
#define OP_READV_FIXED 60
#define OP_WRITEV_FIXED 61

#define BIT(op) (1ULL << (op))
#define READING_OPS                                                                                          \
	(BIT(OP_READV) | BIT(OP_READ_FIXED) | BIT(OP_RECVMSG) | BIT(OP_READ) | BIT(OP_RECV) |                \
	 BIT(OP_READ_MULTISHOT) | BIT(OP_RECV_ZC) | BIT(OP_READV_FIXED))
#define WRITING_OPS                                                                                          \
	(BIT(OP_WRITEV) | BIT(OP_WRITE_FIXED) | BIT(OP_SENDMSG) | BIT(OP_WRITE) | BIT(OP_SEND) |             \
	 BIT(OP_SEND_ZC) | BIT(OP_SENDMSG_ZC) | BIT(OP_WRITEV_FIXED))
#define COPYING_OPS (BIT(OP_SPLICE) | BIT(OP_TEE))
#define USING_OPS (READING_OPS | WRITING_OPS | COPYING_OPS)

#define OP_LAST 63
#define FD_IN_FIXED (1U << 31) /* SPLICE_F_FD_IN_FIXED */

struct io_splice {
	int splice_fd_in;
	unsigned int flags;
} CO_RE;

/* The file that a splice or tee takes from. */
static __always_inline __u64 spliced_from(__u64 req, struct task_struct *owner)
{
	__u32 flags = 0;
	__u64 ring = 0;
	__s32 fd = -1;

	ASKED(fd, req, struct io_splice, splice_fd_in);
	ASKED(flags, req, struct io_splice, flags);
	if (!(flags & FD_IN_FIXED))
		return file_among((__u64)owner->files, fd);
	READ(&ring, req, struct io_kiocb, ctx);
	return fixed_file(ring, fd);
}

/* Adds a completed request that moved bytes to the ledger. */
static __always_inline void complete_use(__u64 req, __u8 op, __s32 res)
{
	struct task_struct *owner = owner_of_completion(req);
	__u32 flags = 0, room = 0;
	__u64 file = 0;

	if (!owner || res < 0)
		return;
	if (BIT(op) & (BIT(OP_RECV) | BIT(OP_RECVMSG))) {
		ASKED(flags, req, struct io_sr_msg, msg_flags);
		if (flags & TAKES_NOTHING)
			return;
		/* The buffers of a message are not known any more. */
		ASKED(room, req, struct io_sr_msg, len);
		if (op == OP_RECV && flags & MSG_TRUNC && (__u32)res > room)
			res = room;
	}
	READ(&file, req, struct io_kiocb, file);
	usage_add(owner, file, BIT(op) & READING_OPS ? USAGE_READ : USAGE_WRITTEN, res, VIA_IO_URING);
	if (BIT(op) & COPYING_OPS)
		usage_add(owner, spliced_from(req, owner), USAGE_READ, res, VIA_IO_URING);
}

#endif
