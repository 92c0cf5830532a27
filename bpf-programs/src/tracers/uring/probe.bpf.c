// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Operations on files through io_uring, recorded like the system call that does the same. */
#include "unposted.h"

#define RECORDED_OPS                                                                                          \
	(BIT(OP_OPENAT) | BIT(OP_OPENAT2) | BIT(OP_RENAMEAT) | BIT(OP_UNLINKAT) | BIT(OP_MKDIRAT) |          \
	 BIT(OP_SYMLINKAT) | BIT(OP_LINKAT) | BIT(OP_FALLOCATE) | BIT(OP_FTRUNCATE) | BIT(OP_FSETXATTR) |    \
	 BIT(OP_SETXATTR))

static __always_inline void submit_open(struct io_kiocb *req)
{
	struct open_args args = {};
	struct open_record *r;
	struct scratch *s;

	if (opens_by_function())
		return;
	read_open_request(&args, (__u64)req);
	s = begin_open(owner_of_submission(), &args);
	if (!s)
		return;
	r = (struct open_record *)s->record;
	r->header.flags |= FLAG_URING;
	ASKED(s->kept.slot, req, struct io_open, file_slot);
	s->kept.held = 0;
	put_unopened(s, current_task(), args.dirfd);
	s->kept.owner = owner_of_record(s);
	keep_request(s, (__u64)req, (__u64)req, KIND_OPEN, 0);
	give_back(s);
}

/* Notes what the end of a request that moves bytes does not show. */
static __always_inline void submit_use(__u64 req, __u8 op)
{
	if (!(BIT(op) & COPYING_OPS))
		submit_datagram(req, owner_of_submission(), op);
	if (is_unposted(req))
		keep_use(req, op, false);
	if (BIT(op) & COPYING_OPS && is_unposted(req))
		keep_use(req, op, true);
}

/* `at` is the request's address as a number: a typed pointer cannot be an argument. */
static __always_inline int submit(struct io_kiocb *req, __u64 at)
{
	__u8 op = GET(req, opcode);

	settle_earlier(at);
	if (op == OP_OPENAT || op == OP_OPENAT2)
		submit_open(req);
	else if (op == OP_CONNECT || op == OP_ACCEPT || op == OP_BIND || op == OP_LISTEN)
		submit_sock(at, op);
	else if (op <= OP_LAST && BIT(op) & USING_OPS)
		submit_use(at, op);
	else
		submit_fs(req, op);
	return 0;
}

/* Prepares the record before the request is started. */
TRACEPOINT(io_uring_submit_req)
int uring_submit(__u64 *ctx)
{
	__u64 at = 0;

	bpf_probe_read_kernel(&at, sizeof(at), ctx);
	return submit(ARG(ctx, 0, struct io_kiocb), at);
}

/* False if a filter drops the record. */
static __always_inline bool complete_open(struct scratch *s, __u64 req, __s32 res)
{
	struct open_record *r = (struct open_record *)s->record;
	__u64 file = 0;

	r->ret = res;
	if (res >= 0)
		file = file_opened(s->kept.files, req, s->kept.slot, res);
	if (!file)
		return true;
	s->size = sizeof(*r) + r->asked.len;
	return put_opened(s, NULL, file);
}

/* Records a request whose names were kept at its submission. */
__noinline int finish_file(__u64 req)
{
	struct scratch *s = recall(req);
	bool is_left = true;
	__s32 res = 0;
	__u32 kind;

	if (!s)
		return 0;
	READ(&res, req, struct io_kiocb, cqe.res);
	kind = s->kept.kind;
	((struct header *)s->record)->time_ns = bpf_ktime_get_boot_ns();
	count_seen(kind);
	if (kind == KIND_OPEN)
		is_left = complete_open(s, req, res);
	else
		complete_fs(s, req, res);
	if (is_left)
		emit_data(s, kind);
	give_back(s);
	return 0;
}

TRACEPOINT(io_uring_complete)
int uring_complete(__u64 *ctx)
{
	__u64 req = ctx[1];
	__s32 res = 0;
	__u8 op = 0;

	if (!req)
		return 0;
	READ(&op, req, struct io_kiocb, opcode);
	if (op > OP_LAST || !(BIT(op) & (USING_OPS | RECORDED_OPS)))
		return 0;
	if (BIT(op) & RECORDED_OPS) {
		finish_file(req);
		return 0;
	}
	READ(&res, req, struct io_kiocb, cqe.res);
	/* A use is remembered of a request that was to post a completion only if it fails. */
	if (!settle_uses(req, true))
		complete_use(req, op, res);
	return 0;
}
