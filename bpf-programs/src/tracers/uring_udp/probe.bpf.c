// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* UDP datagrams through io_uring, recorded like the system call that does the same. The functions are those of
 * tracer udp, which comes earlier in the one object.
 */
#include "uring_sock.h"
#include "uring_usage.h"

struct io_rw {
	__u64 addr; /* address of the bytes, or of the vectors */
	__u32 len;
} CO_RE;

/* The system call that has the same arguments as a request. */
static __always_inline __s32 datagram_call_of(__u8 op)
{
	switch (op) {
	case OP_SEND:
	case OP_SEND_ZC:
		return NR_SENDTO;
	case OP_SENDMSG:
	case OP_SENDMSG_ZC:
		return NR_SENDMSG;
	case OP_RECV:
		return NR_RECVFROM;
	case OP_RECVMSG:
		return NR_RECVMSG;
	case OP_READV:
	case OP_READV_FIXED:
		return NR_READV;
	case OP_WRITEV:
	case OP_WRITEV_FIXED:
		return NR_WRITEV;
	case OP_READ:
	case OP_READ_FIXED:
		return NR_READ;
	default:
		return NR_WRITE;
	}
}

/* Reads the request's arguments, which are addresses in its program's memory. */
static __always_inline void ask_datagram(struct scratch *s, __u64 req, __s32 nr)
{
	struct datagram *d = &s->datagram;

	if (nr == NR_SENDTO || nr == NR_RECVFROM) {
		ASKED(d->data, req, struct io_sr_msg, buf);
		ASKED(d->length, req, struct io_sr_msg, len);
		ASKED(d->address, req, struct io_sr_msg, addr);
		ASKED(d->address_length, req, struct io_sr_msg, addr_len);
		d->address_length = (__u32)d->address_length;
	} else if (nr == NR_READ || nr == NR_WRITE) {
		ASKED(d->data, req, struct io_rw, addr);
		ASKED(d->length, req, struct io_rw, len);
	} else {
		ASKED(d->vectors, req, struct io_rw, addr);
		ASKED(d->count, req, struct io_rw, len);
	}
	d->length = (__u32)d->length;
	d->count = (__u32)d->count;
}

static __always_inline void emit_requested(struct scratch *s, struct task_struct *owner, __u64 req, __s32 nr)
{
	struct scratch *kept = nr == NR_SENDTO && ADDRESS_IS_COPIED ? recall(req) : NULL;
	__u64 message = 0;

	s->datagram.compat = ((struct header *)s->record)->flags & FLAG_COMPAT;
	/* The memory can be read only from a thread of the same process. */
	if (owner->tgid == current_task()->tgid) {
		if (nr == NR_SENDMSG || nr == NR_RECVMSG) {
			ASKED(message, req, struct io_sr_msg, umsg);
			take_message(s, message);
		} else {
			ask_datagram(s, req, nr);
		}
	}
	if (kept && kept->kept.slot) {
		/* The address as a number, by way of memory: a typed pointer cannot be an argument. */
		message = (__u64)kept->record;
		bpf_probe_read_kernel(&s->datagram.address, sizeof(message), &message);
		s->datagram.in_kernel = true;
		s->datagram.address_length = ADDRESS_LIMIT;
	}
	datagram(s);
	if (kept)
		give_back(kept);
}

__noinline int finish_datagram(__u64 req)
{
	struct sock_call call = {.uring = true};
	struct task_struct *owner;
	__u64 file = 0, sock;
	__u32 flags = 0, kinds;
	struct scratch *s;
	bool received;
	__u8 op = 0;

	READ(&op, req, struct io_kiocb, opcode);
	READ(&file, req, struct io_kiocb, file);
	sock = udp_of(file);
	if (!sock)
		return 0;
	READ(&call.ret, req, struct io_kiocb, cqe.res);
	owner = owner_of_completion(req);
	if (!owner || is_no_result(call.ret))
		return 0;
	call.nr = datagram_call_of(op);
	received = BIT(op & 63) & READING_OPS;
	if (call.nr == NR_RECVFROM || call.nr == NR_RECVMSG || call.nr == NR_SENDTO || call.nr == NR_SENDMSG)
		ASKED(flags, req, struct io_sr_msg, msg_flags);
	kinds = received && flags & (MSG_PEEK | MSG_ERRQUEUE) ? 0 : datagram_kinds(owner);
	s = kinds ? begin_datagrams(owner, sock, kinds, &call, received) : NULL;
	if (!s)
		return 0;
	s->datagram.flags = flags;
	emit_requested(s, owner, req, call.nr);
	give_back(s);
	return 0;
}

TRACEPOINT(io_uring_complete)
int uring_udp(__u64 *ctx)
{
	__u64 req = ctx[1], file = 0;
	__u8 op = 0;

	if (!req)
		return 0;
	READ(&op, req, struct io_kiocb, opcode);
	if (op > OP_LAST || !(BIT(op) & (READING_OPS | WRITING_OPS)))
		return 0;
	READ(&file, req, struct io_kiocb, file);
	if (!udp_of(file))
		return 0;
	finish_datagram(req);
	if (has_kept())
		drop_kept(req);
	sweep_now_and_then();
	return 0;
}
