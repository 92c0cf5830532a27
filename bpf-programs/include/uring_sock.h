/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Requests of io_uring that connect, accept, bind, listen or send. The kernel frees the address before the
 * request completes, so it is stored at submission, in place of a record.
 */
#ifndef DUETECTOR_URING_SOCK_H
#define DUETECTOR_URING_SOCK_H

#include "unix.h"
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

/* Appends the record of a request without a completion, as it is before the request is started; unless a TCP socket's state
 * will show the outcome.
 */
__noinline int prepare_sock(struct scratch *s, __u64 req, __u32 kind, __u32 nr)
{
	struct task_struct *owner = owner_of_submission();
	struct sock_call call = {.nr = nr, .uring = true};
	__u64 file = file_asked(req), sock = file ? sock_of(file) : 0, at, size;
	struct sockaddr_any asked;
	struct sock_record *r;
	struct scratch *own;

	if (!s || !sock || !is_recorded(sock) || !passes(kind, owner))
		return 0;
	if (kind == KIND_CONNECT && is_inet(family_of(sock)))
		return 0;
	own = begin_sock(kind, owner, sock, &call);
	if (!own)
		return 0;
	at = (__u64)s->record;
	r = (struct sock_record *)own->record;
	/* The address as a number, by way of memory: a typed pointer cannot be an argument. */
	bpf_probe_read_kernel(&at, sizeof(at), &at);
	read_address(&asked, at, true);
	if (asked.family == UNIX)
		put_unix_asked(own, at, s->kept.slot, true);
	else if (kind == KIND_CONNECT)
		put_address(r->daddr, &r->dport, r->family, &asked);
	else if (kind == KIND_BIND)
		put_address(r->saddr, &r->sport, r->family, &asked);
	if (kind == KIND_ACCEPT)
		r->flags = SOCK_ACCEPTED;
	size = own->size;
	BOUND(size, KEPT_LARGE - ADDRESS_LIMIT);
	bpf_probe_read_kernel(&s->record[ADDRESS_LIMIT], size, own->record);
	s->size = ADDRESS_LIMIT + size;
	give_back(own);
	return 0;
}

#define IN_KERNEL_MEMORY (1U << 31) /* beside a length */

/* Stores the address at `from`, for a record of this kind. */
__noinline int keep_address(__u64 req, __u32 kind, __u64 from, __u32 length, __u32 nr)
{
	struct task_struct *owner = owner_of_submission();
	struct scratch *s = take_scratch();
	__u64 len = length & ~IN_KERNEL_MEMORY, file;

	if (!s) {
		count_seen(kind);
		count_lost(kind);
		return 0;
	}
	/* A header, for the owner that is in it. */
	fill_header(s, owner, kind, true);
	s->kept.owner = owner_of_record(s);
	s->kept.slot = len;
	BOUND(len, ADDRESS_LIMIT);
	__builtin_memset(s->record, 0, ADDRESS_LIMIT);
	if (length & IN_KERNEL_MEMORY)
		bpf_probe_read_kernel(s->record, len, (void *)from);
	else
		bpf_probe_read_user(s->record, len, (void *)from);
	s->size = ADDRESS_LIMIT;
	file = file_asked(req);
	if (kind != KIND_UDP && is_unposted(req))
		prepare_sock(s, req, kind, nr);
	keep_request(s, req, req, kind, file);
	give_back(s);
	return 0;
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

/* Stores the address that a datagram is sent to; of a request without a completion also that there is none. */
static __always_inline void submit_datagram(__u64 req, struct task_struct *owner, __u8 op)
{
	bool sends = op == OP_SEND || op == OP_SEND_ZC;
	__u64 data = 0, name = 0;

	if (!(passes(KIND_UDP, owner) || passes(KIND_DNS, owner)))
		return;
	if (sends && ADDRESS_IS_COPIED) {
		data = ADDRESS(req, struct io_kiocb, async_data);
		if (data && bpf_core_field_exists(struct io_async_msghdr, msg))
			name = word_at(data + OFFSET(struct io_async_msghdr, msg) + OFFSET(struct msghdr, msg_name));
	}
	if ((name || is_unposted(req)) && udp_of(file_asked(req)))
		keep_address(req, KIND_UDP, name, name ? ADDRESS_LIMIT | IN_KERNEL_MEMORY : 0, 0);
}

static __always_inline void submit_sock(__u64 req, __u8 op)
{
	struct task_struct *owner = owner_of_submission();
	__u64 from = 0;
	__u32 length = 0;

	if (op == OP_CONNECT && (passes(KIND_CONNECT, owner) || passes(KIND_CLOSE, owner))) {
		ASKED(from, req, struct io_connect, addr);
		ASKED(length, req, struct io_connect, addr_len);
		keep_address(req, KIND_CONNECT, from, length & ~IN_KERNEL_MEMORY, NR_CONNECT);
	} else if (op == OP_BIND && passes(KIND_BIND, owner) && bpf_core_field_exists(struct io_bind, addr_len)) {
		from = ADDRESS(req, struct io_kiocb, async_data);
		ASKED(length, req, struct io_bind, addr_len);
		keep_address(req, KIND_BIND, address_at(from), length | IN_KERNEL_MEMORY, NR_BIND);
	} else if (op == OP_LISTEN && passes(KIND_BIND, owner) && is_unposted(req)) {
		keep_address(req, KIND_BIND, 0, 0, NR_LISTEN);
	} else if (op == OP_ACCEPT && (passes(KIND_ACCEPT, owner) || passes(KIND_CLOSE, owner)) && is_unposted(req)) {
		keep_address(req, KIND_ACCEPT, 0, 0, NR_ACCEPT4);
	}
}

#endif
