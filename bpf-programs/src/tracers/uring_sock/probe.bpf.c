// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Operations on sockets through io_uring, recorded like the system call that does the same. The functions are
 * those of tracers accept, bind and connect, which come earlier in the one object.
 */
#include "uring_sock.h"

static __always_inline void request_connected(struct task_struct *owner, struct sock_call *call)
{
	__u64 sock = call->file ? sock_of(call->file) : 0;

	if (!sock || !end_attempt(sock, ino_of(sock), sock, call->ret))
		connect_ended(owner, call, passes(KIND_CONNECT, owner));
}

/* Completes a request that was given an address. */
static __always_inline void complete_addressed(struct task_struct *owner, __u64 req, struct sock_call *call, __u8 op)
{
	struct scratch *s = recall(req);
	__u64 at = s ? (__u64)s->record : 0;

	if (!s)
		return;
	/* The address as a number, by way of memory: a typed pointer cannot be an argument. */
	bpf_probe_read_kernel(&call->address, sizeof(call->address), &at);
	call->length = s->kept.slot;
	call->in_kernel = true;
	if (op == OP_CONNECT)
		request_connected(owner, call);
	else
		bind_ended(owner, call, 0, passes(KIND_BIND, owner));
	give_back(s);
}

__noinline int finish_sock(__u64 req)
{
	struct sock_call call = {.uring = true};
	struct task_struct *owner = owner_of_completion(req);
	__u32 slot = 0, backlog = 0;
	__u64 accepted = 0;
	__u8 op = 0;

	if (!owner)
		return 0;
	READ(&op, req, struct io_kiocb, opcode);
	READ(&call.ret, req, struct io_kiocb, cqe.res);
	READ(&call.file, req, struct io_kiocb, file);
	if (op == OP_ACCEPT) {
		call.nr = NR_ACCEPT4;
		ASKED(slot, req, struct io_accept, file_slot);
		if (call.ret >= 0)
			accepted = file_opened((__u64)owner->files, req, slot, call.ret);
		accept_ended(owner, &call, accepted, passes(KIND_ACCEPT, owner));
	} else if (op == OP_LISTEN) {
		call.nr = NR_LISTEN;
		ASKED(backlog, req, struct io_listen, backlog);
		bind_ended(owner, &call, backlog, passes(KIND_BIND, owner));
	} else {
		call.nr = op == OP_CONNECT ? NR_CONNECT : NR_BIND;
		complete_addressed(owner, req, &call, op);
	}
	return 0;
}

TRACEPOINT(io_uring_complete)
int uring_sock(__u64 *ctx)
{
	__u64 req = ctx[1];
	__u8 op = 0;

	if (!req)
		return 0;
	READ(&op, req, struct io_kiocb, opcode);
	if (op != OP_ACCEPT && op != OP_CONNECT && op != OP_BIND && op != OP_LISTEN)
		return 0;
	finish_sock(req);
	if (has_kept())
		drop_kept(req);
	return 0;
}
