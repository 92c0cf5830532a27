/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The record of an exec that failed: the caller continues. */
#ifndef DUETECTOR_EXEC_REFUSED_H
#define DUETECTOR_EXEC_REFUSED_H

#include "exec_file.h"

#define MAX_ARGS 256	  /* limit for an exec that failed */
#define EMPTY_PATH 0x1000 /* AT_EMPTY_PATH */

static __always_inline void put_no_path(struct text *text)
{
	text->len = 0;
	text->flags = TEXT_PATH | TEXT_UNREADABLE;
}

/* Appends up to STRIDE arguments from the `first` on; returns 1 when there are no more, or no room. A global function,
 * so that the verifier follows the sum of the rounds of both loops, not their product. The page of an argument that the
 * kernel had not reached may be absent.
 */
__noinline int put_some_args(struct scratch *s, __u64 argv, __u32 abi, __u32 first)
{
	struct call call = {.abi = abi};
	struct exec_record *r;

	if (!s)
		return 1;
	r = (struct exec_record *)s->record;
	for (int i = 0; i < STRIDE; i++) {
		__u64 from = read_user_long(&call, argv, first + i), at = s->size;
		long len;

		if (!from)
			return 1;
		BOUND(at, RECORD_LIMIT - ASKED_LIMIT);
		len = bpf_probe_read_user_str(&s->record[at], ASKED_LIMIT, (void *)from);
		if (!len) /* an empty string, see put_asked */
			s->record[at] = 0, len = 1;
		if (len < 0 || len == ASKED_LIMIT || r->argv.len + len > ARGV_LIMIT) {
			r->argv.flags = TEXT_CUT;
			return 1;
		}
		r->argv.len += len;
		s->size = at + len;
	}
	return 0;
}

/* Appends the arguments of an exec that failed. */
__noinline int put_args(struct scratch *s, __u64 argv, __u32 abi)
{
	struct exec_record *r;

	if (!s)
		return 0;
	r = (struct exec_record *)s->record;
	r->argv.len = r->argv.flags = 0;
	if (!argv)
		return 0;
	for (__u32 i = 0; i < MAX_ARGS; i += STRIDE)
		if (put_some_args(s, argv, abi, i))
			return 0;
	r->argv.flags = TEXT_CUT;
	return 0;
}

/* Fills in the path that was to be executed, and the folder in which the search started. `text` is the kernel's copy of the
 * path, 0 if the kernel has freed it.
 */
static __always_inline void put_refused(struct scratch *s, struct task_struct *task, const struct call *call,
					__u64 text)
{
	struct exec_record *r = (struct exec_record *)s->record;
	int at = call->nr == NR_EXECVEAT ? 1 : 0;
	__s32 fd = at ? (__s32)call_arg(call, 0) : CWD;
	__u64 file = given_back(s, 0);

	r->flags = at ? call_arg(call, 4) : 0;
	put_asked(s, text ?: call_arg(call, at), text, &r->asked);
	if (!file && r->flags & EMPTY_PATH && !r->asked.len && !r->asked.flags)
		file = file_of(task, fd);
	if (file)
		put_file(s, task, file, &r->file, &r->path);
	else
		put_base(s, task, sizeof(*r), &r->asked, &r->path, fd);
	put_cwd(s, task, &r->cwd);
	r->cgroup.len = 0;
	r->cgroup.flags = TEXT_PATH | TEXT_UNREADABLE;
	put_args(s, call_arg(call, at + 1), call->abi);
	put_no_path(&r->interpreter_path);
}

/* Emits the record of an exec that failed; for `text` see put_refused(). */
static __always_inline void emit_refused(const struct call *call, __u64 text)
{
	struct task_struct *task = current_task();
	struct exec_record *r;
	struct scratch *s;

	count_seen(KIND_EXEC);
	s = take_scratch();
	if (!s) {
		count_lost(KIND_EXEC);
		return;
	}
	r = (struct exec_record *)s->record;
	fill_header(s, task, KIND_EXEC, true);
	r->file = r->interpreter = (struct file_id){};
	r->header.flags |= FLAG_UNVERIFIED;
	r->ret = call->ret;
	r->call = call->nr;
	if (!drops_early(s)) {
		s->size = sizeof(*r);
		put_refused(s, task, call, text);
		if (!get_rules() || !apply_rules(s, true))
			emit_lifecycle(s, KIND_EXEC, true);
	}
	give_back(s);
}

#endif
