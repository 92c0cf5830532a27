// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Connections of TCP and of unix sockets. A call that waits ends with its result. A TCP connect that does not
 * wait is remembered until the socket's state shows the outcome.
 *
 *     connect() ──waits──────────────────────────────► record
 *        └──EINPROGRESS──► connecting[sock] ──state──► record
 */
#include "connection.h"
#include "unix.h"

#define NONBLOCK 04000
#define EALREADY 114
#define EINPROGRESS 115
#define ERESTARTSYS 512

/* As `connections`: from a call that did not wait to its outcome or the socket's end. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CONNECTING);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct begun);
} connecting SEC(".maps");

static __always_inline bool forget_connecting(__u64 sock, __u64 owner)
{
	return DELETE_ENTRY(connecting, IN_CONNECTING, &sock, owner);
}

/* The record that is lost if the outcome is not seen: of the connect, or only of the connection's end. */
static __always_inline __u32 awaited(struct sock_record *r)
{
	return r->header.flags & FLAG_TRACED ? KIND_CONNECT : KIND_CLOSE;
}

static __always_inline bool is_waiting(__u64 sock, struct sock_record *r)
{
	__u8 state = state_of(sock);

	return (state == TCP_SYN_SENT || state == TCP_SYN_RECV) && is_of(sock, r);
}

static long sweep_attempt(__attribute__((unused)) void *map, __u64 *sock, struct begun *of, __u64 *before)
{
	__u32 kind = awaited(&of->record);
	__u64 owner = of->owner;

	if (of->record.header.time_ns < *before && !is_waiting(*sock, &of->record) &&
	    forget_connecting(*sock, owner))
		count_stale(owner, kind);
	return 0;
}

/* Drops attempts whose sockets no longer wait. Not by age alone: a connect may be repeated for hours. */
__noinline int sweep_attempts(__u64 before)
{
	return before ? bpf_for_each_map_elem(&connecting, sweep_attempt, &before, 0) : 0;
}

/* 0 if connected, else the error; a socket that was closed before the outcome has no error of its own. */
static __always_inline __s32 outcome(__u64 sock, int state)
{
	if (state == TCP_ESTABLISHED)
		return 0;
	return error_of(sock) ?: -ECONNABORTED;
}

/* Called when the outcome of a TCP connect is known. */
static __always_inline void decided(struct scratch *s, __u64 sock)
{
	struct sock_record *r = (struct sock_record *)s->record;

	s->size = sizeof(*r);
	if (r->header.flags & FLAG_TRACED)
		emit_sock(s, KIND_CONNECT);
	if (r->flags & SOCK_WATCHED && !r->ret)
		watch(s, sock);
}

/* Remembers the connect. Whichever program deletes the entry emits the outcome: this one, if the outcome came
 * before the entry was there, else the one at the socket's state.
 */
static __always_inline void wait_for_outcome(struct scratch *s, __u64 sock)
{
	struct sock_record *r = (struct sock_record *)s->record;
	__u8 state;

	if (!PUT_ENTRY(connecting, IN_CONNECTING, CONNECTING, &sock, &s->kept.owner, s->kept.owner,
		       !is_of(sock, &old->record), awaited(&old->record)))
		return count_crowded(s->kept.owner, awaited(r));
	state = state_of(sock);
	if (state == TCP_SYN_SENT || state == TCP_SYN_RECV)
		return;
	if (!forget_connecting(sock, s->kept.owner))
		return;
	r->ret = outcome(sock, state == TCP_CLOSE ? TCP_CLOSE : TCP_ESTABLISHED);
	decided(s, sock);
}

/* True if the call is to be recorded. AF_UNSPEC dissolves a connection. EALREADY, and success without waiting,
 * are the outcome of an earlier call, which emits it itself: the kernel never connects within a call that does
 * not wait. An interrupted call is made again.
 */
static __always_inline bool is_attempt(struct sock_call *call, struct sockaddr_any *asked)
{
	__u32 flags = 0;

	if ((asked->family == 0 && call->ret == 0) || call->ret == -EALREADY || call->ret == -ERESTARTSYS)
		return false;
	READ(&flags, call->file, struct file, f_flags);
	return call->ret || call->uring || !(flags & NONBLOCK);
}

