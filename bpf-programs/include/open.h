/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The record of an open, for system calls and io_uring. */
#ifndef DUETECTOR_OPEN_H
#define DUETECTOR_OPEN_H

#include "hooks.h"
#include "system_files.h"

#define O_ACCESS_CREAT 0100
#define O_TMPFILE_BIT 020000000

/* The flag that the kernel adds to opens of 64-bit programs and of io_uring. */
#if defined(__TARGET_ARCH_x86)
#define O_LARGEFILE_BIT 0100000
#else
#define O_LARGEFILE_BIT 0400000
#endif

struct open_how {
	__u64 flags;
	__u64 mode;
	__u64 resolve;
} CO_RE;

struct filename {
	const char *name;
	const char *uptr; /* the text in the caller's memory */
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

/* Fills in the file that was opened; false if the filter of system files drops the record, which is then counted. A file of
 * the system costs no path then.
 */
static __always_inline bool put_opened(struct scratch *s, struct task_struct *task, __u64 file)
{
	struct open_record *r = (struct open_record *)s->record;
	__u16 system = opens_system_file(s, file, r->flags);
	__u32 filter = system_filter(KIND_OPEN, system);

	if (filter) {
		count_filtered(KIND_OPEN, filter - 1);
		return false;
	}
	put_file(s, task, file, &r->file, &r->path);
	r->file.known |= system;
	return true;
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

#define O_CREAT_CALL (0100 | 01000 | 01) /* what creat() stands for: O_CREAT | O_TRUNC | O_WRONLY */

static __always_inline void read_args(struct open_args *args, const struct call *call)
{
	int nr = call->nr, at = nr == NR_OPEN || nr == NR_CREAT ? 0 : 1;
	__u64 how[2] = {}; /* struct open_how */

	args->is_handle = nr == NR_OPEN_BY_HANDLE_AT;

	args->dirfd = at ? (__s32)call_arg(call, 0) : CWD;
	args->path = at ? call_arg(call, 1) : call_arg(call, 0);
	args->flags = at ? call_arg(call, 2) : call_arg(call, 1);
	args->mode = at ? call_arg(call, 3) : call_arg(call, 2);
	if (nr == NR_OPENAT2) {
		bpf_probe_read_user(how, sizeof(how), (void *)args->flags);
		args->flags = how[0];
		args->mode = how[1];
		return;
	}
	if (nr == NR_CREAT) {
		args->mode = args->flags;
		args->flags = O_CREAT_CALL;
	}
	args->flags = (__u32)args->flags;
	args->mode = !args->is_handle && args->flags & (O_ACCESS_CREAT | O_TMPFILE_BIT) ? (__u16)args->mode : 0;
}

#endif
