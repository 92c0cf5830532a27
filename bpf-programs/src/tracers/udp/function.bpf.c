// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Datagrams that are sent, from the kernel's own copies of address and bytes. */
#include "sending.h"

#if TIER == FUNCTION

#define CALL_BEGINS(program)                                                                                 \
	FUNCTION_ENTRY(program)                                                                              \
	{                                                                                                    \
		(void)ctx;                                                                                   \
		begin_sending();                                                                             \
		return 0;                                                                                    \
	}

CALL_BEGINS(udp_sendto)
CALL_BEGINS(udp_sendmsg_call)
CALL_BEGINS(udp_sendmmsg)

struct kiocb {
	struct file *ki_filp;
	void *ki_complete; /* 0: the caller waits */
} CO_RE;

POSITION(written_iocb);

/* sock_write_iter: write and writev on a socket; io_uring and libaio come here, too. */
FUNCTION_ENTRY(udp_write)
{
	__u64 iocb = argument(ctx, written_iocb), file = 0, complete = 0;

	READ(&complete, iocb, struct kiocb, ki_complete);
	READ(&file, iocb, struct kiocb, ki_filp);
	if (!complete && udp_of(file))
		begin_sending();
	return 0;
}

struct packet_ports {
	__u16 dport;
} CO_RE;

union flowi_uli {
	struct packet_ports ports;
} CO_RE;

struct flowi4 {
	__u32 daddr;
	union flowi_uli uli;
} CO_RE;

struct flowi6 {
	struct in6_addr daddr;
	union flowi_uli uli;
} CO_RE;

POSITION(packet_skb);
POSITION(packet_flow);
POSITION(packet6_skb);
POSITION(packet6_flow);

/* udp_send_skb: a whole datagram, also one that several calls have made. */
FUNCTION_ENTRY(udp_packet)
{
	__u64 flow = argument(ctx, packet_flow);
	struct sockaddr_any to = {.family = INET};

	READ(&to.addr4, flow, struct flowi4, daddr);
	READ(&to.port, flow, struct flowi4, uli.ports.dport);
	return keep_question(argument(ctx, packet_skb), &to);
}

FUNCTION_ENTRY(udp_packet6)
{
	__u64 flow = argument(ctx, packet6_flow);
	struct sockaddr_any to = {.family = INET6};

	READ(&to.port, flow, struct flowi6, uli.ports.dport);
	COPY(&to.addr6, flow, struct flowi6, daddr);
	return keep_question(argument(ctx, packet6_skb), &to);
}

POSITION(sent_sk);
POSITION(sent_msg);
POSITION(sent_ret);

/* The end of udp_sendmsg. udpv6_sendmsg uses it for mapped addresses, with an address that is gone when
 * udpv6_sendmsg ends.
 */
FUNCTION_EXIT(udp_sent)
{
	__u64 sock = argument(ctx, sent_sk);
	struct doing *now = doing_now(KIND_UDP);

	if (now && family_of(sock) == INET6)
		now->inner = 1;
	return record_sent(sock, argument(ctx, sent_msg), argument(ctx, sent_ret));
}

POSITION(sent6_sk);
POSITION(sent6_msg);
POSITION(sent6_ret);

FUNCTION_EXIT(udp_sent6)
{
	struct doing *now = doing_now(KIND_UDP);

	if (now && now->inner) { /* recorded above */
		now->inner = 0;
		return 0;
	}
	return record_sent(argument(ctx, sent6_sk), argument(ctx, sent6_msg), argument(ctx, sent6_ret));
}

MESSAGE_OF_SOCK(udp_raw, record_sent)
MESSAGE_OF_SOCK(udp_raw6, record_sent)
MESSAGE_OF_SOCK(udp_ping, record_sent)
MESSAGE_OF_SOCK(udp_ping6, record_sent)

MESSAGE_OF_SOCKET(udp_unix, record_sent)
MESSAGE_OF_SOCKET(udp_frame, record_sent)

#endif
