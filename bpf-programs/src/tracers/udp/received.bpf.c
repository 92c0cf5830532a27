// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Datagrams that are received, from the kernel's own packets and copies of addresses. */
#include "receiving.h"

#if TIER == FUNCTION

POSITION(taken_sk);
POSITION(taken_skb);
POSITION(taken_len);

/* skb_consume_udp: a packet whose bytes the caller has got; the length is negative if they stay in the queue. */
FUNCTION_ENTRY(udp_taken)
{
	return record_packet(argument(ctx, taken_sk), argument(ctx, taken_skb), argument(ctx, taken_len));
}

MESSAGE_OF_SOCK(udp_raw_taken, record_message)
MESSAGE_OF_SOCK(udp_raw6_taken, record_message)
MESSAGE_OF_SOCK(udp_ping_taken, record_message)

MESSAGE_OF_SOCKET(udp_unix_taken, record_message)
MESSAGE_OF_SOCKET(udp_frame_taken, record_message)

#endif
