/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Calls that change names, from the functions that do the work (tier function). Each passes four hooks:
 *
 *     do_unlinkat ──► end of __filename_parentat ──► vfs_unlink ──► end of do_unlinkat
 *     begin_names     paths: put_names, keep         file: note_…   result: end_names
 *
 * Between the hooks the record's texts are kept, like those of io_uring's requests, under the task's address.
 */
#ifndef DUETECTOR_NAMES_H
#define DUETECTOR_NAMES_H

#include "doing.h"
#include "uring.h"

#if TIER == FUNCTION

struct renamedata {
	struct dentry *old_dentry;
	struct dentry *new_dentry;
} CO_RE;

static __always_inline __u64 task_address(void)
{
	return bpf_get_current_task();
}

/* Arguments of the function, for requests of io_uring: the number of the system call that does the same, its descriptors
 * and flags.
 */
struct worked {
	__s32 nr;
	__s32 fd, fd2;
	__u64 a;
};

/* Notes that a call begins. `path` is its struct filename, which has the address of the text that the system call was given.
 * If the address is another one, the function works for a request of io_uring, in a worker or in the middle of another call;
 * if there is no address, the kernel itself calls the function.
 */
static __always_inline struct doing *begin_names(__u32 kind, __u64 path, const struct worked *worked)
{
	struct call call = {.regs = current_regs()};
	struct task_struct *task = current_task();
	struct doing *now;
	__u64 asked = 0;
	bool uring = task->flags & PF_IO_WORKER;
	struct fs_call at;

	if (!is_traced(kind, process_of(task)))
		return NULL;
	name_call(&call);
	at = fs_calls[call.nr & CALL_NR];
	if (!IS_ERROR(path)) {
		READ(&asked, path, struct filename, uptr);
		if (!asked)
			return NULL;
		uring |= !at.path || asked != arg(&call, at.path);
	} else if (!at.path) {
		return NULL;
	}
	if (uring && !worked->nr)
		return NULL;
	now = begin_doing(kind);
	if (!now)
		return NULL;
	drop_kept(task_address());
	now->name = path;
	now->uring = uring;
	now->nr = uring ? (__u32)worked->nr : call.nr;
	now->abi = uring ? 0 : call.abi;
	now->fd = worked->fd;
	now->fd2 = worked->fd2;
	now->a = worked->a;
	return now;
}

static __always_inline __u64 text_of(__u64 name)
{
	__u64 text = 0;

	if (name && !IS_ERROR(name))
		READ(&text, name, struct filename, name);
	return text;
}

/* Begins the record, with the arguments of the call and the kernel's copies of its texts. */
static __always_inline struct scratch *begin_record(struct doing *now)
{
	struct scratch *s = begin_fs(now->kind, process_of(current_task()), now->nr);
	struct fs_record *r;

	if (!s)
		return NULL;
	r = (struct fs_record *)s->record;
	if (now->uring) {
		r->header.flags |= FLAG_URING;
		r->a = now->a;
		s->given.fd = now->fd;
		s->given.fd2 = now->fd2;
		s->given.has = HAS_PATH | (now->name2 ? HAS_PATH2 : 0) | (now->word ? HAS_WORD : 0);
	} else {
		read_fs_call(s, now->abi);
	}
	s->given.path = text_of(now->name);
	s->given.path2 = text_of(now->name2);
	s->given.word = text_of(now->word);
	s->given.has |= IN_KERNEL;
	s->size = sizeof(struct fs_record);
	return s;
}

static __always_inline void put_word(struct scratch *s)
{
	struct fs_record *r = (struct fs_record *)s->record;

	put_nothing(&r->word);
	if (s->given.has & HAS_WORD)
		put_asked(s, s->given.word, true, &r->word);
}

/* The addresses of what __filename_parentat found. */
struct found {
	__u64 parent, last, type;
	__s32 ret;
};

