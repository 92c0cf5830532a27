/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Sockets: family, protocol, addresses, and the records of calls on them. */
#ifndef DUETECTOR_SOCK_H
#define DUETECTOR_SOCK_H

#include <bpf/bpf_endian.h>

#include "file.h"
#include "net_types.h"
#include "shares.h"

#define UNIX 1
#define INET 2
#define INET6 10
#define AF_PACKET 17
#define AF_VSOCK 40
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_SCTP 132
#define IPPROTO_UDPLITE 136
#define IPPROTO_MPTCP 262
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define EAGAIN 11

/* A call on a socket. */
struct sock_call {
	__u64 file;    /* 0: the fields below are not used */
	__u64 address; /* a struct sockaddr; 0: none */
	__u32 length;
	__u32 nr;
	__s32 ret;
	bool in_kernel; /* the address is the kernel's copy */
	bool uring;
	bool doubtful; /* see is_doubtful() */
};

/* The socket behind a file; 0 if it is not a socket. */
static __always_inline __u64 sock_of(__u64 file)
{
	__u64 inode = 0, socket = 0, sock = 0;
	__u16 mode = 0;

	READ(&inode, file, struct file, f_inode);
	READ(&mode, inode, struct inode, i_mode);
	if ((mode & S_IFMT) != S_IFSOCK)
		return 0;
	READ(&socket, file, struct file, private_data);
	READ(&sock, socket, struct socket, sk);
	return sock;
}

/* The inode number of a socket; 0 if no descriptor is left. */
static __always_inline __u64 ino_of(__u64 sock)
{
	__u64 socket = 0, ino = 0;

	READ(&socket, sock, struct sock, sk_socket);
	if (socket)
		READ(&ino, socket, struct socket_alloc, vfs_inode.i_ino);
	return ino;
}

/* Fills in the identity of a socket. Global, because many programs use it. */
__noinline int put_socket_ids(struct scratch *s, struct socket_ids *to)
{
	__u64 sock, net = 0, peer = 0;
	__u16 family = 0;

	if (!s || !to)
		return 0;
	sock = s->sock;
	to->ino = ino_of(sock);
	READ(&family, sock, struct sock, __sk_common.skc_family);
	if (family == UNIX)
		READ(&peer, sock, struct unix_sock, peer);
	to->peer_ino = peer ? ino_of(peer) : 0;
	to->net_ns = 0;
	READ(&net, sock, struct sock, __sk_common.skc_net.net);
	if (net)
		READ(&to->net_ns, net, struct net, ns.inum);
	return 0;
}

static __always_inline __u16 family_of(__u64 sock)
{
	__u16 family = 0;

	READ(&family, sock, struct sock, __sk_common.skc_family);
	return family;
}

static __always_inline __u16 protocol_of(__u64 sock)
{
	__u16 protocol = 0;

	READ(&protocol, sock, struct sock, sk_protocol);
	return protocol;
}

static __always_inline bool is_inet(__u16 family)
{
	return family == INET || family == INET6;
}

static __always_inline __u16 type_of(__u64 sock)
{
	__u16 type = 0;

	READ(&type, sock, struct sock, sk_type);
	return type;
}

/* True if the socket may be connected or bound as far as rows say it. */
static __always_inline bool is_recorded(__u64 sock)
{
	__u16 family = family_of(sock), protocol = protocol_of(sock), type = type_of(sock);

	if (family == UNIX || family == AF_VSOCK || family == AF_PACKET)
		return true;
	return is_inet(family) && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP ||
				   protocol == IPPROTO_SCTP || type == SOCK_DGRAM || type == SOCK_RAW);
}

/* Fills in the addresses of the socket `s->sock`; for TCP they are complete from SYN_SENT on. Global: many
 * programs use it.
 */
