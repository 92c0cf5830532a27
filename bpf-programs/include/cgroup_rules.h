/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Filters on a process's cgroup path or container. The agent decides once for each cgroup which sets it is in;
 * the programs look that up by number.
 */
#ifndef DUETECTOR_CGROUP_RULES_H
#define DUETECTOR_CGROUP_RULES_H

#include "filter.h"

/* The sets that a cgroup is in. A hash, because cgroup numbers are sparse. If a cgroup is missing here, nothing
 * is known and the agent decides.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CGROUPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct cgroup_key);
	__type(value, __u64);
} cgroup_sets SEC(".maps");

/* Values of scratch.cgroup_state. */
#define CGROUP_KNOWN 1
#define CGROUP_UNKNOWN 2

/* Looks the record's cgroup up, once for a record; false if it is not known. */
static __always_inline bool lookup_cgroup(struct scratch *s)
{
	struct header *h = (struct header *)s->record;
	struct cgroup_key key = {.id = h->cgroup_id, .hierarchy = h->hierarchy};
	__u64 *sets;

	if (!s->cgroup_state) {
		sets = bpf_map_lookup_elem(&cgroup_sets, &key);
		s->cgroup_sets = sets ? *sets : 0;
		s->cgroup_state = sets ? CGROUP_KNOWN : CGROUP_UNKNOWN;
	}
	return s->cgroup_state == CGROUP_KNOWN;
}

#endif
