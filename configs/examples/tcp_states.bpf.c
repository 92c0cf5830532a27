/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* State changes of TCP connections: opened, established, closed, at both ends on this machine. See
 * tcp_states.toml.
 */
#include <linux/in.h>
#include "duetector.h"

enum tcp_state {
	TCP_ESTABLISHED = 1, TCP_SYN_SENT, TCP_SYN_RECV, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_TIME_WAIT, TCP_CLOSE,
	TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_LISTEN, TCP_CLOSING, TCP_NEW_SYN_RECV,
};
enum family { AF_INET = 2, AF_INET6 = 10 };

struct changed {
	DUETECTOR_COMMON; /* the process that was running; for SYN_SENT and LISTEN the connection's own process */
	enum family family;
	enum tcp_state from, to;
	__u16 sport, dport;
	ipv4_t saddr, daddr; /* 0.0.0.0 for an IPv6 connection */
	ipv6_t saddr6, daddr6;
};
DUETECTOR_RING(states, changed, 1024 * 1024);

/* Arguments as tracefs describes them: events/sock/inet_sock_set_state/format. */
struct trace_event_raw_inet_sock_set_state {
	int oldstate, newstate;
	__u16 sport, dport, family, protocol;
	__u8 saddr[4], daddr[4], saddr_v6[16], daddr_v6[16];
} __attribute__((preserve_access_index));

/* Record only connections with this port at either end; 0: all. */
const volatile __u16 port = 0;

SEC("tracepoint/sock/inet_sock_set_state")
int on_state(struct trace_event_raw_inet_sock_set_state *ctx)
{
	struct changed *changed;

	if (ctx->protocol != IPPROTO_TCP || (port && ctx->sport != port && ctx->dport != port))
		return 0;
	changed = duetector_reserve(&states, sizeof(*changed));
	if (!changed)
		return 0;
	duetector_fill_common(changed);
	changed->family = ctx->family;
	changed->from = ctx->oldstate;
	changed->to = ctx->newstate;
	changed->sport = ctx->sport;
	changed->dport = ctx->dport;
	bpf_probe_read_kernel(&changed->saddr, sizeof(changed->saddr), ctx->saddr);
	bpf_probe_read_kernel(&changed->daddr, sizeof(changed->daddr), ctx->daddr);
	bpf_probe_read_kernel(&changed->saddr6, sizeof(changed->saddr6), ctx->saddr_v6);
	bpf_probe_read_kernel(&changed->daddr6, sizeof(changed->daddr6), ctx->daddr_v6);
	bpf_ringbuf_submit(changed, 0);
	return 0;
}
