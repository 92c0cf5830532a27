/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Requests of io_uring whose completion is not posted: the program asked for none (IOSQE_CQE_SKIP_SUCCESS), or the
 * completion queue was full. Their results are taken from the requests themselves, once these are free.
 */
#ifndef DUETECTOR_UNPOSTED_H
#define DUETECTOR_UNPOSTED_H

#include "uring_fs.h"
#include "uring_sock.h"
#include "uring_usage.h"

/* Values that are known of a request that has ended. */
#define ENDED_HERE 0	/* its result, and the current task is of the process that submitted it */
#define ENDED_LATER 1	/* its result */
#define ENDED_UNKNOWN 2 /* nothing */

/* Record a request that has ended, as its completion would have; in the probes of uring, uring_sock and uring_udp. */
__noinline int finish_file(__u64 req);
__noinline int finish_sock(__u64 req);
__noinline int finish_datagram(__u64 req);

/* Marks the record as one without a result, or sets its result. */
static __always_inline __s32 result_of(struct scratch *s, __u64 req, __u32 ended)
{
	struct header *h = (struct header *)s->record;
	__s32 res = 0;

	h->time_ns = bpf_ktime_get_boot_ns();
	if (ended == ENDED_UNKNOWN)
		h->flags |= FLAG_NO_RESULT;
	else
		READ(&res, req, struct io_kiocb, cqe.res);
	return res;
}

/* Emits the record of a request that opened a file, or changed names or attributes, as it was at submission. */
__noinline int settle_file(__u64 req, __u32 ended)
{
	struct scratch *s = recall(req);
	__u32 kind;
	__s32 res;

	if (!s)
		return 0;
	kind = s->kept.kind;
	res = result_of(s, req, ended);
	if (kind == KIND_OPEN)
		((struct open_record *)s->record)->ret = res;
	else
		((struct fs_record *)s->record)->ret = res;
	count_seen(kind);
	emit_data(s, kind);
	give_back(s);
	return 0;
}

/* Emits the record that prepare_sock() made. A datagram is not recorded: its flow is that of a socket which may be gone. */
__noinline int settle_sock(__u64 req, __u32 ended)
{
	struct scratch *s = recall(req);
	struct sock_record *r;
	__u64 size;
	__u32 kind;

	if (!s)
		return 0;
	kind = s->kept.kind;
	size = s->size - ADDRESS_LIMIT;
	BOUND(size, KEPT_LARGE);
	r = (struct sock_record *)s->record;
	if (kind == KIND_UDP) {
		count_stale(s->kept.owner, kind);
	} else if (s->size > ADDRESS_LIMIT) {
		s->size = size;
		bpf_probe_read_kernel(s->record, size, &s->record[ADDRESS_LIMIT]);
		r->ret = result_of(s, req, ended);
		emit_sock(s, kind);
	}
	give_back(s);
	return 0;
}

/* True if the request's file is still the one that it was submitted for. */
static __always_inline bool has_same_file(__u64 req, struct kept *kept)
{
	__u64 file = ADDRESS(req, struct io_kiocb, file);

	return !kept->file || (kept->file == file && kept->inode == ADDRESS(file, struct file, f_inode));
}

/* Records a request whose end, but not its result, is known. These functions are inlined, because the kernel allows eight
 * calls in one another.
 */
static __always_inline void settle_unknown(__u64 req)
{
	struct kept *kept = find_kept(req);

	settle_uses(req, false);
	if (kept && KINDS_OF_SOCKET & (1ULL << (kept->kind & 63)))
		settle_sock(req, ENDED_UNKNOWN);
	else if (kept)
		settle_file(req, ENDED_UNKNOWN);
}

/* Records a request that has ended with a result; returns the number of entries that were kept of it. */
static __always_inline __u32 settle_request(__u64 req, __u32 ended)
{
	struct kept *kept = find_kept(req);
	__u32 settled = settle_uses(req, true);

	if (!kept)
		return settled;
	if (!(KINDS_OF_SOCKET & (1ULL << (kept->kind & 63)))) {
		if (ended == ENDED_HERE)
			finish_file(req);
		else
			settle_file(req, ended);
	} else if (ended != ENDED_HERE || !has_same_file(req, kept)) {
		settle_sock(req, ended);
	} else if (kept->kind == KIND_UDP) {
		finish_datagram(req);
		drop_kept(req);
	} else {
		finish_sock(req);
		drop_kept(req);
	}
	return settled + 1;
}

/* Records an earlier request at the address of a request that begins: the end of the earlier one was not seen, and the new
 * request has overwritten its result.
 */
static __always_inline void settle_earlier(__u64 req)
{
	if (has_kept() && (find_kept(req) || find_kept(USE_OF(req))))
		settle_unknown(req);
}

#endif
