// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* bind, listen. */
#include "unix.h"

/* Records a bind or listen that has ended, of a system call or of io_uring. */
static __always_inline void bind_ended(struct task_struct *task, struct sock_call *call, __u32 backlog, bool traced)
{
	__u64 sock = call->file && traced ? sock_of(call->file) : 0;
	struct sockaddr_any asked;
	struct sock_record *r;
	struct scratch *s;

	if (!sock || !is_recorded(sock))
		return;
	s = begin_sock(KIND_BIND, task, sock, call);
	if (!s)
		return;
	r = (struct sock_record *)s->record;
	r->backlog = backlog;
	mark_call(s, call, call->address && (call->ret || !(is_inet(r->family) || r->family == UNIX)));
	if (r->family != UNIX && call->address && (call->ret || !is_inet(r->family))) {
		read_address(&asked, call->address, call->in_kernel);
		put_address(r->saddr, &r->sport, r->family, &asked);
	} else if (r->family == UNIX && call->address && call->ret) {
		put_unix_asked(s, call->address, call->length, call->in_kernel);
	} else if (r->family == UNIX) {
		put_unix_name(s);
	}
	emit_sock(s, KIND_BIND);
	give_back(s);
}

SYSCALL_EXIT(bind_exit)
{
	struct task_struct *task = current_task();
	bool listens = call->nr == NR_LISTEN;
	struct sock_call as = {
		.file = file_of(task, (__s32)call_arg(call, 0)),
		.address = listens ? 0 : call_arg(call, 1),
		.length = listens ? 0 : call_arg(call, 2),
		.nr = call->nr,
		.ret = call->ret,
		.doubtful = is_doubtful(task, call),
	};

	bind_ended(task, &as, listens ? call_arg(call, 1) : 0, is_traced(KIND_BIND, task));
}
