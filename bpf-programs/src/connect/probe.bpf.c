// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* TCP connections. A call that waits ends with its result. One that does not is kept until the socket's state
 * tells the outcome, which then happens in whatever context the network is in: who called has to be
 * remembered.
 */
#include "sock.h"

#define NONBLOCK 04000
#define EINTR 4
#define EALREADY 114
#define EINPROGRESS 115
#define ERESTARTSYS 512

struct pending {
	struct connect_record record;
};

/* Hash, because outcomes come by socket, in any order and on any CPU. An entry lives from a call that did not
 * wait to its outcome or the socket's end, whichever deletes it first; a full map is counted as lost.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct pending);
} connecting SEC(".maps");

/* Seen, and out. */
static __always_inline void emit_connect(struct scratch *s)
{
	s->size = sizeof(struct connect_record);
	count_seen(KIND_CONNECT);
	emit_data(s, KIND_CONNECT);
}

/* Whoever deletes the entry tells the outcome: this call, if it came before the entry, else the socket. */
static __always_inline void wait_for_outcome(struct scratch *s, __u64 sock)
{
	struct connect_record *r = (struct connect_record *)s->record;
	__u8 state;

	if (bpf_map_update_elem(&connecting, &sock, r, BPF_ANY)) {
		count_seen(KIND_CONNECT);
		count_lost(KIND_CONNECT);
		return;
	}
	state = state_of(sock);
	if (state == TCP_SYN_SENT || state == TCP_SYN_RECV)
		return;
	if (bpf_map_delete_elem(&connecting, &sock))
		return;
	r->ret = outcome(sock, state == TCP_CLOSE ? TCP_CLOSE : TCP_ESTABLISHED);
	emit_connect(s);
}

SEC("tracepoint/syscalls/sys_exit_connect")
int connect_exit(struct sys_exit *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = current_regs();
	struct sockaddr_any asked = {};
	struct connect_record *r;
	struct scratch *s;
	__s64 ret = ctx->ret;
	__u64 file, sock;
	__u32 flags = 0;

	if (!is_traced(KIND_CONNECT, task))
		return 0;
	file = file_of(task, (__s32)syscall_arg(regs, 0));
	sock = file ? tcp_sock_of(file) : 0;
	if (!sock)
		return 0;
	/* A shorter address than IPv6's can end at the end of a page. */
	if (bpf_probe_read_user(&asked, sizeof(asked), (void *)syscall_arg(regs, 1)))
		bpf_probe_read_user(&asked, 8, (void *)syscall_arg(regs, 1));
	READ(&flags, file, struct file, f_flags);
	/* AF_UNSPEC takes a connection down. EALREADY, and success without waiting, ask for the outcome of an
	 * earlier call, which tells it itself: the kernel never connects within a call that does not wait. An
	 * interrupted call is made again.
	 */
	if ((asked.family == 0 && ret == 0) || ret == -EALREADY || ret == -ERESTARTSYS)
		return 0;
	if (ret == 0 && flags & NONBLOCK)
		return 0;
	s = take_scratch();
	if (!s) {
		count_seen(KIND_CONNECT);
		count_lost(KIND_CONNECT);
		return 0;
	}
	r = (struct connect_record *)s->record;
	fill_header(s, task, KIND_CONNECT, true);
	put_addresses(r, sock);
	r->nonblocking = ret == -EINPROGRESS;
	r->ret = ret;
	r->pad = 0;
	r->header.size = sizeof(*r);
	if (ret == -EINPROGRESS) {
		/* Already refused: the socket has forgotten where to. */
		if (!r->dport)
			put_asked_address(r, &asked);
		wait_for_outcome(s, sock);
	} else {
		if (ret)
			put_asked_address(r, &asked);
		emit_connect(s);
	}
	give_back(s);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int connect_state(__u64 *ctx)
{
	__u64 sock = ctx[0];
	int before = ctx[1], after = ctx[2];
	struct pending *pending;
	struct connect_record *r;
	struct scratch *s;

	if ((before != TCP_SYN_SENT && before != TCP_SYN_RECV) ||
	    (after != TCP_ESTABLISHED && after != TCP_CLOSE))
		return 0;
	pending = bpf_map_lookup_elem(&connecting, &sock);
	if (!pending)
		return 0;
	s = take_scratch();
	if (!s) {
		if (!bpf_map_delete_elem(&connecting, &sock)) {
			count_seen(KIND_CONNECT);
			count_lost(KIND_CONNECT);
		}
		return 0;
	}
	r = (struct connect_record *)s->record;
	*r = pending->record;
	r->header.time_ns = bpf_ktime_get_boot_ns();
	r->ret = outcome(sock, after);
	if (!bpf_map_delete_elem(&connecting, &sock))
		emit_connect(s);
	give_back(s);
	return 0;
}
