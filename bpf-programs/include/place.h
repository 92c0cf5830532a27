/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* What filters ask of a process's cgroup in words: its path, its container. The agent answers once for each cgroup. */
#ifndef DUETECTOR_PLACE_H
#define DUETECTOR_PLACE_H

#include "filter.h"

/* Which sets a cgroup is in. A hash, because its number is any; of one that is not here nothing is known, and the agent
 * judges.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CGROUPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct cgroup_key);
	__type(value, __u64);
} place_sets SEC(".maps");

/* scratch.place */
#define PLACE_KNOWN 1
#define PLACE_UNKNOWN 2

/* Once for a record. */
static __always_inline bool look_up_place(struct scratch *s)
{
	struct header *h = (struct header *)s->record;
	struct cgroup_key key = {.id = h->cgroup_id, .hierarchy = h->hierarchy};
	__u64 *sets;

	if (!s->place) {
		sets = bpf_map_lookup_elem(&place_sets, &key);
		s->place_sets = sets ? *sets : 0;
		s->place = sets ? PLACE_KNOWN : PLACE_UNKNOWN;
	}
	return s->place == PLACE_KNOWN;
}

#endif
