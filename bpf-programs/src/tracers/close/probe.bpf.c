// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Ends of TCP connections, recorded for the process that connected or accepted. */
#include "connection.h"

TRACEPOINT(inet_sock_set_state)
int close_state(__u64 *ctx)
{
	__u64 sock = ctx[0];
	int before = ctx[1], after = ctx[2];
	struct begun *begun;
	struct scratch *s;
	__u64 owner;

	if (after != TCP_CLOSE)
		return 0;
	begun = bpf_map_lookup_elem(&connections, &sock);
	if (!begun)
		return 0;
	owner = begun->owner;
	if (!is_of(sock, &begun->record)) {
		if (forget_connection(sock, owner))
			count_stale(owner, KIND_CLOSE);
		return 0;
	}
	s = take_scratch();
	if (s)
		*(struct sock_record *)s->record = begun->record;
	if (!forget_connection(sock, owner)) {
		/* Emitted by the program that remembered the connection. */
	} else if (s) {
		emit_close(s, sock, before);
	} else {
		count_seen(KIND_CLOSE);
		count_lost(KIND_CLOSE);
	}
	if (s)
		give_back(s);
	return 0;
}
