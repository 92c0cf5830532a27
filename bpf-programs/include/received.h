/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Flags of calls that receive: with them a call returns another number than that of the bytes that it took. */
#ifndef DUETECTOR_RECEIVED_H
#define DUETECTOR_RECEIVED_H

#include "sock.h"
#include "usage.h"

#define MSG_PEEK 0x2
#define MSG_TRUNC 0x20
#define MSG_ERRQUEUE 0x2000
/* The bytes stay in the queue (MSG_PEEK), or are a copy of a datagram that was sent and caused an error (MSG_ERRQUEUE). */
#define TAKES_NOTHING (MSG_PEEK | MSG_ERRQUEUE)
#define BUFFERS 16

/* Returns the bytes that the first BUFFERS buffers of a struct msghdr can hold, or ~0 if there are more. */
__noinline __u64 bytes_of_buffers(__u64 message, __u32 compat)
{
	__u32 small[2] = {};
	__u64 wide[2] = {}, bytes = 0;

	if (compat) { /* after a pointer and a length; then the vectors and their number */
		bpf_probe_read_user(small, sizeof(small), (void *)message + 8);
		wide[0] = small[0];
		wide[1] = small[1];
	} else {
		bpf_probe_read_user(wide, sizeof(wide), (void *)message + 16);
	}
	if (wide[1] > BUFFERS)
		return ~0ULL;
	for (__u32 i = 0; i < BUFFERS && i < wide[1]; i++) {
		__u64 length = 0;

		if (compat)
			bpf_probe_read_user(&length, 4, (void *)wide[0] + i * 8 + 4);
		else
			bpf_probe_read_user(&length, 8, (void *)wide[0] + i * 16 + 8);
		bytes += length;
	}
	return bytes;
}

/* Sets the bytes that recvfrom or recvmsg has put into the caller's memory; returns false if it took nothing. With
 * MSG_TRUNC the call returns the length of the datagram, and TCP drops that many bytes without a copy (tcp_recvmsg).
 */
static __always_inline bool received(struct use *use, struct call *call)
{
	__u32 flags = call_arg(call, use->via == VIA_RECVFROM ? 3 : 2);
	__u64 room, sock;

	if (flags & TAKES_NOTHING)
		return false;
	if (!(flags & MSG_TRUNC))
		return true;
	sock = sock_of(use->file);
	if (sock && is_inet(family_of(sock)) && protocol_of(sock) == IPPROTO_TCP)
		return false;
	room = use->via == VIA_RECVFROM ? call_arg(call, 2) : bytes_of_buffers(call_arg(call, 1), call->abi);
	use->unverified |= use->via != VIA_RECVFROM;
	if (use->bytes > room)
		use->bytes = room;
	return true;
}

#endif
