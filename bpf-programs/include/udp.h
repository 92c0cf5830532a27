/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* UDP datagrams, and the flows they form: a socket and the address at the other end. */
#ifndef DUETECTOR_UDP_H
#define DUETECTOR_UDP_H

#include "segments.h"
#include "unix.h"
#include "shares.h"
#include "sock.h"

#define DNS_PORT 53
#define DNS_LIMIT 4096 /* bytes kept of a datagram: the most that servers answer */
#define VECTORS 8
#define ENDED_ANYWAY 1024 /* flows that end in a sweep although there is no room for their sums */

/* Time of the last sweep for ended flows. */
__u64 flows_swept_ns;

#define UNIX_NAME 112 /* SUN_PATH_LIMIT in words */

struct flow_key {
	__u64 sock;
	__u8 daddr[16]; /* for a unix socket numbers made from its name */
	__u32 dport;
	__u32 pad;
};

struct flow {
	__u64 owner;
	struct sock_record record; /* process that began it, addresses, sums */
	__u8 name[UNIX_NAME];	   /* of the other unix socket, as it follows the record in scratch space */
	__u64 ino;		   /* of the socket: a later socket at the same address has another one */
	__u64 corked;		   /* CORKED_*: its last datagram is not sent yet */
};

/* A hash, because flows end in any order and on any CPU. An entry lives from a flow's first datagram until the
 * flow is idle or its socket is gone. While there is no room, each datagram is emitted as a first one and its
 * flow's sums are counted as lost.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FLOWS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

/* Emits a flow's sums, unless another program deleted the entry and does so. */
static __always_inline void end_flow(struct flow_key *key, struct flow *flow)
{
	__u64 owner = flow->owner, length;
	struct sock_record *r;
	struct scratch *s;

	s = take_scratch();
	if (s) {
		*(struct sock_record *)s->record = flow->record;
		__builtin_memcpy(&s->record[sizeof(*r)], flow->name, UNIX_NAME);
	}
	if (!DELETE_ENTRY(flows, IN_FLOWS, key, owner)) {
		if (s)
			give_back(s);
		return;
	}
	if (!s) {
		count_seen(KIND_UDP);
		count_lost(KIND_UDP);
		return;
	}
	r = (struct sock_record *)s->record;
	r->header.time_ns = bpf_ktime_get_boot_ns();
	r->flags = SOCK_END;
	length = r->name.len;
	BOUND(length, SUN_PATH_LIMIT);
	s->size = sizeof(*r) + length;
	emit_sock(s, KIND_UDP);
	give_back(s);
}

struct flow_sweep {
	__u64 idle_since;
	__u32 left;
};

/* Flows that may still end in this sweep although there is no room for their sums. Not in `struct flow_sweep`, because the
 * verifier would follow each of its values. CPUs may race here: at worst this sweep ends more of them.
 */
__u64 may_end_anyway;

static long end_if_over(__attribute__((unused)) void *map, struct flow_key *key, struct flow *flow, struct flow_sweep *sweep)
{
	if (flow->record.last_ns >= sweep->idle_since && ino_of(key->sock) == flow->ino)
		return 0;
	if (!has_room_for_sweep()) {
		if (!may_end_anyway) {
			sweep->left++;
			return 0;
		}
		may_end_anyway--;
	}
	end_flow(key, flow);
	return 0;
}

/* Ends the flows that are idle or have lost their socket, as far as there is room for their sums; returns how many are
 * left. Many flows may end at once, as when an agent stops: their owner shall not lose their sums because of that. While
 * programs run, a part of them ends without room, too: otherwise a flood that fills the ring would hold back the ends of all
 * flows. Budgets then decide whose sums are lost.
 */
__noinline int sweep_flows(__u64 idle_since)
{
	struct settings *set = get_settings();
	struct flow_sweep sweep = {.idle_since = idle_since};

	may_end_anyway = idle_since == ~0ULL ? 0 : ENDED_ANYWAY;
	if (set && set->last_sweep)
		may_end_anyway = FLOWS;
	bpf_for_each_map_elem(&flows, end_if_over, &sweep, 0);
	return sweep.left;
}

/* Sweeps if the last sweep was long enough ago; called after datagrams. */
static __always_inline void sweep_now_and_then(void)
{
	__u64 now = bpf_ktime_get_boot_ns(), swept = flows_swept_ns, idle;
	struct settings *set = get_settings();

	idle = set ? set->flow_idle_ms * MILLISECOND : 0;
	if (now - swept < idle / SWEEPS ||
	    __sync_val_compare_and_swap(&flows_swept_ns, swept, now) != swept)
		return;
	/* In the first minute after boot nothing is idle yet. */
	sweep_flows(now > idle ? now - idle : 0);
}

