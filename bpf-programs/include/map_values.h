/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Keys and values of the maps through which agent and kernel side share settings, rules of filters, counters and the owner of
 * pins. src/wire/maps.rs and src/wire/rules.rs have the same in Rust: change both. src/wire/tests/layout.rs compares the structs.
 */
#ifndef DUETECTOR_MAP_VALUES_H
#define DUETECTOR_MAP_VALUES_H

#include <linux/types.h>

/* A slot in `counts` that is no kind: its `lost` counts losses of the lifecycle ring, traced or not. */
#define COUNT_LIFECYCLE 63
/* Another such slot: its `seen` counts uses that found the ledger full and became a record each. */
#define COUNT_USAGE_FULL 62
/* Another: its `seen` counts entries of the ledger that had no room for their whole path. */
#define COUNT_USAGE_CUT 61
/* Another: its `seen` counts processes that another one may have meddled with, and that found no room in map `meddled`. */
#define COUNT_MEDDLED_FULL 60
#define COUNT_SLOTS 64

#define MAX_DATA_RINGS 8
#define MAX_UIDS 16
#define TEST_BANK 256	   /* tests of all rules in one bank; there are two banks */
#define FILTER_SLOTS 64
#define CGROUPS 16384	   /* cgroups known to filters */
#define TREE_PROCESSES 16384 /* processes with ancestors known to filters */
#define MEDDLED_PROCESSES 16384 /* processes that another one may have meddled with */
#define TREE_ROOTS 64
#define TREE_DEPTH 256 /* generations of processes */
#define PATH_PREFIXES 8192
#define KEY_LIMIT 256 /* bytes of a path that prefixes are compared with */
#define SYSTEM_FOLDERS 32

/* test.field */
#define FIELD_PID 1
#define FIELD_TID 2
#define FIELD_PPID 3
#define FIELD_UID 4
#define FIELD_GID 5
#define FIELD_CGROUP 6
#define FIELD_PID_NS 7
#define FIELD_MNT_NS 8
#define FIELD_RET 9
#define FIELD_COMM 10
#define FIELD_PATH 11
#define FIELD_CGROUP_SET 12
#define FIELD_TREE 13

/* The value of map `settings`; may be written at any time. */
struct settings {
	__u64 enabled;	   /* bit n: the tracer of kind n emits */
	__u64 security; /* bit n: records of kind n go into the security ring */
	__u32 data_wakeup; /* bytes in the ring that wake the agent */
	__u32 lifecycle_wakeup;
	__u32 security_wakeup;
	__u32 uid_count; /* 0: all users are traced */
	__u32 uids[MAX_UIDS];
	__u32 flow_idle_ms; /* a flow of datagrams has ended when nothing was sent or received for this long */
	__u32 agent_tgid; /* the agent's process in its own pid namespace, until it has read the task iterator */
	/* The agent's process, which is not traced: the last reader of the task iterator with a proof. The start time
	 * distinguishes it from a later process with the same id, because the programs may outlive it.
	 */
	__u64 reader_start_ns;
	__u32 reader_tgid;
	__u32 sample;	   /* one in this many records of `sampled` tracers is kept; 0: all, as long as there is room */
	__u64 sampled;	   /* bit n: the tracer of kind n is sampled while a ring is more than half full */
	__u32 data_rings;  /* data rings in use; 0 means 1 */
	__u32 cpus_a_ring; /* CPUs that share one ring */
	__u32 usage_side;  /* the ledger's buffer that is written to: 0 or 1 */
	__u32 usage_files; /* file types that are recorded: see USAGE_PIPES */
	__u32 end_within_ms; /* what is older may be forgotten if its end will not be seen, see shares.h */
	__u32 usage_room; /* entries for which each of the ledger's buffers has room */
	__u32 last_sweep; /* 1: a sum that finds no room in a ring is lost, because no later sweep will come */
	/* 1 + the slot of the filter that drops what was done with files of the system: opens in the lower half, usage in
	 * the upper; 0: none does.
	 */
	__u32 system_filters;
	__u32 meddled_room; /* processes for which map `meddled` has room; 0: as many as it has entries */
	__u32 pad;
	/* Ranges of map `tests`, 16 bits each: the first test; the number of tests that need no path; the
	 * number of all; the number of those on paths. Written at once, after the tests.
	 */
	__u64 rules;
	__u64 trees; /* generation of the filters that ask for ancestors; 0: none does */
	/* A random number, and its address in the agent's memory, while the agent reads the task iterator; else 0. A
	 * reader that has it there is the agent: root may start the iterator, too, but has another memory.
	 */
	__u64 proof;
	__u64 proof_at;
};

