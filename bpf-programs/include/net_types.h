/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* As kernel_types.h, of the network. */
#ifndef DUETECTOR_NET_TYPES_H
#define DUETECTOR_NET_TYPES_H

#include "kernel_types.h"

struct in6_addr {
	__u8 bytes[16];
};

struct sock_common {
	__u32 skc_daddr, skc_rcv_saddr;
	__u16 skc_dport, skc_num, skc_family;
	volatile unsigned char skc_state;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
} CO_RE;

struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol;
	int sk_err;
} CO_RE;

struct socket {
	struct sock *sk;
} CO_RE;

#endif
