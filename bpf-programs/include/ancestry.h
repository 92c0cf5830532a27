/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Filters on a process's ancestors. The agent sets the ancestors of processes that already run; for a process
 * that is made later, the program at the fork copies them from its parent before its first event.
 */
#ifndef DUETECTOR_ANCESTRY_H
#define DUETECTOR_ANCESTRY_H

#include "filter.h"

/* The ancestors of each process, as bits. A hash, because process ids are reused in any order; preallocated,
 * because entries are added while a process is made. If a process is missing here, nothing is known and the
 * agent decides.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TREE_PROCESSES);
	__type(key, struct process_key);
	__type(value, struct tree);
} trees SEC(".maps");

/* The processes that filters name. A hash, because their ids are sparse. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TREE_ROOTS);
	__type(key, __u32);
	__type(value, struct tree);
} tree_roots SEC(".maps");

/* Called for a new process: it has its parent's ancestors, and itself. */
static __always_inline void inherit_ancestors(struct task_struct *parent, struct task_struct *child)
{
	struct process_key key = {.start_ns = GET(parent, group_leader, start_boottime), .pid = parent->tgid};
	struct settings *set = get_settings();
	struct tree *known, *root;
	struct tree tree;

	if (!set || !set->trees)
		return;
	known = bpf_map_lookup_elem(&trees, &key);
	if (!known || known->depth >= TREE_DEPTH)
		return;
	tree = *known;
	tree.depth++;
	key.start_ns = GET(child, start_boottime);
	key.pid = GET(child, tgid);
	root = bpf_map_lookup_elem(&tree_roots, &key.pid);
	if (root && root->generation == tree.generation)
		tree.bits |= root->bits;
	bpf_map_update_elem(&trees, &key, &tree, BPF_ANY);
}

/* Called for a process that has ended, after its last record. */
static __always_inline void forget_ancestors(struct task_struct *task)
{
	struct process_key key = {.start_ns = GET(task, group_leader, start_boottime), .pid = task->tgid};
	struct settings *set = get_settings();

	if (set && set->trees)
		bpf_map_delete_elem(&trees, &key);
}

/* Looks the record's process up, once for a record; false if it is not known in this generation of filters. */
static __always_inline bool lookup_ancestors(struct scratch *s, __u64 generation)
{
	struct header *h = (struct header *)s->record;
	struct process_key key = {.start_ns = h->start_ns, .pid = h->pid};
	struct tree *tree;

	if (!s->tree_known) {
		tree = bpf_map_lookup_elem(&trees, &key);
		s->tree_generation = tree ? tree->generation : 0;
		s->tree_bits = tree ? tree->bits : 0;
		s->tree_known = 1;
	}
	return s->tree_generation == generation;
}

#endif
