/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* io_uring structs, declared as those in kernel_types.h. A request's arguments are at `cmd`, which is at its
 * start.
 */
#ifndef DUETECTOR_URING_TYPES_H
#define DUETECTOR_URING_TYPES_H

#include "open.h"

/* Operations (linux/io_uring.h). */
#define OP_FALLOCATE 17
#define OP_OPENAT 18
#define OP_OPENAT2 28
#define OP_RENAMEAT 35
#define OP_UNLINKAT 36
#define OP_MKDIRAT 37
#define OP_SYMLINKAT 38
#define OP_LINKAT 39
#define OP_FSETXATTR 41
#define OP_SETXATTR 42
#define OP_FTRUNCATE 55

#define REQ_FIXED_FILE 1
#define REQ_CQE_SKIP 64 /* IOSQE_CQE_SKIP_SUCCESS */
#define ANY_SLOT 0xffffffffU /* IORING_FILE_INDEX_ALLOC */
#define FILE_BITS 7UL	     /* flags in an address of the table */

struct io_fixed_file { /* until 6.12 */
	unsigned long file_ptr;
} CO_RE;

struct io_rsrc_node { /* since 6.13 */
	unsigned long file_ptr;
} CO_RE;

struct io_rsrc_data {
	unsigned int nr;
	struct io_rsrc_node **nodes;
} CO_RE;

struct io_file_table {
	struct io_fixed_file *files;
	struct io_rsrc_data data;
} CO_RE;

struct io_wq_work_node {
	struct io_wq_work_node *next;
} CO_RE;

struct io_wq_work_list {
	struct io_wq_work_node *first;
} CO_RE;

struct io_submit_state {
	struct io_wq_work_node free_list;  /* requests that have ended, the last one first */
	struct io_wq_work_list compl_reqs; /* requests that have ended, before their completions are posted */
} CO_RE;

struct percpu_ref {
	unsigned long percpu_count_ptr; /* has other bits once the owner goes away */
} CO_RE;

struct io_uring { /* shared with the program */
	unsigned int tail;
} CO_RE;

struct io_rings {
	struct io_uring cq;
} CO_RE;

struct io_ring_ctx {
	struct io_file_table file_table;
	unsigned int nr_user_files;
	struct io_submit_state submit_state;
	struct io_wq_work_list locked_free_list; /* until 6.9: the same as free_list */
	struct percpu_ref refs;
	unsigned int cached_cq_tail;
	struct io_rings *rings;
} CO_RE;

struct io_cqe {
	__u64 user_data;
	__s32 res;
	__s32 fd; /* descriptor, until the request is done */
} CO_RE;

struct io_uring_task {
	struct task_struct *task;
} CO_RE;

struct io_wq_work {
	int flags;
} CO_RE;

struct io_worker {
	struct io_wq_work *cur_work;
} CO_RE;

struct io_kiocb {
	struct task_struct *task;   /* until 6.12 */
	struct io_uring_task *tctx; /* since 6.13 */
	struct file *file;
	__u8 opcode;
	__u32 flags;
	struct io_cqe cqe;
	struct io_ring_ctx *ctx;
	void *async_data;
	struct io_wq_work_node comp_list;
	struct io_wq_work work;
} CO_RE;

struct io_open {
	int dfd;
	__u32 file_slot;
	struct filename *filename;
	struct open_how how;
} CO_RE;

struct io_rename {
	int old_dfd, new_dfd;
	struct filename *oldpath, *newpath;
	int flags;
} CO_RE;

struct io_link {
	int old_dfd, new_dfd;
	struct filename *oldpath, *newpath;
	int flags;
} CO_RE;

struct io_unlink {
	int dfd, flags;
	struct filename *filename;
} CO_RE;

struct io_mkdir {
	int dfd;
	__u16 mode;
	struct filename *filename;
} CO_RE;

struct io_sync {
	__s64 len, off;
	int mode;
} CO_RE;

struct io_ftrunc {
	__s64 len;
} CO_RE;

struct xattr_ctx { /* since 6.13 kernel_xattr_ctx; members are found by name */
	unsigned long size;
	struct xattr_name *kname;
	unsigned int flags;
} CO_RE;

struct io_xattr {
	struct xattr_ctx ctx;
	struct filename *filename;
} CO_RE;

/* Reads eight bytes at an address; a smaller field is in the low ones. */
static __always_inline __u64 word_at(__u64 address)
{
	__u64 word = 0;

	if (has_cast)
		return CAST(struct timespec64, address)->tv_sec;
	bpf_probe_read_kernel(&word, sizeof(word), (void *)address);
	return word;
}

/* Reads a field of io_uring's own structs. Leaves `to` untouched on a kernel that lacks the field or does not
 * describe it.
 */
#define ASKED(to, from, type, field)                                                                         \
	do {                                                                                                 \
		if (bpf_core_field_exists(type, field))                                                      \
			(to) = (typeof(to))word_at((__u64)(from) + OFFSET(type, field));                     \
	} while (0)

/* Reads a pointer as a number: a typed one cannot be an argument, nor a result. */
#define ADDRESS(from, type, field) word_at((__u64)(from) + OFFSET(type, field))

/* Reads a name, as the kernel keeps it while a request is pending. */
#define NAME(to, req, type, field)                                                                           \
	do {                                                                                                 \
		__u64 filename = 0;                                                                          \
		ASKED(filename, req, type, field);                                                           \
		(to) = filename ? word_at(filename + OFFSET(struct filename, name)) : 0;                     \
	} while (0)

/* Reads the arguments of a request that opens a file, with the kernel's copy of the path. */
static __always_inline void read_open_request(struct open_args *args, __u64 req)
{
	ASKED(args->dirfd, req, struct io_open, dfd);
	NAME(args->path, req, struct io_open, filename);
	ASKED(args->flags, req, struct io_open, how.flags);
	ASKED(args->mode, req, struct io_open, how.mode);
	args->flags &= ~(__u64)O_LARGEFILE_BIT;
	args->in_kernel = true;
}

#endif
