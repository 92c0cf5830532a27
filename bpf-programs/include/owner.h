/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The owner of a process: see owner_of() in task.h, which has the same for records.
 */
#ifndef DUETECTOR_OWNER_H
#define DUETECTOR_OWNER_H

#include "emit.h"

/* Returns the user who made the outermost ancestor of a user namespace, which is below the first: whoever has made a
 * namespace has all ids in it. 0: root made it.
 */
__noinline int maker_of_namespace(__u64 ns)
{
	__u64 parent = 0;
	__u32 maker = 0;
	int level = 0;

	for (int i = 0; i < 33; i++) { /* create_user_ns() refuses more */
		READ(&level, ns, struct user_namespace, level);
		if (level <= 1)
			break;
		READ(&parent, ns, struct user_namespace, parent);
		ns = parent;
	}
	READ(&maker, ns, struct user_namespace, owner.val);
	return maker;
}

/* Returns the owner of the process with this leader: its user, the maker of the user's namespace, or, where that is root, its
 * cgroup of version 2.
 */
__noinline __u64 owner_at(__u64 leader)
{
	__u64 from = 0, id = 0;
	__u32 user = 0;
	int level = 0;

	READ(&from, leader, struct task_struct, cred);
	READ(&user, from, struct cred, euid.val);
	/* A number, because a typed pointer cannot be an argument. */
	COPY(&from, from, struct cred, user_ns);
	READ(&level, from, struct user_namespace, level);
	if (level)
		user = maker_of_namespace(from);
	if (user)
		return user;
	READ(&from, leader, struct task_struct, cgroups);
	READ(&from, from, struct css_set, dfl_cgrp);
	READ(&from, from, struct cgroup, kn);
	READ(&id, from, struct kernfs_node, id);
	return OWNER_CGROUP | id;
}

#endif
