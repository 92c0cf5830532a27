/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Network structs, declared as those in kernel_types.h. */
#ifndef DUETECTOR_NET_TYPES_H
#define DUETECTOR_NET_TYPES_H

#include "kernel_types.h"

struct in6_addr {
	__u8 bytes[16];
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	__u32 skc_daddr, skc_rcv_saddr;
	__u16 skc_dport, skc_num, skc_family;
	volatile unsigned char skc_state;
	unsigned long skc_flags;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
} CO_RE;

struct sock {
	struct sock_common __sk_common;
	__u16 sk_type;
	__u16 sk_protocol;
	int sk_err;
	struct pid *sk_peer_pid;
	struct socket *sk_socket;
} CO_RE;

struct inet_sock {
	__u16 inet_sport;
} CO_RE;

struct socket {
	struct file *file;
	struct sock *sk;
} CO_RE;

struct socket_alloc {
	struct inode vfs_inode;
} CO_RE;

struct msghdr {
	void *msg_name; /* struct sockaddr */
	int msg_namelen;
	unsigned int msg_flags;
	void *msg_control; /* struct cmsghdr */
	unsigned long msg_controllen;
} CO_RE;

struct udp_sock {
	int pending; /* not 0: a datagram is not sent yet */
	__u16 len; /* its length */
	__u16 gso_size;
} CO_RE;

struct packet_sock {
	int ifindex;
} CO_RE;

struct tcp_sock {
	__u32 rcv_nxt, copied_seq, snd_una, write_seq;
	__u64 bytes_received, bytes_acked;
} CO_RE;

/* In the kernel's own struct the family comes first. */
struct sockaddr_un {
	char sun_path[108];
} CO_RE;

struct unix_address {
	int len;
	struct sockaddr_un name[1];
} CO_RE;

struct unix_sock {
	struct unix_address *addr;
	struct path path;
	struct sock *peer;
} CO_RE;

#endif
