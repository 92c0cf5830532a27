/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* TCP connections that have begun and wait for their outcome, and the tasks that began them. */
#ifndef DUETECTOR_CONNECTING_H
#define DUETECTOR_CONNECTING_H

#include "connection.h"

#define NONBLOCK 04000
#define MSG_DONTWAIT 0x40
#define EADDRNOTAVAIL 99
#define ECONNRESET 104
#define ETIMEDOUT 110
#define ECONNREFUSED 111
#define EINPROGRESS 115
#define PF_KTHREAD 0x00200000
#define ATTEMPTS 4096

/* Connections without an outcome, by socket like `connections`: from SYN_SENT to the outcome or the socket's end. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CONNECTING);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct begun);
} connecting SEC(".maps");

/* The connection that a call has begun. */
struct attempt {
	__u64 sock;
	__u64 of;  /* the thread's start or the socket's inode number: distinguishes a later thread or socket with the same key */
	__u32 tid; /* the thread that changed the state */
	__u32 returned; /* the call has returned without the outcome: a later call may return it */
};

/* Attempts by thread or, for a request of io_uring, by socket. An entry lives from SYN_SENT to the end of the call, and
 * longer if the call returned before the outcome came. The oldest of the latter may be dropped: then the failure of a
 * connection may be recorded twice, from its socket's state and from the call that returned it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, ATTEMPTS);
	__type(key, __u64);
	__type(value, struct attempt);
} attempts SEC(".maps");

/* True if the connection goes on after a call with this result. */
static __always_inline bool goes_on(__s32 ret)
{
	return ret == -EINPROGRESS || ret == -EINTR;
}

/* Notes that the call, or the request, that the current thread works for has begun a connection. */
static __always_inline void note_attempt(__u64 sock, bool uring, __u64 thread_start)
{
	__u64 thread = bpf_get_current_pid_tgid(), key = uring ? sock : thread;
	struct attempt attempt = {.sock = sock, .of = uring ? ino_of(sock) : thread_start, .tid = thread};

	bpf_map_update_elem(&attempts, &key, &attempt, BPF_ANY);
}

/* True if the current thread works for the call that has begun the socket's connection. */
static __always_inline bool is_beginner(__u64 sock, __u64 thread_start)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct attempt *attempt = bpf_map_lookup_elem(&attempts, &thread);

	if (attempt && attempt->sock == sock && attempt->of == thread_start && !attempt->returned)
		return true;
	attempt = bpf_map_lookup_elem(&attempts, &sock);
	return attempt && attempt->of == ino_of(sock) && attempt->tid == (__u32)thread && !attempt->returned;
}

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

/* Drops entries of `connecting` that are older than `before` and whose sockets no longer wait; a socket may wait for hours. */
__noinline int sweep_attempts(__u64 before)
{
	return before ? bpf_for_each_map_elem(&connecting, sweep_attempt, &before, 0) : 0;
}

/* Emits a connection's outcome, and remembers the connection if it is established. A socket that failed may have lost
 * its addresses by then: they are read again only if its state has just changed. Global: verified once per program.
 */
__noinline int emit_outcome(__u64 sock, __s32 ret, __u32 by_state)
{
	struct begun *pending = bpf_map_lookup_elem(&connecting, &sock);
	struct sock_record *r;
	struct scratch *s;
	__u64 owner;
	__u32 kind;

	if (!pending)
		return 0;
	owner = pending->owner;
	kind = awaited(&pending->record);
	s = take_scratch();
	if (!s) {
		if (forget_connecting(sock, owner)) {
			count_seen(kind);
			count_lost(kind);
		}
		return 0;
	}
	r = (struct sock_record *)s->record;
	*r = pending->record;
	s->kept.owner = owner;
	s->sock = sock;
	if (by_state)
		put_addresses(s);
	r->header.time_ns = bpf_ktime_get_boot_ns();
	r->ret = ret;
	s->size = sizeof(*r);
	/* Whichever program deletes the entry emits the record. */
	if (forget_connecting(sock, owner)) {
		if (r->header.flags & FLAG_TRACED)
			emit_sock(s, KIND_CONNECT);
		if (r->flags & SOCK_WATCHED && !ret)
			watch(s, sock);
	}
	give_back(s);
	return 0;
}

/* Handles a change of the socket's state that shows the outcome. A socket that was closed before the outcome has no error
 * of its own. A socket that the kernel could not send from has none either: the call returns the error.
 */
static __always_inline void state_decided(__u64 sock, int after, __u64 thread_start)
{
	struct begun *pending = bpf_map_lookup_elem(&connecting, &sock);
	__s32 ret = after == TCP_ESTABLISHED ? 0 : error_of(sock);
	__u64 owner;
	__u32 kind;

	if (!pending)
		return;
	if (!is_of(sock, &pending->record)) {
		owner = pending->owner;
		kind = awaited(&pending->record);
		if (forget_connecting(sock, owner))
			count_stale(owner, kind);
	} else if (after == TCP_CLOSE && !ret && is_beginner(sock, thread_start)) {
		pending->record.flags |= SOCK_UNDECIDED;
	} else {
		emit_outcome(sock, after == TCP_CLOSE && !ret ? -ECONNABORTED : ret, true);
	}
}

/* Handles the end of a call or request that may have begun a connection, or returned the outcome of one; false if
 * it did neither. `key` and `of` are as in `attempts`, `sock` is what the descriptor refers to now.
 */
static __always_inline bool end_attempt(__u64 key, __u64 of, __u64 sock, __s32 ret)
{
	struct attempt *attempt = bpf_map_lookup_elem(&attempts, &key);
	struct begun *pending;
	bool is_its;
	__u64 began;

	if (!attempt)
		return false;
	began = attempt->sock;
	is_its = attempt->of == of && (!attempt->returned || began == sock);
	if (is_its && goes_on(ret)) {
		attempt->returned = true;
		return true;
	}
	bpf_map_delete_elem(&attempts, &key);
	pending = is_its && ret < 0 ? bpf_map_lookup_elem(&connecting, &began) : NULL;
	if (pending && pending->record.flags & SOCK_UNDECIDED)
		emit_outcome(began, ret, false);
	return is_its;
}

#endif
