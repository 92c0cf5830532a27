/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* TCP connections from beginning to end. The end happens in whatever context the network code runs in, so the
 * process that began the connection has to be remembered.
 */
#ifndef DUETECTOR_CONNECTION_H
#define DUETECTOR_CONNECTION_H

#include "shares.h"
#include "sock.h"

#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_FIN_WAIT1 4
#define TCP_FIN_WAIT2 5
#define TCP_TIME_WAIT 6
#define TCP_CLOSE 7
#define TCP_LAST_ACK 9
#define TCP_CLOSING 11
#define SOCK_DONE 2 /* skc_flags: the other side's FIN has arrived */
#define ECONNABORTED 103

/* A connection, or an attempt, that has begun. */
struct begun {
	__u64 owner;
	struct sock_record record;
};

/* A hash, because connections end in any order and on any CPU. An entry lives from connect or accept until the
 * socket's state is TCP_CLOSE; whichever program deletes it emits the record.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CONNECTIONS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct begun);
} connections SEC(".maps");

static __always_inline __u8 state_of(__u64 sock)
{
	__u8 state = 0;

	READ(&state, sock, struct sock, __sk_common.skc_state);
	return state;
}

/* The error that a socket ended with, as a negative errno. */
static __always_inline __s32 error_of(__u64 sock)
{
	__s32 error = 0;

	READ(&error, sock, struct sock, sk_err);
	return error > 0 ? -error : 0;
}

/* True in the states in which our FIN has been sent. A FIN takes one sequence number, as a byte does. */
static __always_inline bool has_sent_fin(int state)
{
	return state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_TIME_WAIT || state == TCP_CLOSING ||
	       state == TCP_LAST_ACK;
}

/* Fills in the bytes written and read at this end from the sequence numbers, whichever calls moved them. Those
 * numbers have 32 bits, the counts of acknowledged and received bytes 64. The connecting side's SYN is among
 * the acknowledged bytes, and a FIN that was read is among the received ones.
 */
__noinline int put_bytes(struct scratch *s, int before)
{
	__u32 unacked = 0, written = 0, next = 0, copied = 0;
	__u64 acked = 0, received = 0, flags = 0;
	struct sock_record *r;
	__u64 sock;

	if (!s)
		return 0;
	sock = s->sock;
	r = (struct sock_record *)s->record;
	READ(&acked, sock, struct tcp_sock, bytes_acked);
	READ(&unacked, sock, struct tcp_sock, snd_una);
	READ(&written, sock, struct tcp_sock, write_seq);
	READ(&received, sock, struct tcp_sock, bytes_received);
	READ(&next, sock, struct tcp_sock, rcv_nxt);
	READ(&copied, sock, struct tcp_sock, copied_seq);
	READ(&flags, sock, struct sock, __sk_common.skc_flags);
	r->sent = acked + (__u32)(written - unacked) - !(r->flags & SOCK_ACCEPTED) - has_sent_fin(before);
	r->received = received - (__u32)(next - copied) - (flags & SOCK_DONE && next == copied);
	return 0;
}

/* Emits the end of a connection that was in state `before`; `s` has the remembered record. */
static __always_inline void emit_close(struct scratch *s, __u64 sock, int before)
{
	struct sock_record *r = (struct sock_record *)s->record;

	r->header.time_ns = bpf_ktime_get_boot_ns();
	r->ret = error_of(sock);
	s->sock = sock;
	put_bytes(s, before);
	s->size = sizeof(*r);
	emit_sock(s, KIND_CLOSE);
}

/* True if the socket is still, or again, at what was remembered: otherwise another one is at its address in memory,
 * and the end of the former was not seen, as while a tracer was off.
 */
static __always_inline bool is_of(__u64 sock, struct sock_record *r)
{
	__u16 dport = 0;

	READ(&dport, sock, struct sock, __sk_common.skc_dport);
	return protocol_of(sock) == IPPROTO_TCP && bpf_ntohs(dport) == r->dport;
}

static __always_inline bool forget_connection(__u64 sock, __u64 owner)
{
	return DELETE_ENTRY(connections, IN_CONNECTIONS, &sock, owner);
}

static long sweep_connection(__attribute__((unused)) void *map, __u64 *sock, struct begun *of, __u64 *before)
{
	__u64 owner = of->owner;

	if (of->record.header.time_ns < *before && (state_of(*sock) == TCP_CLOSE || !is_of(*sock, &of->record)) &&
	    forget_connection(*sock, owner))
		count_stale(owner, KIND_CLOSE);
	return 0;
}

/* Drops connections whose sockets are gone or have others in their stead. Not by age alone: a connection may live
 * for months.
 */
__noinline int sweep_connections(__u64 before)
{
	return before ? bpf_for_each_map_elem(&connections, sweep_connection, &before, 0) : 0;
}

/* Remembers the connection in `s`, which has just begun. Whichever program deletes the entry emits the end:
 * this one, if the end came before the entry was there.
 */
static __always_inline void watch(struct scratch *s, __u64 sock)
{
	struct sock_record *r = (struct sock_record *)s->record;

	r->flags &= ~(SOCK_WATCHED | SOCK_NONBLOCKING);
	r->since_ns = r->header.time_ns;
	r->header.flags = FLAG_TRACED; /* however the connection began */
	r->call = 0;
	if (!PUT_ENTRY(connections, IN_CONNECTIONS, CONNECTIONS, &sock, &s->kept.owner, s->kept.owner,
		       !is_of(sock, &old->record), KIND_CLOSE))
		return count_crowded(s->kept.owner, KIND_CLOSE);
	if (state_of(sock) == TCP_CLOSE && forget_connection(sock, s->kept.owner))
		emit_close(s, sock, TCP_CLOSE);
}

#endif
