/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Datagrams that are passed as struct msghdr, one or many. */
#ifndef DUETECTOR_MESSAGE_H
#define DUETECTOR_MESSAGE_H

#include "udp.h"

#define MESSAGES 1024 /* limit of one sendmmsg or recvmmsg (UIO_MAXIOV) */

/* struct msghdr of 64-bit and of 32-bit programs; in an array each is followed by the datagram's length. */
struct message {
	__u64 name;
	__u32 name_length, pad;
	__u64 vectors, count, control, control_length;
	__u32 flags, pad2;
};

struct message32 {
	__u32 name, name_length, vectors, count, control, control_length, flags;
};

/* Sets the datagram from the message at an address. Global, for the same reason as datagram(). */
__noinline int take_message(struct scratch *s, __u64 from)
{
	struct message32 small = {};
	struct message message = {};

	if (!s)
		return 0;
	if (s->datagram.compat) {
		bpf_probe_read_user(&small, sizeof(small), (void *)from);
		message.name = small.name;
		message.name_length = small.name_length;
		message.vectors = small.vectors;
		message.count = small.count;
		message.control = small.control;
		message.control_length = small.control_length;
	} else {
		bpf_probe_read_user(&message, sizeof(message), (void *)from);
	}
	s->datagram.unverified = true;
	s->datagram.address = message.name_length ? message.name : 0;
	s->datagram.address_length = message.name_length;
	s->datagram.vectors = message.vectors;
	s->datagram.count = message.count;
	s->datagram.data = 0;
	s->datagram.control = message.control;
	s->datagram.control_length = message.control_length;
	return 0;
}

/* Handles one of a call's many messages. */
__noinline int nth_message(struct scratch *s, __u64 from)
{
	__u32 length = 0;
	__u64 size;

	if (!s)
		return 0;
	size = s->datagram.compat ? sizeof(struct message32) : sizeof(struct message);
	bpf_probe_read_user(&length, sizeof(length), (void *)from + size);
	take_message(s, from);
	s->datagram.ret = length;
	return datagram(s);
}

/* Handles up to STRIDE messages. */
__noinline int some_messages(struct scratch *s, __u64 from, __u32 count)
{
	__u64 size;

	if (!s)
		return 0;
	size = s->datagram.compat ? sizeof(struct message32) + 4 : sizeof(struct message) + 8;
	for (__u32 i = 0; i < STRIDE && i < count; i++)
		nth_message(s, from + i * size);
	return 0;
}

static __always_inline void each_message(struct scratch *s, __u64 from, __s64 ret)
{
	__u64 size = s->datagram.compat ? sizeof(struct message32) + 4 : sizeof(struct message) + 8;

	for (__u32 i = 0; i < MESSAGES && i < ret; i += STRIDE)
		some_messages(s, from + i * size, ret - i);
}

/* True if the call will be made again. */
static __always_inline bool is_no_result(__s64 ret)
{
	return ret == -EAGAIN || result_seen(ret) == -EINTR;
}

/* The socket behind a file; 0 if it is none, or does not send datagrams or the messages of SCTP. */
static __always_inline __u64 udp_of(__u64 file)
{
	__u64 sock = file ? sock_of(file) : 0;
	__u16 family, type;

	if (!sock)
		return 0;
	family = family_of(sock);
	type = type_of(sock);
	if (family == UNIX)
		return type == SOCK_DGRAM ? sock : 0;
	if (is_inet(family))
		return type == SOCK_DGRAM || type == SOCK_RAW || protocol_of(sock) == IPPROTO_SCTP ? sock : 0;
	return family == AF_PACKET ? sock : 0;
}

/* The tracers that want the task's datagrams, a bit each. */
static __always_inline __u32 datagram_kinds(struct task_struct *task)
{
	return (is_traced(KIND_UDP, task) ? 1 << KIND_UDP : 0) | (passes(KIND_DNS, task) ? 1 << KIND_DNS : 0);
}

/* Begins the record for a task's datagrams. */
static __always_inline struct scratch *begin_datagrams(struct task_struct *task, __u64 sock, __u32 kinds,
						       struct sock_call *call, bool received)
{
	struct scratch *s = begin_sock(kinds & (1 << KIND_UDP) ? KIND_UDP : KIND_DNS, task, sock, call);

	if (!s)
		return NULL;
	__builtin_memset(&s->datagram, 0, sizeof(s->datagram));
	s->datagram.kinds = kinds;
	s->datagram.ret = call->ret;
	((struct sock_record *)s->record)->flags = received ? SOCK_RECEIVED : 0;
	return s;
}

#endif
