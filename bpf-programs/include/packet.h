/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Packets of UDP, as the kernel has them in memory. */
#ifndef DUETECTOR_PACKET_H
#define DUETECTOR_PACKET_H

#include "doing.h"
#include "message.h"

#define ETH_P_IP 0x0800
#define IP_SOURCE 12 /* offset in the header */
#define IP6_SOURCE 8

struct sk_buff {
	struct sock *sk;
	unsigned int len, data_len;
	unsigned char *head, *data;
	__u16 transport_header, network_header, protocol;
	unsigned int end; /* where struct skb_shared_info begins */
} CO_RE;

/* Sets the datagram's bytes to those of a packet of UDP. */
static __always_inline void take_packet(struct scratch *s, __u64 skb)
{
	struct datagram *d = &s->datagram;
	__u64 head = 0, data = 0, before;
	__u32 length = 0, apart = 0;
	__u16 header = 0;

	READ(&head, skb, struct sk_buff, head);
	READ(&data, skb, struct sk_buff, data);
	READ(&header, skb, struct sk_buff, transport_header);
	READ(&length, skb, struct sk_buff, len);
	READ(&apart, skb, struct sk_buff, data_len);
	d->data = head + header + UDP_HEADER;
	before = d->data - data;
	d->ret = length - before;
	d->length = length - apart - before;
	d->all_in_kernel = 1;
}

/* True if a descriptor refers to the socket: the kernel's own sockets have none. */
static __always_inline bool has_file(__u64 sock)
{
	__u64 socket = 0, file = 0;

	READ(&socket, sock, struct sock, sk_socket);
	if (socket)
		READ(&file, socket, struct socket, file);
	return file;
}

struct skb_shared_info {
	__u16 gso_size;
} CO_RE;

/* Sets the address that a packet comes from, and the size of the datagrams that the kernel has put together in it. */
static __always_inline void take_source(struct datagram *d, __u64 skb)
{
	__u64 head = 0;
	__u32 end = 0;
	__u16 transport = 0, network = 0, protocol = 0, piece = 0;

	READ(&head, skb, struct sk_buff, head);
	READ(&end, skb, struct sk_buff, end);
	READ(&transport, skb, struct sk_buff, transport_header);
	READ(&network, skb, struct sk_buff, network_header);
	READ(&protocol, skb, struct sk_buff, protocol);
	READ(&piece, head + end, struct skb_shared_info, gso_size);
	d->piece = piece;
	bpf_probe_read_kernel(&d->source.port, sizeof(d->source.port), (void *)head + transport);
	if (protocol == bpf_htons(ETH_P_IP)) {
		d->source.family = INET;
		bpf_probe_read_kernel(&d->source.addr4, 4, (void *)head + network + IP_SOURCE);
	} else {
		d->source.family = INET6;
		bpf_probe_read_kernel(d->source.addr6, 16, (void *)head + network + IP6_SOURCE);
	}
}

/* Defines a program at the end of a function that sends or receives a message of struct sock. `record` gets the sock, the
 * message (struct msghdr) and the result.
 */
#define MESSAGE_OF_SOCK(program, record)                                                                     \
	POSITION(program##_sk);                                                                              \
	POSITION(program##_msg);                                                                             \
	POSITION(program##_ret);                                                                             \
	FUNCTION_EXIT(program)                                                                               \
	{                                                                                                    \
		return record(argument(ctx, program##_sk), argument(ctx, program##_msg),                     \
			      argument(ctx, program##_ret));                                                 \
	}

/* The same for a function of struct socket. Unix sockets other than those of datagrams are left out. */
#define MESSAGE_OF_SOCKET(program, record)                                                                   \
	POSITION(program##_sock);                                                                            \
	POSITION(program##_msg);                                                                             \
	POSITION(program##_ret);                                                                             \
	FUNCTION_EXIT(program)                                                                               \
	{                                                                                                    \
		__u64 socket = argument(ctx, program##_sock), sock = 0;                                      \
                                                                                                             \
		READ(&sock, socket, struct socket, sk);                                                      \
		if (type_of(sock) != SOCK_DGRAM && family_of(sock) == UNIX)                                  \
			return 0;                                                                            \
		return record(sock, argument(ctx, program##_msg), argument(ctx, program##_ret));             \
	}

#endif
