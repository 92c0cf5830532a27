/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Bounds for maps whose entries any user can make, and need not end: requests, connections, flows, entries of the
 * usage ledger. While a map is more than half full, an owner may have a small share of it, so that one user's
 * entries leave room for the others'.
 *
 *     ADD_ENTRY ──► map ──► the end is seen: the program that sees it deletes the entry
 *                    └────► not seen: counted as `stale`, by a sweep once there is little room, or when another
 *                           request or connection has the same address in memory
 *
 * Each value of such a map has the owner, so that whichever program deletes the entry can credit him.
 */
#ifndef DUETECTOR_SHARES_H
#define DUETECTOR_SHARES_H

#include "emit.h"

enum shared_map {
	IN_URING_SMALL,
	IN_URING_LARGE,
	IN_CONNECTING,
	IN_CONNECTIONS,
	IN_FLOWS,
	IN_USAGE_0,
	IN_USAGE_1,
	IN_USAGE_PARTS,
	IN_MEDDLED,
	SHARED_MAPS
};

#define CONNECTIONS 65536
#define CONNECTING 16384
#define FLOWS 32768
#define SMALL_REQUESTS 4096
#define LARGE_REQUESTS 1024
#define PARTS_FOR(entries) (2 * (entries)) /* of long paths in the usage ledger: see usage_parts_for() in sizes.rs */
#define SHARE 64 /* an owner's part of a map that is more than half full */
#define MILLISECOND 1000000ULL
#define SWEEPS 15 /* sweeps in the time after which an entry may be swept */

struct share_key {
	__u64 owner;
	__u32 map;
	__u32 pad;
};

/* Entries of each owner. Counts of owners without recent calls may be dropped: then the bound is less strict. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct share_key);
	__type(value, __s64);
} shares SEC(".maps");

/* Entries of all owners. */
__s64 entries[SHARED_MAPS];

/* Time of the last sweep of each map. */
__u64 swept_ns[SHARED_MAPS];

/* True if the owner may add an entry to a map with room for `room`. Global: its key takes no room on the caller's stack. */
__noinline int may_add(__u64 owner, __u32 map, __u32 room)
{
	struct share_key key = {.owner = owner, .map = map};
	__s64 *mine;

	if (map >= SHARED_MAPS)
		return 0;
	if (entries[map] < (__s64)(room / 2))
		return true;
	mine = bpf_map_lookup_elem(&shares, &key);
	return !mine || *mine < (__s64)(room / SHARE ?: 1);
}

/* Counts entries that were added or, with a negative number, removed. Global: verified once. */
__noinline int count_entries(__u64 owner, __u32 map, __s32 by)
{
	struct share_key key = {.owner = owner, .map = map};
	__s64 *mine, none = 0;

	if (map >= SHARED_MAPS)
		return 0;
	__sync_fetch_and_add(&entries[map], (__s64)by);
	mine = bpf_map_lookup_elem(&shares, &key);
	if (!mine && by > 0) {
		bpf_map_update_elem(&shares, &key, &none, BPF_NOEXIST);
		mine = bpf_map_lookup_elem(&shares, &key);
	}
	if (mine)
		__sync_fetch_and_add(mine, (__s64)by);
	return 0;
}

/* Adds an entry to a map if the owner may have one more; false if there is no room, or an entry with this key. */
#define ADD_ENTRY(map, in, room, key, entry, owner)                                                          \
	(may_add(owner, in, room) && !bpf_map_update_elem(&(map), key, entry, BPF_NOEXIST) &&                \
	 !count_entries(owner, in, 1))

/* Deletes an entry; false if another program did. */
#define DELETE_ENTRY(map, in, key, owner) (!bpf_map_delete_elem(&(map), key) && !count_entries(owner, in, -1))

/* Adds an entry, or replaces the one that is there: that needs no further share. `is_stale` is a condition on the entry
 * `old`, and `kind` says what is lost with it.
 */
#define PUT_ENTRY(map, in, room, key, entry, owner_now, is_stale, kind)                                       \
	({                                                                                                   \
		typeof((map).value) old = bpf_map_lookup_elem(&(map), key);                                  \
		__u64 owner_before = old ? old->owner : 0;                                                   \
		bool put = false;                                                                            \
                                                                                                             \
		if (old && (is_stale))                                                                       \
			count_stale(owner_before, kind);                                                     \
		if (old && !bpf_map_update_elem(&(map), key, entry, BPF_EXIST)) {                            \
			count_entries(owner_before, in, -1);                                                 \
			count_entries(owner_now, in, 1);                                                     \
			put = true;                                                                          \
		}                                                                                            \
		put || ADD_ENTRY(map, in, room, key, entry, owner_now);                                      \
	})

/* Counts a record that found no room in such a map as seen and lost. */
static __always_inline void count_crowded(__u64 owner, __u32 kind)
{
	count_seen(kind);
	count_refused(owner, kind, LOST_CROWDED);
}

/* Counts a record as seen and lost because the end of what it was about was not seen. */
static __always_inline void count_stale(__u64 owner, __u32 kind)
{
	count_seen(kind);
	count_refused(owner, kind, LOST_STALE);
}

/* The time before which an entry must have begun to be swept now; 0: no sweep is due. One is due if the map is more
 * than half full, and the last sweep was long enough ago.
 */
static __always_inline __u64 sweep_before(enum shared_map map, __u32 room)
{
	__u64 now = bpf_ktime_get_boot_ns(), swept = swept_ns[map], age;
	struct settings *set = get_settings();

	age = set ? set->end_within_ms * MILLISECOND : 0;
	if (entries[map] < (__s64)(room / 2) || now < age || now - swept < age / SWEEPS)
		return 0;
	return __sync_val_compare_and_swap(&swept_ns[map], swept, now) == swept ? now - age : 0;
}

#endif
