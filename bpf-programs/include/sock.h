/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* TCP sockets: which they are, where they lead, how they ended. */
#ifndef DUETECTOR_SOCK_H
#define DUETECTOR_SOCK_H

#include <bpf/bpf_endian.h>

#include "file.h"
#include "net_types.h"

#define INET 2
#define INET6 10
#define IPPROTO_TCP 6
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_CLOSE 7
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define ECONNABORTED 103

struct sockaddr_any {
	__u16 family;
	__u16 port;
	__u32 addr4; /* of IPv6 the flow */
	__u8 addr6[16];
};

/* The TCP socket behind a file, 0 if it is none. */
static __always_inline __u64 tcp_sock_of(__u64 file)
{
	__u64 dentry = 0, inode = 0, socket = 0, sock = 0;
	__u16 mode = 0, protocol = 0, family = 0;

	READ(&dentry, file, struct file, f_path.dentry);
	READ(&inode, dentry, struct dentry, d_inode);
	READ(&mode, inode, struct inode, i_mode);
	if ((mode & S_IFMT) != S_IFSOCK)
		return 0;
	READ(&socket, file, struct file, private_data);
	READ(&sock, socket, struct socket, sk);
	READ(&protocol, sock, struct sock, sk_protocol);
	READ(&family, sock, struct sock, __sk_common.skc_family);
	return protocol == IPPROTO_TCP && (family == INET || family == INET6) ? sock : 0;
}

static __always_inline __u8 state_of(__u64 sock)
{
	__u8 state = 0;

	READ(&state, sock, struct sock, __sk_common.skc_state);
	return state;
}

/* 0 if connected, else why not; a socket closed before it was decided tells no error of its own. */
static __always_inline __s32 outcome(__u64 sock, int state)
{
	__s32 error = 0;

	if (state == TCP_ESTABLISHED)
		return 0;
	READ(&error, sock, struct sock, sk_err);
	return error > 0 ? -error : -ECONNABORTED;
}

/* The addresses as the socket has them: complete from SYN_SENT on. */
static __always_inline void put_addresses(struct connect_record *r, __u64 sock)
{
	__u16 dport = 0;

	__builtin_memset(r->saddr, 0, sizeof(r->saddr));
	__builtin_memset(r->daddr, 0, sizeof(r->daddr));
	READ(&r->family, sock, struct sock, __sk_common.skc_family);
	READ(&r->sport, sock, struct sock, __sk_common.skc_num);
	READ(&dport, sock, struct sock, __sk_common.skc_dport);
	r->dport = bpf_ntohs(dport);
	if (r->family == INET) {
		READ((__u32 *)r->saddr, sock, struct sock, __sk_common.skc_rcv_saddr);
		READ((__u32 *)r->daddr, sock, struct sock, __sk_common.skc_daddr);
	} else {
		COPY(&r->saddr, sock, struct sock, __sk_common.skc_v6_rcv_saddr);
		COPY(&r->daddr, sock, struct sock, __sk_common.skc_v6_daddr);
	}
}

/* Where a call that failed wanted to go: the socket may never have learnt it, or forgotten it again. */
static __always_inline void put_asked_address(struct connect_record *r, struct sockaddr_any *asked)
{
	if (asked->family == r->family && r->family == INET) {
		__builtin_memcpy(r->daddr, &asked->addr4, 4);
		r->dport = bpf_ntohs(asked->port);
	} else if (asked->family == r->family) {
		__builtin_memcpy(r->daddr, asked->addr6, sizeof(r->daddr));
		r->dport = bpf_ntohs(asked->port);
	}
}

#endif