/* Reads the address and length of one piece of a datagram. */
static __always_inline bool read_vector(__u64 *vector, struct datagram *d, __u32 n)
{
	__u32 small[2];

	if (n >= d->count)
		return false;
	if (d->in_kernel)
		return !bpf_probe_read_kernel(vector, 16, (void *)d->vectors + n * 16);
	if (!d->compat)
		return !bpf_probe_read_user(vector, 16, (void *)d->vectors + n * 16);
	if (bpf_probe_read_user(small, 8, (void *)d->vectors + n * 8))
		return false;
	vector[0] = small[0];
	vector[1] = small[1];
	return true;
}

/* Appends the datagram's n-th piece to the record's text; 0 when there are no more. A global function, so that
 * it is verified once and not once a round.
 */
__noinline int put_piece(struct scratch *s, __u32 n)
{
	struct sock_record *r;
	struct datagram *d;
	__u64 at, len, vector[2];
	long refused;

	if (!s)
		return 0;
	d = &s->datagram;
	r = (struct sock_record *)s->record;
	at = s->size;
	vector[0] = d->data;
	vector[1] = d->length;
	if (!d->data && !read_vector(vector, d, n))
		return 0;
	len = vector[1] < d->left ? vector[1] : d->left;
	d->left -= len;
	if (at - sizeof(*r) + len > DNS_LIMIT) {
		r->name.flags |= TEXT_CUT;
		len = DNS_LIMIT + sizeof(*r) - at;
	}
	BOUND(len, DNS_LIMIT);
	BOUND(at, RECORD_LIMIT - DNS_LIMIT);
	if (d->all_in_kernel)
		refused = bpf_probe_read_kernel(&s->record[at], len, (void *)vector[0]);
	else
		refused = bpf_probe_read_user(&s->record[at], len, (void *)vector[0]);
	if (refused) {
		r->name.flags |= TEXT_UNREADABLE;
		return 0;
	}
	s->size = at + len;
	return !d->data && d->left && !r->name.flags;
}

/* Appends the datagram's bytes as the record's text. */
__noinline int put_datagram(struct scratch *s)
{
	struct sock_record *r;
	struct datagram *d;

	if (!s)
		return 0;
	d = &s->datagram;
	r = (struct sock_record *)s->record;
	s->size = sizeof(*r);
	d->left = d->ret >= 0 ? (__u64)d->ret : ~0ULL;
	for (__u32 i = 0; i < VECTORS && d->left; i++) {
		if (!put_piece(s, i))
			break;
	}
	r->name.len = s->size - sizeof(*r);
	return 0;
}

/* Adds a flow; its record is in the scratch space. Before 6.5 a global function's argument cannot be a map's
 * value; what was found in a map can.
 */
static __always_inline struct flow *begin_flow(struct scratch *s, struct flow_key *key, __u64 ino)
{
	__u32 slot = s->slot;
	struct scratch *own = bpf_map_lookup_elem(&scratches, &slot);
	struct sock_record *r;
	struct flow *flow;

	if (!own)
		return NULL;
	flow = (struct flow *)&own->kept.owner;
	flow->ino = ino;
	flow->corked = 0;
	r = &flow->record;
	r->since_ns = r->last_ns = r->header.time_ns;
	r->sent = r->received = r->datagrams_sent = r->datagrams_received = 0;
	(void)ADD_ENTRY(flows, IN_FLOWS, FLOWS, key, flow, flow->owner); /* or another CPU did */
	return bpf_map_lookup_elem(&flows, key);
}

/* Makes two numbers from the name of a unix socket. */
static __always_inline void put_name_key(struct flow_key *key, struct scratch *s)
{
	__u64 *name = (__u64 *)&s->record[sizeof(struct sock_record)], a = 0, b = 0;

	for (__u32 i = 0; i < UNIX_NAME / 8; i++) {
		a = (a ^ name[i]) * 0x9e3779b97f4a7c15ULL;
		b = (b + name[i]) * 0xc2b2ae3d27d4eb4fULL ^ a >> 32;
	}
	((__u64 *)key->daddr)[0] = a;
	((__u64 *)key->daddr)[1] = b;
}

/* True if the flow is with another unix socket, whose name was made so that it has the same key. */
static __always_inline bool is_of_other_name(struct scratch *s, struct flow *flow)
{
	__u64 *name = (__u64 *)&s->record[sizeof(struct sock_record)], *of = (__u64 *)flow->name, differs = 0;

	for (__u32 i = 0; i < UNIX_NAME / 8; i++)
		differs |= name[i] ^ of[i];
	return differs;
}

