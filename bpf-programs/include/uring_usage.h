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

/* Remembers what a request without a completion will add to the ledger: when its end is found, its file and its task may be
 * gone. That of a file that an earlier linked request opens is not known yet.
 */
__noinline int keep_use(__u64 req, __u32 op, __u32 is_source)
{
	struct task_struct *owner = owner_of_submission();
	__u64 file = is_source ? spliced_from(req, owner) : file_asked(req);
	struct use use = {.file = file, .via = VIA_IO_URING, .fd = -1};
	struct settings *set = get_settings();
	__u32 flags = 0, room = ~0U;
	struct usage_key key = {};
	struct usage_record *r;
	struct scratch *s;

	if (!set || !is_traced(KIND_USAGE, owner))
		return 0;
	use.direction = is_source || BIT(op & 63) & READING_OPS ? USAGE_READ : USAGE_WRITTEN;
	if (op == OP_RECV || op == OP_RECVMSG) {
		ASKED(flags, req, struct io_sr_msg, msg_flags);
		if (flags & TAKES_NOTHING)
			return 0;
		if (op == OP_RECV && flags & MSG_TRUNC)
			ASKED(room, req, struct io_sr_msg, len);
	}
	if (file && !usage_key_of(&key, owner, &use, set->usage_files))
		return 0;
	s = begin_use(owner, &use);
	if (!s)
		return 0;
	r = (struct usage_record *)s->record;
	/* The key's parts, where the range of a mapping will not be. */
	r->low = key.ino;
	r->high = (__u64)key.dev << 32 | key.generation;
	s->kept.slot = room;
	s->kept.held = !file;
	s->kept.owner = owner_of_record(s);
	keep_request(s, req, is_source ? SOURCE_OF(req) : USE_OF(req), KIND_USAGE, file);
	give_back(s);
	return 0;
}

/* Adds a record that keep_use() made to the ledger, now that its call has ended. */
static __always_inline void add_kept_use(struct scratch *s, const struct use *use, __u32 no_result)
{
	struct usage_record *r = (struct usage_record *)s->record;
	struct settings *set = get_settings();
	struct usage_key key = {};
	struct usage_entry *entry;

	if (!set)
		return;
	key.ino = r->low;
	key.dev = r->high >> 32;
	key.generation = r->high;
	key.tgid = r->header.pid;
	key.start_ns = r->header.start_ns;
	key.direction = r->direction;
	r->low = r->high = 0;
	r->bytes = use->bytes;
	r->header.flags |= no_result;
	entry = find_entry(set->usage_side, &key);
	if (!entry) {
		if (keep_entry(s, &key, set->usage_side, set->usage_room))
			return;
		entry = find_entry(set->usage_side, &key);
	}
	if (!entry)
		return emit_use(s);
	if (no_result)
		__sync_fetch_and_or(&entry->record.header.flags, no_result);
	add_use(&entry->record, use);
}

/* Adds what a request moved to the ledger, if keep_use() remembered it under this key: returns 1 then. `result_known` is 0
 * if only its end was seen.
 */
__noinline int settle_kept_use(__u64 key, __u32 result_known)
{
	struct scratch *s = has_kept() ? recall(key) : NULL;
	struct use use = {.via = VIA_IO_URING, .fd = -1};
	__s32 res = 0;

	if (!s)
		return 0;
	if (result_known)
		READ(&res, REQUEST_OF(key), struct io_kiocb, cqe.res);
	use.bytes = res < 0 ? 0 : res;
	if (use.bytes > s->kept.slot)
		use.bytes = s->kept.slot;
	use.direction = ((struct usage_record *)s->record)->direction;
	if (res >= 0 && s->kept.held)
		count_stale(s->kept.owner, KIND_USAGE);
	else if (res >= 0)
		add_kept_use(s, &use, result_known ? 0 : FLAG_NO_RESULT);
	give_back(s);
	return 1;
}

/* The same for all that is remembered of a request: returns how many there were. */
static __always_inline __u32 settle_uses(__u64 req, __u32 result_known)
{
	__u32 settled = settle_kept_use(USE_OF(req), result_known);

	return settled ? settled + settle_kept_use(SOURCE_OF(req), result_known) : 0;
}

#endif