static __always_inline void connect_tcp(struct task_struct *task, __u64 sock, struct sock_call *call, bool traced,
					bool watched)
{
	struct sockaddr_any asked;
	struct sock_record *r;
	struct scratch *s;

	read_address(&asked, call->address, call->in_kernel);
	if (!is_attempt(call, &asked))
		return;
	s = begin_sock(traced ? KIND_CONNECT : KIND_CLOSE, task, sock, call);
	if (!s)
		return;
	r = (struct sock_record *)s->record;
	if (!traced)
		r->header.flags &= ~FLAG_TRACED;
	r->flags = (watched ? SOCK_WATCHED : 0) | (call->ret == -EINPROGRESS ? SOCK_NONBLOCKING : 0);
	/* The socket may never have had the destination, or may have dropped it. */
	if (call->ret && (call->ret != -EINPROGRESS || !r->dport))
		put_address(r->daddr, &r->dport, r->family, &asked);
	if (call->ret == -EINPROGRESS)
		wait_for_outcome(s, sock);
	else
		decided(s, sock);
	give_back(s);
	sweep_attempts(sweep_before(IN_CONNECTING, CONNECTING));
	sweep_connections(sweep_before(IN_CONNECTIONS, CONNECTIONS));
}

static __always_inline void connect_unix(struct task_struct *task, __u64 sock, struct sock_call *call)
{
	struct scratch *s = begin_sock(KIND_CONNECT, task, sock, call);
	__u64 peer = 0;

	if (!s)
		return;
	if (call->ret == 0)
		READ(&peer, sock, struct unix_sock, peer);
	if (peer) {
		s->sock = peer;
		put_unix_name(s);
		put_peer_pid(s, sock);
	} else {
		put_unix_asked(s, call->address, call->length, call->in_kernel);
	}
	emit_sock(s, KIND_CONNECT);
	give_back(s);
}

/* Records a connect that has ended, of a system call or of io_uring. */
static __always_inline void connect_ended(struct task_struct *task, struct sock_call *call, bool traced)
{
	bool watched = passes(KIND_CLOSE, task);
	__u64 sock = call->file && (traced || watched) ? sock_of(call->file) : 0;

	if (!sock)
		return;
	if (is_inet(family_of(sock)) && protocol_of(sock) == IPPROTO_TCP)
		connect_tcp(task, sock, call, traced, watched);
	else if (traced && family_of(sock) == UNIX)
		connect_unix(task, sock, call);
}

SYSCALL_EXIT(connect_exit)
{
	struct task_struct *task = current_task();
	struct sock_call as = {
		.file = file_of(task, (__s32)call_arg(call, 0)),
		.address = call_arg(call, 1),
		.length = call_arg(call, 2),
		.nr = call->nr,
		.ret = call->ret,
	};

	connect_ended(task, &as, is_traced(KIND_CONNECT, task));
}

static __always_inline void emit_outcome(__u64 sock, int after)
{
	struct begun *pending = bpf_map_lookup_elem(&connecting, &sock);
	struct sock_record *r;
	struct scratch *s;
	__u64 owner;
	__u32 kind;

	if (!pending)
		return;
	owner = pending->owner;
	kind = awaited(&pending->record);
	if (!is_of(sock, &pending->record)) {
		if (forget_connecting(sock, owner))
			count_stale(owner, kind);
		return;
	}
	s = take_scratch();
	if (!s) {
		if (forget_connecting(sock, owner)) {
			count_seen(kind);
			count_lost(kind);
		}
		return;
	}
	r = (struct sock_record *)s->record;
	*r = pending->record;
	s->kept.owner = owner;
	r->header.time_ns = bpf_ktime_get_boot_ns();
	r->ret = outcome(sock, after);
	if (forget_connecting(sock, owner))
		decided(s, sock);
	give_back(s);
}

TRACEPOINT(inet_sock_set_state)
int connect_state(__u64 *ctx)
{
	int before = ctx[1], after = ctx[2];

	if ((before == TCP_SYN_SENT || before == TCP_SYN_RECV) && (after == TCP_ESTABLISHED || after == TCP_CLOSE))
		emit_outcome(ctx[0], after);
	return 0;
}