/* Adds the datagram to its flow; true if it is the first in its direction. */
static __always_inline bool add_to_flow(struct scratch *s, bool received)
{
	struct sock_record *r = (struct sock_record *)s->record;
	struct flow_key key = {.sock = s->sock, .dport = r->dport};
	struct flow *flow;
	__u64 ino = ino_of(key.sock), count;

	__builtin_memcpy(key.daddr, r->daddr, sizeof(key.daddr));
	if (r->family == UNIX)
		put_name_key(&key, s);
	flow = bpf_map_lookup_elem(&flows, &key);
	if (flow && (flow->ino != ino || (r->family == UNIX && is_of_other_name(s, flow)))) {
		end_flow(&key, flow);
		flow = NULL;
	}
	if (!flow)
		flow = begin_flow(s, &key, ino);
	if (!flow) {
		count_crowded(r->header.owner, KIND_UDP);
		return true;
	}
	flow->record.last_ns = r->header.time_ns;
	flow->record.header.flags |= r->header.flags & FLAG_UNVERIFIED;
	count = (__u32)datagrams_begun(s, flow->corked, received);
	if (received) {
		__sync_fetch_and_add(&flow->record.received, s->datagram.ret);
		return __sync_fetch_and_add(&flow->record.datagrams_received, count) == 0;
	}
	flow->corked = s->datagram.corked;
	__sync_fetch_and_add(&flow->record.sent, s->datagram.ret);
	return __sync_fetch_and_add(&flow->record.datagrams_sent, count) == 0;
}

/* Appends the name of the unix socket at the other end: as the call has it, else that of the socket's peer. */
__noinline int put_other_name(struct scratch *s, __u32 received)
{
	__u64 peer = 0, address = 0;
	struct sock_record *r;
	struct datagram *d;
	int length = 0;

	if (!s)
		return 0;
	d = &s->datagram;
	r = (struct sock_record *)s->record;
	__builtin_memset(&s->record[sizeof(*r)], 0, UNIX_NAME);
	if (d->address && !(received && d->ret < 0)) {
		put_sun_path(s, d->address + SUN_PATH_AT, (__s64)d->address_length - SUN_PATH_AT, d->in_kernel);
		return 0;
	}
	READ(&peer, s->sock, struct unix_sock, peer);
	if (peer)
		READ(&address, peer, struct unix_sock, addr);
	if (!address)
		return 0;
	READ(&length, address, struct unix_address, len);
	put_sun_path(s, address + OFFSET(struct unix_address, name) + SUN_PATH_AT, (__s64)length - SUN_PATH_AT, true);
	return 0;
}

/* Reads the kernel's copy of an address, which is as long as the caller said; what follows it is other memory. */
static __always_inline void read_kernel_address(struct sockaddr_any *to, __u64 from, __u64 length)
{
	__builtin_memset(to, 0, sizeof(*to));
	BOUND(length, sizeof(*to));
	bpf_probe_read_kernel(to, length, (void *)from);
}

/* Marks the record, or not. */
static __always_inline void set_unverified(struct sock_record *r, bool unverified)
{
	r->header.flags &= ~FLAG_UNVERIFIED;
	r->header.flags |= unverified ? FLAG_UNVERIFIED : 0;
}

/* Records the datagram that `s` describes; the record already has its header, its call, and SOCK_RECEIVED or
 * not. Global: verified once a program, and not once for each datagram of a call.
 */
__noinline int datagram(struct scratch *s)
{
	struct sockaddr_any address;
	struct sock_record *r;
	struct datagram *d;
	bool failed;
	__u16 flags;

	if (!s)
		return 0;
	d = &s->datagram;
	r = (struct sock_record *)s->record;
	flags = r->flags;
	put_addresses(s);
	failed = flags & SOCK_RECEIVED && d->ret < 0;
	set_unverified(r, d->unverified || (d->address && !failed && !d->in_kernel));
	/* Nothing was received: the address in memory is an old one. */
	if (d->source.family) {
		put_address(r->daddr, &r->dport, r->family, &d->source);
	} else if (d->address && !failed) {
		if (d->all_in_kernel)
			read_kernel_address(&address, d->address, d->address_length);
		else
			read_address(&address, d->address, d->in_kernel);
		put_address(r->daddr, &r->dport, r->family, &address);
	} else if (r->family == AF_PACKET && bpf_core_field_exists(struct packet_sock, ifindex)) {
		READ((__u32 *)r->daddr, s->sock, struct packet_sock, ifindex);
	}
	if (r->kind == SOCK_RAW && is_inet(r->family)) /* there it is the protocol, or of no meaning */
		r->sport = r->dport = 0;
	r->ret = d->ret;
	r->name.len = r->name.flags = 0;
	if (d->kinds & (1 << KIND_DNS) && r->dport == DNS_PORT && r->protocol == IPPROTO_UDP && !failed) {
		__u16 unverified = r->header.flags;

		put_datagram(s);
		set_unverified(r, !d->all_in_kernel);
		emit_sock(s, KIND_DNS);
		set_unverified(r, unverified & FLAG_UNVERIFIED);
		r->name.len = r->name.flags = 0;
	}
	s->size = sizeof(*r);
	if (r->family == UNIX)
		put_other_name(s, flags & SOCK_RECEIVED);
	r->header.kind = KIND_UDP;
	r->header.size = sizeof(*r);
	if (d->kinds & (1 << KIND_UDP) && (d->ret < 0 || add_to_flow(s, flags & SOCK_RECEIVED)))
		emit_sock(s, KIND_UDP);
	return 0;
}

#endif
