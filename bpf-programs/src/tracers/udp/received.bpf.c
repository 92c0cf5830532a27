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

#define TAKEN(program)                                                                                       \
	POSITION(program##_sk);                                                                              \
	POSITION(program##_msg);                                                                             \
	POSITION(program##_ret);                                                                             \
	FUNCTION_EXIT(program)                                                                               \
	{                                                                                                    \
		return record_message(argument(ctx, program##_sk), argument(ctx, program##_msg),             \
				      argument(ctx, program##_ret));                                         \
	}

TAKEN(udp_raw_taken)
TAKEN(udp_raw6_taken)
TAKEN(udp_ping_taken)

#define TAKEN_BY_SOCKET(program)                                                                             \
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
		return record_message(sock, argument(ctx, program##_msg), argument(ctx, program##_ret));     \
	}

TAKEN_BY_SOCKET(udp_unix_taken)
TAKEN_BY_SOCKET(udp_frame_taken)

#endif