/* A value of map `tests`. A number is between `a` and `b`; a path or a cgroup is in one of the sets `a`; a
 * command name equals `a` and `b` in the bits of `c` and `d`; ancestors have a bit of `a`, in the generation
 * `b`.
 */
struct test {
	__u64 kinds; /* bit n: the rule applies to the tracer of kind n */
	__u64 a, b, c, d;
	__u32 field;
	__u32 filter;
	__u32 negate;
	__u32 last; /* last test of its rule */
};

/* A folder with libraries or the like, by its identity. Without a name everything below it is meant, else the file of that
 * name in it.
 */
struct system_folder {
	__u64 ino;
	__u64 name[2]; /* the bytes of the name, ended by a NUL */
	__u64 mask[2]; /* and which of them are compared; 0: no name */
	__u32 dev;     /* in the kernel's encoding */
	__u32 pad;
};

/* The value of map `system_folders`. */
struct system_folders {
	__u64 devs; /* bit n: a folder has a device whose number ends in these 6 bits */
	__u64 inos; /* the same for inode numbers */
	__u32 count;
	__u32 pad;
	struct system_folder folders[SYSTEM_FOLDERS];
};

/* A key of map `cgroup_sets`. */
struct cgroup_key {
	__u64 id;
	__u32 hierarchy;
	__u32 pad;
};

/* A key of map `trees`: a process. */
struct process_key {
	__u64 start_ns;
	__u32 pid;
	__u32 pad;
};

/* A value of map `trees`: the ancestors that filters name, as bits; of `tree_roots`: the bits of one such
 * process.
 */
struct tree {
	__u64 generation; /* of the filters, as in settings.trees */
	__u64 bits;
	__u32 depth; /* number of ancestors, itself among them */
	__u32 pad;
};

/* A key of map `path_sets`. */
struct path_key {
	__u32 bits;
	__u8 bytes[KEY_LIMIT];
};

/* The value of map `mark`: identifies the owner of pinned maps to an agent that finds them. Not read by the
 * programs.
 */
struct mark {
	__u64 pin;	/* different for each pinning: the time it was made */
	__u64 object;	/* identifies the object that these programs came from */
	__u64 store;	/* identifies the store of the records */
	__u64 names;	/* identifies the names that they are stored under */
	__u64 made_ns;	/* since boot */
	__u32 data_size;
	__u32 lifecycle_size;
	__u32 security_size;
	__u32 complete; /* written last */
};

/* Why a record was lost, from src/wire/loss_cause.rs. */
#define LOST_RING_FULL 0
#define LOST_SAMPLED 1
#define LOST_CROWDED 2 /* its request, connection or flow found no room among those that have not ended */
#define LOST_STALE 3   /* its request or connection ended unseen */
#define LOST_OVER_BUDGET 4 /* it would have taken more of a ring than its owner may have */
#define LOST_SKIPPED 5 /* the kernel skipped the program; counted by the agent, in map `skipped` */
#define LOST_CAUSES 6

/* Keys of map `skipped` with this bit stand for a slot of `counts`; others are ids of programs. */
#define SKIPPED_OF 0x80000000

/* The value of map `unstored`: what the agent gave back to a pinned ring before it was in the store. Not read by the
 * programs.
 */
struct unstored {
	__u64 upto;  /* position in the tracer's ring below which all was given back */
	__u64 taken; /* the tracer's records below it, since the ring was made */
};

/* Counters of one kind of record. */
struct count {
	__u64 seen; /* events of enabled tracers */
	__u64 filtered; /* those that filters dropped in the kernel */
	__u64 lost[LOST_CAUSES]; /* those that were lost, by cause */
};

/* The value of map `counts`, one for each CPU. All counters are in one value, so that the agent reads them by one call. */
struct counts {
	struct count slots[COUNT_SLOTS];
};

/* A key of map `losses`, which counts lost records by owner. */
struct loss_key {
	__u64 owner;
	__u32 kind;
	__u32 cause;
};

#endif
