/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Requests of io_uring: owner, file, and the state that is kept of each between submission, when the names are
 * known, and completion, when the result is.
 *
 *     submit_req:   names, arguments ──► keep(req)  ──► uring_small / uring_large
 *     complete:     result, file     ◄── recall(req) ◄──┘   ──► record
 *
 * A request that posts no completion is found in its ring's list of free requests (unposted.h).
 */
#ifndef DUETECTOR_URING_H
#define DUETECTOR_URING_H

#include "doing.h"
#include "fs.h"
#include "shares.h"
#include "uring_types.h"

#define KEPT_SMALL 768
#define KEPT_LARGE 22528

struct kept_small {
	struct kept kept;
	__u8 record[KEPT_SMALL];
};

struct kept_large {
	struct kept kept;
	__u8 record[KEPT_LARGE];
};

/* Keyed by the request's address, from submission to completion. A hash, because requests complete in any order
 * and on any CPU. There are two sizes, because most paths are short: nearly all requests use preallocated
 * entries, and only long ones allocate theirs. If neither the completion nor the free request is seen, the entry becomes a
 * record without a result when another request has the same address, and when the ring or its process has ended.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SMALL_REQUESTS);
	__type(key, __u64);
	__type(value, struct kept_small);
} uring_small SEC(".maps");

/* The same for large records. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LARGE_REQUESTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct kept_large);
} uring_large SEC(".maps");

/* The process that submits: for a worker thread the first thread of the process that it works for. */
static __always_inline struct task_struct *owner_of_submission(void)
{
	return process_of(current_task());
}

/* The process that submitted a request, which may complete in any task. Without casts only the current task can
 * be read: it is returned if it is the owner, its leader if it is a thread of the same process, else NULL, as
 * after the owner's end.
 */
static __always_inline struct task_struct *owner_of_completion(__u64 req)
{
	struct task_struct *task = current_task();
	__u64 owner = 0, tctx = 0;
	__s32 tgid = 0;

	if (bpf_core_field_exists(struct io_kiocb, task)) {
		READ(&owner, req, struct io_kiocb, task);
	} else {
		READ(&tctx, req, struct io_kiocb, tctx);
		READ(&owner, tctx, struct io_uring_task, task);
	}
	if (owner == (__u64)task)
		return process_of(task);
	if (has_cast)
		return owner ? process_of(CAST(struct task_struct, owner)) : NULL;
	READ(&tgid, owner, struct task_struct, tgid);
	return tgid == task->tgid ? task->group_leader : NULL;
}

/* The file in a slot of the ring's own table; 0 if there is none. */
static __always_inline __u64 fixed_file(__u64 ring, __u32 slot)
{
	__u64 table = 0, file = 0;
	__u32 slots = 0;

	if (bpf_core_field_exists(struct io_file_table, files)) {
		ASKED(slots, ring, struct io_ring_ctx, nr_user_files);
		ASKED(table, ring, struct io_ring_ctx, file_table.files);
		if (slot >= slots)
			return 0;
		ASKED(file, table + slot * 8, struct io_fixed_file, file_ptr);
	} else {
		ASKED(slots, ring, struct io_ring_ctx, file_table.data.nr);
		ASKED(table, ring, struct io_ring_ctx, file_table.data.nodes);
		if (slot >= slots)
			return 0;
		table = word_at(table + slot * 8);
		if (!table)
			return 0;
		ASKED(file, table, struct io_rsrc_node, file_ptr);
	}
	return file & ~FILE_BITS;
}

/* The file that a request is about, before it has been started. */
static __always_inline __u64 file_asked(__u64 req)
{
	__u64 ring = 0;
	__u32 flags = 0;
	__s32 fd = -1;

	READ(&fd, req, struct io_kiocb, cqe.fd);
	READ(&flags, req, struct io_kiocb, flags);
	if (!(flags & REQ_FIXED_FILE))
		return file_of(current_task(), fd);
	ring = ADDRESS(req, struct io_kiocb, ctx);
	return fixed_file(ring, fd);
}

/* True if the request posts a completion only if it fails. */
static __always_inline bool is_unposted(__u64 req)
{
	__u32 flags = 0;

	READ(&flags, req, struct io_kiocb, flags);
	return flags & REQ_CQE_SKIP;
}

/* The file that a request has opened, into a slot (from 1) or as a descriptor. */
static __always_inline __u64 file_opened(__u64 files, __u64 req, __u32 slot, __s32 res)
{
	__u64 ring = 0;

	if (!slot)
		return file_among(files, res);
	READ(&ring, req, struct io_kiocb, ctx);
	return fixed_file(ring, slot == ANY_SLOT ? (__u32)res : slot - 1);
}

/* The requests without completions that a thread has submitted last. */
struct awaited_ends {
	__u64 ring;
	__u32 count;
	__u32 pad;
};

/* By thread: the requests whose ends are looked for when it is back from the kernel. A hash, because thread ids are sparse;
 * the oldest may be dropped: then the next sweep finds them.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct awaited_ends);
} unposted SEC(".maps");

/* The key of what a request will add to the ledger; the request's address is that of its record. */
#define USE_OF(req) ((req) | 1)
#define SOURCE_OF(req) ((req) | 2) /* of a splice */
#define REQUEST_OF(key) ((key) & ~3ULL)

