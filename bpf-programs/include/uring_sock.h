/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Requests of io_uring that connect, accept, bind, listen or send. The kernel frees the address before the
 * request completes, so it is stored at submission, in place of a record.
 */
#ifndef DUETECTOR_URING_SOCK_H
#define DUETECTOR_URING_SOCK_H

#include "sock.h"
#include "uring.h"

#define OP_ACCEPT 13
#define OP_CONNECT 16
#define OP_SEND 26
#define OP_SEND_ZC 47
#define OP_BIND 56
#define OP_LISTEN 57
#define ADDRESS_LIMIT 128 /* struct sockaddr_storage */

struct io_connect {
	void *addr; /* the caller's */
	int addr_len;
} CO_RE;

struct sockaddr_family {
	__u16 family;
};

struct msghdr {
	void *msg_name;
} CO_RE;

struct io_async_msghdr {
	struct msghdr msg;
	struct sockaddr_family addr;
} CO_RE;

struct io_sr_msg {
	void *umsg, *buf; /* one or the other */
	__u32 len, msg_flags;
	__u32 addr_len;
	void *addr; /* the caller's memory; newer kernels have copied it before submission */
} CO_RE;

#define ADDRESS_IS_COPIED (!bpf_core_field_exists(struct io_sr_msg, addr))

struct io_bind {
	int addr_len;
} CO_RE;

struct io_listen {
	int backlog;
} CO_RE;

struct io_accept {
	__u32 file_slot;
} CO_RE;

static __always_inline void keep_address(struct io_kiocb *req, __u32 kind, __u64 from, __u32 length, bool in_kernel)
{
	struct scratch *s = take_scratch();
	__u64 len = length;

	if (!s) {
		count_seen(kind);
		count_lost(kind);
		return;
	}
	BOUND(len, ADDRESS_LIMIT);
	__builtin_memset(s->record, 0, ADDRESS_LIMIT);
	if (in_kernel)
		bpf_probe_read_kernel(s->record, len, (void *)from);
	else
		bpf_probe_read_user(s->record, len, (void *)from);
	s->size = ADDRESS_LIMIT;
	s->kept.slot = length;
	keep(s, (__u64)req, kind);
	give_back(s);
}

/* The kernel's copy of the address that was passed to bind: alone on newer kernels, else inside the state of a
 * message, which begins with a pointer.
 */
static __always_inline __u64 address_at(__u64 data)
{
	__u16 family = word_at(data);

	if (family == UNIX || is_inet(family) || !bpf_core_field_exists(struct io_async_msghdr, addr))
		return data;
	return data + OFFSET(struct io_async_msghdr, addr);
}

/* Stores the address that a datagram is sent to. */
static __always_inline void submit_send(struct io_kiocb *req, struct task_struct *owner)
{
	__u64 data = 0, name = 0;

	if (!ADDRESS_IS_COPIED || !(passes(KIND_UDP, owner) || passes(KIND_DNS, owner)))
		return;
	READ(&data, req, struct io_kiocb, async_data);
	if (data && bpf_core_field_exists(struct io_async_msghdr, msg))
		name = word_at(data + OFFSET(struct io_async_msghdr, msg) + OFFSET(struct msghdr, msg_name));
	if (name && udp_of(file_asked(req)))
		keep_address(req, KIND_UDP, name, ADDRESS_LIMIT, true);
}

static __always_inline void submit_sock(struct io_kiocb *req, __u8 op)
{
	struct task_struct *owner = owner_of_submission();
	__u64 from = 0;
	__u32 length = 0;

	if (op == OP_CONNECT && (passes(KIND_CONNECT, owner) || passes(KIND_CLOSE, owner))) {
		ASKED(from, req, struct io_connect, addr);
		ASKED(length, req, struct io_connect, addr_len);
		keep_address(req, KIND_CONNECT, from, length, false);
	} else if (op == OP_BIND && passes(KIND_BIND, owner) && bpf_core_field_exists(struct io_bind, addr_len)) {
		READ(&from, req, struct io_kiocb, async_data);
		ASKED(length, req, struct io_bind, addr_len);
		keep_address(req, KIND_BIND, address_at(from), length, true);
	} else if (op == OP_SEND || op == OP_SEND_ZC) {
		submit_send(req, owner);
	}
}

#endif
