/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Names of unix sockets: paths, and abstract names, which begin with a NUL. */
#ifndef DUETECTOR_UNIX_H
#define DUETECTOR_UNIX_H

#include "sock.h"

#define SUN_PATH_LIMIT 108
#define SUN_PATH_AT 2 /* after the family */

/* Appends `length` bytes of sun_path. */
static __always_inline void put_sun_path(struct scratch *s, __u64 from, __s64 length, bool in_kernel)
{
	struct sock_record *r = (struct sock_record *)s->record;
	__u64 at = s->size, len = length;
	long refused;

	r->name.len = 0;
	r->name.flags = 0;
	if (length <= 0)
		return;
	BOUND(len, SUN_PATH_LIMIT);
	BOUND(at, RECORD_LIMIT - SUN_PATH_LIMIT);
	if (in_kernel)
		refused = bpf_probe_read_kernel(&s->record[at], len, (void *)from);
	else
		refused = bpf_probe_read_user(&s->record[at], len, (void *)from);
	if (refused) {
		r->name.flags = TEXT_UNREADABLE;
		return;
	}
	r->name.len = len;
	s->size = at + len;
}

/* Appends the name of `s->sock`, and the path of its file. Global, because many programs use it. */
__noinline int put_unix_name(struct scratch *s)
{
	struct sock_record *r;
	__u64 address = 0, sock;
	int length = 0;

	if (!s)
		return 0;
	sock = s->sock;
	r = (struct sock_record *)s->record;
	READ(&address, sock, struct unix_sock, addr);
	if (!address)
		return 0;
	READ(&length, address, struct unix_address, len);
	put_sun_path(s, address + OFFSET(struct unix_address, name) + SUN_PATH_AT, (__s64)length - SUN_PATH_AT, true);
	READ(&s->walk.dentry, sock, struct unix_sock, path.dentry);
	READ(&s->walk.mnt, sock, struct unix_sock, path.mnt);
	if (!s->walk.dentry)
		return 0;
	put_path(s, current_task(), &r->base);
	r->flags |= SOCK_KNOWN_PATH;
	return 0;
}

/* Appends the name that was passed to a call. */
__noinline int put_unix_asked(struct scratch *s, __u64 address, __u32 length, bool in_kernel)
{
	struct sock_record *r;
	__u16 family = 0;
	__u64 at;

	if (!s || !address)
		return 0;
	if (in_kernel)
		bpf_probe_read_kernel(&family, sizeof(family), (void *)address);
	else
		bpf_probe_read_user(&family, sizeof(family), (void *)address);
	if (family != UNIX) /* AF_UNSPEC ends an association; other addresses are refused */
		return 0;
	r = (struct sock_record *)s->record;
	at = s->size;
	put_sun_path(s, address + SUN_PATH_AT, (__s64)length - SUN_PATH_AT, in_kernel);
	BOUND(at, RECORD_LIMIT - ASKED_LIMIT);
	if (r->name.len && s->record[at] && s->record[at] != '/')
		put_cwd(s, current_task(), &r->base);
	return 0;
}

/* A stream socket that has connected, and its other end, which waits to be accepted. */
struct unix_pair {
	__u64 client, server;
};

/* Inode numbers of the clients: one that is closed before it is accepted has none any more. The oldest may be dropped. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct unix_pair);
	__type(value, __u64);
} unaccepted SEC(".maps");

static __always_inline void note_unaccepted(__u64 client)
{
	struct unix_pair pair = {.client = client};
	__u64 ino = ino_of(client);

	READ(&pair.server, client, struct unix_sock, peer);
	if (pair.server)
		bpf_map_update_elem(&unaccepted, &pair, &ino, BPF_ANY);
}

/* Fills in the inode number of the client of an accepted socket. */
static __always_inline void put_closed_peer(struct scratch *s, __u64 accepted)
{
	struct sock_record *r = (struct sock_record *)s->record;
	struct unix_pair pair = {.server = accepted};
	__u64 *ino;

	READ(&pair.client, accepted, struct unix_sock, peer);
	ino = bpf_map_lookup_elem(&unaccepted, &pair);
	if (!ino)
		return;
	if (!r->ids.peer_ino)
		r->ids.peer_ino = *ino;
	bpf_map_delete_elem(&unaccepted, &pair);
}

/* Fills in the process that made the other end, by its id in the initial pid namespace. */
static __always_inline void put_peer_pid(struct scratch *s, __u64 sock)
{
	struct sock_record *r = (struct sock_record *)s->record;
	__u64 pid = 0;

	READ(&pid, sock, struct sock, sk_peer_pid);
	if (pid)
		READ(&r->peer_pid, pid, struct pid, numbers[0].nr);
}

#endif
