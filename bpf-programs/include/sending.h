/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Calls that send datagrams, as the functions that do the work see them (tier function): they have the kernel's copy of the
 * address, and the socket.
 *
 *     __sys_sendto ──► udp_send_skb ──► end of udp_sendmsg ──► end of the call
 *     begin_sending    DNS: the bytes    record_sent            what no function has recorded
 */
#ifndef DUETECTOR_SENDING_H
#define DUETECTOR_SENDING_H

#include "doing.h"
#include "message.h"
#include "packet.h"
#include "uring.h"

#if TIER == FUNCTION

#define SENDING (1U << 31) /* in `done`: nothing is lost if the end is not seen */

static __always_inline bool is_message_call(__u32 nr)
{
	return nr == NR_SENDTO || nr == NR_SENDMSG || nr == NR_SENDMMSG;
}

static __always_inline bool is_write(__u32 nr)
{
	return nr == NR_WRITE || nr == NR_WRITEV;
}

/* Notes that a call begins which may send datagrams. */
static __always_inline void begin_sending(void)
{
	struct doing *now;

	if (!datagram_kinds(current_task()))
		return;
	now = begin_doing(KIND_UDP);
	if (now)
		now->done = SENDING;
}

/* Ends the call; returns the tracers whose records were emitted at functions, a bit each. */
static __always_inline __u32 end_sending(void)
{
	struct doing *now = doing_now(KIND_UDP);

	if (!now)
		return 0;
	now->kind = 0;
	return now->done & ~(now->asks ? SENDING | 1 << KIND_DNS : SENDING);
}

static __always_inline __u32 end_message_call(__u32 nr)
{
	return is_message_call(nr) ? end_sending() : 0;
}

static __always_inline __u32 end_write(__u32 nr)
{
	return is_write(nr) ? end_sending() : 0;
}

/* Returns the number of the current call if it began with begin_sending() and has not ended; else 0. Requests of io_uring
 * and the kernel's own sockets use the same functions.
 */
static __always_inline __u32 sending_call(struct doing *now, __u64 sock)
{
	struct call call = {.regs = current_regs()};

	if (!now || !sock || current_task()->flags & (PF_IO_WORKER | PF_KTHREAD))
		return 0;
	name_call(&call);
	if (!is_message_call(call.nr) && !is_write(call.nr))
		return 0;
	return has_file(sock) ? call.nr : 0;
}

/* Emits the question that keep_question() has kept; false if there is none. */
static __always_inline bool emit_question(struct doing *now, __s32 ret)
{
	struct scratch *s;

	if (!now->kept)
		return false;
	now->kept = 0;
	s = recall(bpf_get_current_task());
	if (!s)
		return true;
	((struct header *)s->record)->time_ns = bpf_ktime_get_boot_ns();
	((struct sock_record *)s->record)->ret = ret;
	emit_sock(s, KIND_DNS);
	give_back(s);
	return true;
}

/* Sets the datagram from the kernel's struct msghdr. */
static __always_inline void take_kernel_message(struct scratch *s, __u64 msg)
{
	struct datagram *d = &s->datagram;
	__u32 length = 0;

	READ(&d->address, msg, struct msghdr, msg_name);
	READ(&length, msg, struct msghdr, msg_namelen);
	d->address_length = length;
	if (!length)
		d->address = 0;
	READ(&d->flags, msg, struct msghdr, msg_flags);
	READ(&d->control, msg, struct msghdr, msg_control);
	READ(&d->control_length, msg, struct msghdr, msg_controllen);
	d->in_kernel = d->all_in_kernel = 1;
}

/* True if the record is about a datagram to a name server. */
static __always_inline bool is_question(const struct scratch *s)
{
	const struct sock_record *r = (const struct sock_record *)s->record;

	return r->dport == DNS_PORT && r->protocol == IPPROTO_UDP;
}

/* Records a datagram of the current call, which was sent or refused. Of sendmmsg only the first one can be refused. A
 * question that was refused early, or waits for more bytes, is left to the end of the call.
 */
static __always_inline int record_sent(__u64 sock, __u64 msg, __s32 ret)
{
	struct doing *now = doing_now(KIND_UDP);
	struct sock_call as = {.ret = ret, .nr = sending_call(now, sock)};
	struct scratch *s;
	bool emitted;

	if (!as.nr || (ret < 0 && now->done & ~SENDING))
		return 0;
	if (is_no_result(ret)) {
		if (now->kept)
			drop_kept(bpf_get_current_task());
		return 0;
	}
	emitted = emit_question(now, ret);
	s = begin_datagrams(current_task(), sock, datagram_kinds(current_task()) & (1 << KIND_UDP), &as, false);
	now->done |= 1 << KIND_UDP | 1 << KIND_DNS;
	if (!s)
		return 0;
	take_kernel_message(s, msg);
	datagram(s);
	if (!emitted && is_question(s))
		now->asks = 1;
	give_back(s);
	return 0;
}

/* Keeps a question to a name server until the result is known: its bytes are the kernel's copy now, and may be freed soon. */
static __always_inline int keep_question(__u64 skb, struct sockaddr_any *to)
{
	struct doing *now = doing_now(KIND_UDP);
	struct task_struct *task = current_task();
	struct sock_call as = {};
	struct sock_record *r;
	struct scratch *s;
	__u64 sock = 0;

	if (!now || bpf_ntohs(to->port) != DNS_PORT || !passes(KIND_DNS, task))
		return 0;
	READ(&sock, skb, struct sk_buff, sk);
	as.nr = sending_call(now, sock);
	if (!as.nr || protocol_of(sock) != IPPROTO_UDP)
		return 0;
	s = begin_datagrams(task, sock, 1 << KIND_DNS, &as, false);
	if (!s)
		return 0;
	take_packet(s, skb);
	/* Bytes that are not in one piece are left to the end of the call. */
	if (s->datagram.ret > (__s64)s->datagram.length) {
		give_back(s);
		return 0;
	}
	now->kept = 1;
	r = (struct sock_record *)s->record;
	put_address(r->daddr, &r->dport, r->family, to);
	put_datagram(s);
	drop_kept(bpf_get_current_task());
	keep(s, bpf_get_current_task(), KIND_DNS);
	give_back(s);
	return 0;
}

#else

static __always_inline __u32 end_message_call(__attribute__((unused)) __u32 nr)
{
	return 0;
}

static __always_inline __u32 end_write(__attribute__((unused)) __u32 nr)
{
	return 0;
}

#endif
#endif
