// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Bytes that a socket sends or receives, from the socket itself: the kernel has these tracepoints since 6.3. */
#include "counted.h"

TRACEPOINT(sock_recv_length)
int usage_received(__u64 *ctx)
{
	__u64 sock = 0;

	bpf_probe_read_kernel(&sock, sizeof(sock), ctx);
	count_socket(sock, (__s32)ctx[1], SOCKET_READS, ctx[2]);
	return 0;
}

TRACEPOINT(sock_send_length)
int usage_sent(__u64 *ctx)
{
	__u64 sock = 0;

	bpf_probe_read_kernel(&sock, sizeof(sock), ctx);
	count_socket(sock, (__s32)ctx[1], SOCKET_WRITES, 0);
	return 0;
}
