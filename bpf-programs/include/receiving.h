/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Calls that receive datagrams, as the functions that do the work see them (tier function): they have the socket, the packet
 * and the kernel's copy of the address that it came from.
 *
 *     skb_consume_udp, or the end of raw_recvmsg etc. ──► end of the call
 *     record_packet       record_message                   what no function has recorded
 */
#ifndef DUETECTOR_RECEIVING_H
#define DUETECTOR_RECEIVING_H

#include "doing.h"
#include "packet.h"
#include "received.h"
#include "uring.h"

#if TIER == FUNCTION

/* The calls that have received something and have not ended: mostly none, and then the ends of calls need not search. */
__s64 receiving_now;

/* Returns the number of the current call if it takes datagrams from a socket; else 0. Requests of io_uring and the kernel's
 * own sockets use the same functions.
 */
static __always_inline __u32 receiving_call(__u64 sock)
{
	struct call call = {.regs = current_regs()};
	__u32 flags = 0;

	if (current_task()->flags & (PF_IO_WORKER | PF_KTHREAD))
		return 0;
	name_call(&call);
	switch (call.nr) {
	case NR_RECVFROM:
	case NR_RECVMMSG:
		flags = call_arg(&call, 3);
		break;
	case NR_RECVMSG:
		flags = call_arg(&call, 2);
		break;
	case NR_READ:
	case NR_READV:
		break;
	default:
		return 0;
	}
	return !(flags & TAKES_NOTHING) && has_file(sock) ? call.nr : 0;
}

/* Returns the state of the current call, which has received something; NULL if there is no memory: then the call is recorded
 * when it ends.
 */
static __always_inline struct doing *begin_receiving(__u32 nr)
{
	struct doing *now =
		bpf_task_storage_get(&doing, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!now)
		return NULL;
	if (now->kind != KIND_UDP || !now->nr) {
		clear_doing(now, KIND_UDP);
		__sync_fetch_and_add(&receiving_now, 1);
	}
	now->nr = nr;
	return now;
}

/* Ends the call; returns the tracers whose records were emitted at functions, a bit each. */
static __always_inline __u32 end_receiving(__u32 nr)
{
	struct doing *now = receiving_now > 0 ? doing_now(KIND_UDP) : NULL;

	if (!now || !now->nr)
		return 0;
	__sync_fetch_and_add(&receiving_now, -1);
	now->kind = 0;
	return now->nr == nr ? now->done & ~(now->asks ? 1 << KIND_DNS : 0) : 0;
}

/* Begins the record of a datagram that the current call has received; NULL if there is none to make. */
static __always_inline struct scratch *begin_received(__u64 sock, __s32 ret)
{
	struct task_struct *task = current_task();
	__u32 kinds = datagram_kinds(task);
	struct sock_call as = {.ret = ret};
	struct doing *now;

	if (ret < 0 || !kinds)
		return NULL;
	as.nr = receiving_call(sock);
	if (!as.nr)
		return NULL;
	now = begin_receiving(as.nr);
	if (!now)
		return NULL;
	now->done = 1 << KIND_UDP | 1 << KIND_DNS;
	return begin_datagrams(task, sock, kinds, &as, true);
}

/* Records a packet of which the current call has received `length` bytes. An answer whose bytes are not in one piece is left
 * to the end of the call.
 */
static __always_inline int record_packet(__u64 sock, __u64 skb, __s32 length)
{
	struct scratch *s = begin_received(sock, length);
	struct doing *now;

	if (!s)
		return 0;
	take_packet(s, skb);
	take_source(&s->datagram, skb);
	s->datagram.ret = length;
	if (s->datagram.source.port == bpf_htons(DNS_PORT) && length > (__s64)s->datagram.length) {
		s->datagram.kinds &= ~(1 << KIND_DNS);
		now = doing_now(KIND_UDP);
		if (now)
			now->asks = 1;
	}
	datagram(s);
	give_back(s);
	return 0;
}

/* Records a message of another kind. Of IP the function sets the address, and its caller the length. */
static __always_inline int record_message(__u64 sock, __u64 msg, __s32 ret)
{
	struct scratch *s = begin_received(sock, ret);
	struct datagram *d;
	__u32 length = 0;

	if (!s)
		return 0;
	d = &s->datagram;
	READ(&d->address, msg, struct msghdr, msg_name);
	READ(&length, msg, struct msghdr, msg_namelen);
	d->address_length = is_inet(family_of(sock)) ? sizeof(struct sockaddr_any) : length;
	if (!d->address_length)
		d->address = 0;
	d->in_kernel = d->all_in_kernel = 1;
	datagram(s);
	give_back(s);
	return 0;
}

#else

static __always_inline __u32 end_receiving(__attribute__((unused)) __u32 nr)
{
	return 0;
}

#endif
#endif
