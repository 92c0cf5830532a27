/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Number of datagrams that a call sends or receives. A call whose bytes are sent in pieces (UDP_SEGMENT) or were put
 * together (UDP_GRO) counts as several; calls that add to one datagram (MSG_MORE, UDP_CORK) count as one together.
 */
#ifndef DUETECTOR_SEGMENTS_H
#define DUETECTOR_SEGMENTS_H

#include "sock.h"

#define SOL_UDP 17
#define UDP_SEGMENT 103
#define UDP_GRO 104
#define UDP_HEADER 8
#define MSG_MORE 0x8000
#define CONTROLS 4 /* entries of a message's control data that are searched */

/* Reason why a flow's datagram is not sent yet: the last call asked for that, or an option of the socket. */
#define CORKED_BY_CALL 1
#define CORKED_BY_OPTION 2

/* struct cmsghdr of 64-bit programs; of 32-bit programs the length has 4 bytes. */
struct control {
	__u64 length;
	__u32 level, type;
};

/* Reads a part of a message's control data. */
static __always_inline long read_control(const struct scratch *s, void *to, __u32 size, __u64 from)
{
	if (s->datagram.all_in_kernel)
		return bpf_probe_read_kernel(to, size, (void *)from);
	return bpf_probe_read_user(to, size, (void *)from);
}

/* Returns the size of the pieces of a message, as its control data has it; 0 if the control data has none. */
__noinline int piece_size(struct scratch *s, __u32 type)
{
	__u64 at, end, head = 16, align = 8;
	struct control control;
	__u32 small[3];
	__u16 size = 0;

	if (!s || !s->datagram.control)
		return 0;
	if (s->datagram.compat)
		head = 12, align = 4;
	at = s->datagram.control;
	end = at + s->datagram.control_length;
	for (int i = 0; i < CONTROLS && at + head < end; i++) {
		if (!s->datagram.compat) {
			if (read_control(s, &control, sizeof(control), at))
				return 0;
		} else {
			if (bpf_probe_read_user(small, sizeof(small), (void *)at))
				return 0;
			control = (struct control){.length = small[0], .level = small[1], .type = small[2]};
		}
		if (control.level == SOL_UDP && control.type == type) {
			read_control(s, &size, sizeof(size), at + head);
			return size;
		}
		if (control.length < head || control.length > s->datagram.control_length)
			return 0;
		at += (control.length + align - 1) & ~(align - 1);
	}
	return 0;
}

/* Returns the number of datagrams that begin with the call that `s` describes. `corked` is the flow's state, which this
 * call changes. Global: verified once per program.
 */
__noinline int datagrams_begun(struct scratch *s, __u32 corked, __u32 received)
{
	__u32 size, count = 1, pending = 0;
	__u16 option = 0, length = 0, protocol;
	__u64 bytes;

	if (!s || s->datagram.ret < 0)
		return 0;
	protocol = ((struct sock_record *)s->record)->protocol;
	if (protocol != IPPROTO_UDP && protocol != IPPROTO_UDPLITE)
		return 1;
	bytes = s->datagram.ret;
	size = s->datagram.piece ?: piece_size(s, received ? UDP_GRO : UDP_SEGMENT);
	if (!received && !size) {
		READ(&option, s->sock, struct udp_sock, gso_size);
		size = option;
	}
	if (size && bytes > size)
		count = (bytes + size - 1) / size;
	if (received)
		return count;
	READ(&pending, s->sock, struct udp_sock, pending);
	READ(&length, s->sock, struct udp_sock, len);
	s->datagram.corked = !pending ? 0 : s->datagram.flags & MSG_MORE ? CORKED_BY_CALL : CORKED_BY_OPTION;
	/* When the option was switched off, the kernel sent the bytes that waited. */
	if (corked && (pending ? length > bytes + UDP_HEADER : corked == CORKED_BY_CALL))
		return 0;
	return count;
}

#endif
