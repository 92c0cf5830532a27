/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Of which processes a process descends, as far as filters ask. The agent says it of processes it knows; what these make
 * is known from its first moment on.
 */
#ifndef DUETECTOR_TREE_H
#define DUETECTOR_TREE_H

#include "filter.h"

/* A hash, because a process is any number at any time; all its room is there from the start, because it is taken while a
 * process is made. Of one that is not here nothing is known, and the agent judges.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TREE_PROCESSES);
	__type(key, struct process_key);
	__type(value, struct tree);
} trees SEC(".maps");

/* The processes that are asked for. A hash, because their numbers are any. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TREE_ROOTS);
	__type(key, __u32);
	__type(value, struct tree);
} tree_roots SEC(".maps");

/* A process was made: it descends of whatever its maker does, and of itself. */
static __always_inline void inherit_tree(struct task_struct *parent, struct task_struct *child)
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

/* It has ended, and its last record is written. */
static __always_inline void forget_tree(struct task_struct *task)
{
	struct process_key key = {.start_ns = GET(task, group_leader, start_boottime), .pid = task->tgid};
	struct settings *set = get_settings();

	if (set && set->trees)
		bpf_map_delete_elem(&trees, &key);
}

/* What is known of a record's process: to questions of that generation. Once for a record. */
static __always_inline bool look_up_tree(struct scratch *s, __u64 generation)
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
