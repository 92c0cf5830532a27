/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The record of an open, for system calls and io_uring. */
#ifndef DUETECTOR_OPEN_H
#define DUETECTOR_OPEN_H

#include "file.h"

#define O_ACCESS_CREAT 0100
#define O_TMPFILE_BIT 020000000

struct open_how {
	__u64 flags;
	__u64 mode;
} CO_RE;

struct open_args {
	__s32 dirfd;
	__u64 path; /* an address, in the kernel's or the caller's memory */
	__u64 flags;
	__u64 mode;
	bool in_kernel;
	bool is_handle; /* no path: a struct file_handle */
};

#define HANDLE_HEAD 8
#define HANDLE_LIMIT 128 /* MAX_HANDLE_SZ */

/* Appends the handle as the next text: its length, its type, its bytes. */
static __always_inline void put_handle(struct scratch *s, __u64 from, struct text *text)
{
	__u64 at = s->size;
	__u32 len = 0;

	text->len = 0;
	text->flags = TEXT_HANDLE | TEXT_UNREADABLE;
	if (bpf_probe_read_user(&len, sizeof(len), (void *)from) || len > HANDLE_LIMIT)
		return;
	len += HANDLE_HEAD;
	BOUND(at, RECORD_LIMIT - HANDLE_HEAD - HANDLE_LIMIT);
	BOUND(len, HANDLE_HEAD + HANDLE_LIMIT);
	if (bpf_probe_read_user(&s->record[at], len, (void *)from))
		return;
	text->len = len;
	text->flags = TEXT_HANDLE;
	s->size = at + len;
}

/* Begins the record of an open by `task`, up to the path as requested; NULL if it is not traced, or lost. */
static __always_inline struct scratch *begin_open(struct task_struct *task, const struct open_args *args)
{
	struct open_record *r;
	struct scratch *s;

	if (!is_traced(KIND_OPEN, task))
		return NULL;
	s = take_scratch();
	if (!s) {
		count_seen(KIND_OPEN);
		count_lost(KIND_OPEN);
		return NULL;
	}
	r = (struct open_record *)s->record;
	fill_header(s, task, KIND_OPEN, true);
	r->flags = args->flags;
	r->mode = args->mode;
	r->umask = task->fs->umask;
	s->size = sizeof(*r);
	if (args->is_handle)
		put_handle(s, args->path, &r->asked);
	else
		put_asked(s, args->path, args->in_kernel, &r->asked);
	return s;
}

/* Fills in what is known of an open that failed: only the folder that a relative path would have started from.
 */
static __always_inline void put_unopened(struct scratch *s, struct task_struct *task, __s32 dirfd)
{
	struct open_record *r = (struct open_record *)s->record;
	struct text relative = r->asked;

	/* The handle is resolved in the mount of this descriptor. */
	if (r->asked.flags & TEXT_HANDLE)
		relative.len = 0;
	r->file = (struct file_id){};
	put_base(s, task, sizeof(*r), &relative, &r->path, dirfd);
}

#endif
