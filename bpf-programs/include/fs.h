/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Records of calls that change names and attributes of files. All have one layout; a table says which argument
 * is what.
 */
#ifndef DUETECTOR_FS_H
#define DUETECTOR_FS_H

#include "file.h"
#include "fs_args.h"

static __always_inline void put_nothing(struct text *text)
{
	text->len = 0;
	text->flags = TEXT_UNREADABLE;
}

/* Fills in the file behind a descriptor, for a call without a path. */
static __always_inline void put_held(struct scratch *s, struct task_struct *task, __u64 file)
{
	struct fs_record *r = (struct fs_record *)s->record;

	if (file)
		put_file(s, task, file, &r->file, &r->base);
	else
		r->base.flags = TEXT_PATH | TEXT_UNREADABLE;
}

static __always_inline void put_first(struct scratch *s, struct task_struct *task)
{
	struct fs_record *r = (struct fs_record *)s->record;
	struct given *given = &s->given;
	__u32 at = s->size;

	if (!(given->has & HAS_PATH)) {
		put_nothing(&r->asked);
		put_held(s, task, given->file);
		return;
	}
	put_asked(s, given->path, given->has & IN_KERNEL, &r->asked);
	/* AT_EMPTY_PATH: the descriptor itself is meant. */
	if (!r->asked.len && !r->asked.flags && given->fd != CWD) {
		put_held(s, task, file_of(task, given->fd));
		return;
	}
	put_base(s, task, at, &r->asked, &r->base, given->fd);
}

static __always_inline void put_second(struct scratch *s, struct task_struct *task)
{
	struct fs_record *r = (struct fs_record *)s->record;
	struct given *given = &s->given;
	__u32 at = s->size;

	put_nothing(&r->asked2);
	put_nothing(&r->base2);
	if (!(given->has & HAS_PATH2))
		return;
	put_asked(s, given->path2, given->has & IN_KERNEL, &r->asked2);
	put_base(s, task, at, &r->asked2, &r->base2, given->fd2);
}

/* Appends the texts that `given` points at. A global function, so that it is verified once and not for each
 * call of a tracer. It therefore finds the task by itself: the caller, or a thread that shares folders and
 * descriptors with the caller.
 */
__noinline int fill_fs(struct scratch *s)
{
	struct task_struct *task = current_task();
	struct fs_record *r;

	if (!s)
		return 0;
	r = (struct fs_record *)s->record;
	s->size = sizeof(*r);
	put_first(s, task);
	put_second(s, task);
	put_nothing(&r->word);
	if (s->given.has & HAS_WORD)
		put_asked(s, s->given.word, s->given.has & IN_KERNEL, &r->word);
	return 0;
}

/* Reads the arguments of the current system call. Global for the same reason. */
__noinline int read_fs_call(struct scratch *s, __u32 abi)
{
	struct call call = {.regs = current_regs(), .abi = abi};
	struct fs_record *r;
	struct fs_call at;

	if (!s)
		return 0;
	r = (struct fs_record *)s->record;
	at = fs_calls[r->call & CALL_NR];
	/* The offset before it takes two registers. */
	if (r->call == NR_FALLOCATE && abi & CALL_WIDE)
		at.a++;
	r->a = arg(&call, at.a);
	r->b = arg(&call, at.b);
	if (at.c)
		r->c = arg(&call, at.c);
	read_structure(r, &call);
	s->given.path = arg(&call, at.path);
	s->given.path2 = arg(&call, at.path2);
	s->given.word = arg(&call, at.word);
	s->given.fd = folder(&call, at.fd);
	s->given.fd2 = folder(&call, at.fd2);
	s->given.has = (at.path2 ? HAS_PATH2 : 0) | (at.word ? HAS_WORD : 0);
	/* utimensat() with no path means the descriptor itself. */
	if (at.path && (r->call != NR_UTIMENSAT || s->given.path))
		s->given.has |= HAS_PATH;
	else
		s->given.file = file_of(current_task(), s->given.fd);
	return 0;
}

/* Begins the record of a call by `task`, without its texts; NULL if it is not traced, or lost. */
static __always_inline struct scratch *begin_fs(__u32 kind, struct task_struct *task, __u32 nr)
{
	struct fs_record *r;
	struct scratch *s;

	if (!is_traced(kind, task))
		return NULL;
	s = take_scratch();
	if (!s) {
		count_seen(kind);
		count_lost(kind);
		return NULL;
	}
	r = (struct fs_record *)s->record;
	__builtin_memset(r, 0, sizeof(*r));
	fill_header(s, task, kind, true);
	r->call = nr;
	if (kind == KIND_MKDIR)
		r->c = task->fs->umask;
	return s;
}

/* Emits the record of a call that ends. `held` is the file that the kernel worked with, and `id` its identity, if they were
 * noted when the call had only a descriptor: the descriptor may be another file's by now. A text is the caller's.
 */
static __always_inline void emit_call(__u32 kind, struct call *call, __u64 held, const struct file_id *id)
{
	struct task_struct *task = current_task();
	struct scratch *s = begin_fs(kind, task, call->nr);
	struct fs_record *r;

	if (!s)
		return;
	r = (struct fs_record *)s->record;
	count_seen(kind);
	r->ret = call->ret;
	if (drops_early(s)) {
		give_back(s);
		return;
	}
	read_fs_call(s, call->abi);
	if (held && held != s->given.file && !(s->given.has & HAS_PATH)) {
		s->given.file = 0;
		r->file = *id;
	}
	if (s->given.has & (HAS_PATH | HAS_PATH2) || ((!held || s->given.has & HAS_WORD) && is_doubtful(task, call)) ||
	    call->nr == NR_IOCTL)
		r->header.flags |= FLAG_UNVERIFIED;
	fill_fs(s);
	emit_data(s, kind);
	give_back(s);
}

static __always_inline void emit_fs(__u32 kind, struct call *call)
{
	emit_call(kind, call, 0, NULL);
}

#endif
