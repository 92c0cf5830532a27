/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Bounds for maps whose entries any user can make, and need not end: requests, connections, flows. While a map is
 * more than half full, a user may have a small share of it, so that one user's entries leave room for the others'.
 */
#ifndef DUETECTOR_SHARES_H
#define DUETECTOR_SHARES_H

#include "emit.h"

enum shared_map { IN_URING_SMALL, IN_URING_LARGE, IN_CONNECTING, IN_CONNECTIONS, IN_FLOWS, SHARED_MAPS };

#define CONNECTIONS 65536
#define CONNECTING 16384
#define FLOWS 32768
#define SMALL_REQUESTS 4096
#define LARGE_REQUESTS 1024
#define SHARE 64 /* a user's part of a map that is more than half full */

struct share_key {
	__u32 uid;
	__u32 map;
};

/* Entries of each user. Counts of users without recent calls may be dropped: then the bound is less strict. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct share_key);
	__type(value, __s64);
} shares SEC(".maps");

/* Entries of all users. */
__s64 entries[SHARED_MAPS];

/* True if the user may add an entry to a map with room for `room`. */
static __always_inline bool may_add(__u32 uid, enum shared_map map, __s64 room)
{
	struct share_key key = {.uid = uid, .map = map};
	__s64 *mine;

	if (entries[map] < room / 2)
		return true;
	mine = bpf_map_lookup_elem(&shares, &key);
	return !mine || *mine < room / SHARE;
}

/* Counts an entry that was added (1) or removed (-1). */
static __always_inline void count_entry(__u32 uid, enum shared_map map, __s64 by)
{
	struct share_key key = {.uid = uid, .map = map};
	__s64 *mine = bpf_map_lookup_elem(&shares, &key), none = 0;

	__sync_fetch_and_add(&entries[map], by);
	if (!mine && by > 0) {
		bpf_map_update_elem(&shares, &key, &none, BPF_NOEXIST);
		mine = bpf_map_lookup_elem(&shares, &key);
	}
	if (mine)
		__sync_fetch_and_add(mine, by);
}

/* Counts a record that found no room in such a map as seen and lost. */
static __always_inline void count_crowded(__u32 kind)
{
	struct count *count = bpf_map_lookup_elem(&counts, &kind);

	if (!count)
		return;
	__sync_fetch_and_add(&count->seen, 1);
	__sync_fetch_and_add(&count->crowded, 1);
}

#endif
