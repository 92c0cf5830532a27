// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Connections of TCP and of unix sockets. TCP's are taken from the socket's own state, whichever call changes it and
 * whatever happens to the caller's descriptor and memory meanwhile: connect, a send with MSG_FASTOPEN, or a request
 * of io_uring. The state changes to SYN_SENT in the task that connects. A connect that failed before that is taken
 * from the call's end.
 *
 *     CLOSE ──► SYN_SENT ──► connecting[sock] ──► ESTABLISHED, or CLOSE with the socket's error ──► record
 *       │                                    └──► CLOSE without an error, in the same call ──┐
 *       └──► the call fails ─────────────────────────────────────────────────────────────────┴─► its result ──► record
 */
#include "connecting.h"
#include "unix.h"

#define EALREADY 114

static __always_inline bool is_tcp(__u64 sock)
{
	return is_inet(family_of(sock)) && protocol_of(sock) == IPPROTO_TCP;
}

/* True if the current task works for a request of io_uring, and not for the call that it is in. */
static __always_inline bool is_request(struct task_struct *task, __u32 nr)
{
	if (task->flags & PF_IO_WORKER)
		return true;
	if (nr == NR_CONNECT || nr == NR_SENDTO || nr == NR_SENDMSG || nr == NR_SENDMMSG)
		return false;
	return bpf_core_field_exists(struct task_struct, io_uring) && GET(task, io_uring);
}

/* True if the call that connects does not wait for the outcome. */
static __always_inline bool does_not_wait(__u64 sock, struct call *call)
{
	__u64 socket = 0, file = 0;
	__u32 flags = 0;

	READ(&socket, sock, struct sock, sk_socket);
	READ(&file, socket, struct socket, file);
	READ(&flags, file, struct file, f_flags);
	if (flags & NONBLOCK)
		return true;
	if (call->nr == NR_SENDTO || call->nr == NR_SENDMMSG)
		return call_arg(call, 3) & MSG_DONTWAIT;
	return call->nr == NR_SENDMSG && call_arg(call, 2) & MSG_DONTWAIT;
}

/* Remembers the connection that the current task begins. */
static __always_inline void begin_attempt(__u64 sock)
{
	struct task_struct *task = current_task(), *owner = process_of(task);
	bool traced = is_traced(KIND_CONNECT, owner), watched = passes(KIND_CLOSE, owner);
	struct call call = {.regs = current_regs()};
	struct sock_call as = {};
	struct sock_record *r;
	struct scratch *s;

	/* The kernel's own connections, as of NFS. */
	if (!(traced || watched) || task->flags & PF_KTHREAD || !is_tcp(sock))
		return;
	name_call(&call);
	as.uring = is_request(task, call.nr);
	note_attempt(sock, as.uring, task->start_boottime);
	s = begin_sock(traced ? KIND_CONNECT : KIND_CLOSE, owner, sock, &as);
	if (!s)
		return;
	r = (struct sock_record *)s->record;
	if (!traced)
		r->header.flags &= ~FLAG_TRACED;
	r->flags = watched ? SOCK_WATCHED : 0;
	if (!as.uring && does_not_wait(sock, &call))
		r->flags |= SOCK_NONBLOCKING;
	/* An entry that is there is of a connection whose end was not seen: the socket is closed. */
	if (!PUT_ENTRY(connecting, IN_CONNECTING, CONNECTING, &sock, &s->kept.owner, s->kept.owner, true,
		       awaited(&old->record)))
		count_crowded(s->kept.owner, awaited(r));
	give_back(s);
	sweep_attempts(sweep_before(IN_CONNECTING, CONNECTING));
	sweep_connections(sweep_before(IN_CONNECTIONS, CONNECTIONS));
}

/* True if a call with this result failed before the socket's state changed. Other errors come after it: then the state
 * has shown the outcome, also if this call only waited for it. A call that was interrupted goes on.
 */