/* Appends the texts that are known when the kernel has searched for the first path, or the only one. */
static __always_inline void put_first_found(struct scratch *s, const struct found *found)
{
	struct fs_record *r = (struct fs_record *)s->record;

	put_asked(s, s->given.path, true, &r->asked);
	if (found->ret)
		put_base(s, current_task(), sizeof(*r), &r->asked, &r->base, s->given.fd);
	else
		put_path_below(s, found->parent, found->last, found->type, &r->base);
	if (found->ret || !(s->given.has & HAS_PATH2)) {
		put_second(s, current_task());
		put_word(s);
	}
}

/* Appends the second path: that of a rename, or a link's new name. */
static __always_inline void put_second_found(struct scratch *s, const struct found *found)
{
	struct fs_record *r = (struct fs_record *)s->record;
	__u64 at = s->size;

	put_asked(s, s->given.path2, true, &r->asked2);
	if (found->ret)
		put_base(s, current_task(), at, &r->asked2, &r->base2, s->given.fd2);
	else
		put_path_below(s, found->parent, found->last, found->type, &r->base2);
	put_nothing(&r->word);
}

static __always_inline void keep_record(struct scratch *s, struct doing *now)
{
	__u64 key = task_address();

	drop_kept(key);
	keep(s, key, now->kind);
}

/* Keeps the texts alone, for calls that may be refused before the kernel searches for a path. */
static __always_inline void keep_asked(struct doing *now)
{
	struct scratch *s;

	if (!now)
		return;
	now->kept = 1;
	s = begin_record(now);
	if (!s)
		return;
	fill_fs(s);
	keep_record(s, now);
	give_back(s);
}

/* Fills in the identity of a dentry's file, if it has one. */
static __always_inline void note_file(struct scratch *s, __u64 dentry, struct file_id *id)
{
	s->walk.inode = 0;
	READ(&s->walk.inode, dentry, struct dentry, d_inode);
	if (s->walk.inode)
		identify(s, id);
}

/* Notes the file that is about to be removed or that was just made. Only the first one of a call counts: overlayfs calls the
 * same functions again for its layers.
 */
static __always_inline void note_object(__u32 kind, __u64 dentry)
{
	struct doing *now = doing_now(kind);
	struct scratch *s;

	if (!now || now->object)
		return;
	now->object = 1;
	s = take_scratch();
	if (!s)
		return;
	note_file(s, dentry, &now->id);
	give_back(s);
}

/* Notes the file that was just made: functions return 0, an error, or since 6.15 the dentry that is used. */
static __always_inline void note_made(__u32 kind, __u64 dentry, __u64 result)
{
	if (result >> 63 && !IS_ERROR(result))
		note_object(kind, result);
	else if (!(__s32)result)
		note_object(kind, dentry);
}

/* Emits the record of a call whose file was found; false if none was. */
static __always_inline bool end_found(__u32 kind, struct call *call)
{
	struct doing *now = doing_now(kind);
	struct scratch *s;

	if (!now)
		return false;
	now->kind = 0;
	if (now->mnt && !now->object && !now->file) /* refused before its file was reached */
		return false;
	if (now->file) {
		emit_call(kind, call, now->file, &now->id);
		return true;
	}
	s = recall(task_address());
	if (!s)
		return true;
	((struct header *)s->record)->time_ns = bpf_ktime_get_boot_ns();
	((struct fs_record *)s->record)->ret = call->ret;
	count_seen(kind);
	emit_data(s, kind);
	give_back(s);
	return true;
}

/* Emits the record with its result. A call that was refused before the kernel searched for a path has only the caller's texts. */
static __always_inline void end_names(__u32 kind, __s32 ret)
{
	struct doing *now = doing_now(kind);
	struct fs_record *r;
	struct scratch *s;

	if (!now)
		return;
	ret = result_seen(ret);
	now->kind = 0;
	if (!now->kept) {
		struct call call = {.regs = current_regs(), .ret = ret, .nr = now->nr, .abi = now->abi};

		emit_fs(kind, &call);
		return;
	}
	s = recall(task_address());
	if (!s)
		return;
	r = (struct fs_record *)s->record;
	r->header.time_ns = bpf_ktime_get_boot_ns();
	r->ret = ret;
	if (now->object) {
		r->file = now->id;
		r->replaced = now->replaced;
	}
	count_seen(kind);
	emit_data(s, kind);
	give_back(s);
}

