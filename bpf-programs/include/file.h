/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* What a descriptor stands for. */
#ifndef DUETECTOR_FILE_H
#define DUETECTOR_FILE_H

#include "path.h"

/* The address of the file behind a descriptor of the current task, 0 if there is none. */
static __always_inline __u64 file_of(struct task_struct *task, __s64 fd)
{
	struct fdtable *table = task->files->fdt;
	__u64 file = 0;

	if (fd < 0 || fd >= table->max_fds)
		return 0;
	READ(&file, (void *)table->fd + fd * sizeof(file), struct hlist_head, first);
	return file;
}

static __always_inline void set_walk_to_file(struct scratch *s, __u64 file)
{
	__u64 start = OFFSET(struct file, f_path.mnt);

	if (OFFSET(struct file, f_path.dentry) == start + 8) {
		read_pair(&s->walk.mnt, file + start);
		return;
	}
	READ(&s->walk.dentry, file, struct file, f_path.dentry);
	READ(&s->walk.mnt, file, struct file, f_path.mnt);
}

/* A string of the caller's memory as the next text. At exit the kernel has read it: the page is there. */
static __always_inline void put_asked(struct scratch *s, __u64 from, struct text *text)
{
	__u64 at = s->size;
	long len;

	text->len = 0;
	text->flags = TEXT_UNREADABLE;
	BOUND(at, RECORD_LIMIT - ASKED_LIMIT);
	len = bpf_probe_read_user_str(&s->record[at], ASKED_LIMIT, (void *)from);
	if (len <= 0)
		return;
	text->flags = len == ASKED_LIMIT ? TEXT_CUT : 0;
	text->len = len - 1;
	s->size = at + len - 1;
}

#endif