static __always_inline bool failed_at_once(__s32 ret)
{
	return ret < 0 && !goes_on(ret) && ret != -EALREADY && ret != -ECONNREFUSED && ret != -ETIMEDOUT &&
	       ret != -ECONNRESET && ret != -ECONNABORTED;
}

static __always_inline void connect_tcp(struct task_struct *task, __u64 sock, struct sock_call *call)
{
	struct sockaddr_any asked;
	struct sock_record *r;
	struct scratch *s;

	if (!failed_at_once(call->ret))
		return;
	s = begin_sock(KIND_CONNECT, task, sock, call);
	if (!s)
		return;
	r = (struct sock_record *)s->record;
	/* The socket has never had the destination. */
	read_address(&asked, call->address, call->in_kernel);
	put_address(r->daddr, &r->dport, r->family, &asked);
	mark_call(s, call, true);
	emit_sock(s, KIND_CONNECT);
	give_back(s);
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
	mark_call(s, call, !peer);
	emit_sock(s, KIND_CONNECT);
	give_back(s);
}

/* Connects of vsock and SCTP. The socket has the destination if the call did not fail, except for vsock. */
static __always_inline void connect_other(struct task_struct *task, __u64 sock, struct sock_call *call)
{
	struct scratch *s = begin_sock(KIND_CONNECT, task, sock, call);
	struct sockaddr_any asked;
	struct sock_record *r;
	bool is_asked;

	if (!s)
		return;
	r = (struct sock_record *)s->record;
	r->flags = call->ret == -EINPROGRESS ? SOCK_NONBLOCKING : 0;
	is_asked = r->family == AF_VSOCK || (call->ret && call->ret != -EINPROGRESS);
	mark_call(s, call, is_asked);
	if (is_asked) {
		read_address(&asked, call->address, call->in_kernel);
		put_address(r->daddr, &r->dport, r->family, &asked);
	}
	emit_sock(s, KIND_CONNECT);
	give_back(s);
}

/* Records a connect that has ended, of a system call or of io_uring, and did not change the state of a TCP socket. */
static __always_inline void connect_ended(struct task_struct *task, struct sock_call *call, bool traced)
{
	__u64 sock = call->file ? sock_of(call->file) : 0;

	if (sock && call->ret == 0 && family_of(sock) == UNIX)
		note_unaccepted(sock);
	if (!sock || !traced)
		return;
	/* MPTCP connects by a TCP socket of its own, whose state shows the outcome. */
	if (is_tcp(sock) || (is_inet(family_of(sock)) && protocol_of(sock) == IPPROTO_MPTCP))
		connect_tcp(task, sock, call);
	else if (family_of(sock) == UNIX)
		connect_unix(task, sock, call);
	else if (family_of(sock) == AF_VSOCK || (is_inet(family_of(sock)) && protocol_of(sock) == IPPROTO_SCTP))
		connect_other(task, sock, call);
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
		.doubtful = is_doubtful(task, call),
	};

	if (end_attempt(bpf_get_current_pid_tgid(), task->start_boottime, as.file ? sock_of(as.file) : 0, as.ret))
		return;
	connect_ended(task, &as, is_traced(KIND_CONNECT, task));
}

TRACEPOINT(inet_sock_set_state)
int connect_state(__u64 *ctx)
{
	int before = ctx[1], after = ctx[2];
	bool begins = before == TCP_CLOSE && after == TCP_SYN_SENT;
	__u64 sock = 0;

	if (!begins && ((before != TCP_SYN_SENT && before != TCP_SYN_RECV) ||
			(after != TCP_ESTABLISHED && after != TCP_CLOSE)))
		return 0;
	/* The address as a number, by way of memory: a typed pointer cannot be an argument. */
	bpf_probe_read_kernel(&sock, sizeof(sock), ctx);
	if (begins)
		begin_attempt(sock);
	else
		state_decided(sock, after, current_task()->start_boottime);
	return 0;
}