__noinline int put_addresses(struct scratch *s)
{
	struct sock_record *r;
	__u16 sport = 0, dport = 0;
	__u64 sock;

	if (!s)
		return 0;
	sock = s->sock;
	r = (struct sock_record *)s->record;
	__builtin_memset(r->saddr, 0, sizeof(r->saddr));
	__builtin_memset(r->daddr, 0, sizeof(r->daddr));
	READ(&r->family, sock, struct sock, __sk_common.skc_family);
	READ(&r->kind, sock, struct sock, sk_type);
	READ(&r->protocol, sock, struct sock, sk_protocol);
	r->sport = r->dport = 0;
	if (!is_inet(r->family))
		return 0;
	READ(&r->sport, sock, struct sock, __sk_common.skc_num);
	if (!r->sport) { /* a TCP socket that has just been closed has given its port back */
		READ(&sport, sock, struct inet_sock, inet_sport);
		r->sport = bpf_ntohs(sport);
	}
	READ(&dport, sock, struct sock, __sk_common.skc_dport);
	r->dport = bpf_ntohs(dport);
	if (r->family == INET) {
		READ((__u32 *)r->saddr, sock, struct sock, __sk_common.skc_rcv_saddr);
		READ((__u32 *)r->daddr, sock, struct sock, __sk_common.skc_daddr);
	} else {
		COPY(&r->saddr, sock, struct sock, __sk_common.skc_v6_rcv_saddr);
		COPY(&r->daddr, sock, struct sock, __sk_common.skc_v6_daddr);
	}
	return 0;
}

static __always_inline void read_address(struct sockaddr_any *to, __u64 from, bool in_kernel)
{
	__builtin_memset(to, 0, sizeof(*to));
	if (in_kernel) {
		bpf_probe_read_kernel(to, sizeof(*to), (void *)from);
		return;
	}
	/* An address shorter than one of IPv6 can end at the end of a page. */
	if (bpf_probe_read_user(to, sizeof(*to), (void *)from))
		bpf_probe_read_user(to, 16, (void *)from);
}

/* Fills in the address of a call on a socket of this family: an IPv6 socket may be given an IPv4 address, which
 * it maps.
 */
static __always_inline void put_address(__u8 *to, __u16 *port, __u16 family, struct sockaddr_any *from)
{
	if (family == from->family && family == AF_VSOCK) {
		__builtin_memcpy(to, from->addr6, 4);	  /* the context id */
		__builtin_memcpy(to + 4, &from->addr4, 4); /* the port */
		return;
	}
	if (family == from->family && family == AF_PACKET) {
		__builtin_memset(to, 0, 16);
		__builtin_memcpy(to, &from->addr4, 4);	/* the interface */
		to[4] = from->addr6[3];			/* length of the hardware address */
		__builtin_memcpy(to + 8, from->addr6 + 4, 8);
		*port = bpf_ntohs(from->port); /* the protocol of the frame */
		return;
	}
	if (!is_inet(from->family) || !is_inet(family))
		return;
	*port = bpf_ntohs(from->port);
	if (from->family == INET6) {
		__builtin_memcpy(to, from->addr6, 16);
	} else if (family == INET6) {
		__builtin_memset(to, 0, 10);
		to[10] = to[11] = 0xff;
		__builtin_memcpy(to + 12, &from->addr4, 4);
	} else {
		__builtin_memset(to, 0, 16);
		__builtin_memcpy(to, &from->addr4, 4);
	}
}

/* Begins a record; NULL, and counted as lost, if there is no scratch space. */
static __always_inline struct scratch *begin_sock(__u32 kind, struct task_struct *task, __u64 sock, struct sock_call *call)
{
	struct sock_record *r;
	struct scratch *s = take_scratch();

	if (!s) {
		count_seen(kind);
		count_lost(kind);
		return NULL;
	}
	r = (struct sock_record *)s->record;
	__builtin_memset(r, 0, sizeof(*r));
	fill_header(s, task, kind, true);
	r->header.flags |= call->uring ? FLAG_URING : 0;
	s->sock = sock;
	s->kept.owner = owner_of_record(s);
	put_addresses(s);
	put_socket_ids(s, &r->ids);
	r->ret = call->ret;
	r->call = call->nr;
	s->size = sizeof(*r);
	return s;
}

/* Marks the record of a call that was seen at its end if another thread can have changed what it says: the socket behind the
 * descriptor or, if the record has it, the address in the caller's memory.
 */
static __always_inline void mark_call(struct scratch *s, struct sock_call *call, bool has_address)
{
	struct sock_record *r = (struct sock_record *)s->record;

	if (!call->uring && ((has_address && !call->in_kernel) || call->doubtful))
		r->header.flags |= FLAG_UNVERIFIED;
}

/* Counts the record as seen and emits it. */
static __always_inline void emit_sock(struct scratch *s, __u32 kind)
{
	struct sock_record *r = (struct sock_record *)s->record;

	/* A scratch space may bring several records: each passes the rules by itself. */
	s->rules = s->tests_done = s->failed = s->has_path = 0;
	r->header.kind = kind;
	count_seen(kind);
	emit_data(s, kind);
}

#endif