static __always_inline bool has_kept(void)
{
	return entries[IN_URING_SMALL] > 0 || entries[IN_URING_LARGE] > 0;
}

static __always_inline struct kept *find_kept(__u64 key)
{
	struct kept *kept = bpf_map_lookup_elem(&uring_small, &key);

	return kept ?: bpf_map_lookup_elem(&uring_large, &key);
}

static __always_inline bool forget_request(__u64 req, __u64 owner, bool small)
{
	return small ? DELETE_ENTRY(uring_small, IN_URING_SMALL, &req, owner) :
		       DELETE_ENTRY(uring_large, IN_URING_LARGE, &req, owner);
}

/* Forgets what is kept under this key. */
static __always_inline void drop_kept(__u64 key)
{
	struct kept *kept = bpf_map_lookup_elem(&uring_small, &key);
	bool small = kept;

	if (!kept)
		kept = bpf_map_lookup_elem(&uring_large, &key);
	if (kept)
		forget_request(key, kept->owner, small);
}

/* Stores the record so far, for the owner that `s` has. */
static __always_inline void keep_owned(struct scratch *s, __u64 key, __u32 kind)
{
	struct task_struct *task = current_task();

	s->kept.files = (__u64)task->files;
	s->kept.root_dentry = (__u64)task->fs->root.dentry;
	s->kept.root_mnt = (__u64)task->fs->root.mnt;
	s->kept.pid = process_of(task)->tgid;
	s->kept.pad = 0;
	s->kept.walked = 0;
	s->kept.kind = kind;
	s->kept.size = s->size;
	s->kept.since = bpf_ktime_get_boot_ns();
	if (s->size <= KEPT_SMALL &&
	    ADD_ENTRY(uring_small, IN_URING_SMALL, SMALL_REQUESTS, &key, &s->kept, s->kept.owner))
		return;
	if (s->size <= KEPT_LARGE &&
	    ADD_ENTRY(uring_large, IN_URING_LARGE, LARGE_REQUESTS, &key, &s->kept, s->kept.owner))
		return;
	count_crowded(s->kept.owner, kind);
}

/* Stores the record so far of a call. */
static __always_inline void keep(struct scratch *s, __u64 key, __u32 kind)
{
	s->kept.owner = owner_of_record(s);
	s->kept.ring = s->kept.ring_refs = s->kept.file = s->kept.inode = 0;
	keep_owned(s, key, kind);
}

/* Notes that the current thread has submitted one more request without a completion. */
static __always_inline void await_end(__u64 ring)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct awaited_ends *known = bpf_map_lookup_elem(&unposted, &thread), first = {.ring = ring, .count = 1};

	if (known && known->ring == ring)
		known->count++;
	else
		bpf_map_update_elem(&unposted, &thread, &first, BPF_ANY);
}

/* Stores the record so far of a request, for the owner that `s` has. */
static __always_inline void keep_request(struct scratch *s, __u64 req, __u64 key, __u32 kind, __u64 file)
{
	s->kept.file = file;
	s->kept.inode = file ? ADDRESS(file, struct file, f_inode) : 0;
	s->kept.ring = ADDRESS(req, struct io_kiocb, ctx);
	s->kept.ring_refs = ADDRESS(s->kept.ring, struct io_ring_ctx, refs.percpu_count_ptr);
	keep_owned(s, key, kind);
	if (is_unposted(req))
		await_end(s->kept.ring);
}

/* Returns the request that the current thread works for, if it is a worker of io_uring. */
static __always_inline __u64 request_of_worker(void)
{
	struct task_struct *task = current_task();
	__u64 worker, work = 0;

	if (!(task->flags & PF_IO_WORKER) || !bpf_core_field_exists(struct io_worker, cur_work))
		return 0;
	worker = ADDRESS(task, struct task_struct, worker_private);
	if (worker)
		work = ADDRESS(worker, struct io_worker, cur_work);
	return work ? work - OFFSET(struct io_kiocb, work) : 0;
}

/* Takes a request's stored record back into scratch space; NULL if there is none, or no room. */
static __always_inline struct scratch *recall(__u64 req)
{
	struct kept *kept = bpf_map_lookup_elem(&uring_small, &req);
	bool small = kept;
	struct scratch *s;
	__u64 size;

	if (!kept)
		kept = bpf_map_lookup_elem(&uring_large, &req);
	if (!kept)
		return NULL;
	s = take_scratch();
	if (s) {
		size = kept->size;
		BOUND(size, KEPT_LARGE);
		s->kept = *kept;
		s->size = size;
		bpf_probe_read_kernel(s->record, size, kept + 1);
		s->walk.root_dentry = s->kept.root_dentry;
		s->walk.root_mnt = s->kept.root_mnt;
	} else {
		count_seen(kept->kind);
		count_lost(kept->kind);
	}
	forget_request(req, kept->owner, small);
	return s;
}

#endif
