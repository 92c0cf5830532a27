/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* What all programs share. Sizes of the rings are set by the loader. */
#ifndef DUETECTOR_MAPS_H
#define DUETECTOR_MAPS_H

#include "compat.h"
#include "wire.h"

/* A resolved path may be longer than the 4096 bytes one may ask for: a deep working folder comes on top. */
#define PATH_LIMIT 6144
#define ASKED_LIMIT 4096
#define ARGV_LIMIT 8192
#define CGROUP_LIMIT 4096
/* The largest record (exec) and room for one name more, which the verifier wants to see. */
#define RECORD_LIMIT 29696
#define NAME_LIMIT 255
/* A program can be interrupted by one in a soft interrupt, or (where tracepoints are preemptible) by another.
 */
#define SCRATCH_SLOTS 4

/* The part of a mount that is read, as it lies in memory. */
struct mount_part {
	__u64 parent;
	__u64 mountpoint;
	__u64 root;
};

/* Where a walk up a path is. */
struct walk {
	__u64 mnt;    /* these two as in struct path */
	__u64 dentry; /* of a cgroup the kernfs node */
	__u64 root_dentry;
	__u64 root_mnt;
	struct mount_part mount; /* of `mnt` */
	__u64 inode;		 /* of the first name, 0 if there was none */
	__u32 end;		 /* of the room for names */
	__u32 names;
	__u32 deleted; /* TEXT_DELETED or 0 */
	__u32 pad;
};

/* Where a record is put together: too large for a program's stack. */
struct scratch {
	__u32 busy;
	__u32 size; /* of the record so far */
	struct walk walk;
	__u8 record[RECORD_LIMIT];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 2 << 20);
} lifecycle SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} data SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNT_SLOTS);
	__type(key, __u32);
	__type(value, struct count);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mark);
} mark SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_SLOTS);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* For tests: the kind whose programs the verifier is to refuse. 0 in every other load, and then not even code. */
const volatile __u32 refused_kind = 0;

/* Brings the records into the object's type information, where tests/layout.rs compares them with Rust's. */
struct wire_types {
	struct open_record open;
	struct exec_record exec;
	struct clone_record clone;
	struct exit_record exit;
	struct connect_record connect;
	struct process_record process;
} * wire_types;

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#endif