#define NAMES_EXIT(program, name_kind, position_of_result)                                                   \
	POSITION(position_of_result);                                                                        \
	FUNCTION_EXIT(program)                                                                               \
	{                                                                                                    \
		end_names(name_kind, argument(ctx, position_of_result));                                     \
		return 0;                                                                                    \
	}

/* Appends what is behind the asked path: the path and identity of this file, whose mount is in s->walk.mnt, and `word`, the
 * kernel's copy of the call's further text (the name of an extended attribute), or 0.
 */
static __always_inline void put_found(struct scratch *s, __u64 dentry, __u64 word)
{
	struct fs_record *r = (struct fs_record *)s->record;
	struct task_struct *task = current_task();

	s->walk.dentry = dentry;
	put_path(s, task, &r->base);
	r->base.flags |= TEXT_RESOLVED;
	note_file(s, dentry, &r->file);
	put_second(s, task);
	put_nothing(&r->word);
	if (word)
		put_asked(s, word, true, &r->word);
}

/* Keeps the record of the current call about this file. */
static __always_inline void keep_found(struct scratch *s, struct doing *now, __u64 dentry, __u64 word)
{
	struct fs_record *r = (struct fs_record *)s->record;

	s->size = sizeof(*r);
	put_nothing(&r->asked);
	if (s->given.has & HAS_PATH)
		put_asked(s, s->given.path, false, &r->asked);
	put_found(s, dentry, word);
	keep_record(s, now);
}

/* Keeps the record of the current call about the file at a struct path, which the kernel has found; its end adds the result. */
static __always_inline void note_path_found(__u32 kind, __u64 path)
{
	struct call call = {.regs = current_regs()};
	struct task_struct *task = current_task();
	struct scratch *s;
	struct doing *now;
	__u64 dentry = 0;

	if (!is_traced(kind, task) || task->flags & (PF_IO_WORKER | PF_KTHREAD))
		return;
	now = begin_doing(kind);
	if (!now)
		return;
	now->done = 1; /* the call may search for its path again, and then the last file that it finds counts */
	drop_kept(task_address());
	name_call(&call);
	s = begin_fs(kind, task, call.nr);
	if (!s)
		return;
	read_fs_call(s, call.abi);
	READ(&dentry, path, struct path, dentry);
	/* A descriptor's path is inside its struct file. The filters are applied to it only at the end of the call. */
	if (!(s->given.has & HAS_PATH)) {
		now->file = path - OFFSET(struct file, f_path);
		note_file(s, dentry, &now->id);
		give_back(s);
		return;
	}
	READ(&s->walk.mnt, path, struct path, mnt);
	keep_found(s, now, dentry, 0);
	give_back(s);
}

#define PATH_FOUND(program, name_kind, position_of_path)                                                     \
	POSITION(position_of_path);                                                                          \
	FUNCTION_ENTRY(program)                                                                              \
	{                                                                                                    \
		note_path_found(name_kind, argument(ctx, position_of_path));                                 \
		return 0;                                                                                    \
	}

/* A file that is about to be removed. */
#define NAMES_OBJECT(program, name_kind, position_of_dentry)                                                 \
	POSITION(position_of_dentry);                                                                        \
	FUNCTION_ENTRY(program)                                                                              \
	{                                                                                                    \
		note_object(name_kind, argument(ctx, position_of_dentry));                                   \
		return 0;                                                                                    \
	}

/* A file that was made. */
#define NAMES_MADE(program, name_kind, position_of_dentry, position_of_result)                               \
	POSITION(position_of_dentry);                                                                        \
	POSITION(position_of_result);                                                                        \
	FUNCTION_EXIT(program)                                                                               \
	{                                                                                                    \
		note_made(name_kind, argument(ctx, position_of_dentry), argument(ctx, position_of_result));  \
		return 0;                                                                                    \
	}

#else

static __always_inline bool end_found(__attribute__((unused)) __u32 kind, __attribute__((unused)) struct call *call)
{
	return false;
}

#endif
#endif
