// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* accept, accept4. */
#include "connection.h"
#include "unix.h"

/* Records an accept that has ended, of a system call or of io_uring. `call` has the listening socket,
 * `accepted` is the new socket's file. An accept that found no connection waiting, or was
 * interrupted, is not recorded.
 */
static __always_inline void accept_ended(struct task_struct *task, struct sock_call *call, __u64 accepted, bool traced)
{
	bool watched = passes(KIND_CLOSE, task);
	__u64 file = call->ret < 0 ? call->file : accepted;
	__u64 sock = file && (traced || watched) && call->ret != -EAGAIN && call->ret != -EINTR ?
				   sock_of(file) :
				   0;
	struct sock_record *r;
	struct scratch *s;

	if (!sock || !is_recorded(sock))
		return;
	s = begin_sock(traced ? KIND_ACCEPT : KIND_CLOSE, task, sock, call);
	if (!s)
		return;
	r = (struct sock_record *)s->record;
	r->flags = SOCK_ACCEPTED;
	mark_call(s, call, false);
	if (r->family == UNIX) {
		put_unix_name(s);
		if (call->ret >= 0) {
			put_peer_pid(s, sock);
			put_closed_peer(s, sock);
		}
	}
	if (traced)
		emit_sock(s, KIND_ACCEPT);
	if (watched && call->ret >= 0 && is_inet(r->family) && r->protocol == IPPROTO_TCP)
		watch(s, sock);
	give_back(s);
	sweep_connections(sweep_before(IN_CONNECTIONS, CONNECTIONS));
}

SYSCALL_EXIT(accept_exit)
{
	struct task_struct *task = current_task();
	struct sock_call as = {
		.file = file_of(task, (__s32)call_arg(call, 0)),
		.nr = call->nr,
		.ret = call->ret,
		.doubtful = is_doubtful(task, call),
	};

	accept_ended(task, &as, call->ret < 0 ? 0 : file_of(task, call->ret), is_traced(KIND_ACCEPT, task));
}
