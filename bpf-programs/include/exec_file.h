/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The file that an exec was asked to run. If an interpreter runs it (`#!`, binfmt_misc), the kernel gives the file back
 * (fput), as it does with all files of an exec that fails. Files given back wait in a list of the task until the call returns
 * to the program:
 *
 *     task_works ──► file closed by the exec ──► … ──► second script ──► the file that was asked for
 *     (newest)                                                            (oldest)
 */
#ifndef DUETECTOR_EXEC_FILE_H
#define DUETECTOR_EXEC_FILE_H

#include "file.h"

#define WORK_LIMIT 4096 /* files in the list that are searched */
#define FMODE_EXEC 0x20 /* in f_flags of files that an exec has opened; programs cannot set it */

/* Scripts by task, from begin_new_exec (the old program's files are still open) until the new program runs. An LRU map,
 * because an exec that fails in between kills the process and removes no entry.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct script);
} scripts SEC(".maps");

/* The entry of the list inside struct file; the member has had three names: since 6.8, since 6.1, and before. */
struct file___since_6_8 {
	struct callback_head f_task_work;
} CO_RE;
struct file___since_6_1 {
	struct callback_head f_rcuhead;
} CO_RE;
struct file___before {
	struct callback_head f_u;
} CO_RE;

static __always_inline __u64 entry_offset(void)
{
	if (bpf_core_field_exists(struct file___since_6_8, f_task_work))
		return OFFSET(struct file___since_6_8, f_task_work);
	if (bpf_core_field_exists(struct file___since_6_1, f_rcuhead))
		return OFFSET(struct file___since_6_1, f_rcuhead);
	return OFFSET(struct file___before, f_u);
}

static __always_inline bool is_executed(__u64 file)
{
	__u32 flags = 0;

	READ(&flags, file, struct file, f_flags);
	return flags & FMODE_EXEC;
}

/* Returns the file that contains this entry of the list, if an exec opened the file; else 0. If the entry is no part of a
 * file, the two inodes differ.
 */
static __always_inline __u64 executed_file(__u64 entry)
{
	__u64 file = entry - entry_offset(), dentry = 0, inode = 0, same = 0;

	if (!is_executed(file))
		return 0;
	READ(&inode, file, struct file, f_inode);
	READ(&dentry, file, struct file, f_path.dentry);
	if (!inode || !dentry)
		return 0;
	READ(&same, dentry, struct dentry, d_inode);
	return inode == same ? file : 0;
}

/* Searches up to STRIDE entries; returns 1 when the search is over. */
__noinline int search_some_work(struct scratch *s)
{
	if (!s)
		return 1;
	for (int i = 0; i < STRIDE; i++) {
		__u64 entry = s->work.next, file;

		if (!entry)
			return 1;
		file = executed_file(entry);
		if (file)
			s->work.file = file;
		if (file && file == s->work.wanted)
			return 1;
		READ(&s->work.next, entry, struct callback_head, next);
	}
	return 0;
}

/* Returns the first file that the current exec has opened and given back, or the file `wanted`; 0 if there is none, or if
 * too many files wait.
 */
__noinline __u64 given_back(struct scratch *s, __u64 wanted)
{
	if (!s)
		return 0;
	s->work.wanted = wanted;
	s->work.file = 0;
	s->work.next = (__u64)GET(current_task(), task_works);
	for (int i = 0; i < WORK_LIMIT / STRIDE; i++)
		if (search_some_work(s))
			return !wanted || s->work.file == wanted ? s->work.file : 0;
	return 0;
}

static __always_inline bool is_interpreted(struct linux_binprm *bprm)
{
	return GET(bprm, interp) != GET(bprm, filename);
}

/* Notes the file that an interpreter is about to run. So far the list has only files of this exec: the old program's are
 * given back later, and io_uring, if the process uses it, empties the list before that.
 */
static __always_inline void note_script(struct linux_binprm *bprm)
{
	__u64 key = bpf_get_current_task(), file;
	struct scratch *s;

	if (!is_interpreted(bprm))
		return;
	s = take_scratch();
	if (!s)
		return;
	/* binfmt_misc may keep the file, to hand it over as a descriptor. */
	file = given_back(s, 0) ?: (__u64)GET(bprm, executable);
	if (file) {
		READ(&s->walk.inode, file, struct file, f_inode);
		s->script.file = file;
		identify(s, &s->script.id);
		bpf_map_update_elem(&scripts, &key, &s->script, BPF_ANY);
	}
	give_back(s);
}

/* Returns the file that was asked for, which an interpreter runs; 0 if it is closed already. Fills in its identity, if
 * note_script() noted it. If not (before 6.10, where no tracepoint shows that an exec is about to succeed), the file may be
 * another one, and the record is marked as unverified.
 */
static __always_inline __u64 find_script(struct scratch *s, struct task_struct *task, struct linux_binprm *bprm)
{
	struct exec_record *r = (struct exec_record *)s->record;
	__u64 key = bpf_get_current_task(), wanted = 0, handed_over;
	struct script *noted = bpf_map_lookup_elem(&scripts, &key);

	if (noted) {
		r->file = noted->id;
		wanted = noted->file;
		bpf_map_delete_elem(&scripts, &key);
	} else {
		r->header.flags |= FLAG_UNVERIFIED;
	}
	handed_over = file_of(task, GET(bprm, execfd));
	if (wanted ? handed_over == wanted : handed_over && is_executed(handed_over))
		return handed_over;
	return given_back(s, wanted);
}

#endif
