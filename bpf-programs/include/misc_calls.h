/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Records of calls that act on processes, credentials and the kernel itself: the arguments as given, at most
 * one text and one file.
 */
#ifndef DUETECTOR_MISC_CALLS_H
#define DUETECTOR_MISC_CALLS_H

#include "targets.h"

#define ACT_WORD 0x7	/* which argument, counted from 1, is the address of the text; 0: no text */
#define ACT_GIVEN 0x8	/* the first argument is a descriptor of the file in the record */
#define ACT_MADE 0x10	/* the result is a descriptor of the file in the record */
#define ACT_IDS 0x20	/* the record has the ids as they are after the call */
#define ACT_ATTR 0x40	/* as bpf() is called: the text lies in a struct */
#define ACT_NAMED 0x800 /* the text is the name of the file that was made: then it is the kernel's own */
#define MEMFD_PREFIX 6	/* length of what the kernel puts before the name of such a file */

/* Offsets of the names in union bpf_attr; at both uses the union begins with a type. */
#define BPF_MAP_CREATE 0
#define BPF_PROG_LOAD 5
#define MAP_NAME_AT 28
#define PROG_NAME_AT 48

static __always_inline __u64 both(__u32 uid, __u32 gid)
{
	return uid | (__u64)gid << 32;
}

static __always_inline void put_ids(struct act_record *r, struct task_struct *task, __u32 abi)
{
	const struct cred *cred = task->cred;

	r->ids[0] = both(cred->uid.val, cred->gid.val);
	r->ids[1] = both(cred->euid.val, cred->egid.val);
	r->ids[2] = both(cred->suid.val, cred->sgid.val);
	r->ids[3] = both(cred->fsuid.val, cred->fsgid.val);
	COPY(&r->capabilities, (__u64)cred, struct cred, cap_effective);
	if (!(abi & CALL_SMALL))
		return;
	for (int i = 0; i < 3; i++)
		r->args[i] = (__u16)r->args[i] == (__u16)-1 ? (__u32)-1 : (__u16)r->args[i];
}

/* Returns the kernel's own copy of the name of a file that a call has made. */
static __always_inline __u64 name_of_made(__u64 file, __u32 nr)
{
	__u64 dentry = 0, name = 0;

	READ(&dentry, file, struct file, f_path.dentry);
	READ(&name, dentry, struct dentry, d_name.name);
	return name && nr == NR_MEMFD_CREATE ? name + MEMFD_PREFIX : name;
}

/* Fills the record behind its header. A global function, so that it is verified once. */
__noinline int fill_act(struct scratch *s, __u32 how, __u32 abi)
{
	struct call call = {.regs = current_regs(), .abi = abi};
	struct task_struct *task = current_task();
	struct act_record *r;
	__u64 word = 0, file = 0, name;

	if (!s)
		return 0;
	r = (struct act_record *)s->record;
	s->size = sizeof(*r);
	for (int i = 0; i < 6; i++)
		r->args[i] = call_arg(&call, i);
	if (how & ACT_WORD)
		word = r->args[((how & ACT_WORD) - 1) & 3];
	if (how & ACT_ATTR && (r->args[0] == BPF_MAP_CREATE || r->args[0] == BPF_PROG_LOAD)) {
		word = r->args[1] + (r->args[0] == BPF_PROG_LOAD ? PROG_NAME_AT : MAP_NAME_AT);
		bpf_probe_read_user(&r->of_type, sizeof(r->of_type), (void *)r->args[1]);
	}
	if (how & ACT_IDS)
		put_ids(r, task, abi);
	if (how & ACT_GIVEN)
		file = file_of(task, (__s32)r->args[0]);
	if (how & ACT_MADE)
		file = file_of(task, r->ret);
	put_nothing(&r->path);
	if (file)
		put_file(s, task, file, &r->file, &r->path);
	put_nothing(&r->word);
	name = file && how & ACT_NAMED ? name_of_made(file, r->call) : 0;
	if (word)
		put_asked(s, name ?: word, name, &r->word);
	if ((word && !name) || (how & (ACT_GIVEN | ACT_MADE | ACT_PIDFD) && are_files_shared(task)) || is_answered_for(task))
		r->header.flags |= FLAG_UNVERIFIED;
	return 0;
}

/* Begins the record of a call with its header; NULL if there is none to be emitted. */
static __always_inline struct scratch *begin_act(__u32 kind, struct call *call, __s32 ret)
{
	struct task_struct *task = current_task();
	struct act_record *r;
	struct scratch *s;

	if (!is_traced(kind, task))
		return NULL;
	count_seen(kind);
	s = take_scratch();
	if (!s) {
		count_lost(kind);
		return NULL;
	}
	r = (struct act_record *)s->record;
	__builtin_memset(r, 0, sizeof(*r));
	fill_header(s, task, kind, true);
	r->call = call->nr;
	r->ret = ret;
	if (!drops_early(s))
		return s;
	give_back(s);
	return NULL;
}

static __always_inline void emit_act(__u32 kind, struct call *call, __u32 how)
{
	struct scratch *s = begin_act(kind, call, call->ret);

	if (!s)
		return;
	fill_act(s, how, call->abi);
	if (how & (ACT_PIDFD | ACT_TARGET(7)))
		fill_target(s, how);
	emit_data(s, kind);
	give_back(s);
}

#endif
