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

#endif
