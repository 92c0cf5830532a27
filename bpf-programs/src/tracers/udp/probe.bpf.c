// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* UDP datagrams that are sent and received, by any call; for the tracers udp and dns. */
#include "receiving.h"
#include "sending.h"

/* The position of each argument of a call on datagrams, counted from 1; 0: the call has none. */
struct datagram_call {
	__u8 data, length; /* the bytes */
	__u8 vectors, count;
	__u8 flags, address;
	bool message, messages; /* `vectors` is a struct msghdr, struct mmsghdr */
	bool received;
};

static __always_inline struct datagram_call datagram_args(__u32 nr)
{
	switch (nr) {
	case NR_SENDTO:
		return (struct datagram_call){.data = 2, .length = 3, .flags = 4, .address = 5};
	case NR_RECVFROM:
		return (struct datagram_call){.data = 2, .length = 3, .flags = 4, .address = 5, .received = true};
	case NR_SENDMSG:
		return (struct datagram_call){.vectors = 2, .flags = 3, .message = true};
	case NR_RECVMSG:
		return (struct datagram_call){.vectors = 2, .flags = 3, .message = true, .received = true};
	case NR_SENDMMSG:
		return (struct datagram_call){.vectors = 2, .count = 3, .flags = 4, .messages = true};
	case NR_RECVMMSG:
		return (struct datagram_call){.vectors = 2, .count = 3, .flags = 4, .messages = true, .received = true};
	case NR_WRITEV:
		return (struct datagram_call){.vectors = 2, .count = 3};
	case NR_READV:
		return (struct datagram_call){.vectors = 2, .count = 3, .received = true};
	case NR_READ:
		return (struct datagram_call){.data = 2, .length = 3, .received = true};
	default:
		return (struct datagram_call){.data = 2, .length = 3};
	}
}

static __always_inline __u64 nth(struct call *call, int at)
{
	return at ? call_arg(call, at - 1) : 0;
}

/* The length of the address of sendto; of recvfrom that which the kernel has stored. */
static __always_inline __u64 address_length(struct call *call, struct datagram_call *args)
{
	__u64 length = call_arg(call, args->address);
	__u32 stored = 0;

	if (!args->received)
		return length;
	bpf_probe_read_user(&stored, sizeof(stored), (void *)length);
	return stored;
}

static __always_inline void emit_datagrams(struct scratch *s, struct datagram_call *args, struct call *call)
{
	__u64 from = nth(call, args->vectors);

	s->datagram.compat = call->abi != 0;
	s->datagram.flags = nth(call, args->flags);
	if (args->messages && call->ret > 0) {
		each_message(s, from, call->ret);
		return;
	}
	if (args->message || args->messages) {
		take_message(s, from);
	} else {
		s->datagram.address = nth(call, args->address);
		s->datagram.address_length = args->address ? address_length(call, args) : 0;
		s->datagram.data = nth(call, args->data);
		s->datagram.length = nth(call, args->length);
		s->datagram.vectors = from;
		s->datagram.count = nth(call, args->count);
	}
	datagram(s);
}

SYSCALL_EXIT(udp_exit)
{
	struct task_struct *task = current_task();
	__u32 recorded = end_message_call(call->nr) | end_receiving(call->nr);
	__u64 sock = udp_of(file_of(task, (__s32)call_arg(call, 0)));
	struct datagram_call args = datagram_args(call->nr);
	struct sock_call as = {.nr = call->nr, .ret = call->ret};
	struct scratch *s;
	__u32 kinds;

	if (recorded)
		sweep_now_and_then();
	if (!sock || is_no_result(call->ret))
		return;
	recorded |= end_write(call->nr);
	if (args.received && nth(call, args.flags) & TAKES_NOTHING)
		return;
	kinds = datagram_kinds(task) & ~recorded;
	if (!kinds)
		return;
	s = begin_datagrams(task, sock, kinds, &as, args.received);
	if (!s)
		return;
	s->datagram.unverified = is_doubtful(task, call);
	emit_datagrams(s, &args, call);
	give_back(s);
	sweep_now_and_then();
}

/* Ends all flows, because no program adds to them any more; run by the agent, as usage_sweep. */
SEC("iter/task")
int udp_sweep(struct bpf_iter__task *ctx)
{
	struct sweep sweep = {};

	if (ctx->meta->seq_num)
		return 0;
	sweep.left = sweep_flows(~0ULL);
	bpf_seq_write(ctx->meta->seq, &sweep, sizeof(sweep));
	return 0;
}
