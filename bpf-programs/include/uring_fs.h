/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Requests of io_uring that change names or attributes of files. */
#ifndef DUETECTOR_URING_FS_H
#define DUETECTOR_URING_FS_H

#include "uring.h"

#define WORD_LIMIT 256 /* length of an attribute's name */

/* The system call that an operation equals; `kind` is 0 if the operation is not recorded. */
struct fs_op {
	__u32 kind;
	__s32 nr;
};

static __always_inline struct fs_op fs_op_of(__u8 op)
{
	switch (op) {
	case OP_RENAMEAT:
		return (struct fs_op){KIND_RENAME, NR_RENAMEAT2};
	case OP_UNLINKAT:
		return (struct fs_op){KIND_UNLINK, NR_UNLINKAT};
	case OP_MKDIRAT:
		return (struct fs_op){KIND_MKDIR, NR_MKDIRAT};
	case OP_SYMLINKAT:
		return (struct fs_op){KIND_LINK, NR_SYMLINKAT};
	case OP_LINKAT:
		return (struct fs_op){KIND_LINK, NR_LINKAT};
	case OP_FALLOCATE:
		return (struct fs_op){KIND_TRUNCATE, NR_FALLOCATE};
	case OP_FTRUNCATE:
		return (struct fs_op){KIND_TRUNCATE, NR_FTRUNCATE};
	case OP_FSETXATTR:
		return (struct fs_op){KIND_ATTR, NR_FSETXATTR};
	case OP_SETXATTR:
		return (struct fs_op){KIND_ATTR, NR_SETXATTR};
	default:
		return (struct fs_op){};
	}
}

static __always_inline void read_xattr(struct scratch *s, struct io_kiocb *req, __u8 op)
{
	struct fs_record *r = (struct fs_record *)s->record;
	__u32 flags = 0;

	ASKED(r->a, req, struct io_xattr, ctx.size);
	ASKED(flags, req, struct io_xattr, ctx.flags);
	ASKED(s->given.word, req, struct io_xattr, ctx.kname);
	r->b = flags;
	s->given.has |= HAS_WORD;
	if (op == OP_SETXATTR) {
		NAME(s->given.path, req, struct io_xattr, filename);
		s->given.has |= HAS_PATH;
	}
}

static __always_inline void read_length(struct scratch *s, struct io_kiocb *req, __u8 op)
{
	struct fs_record *r = (struct fs_record *)s->record;
	__u32 mode = 0;

	if (op == OP_FTRUNCATE) {
		ASKED(r->a, req, struct io_ftrunc, len);
		return;
	}
	ASKED(r->a, req, struct io_sync, len);
	ASKED(r->b, req, struct io_sync, off);
	ASKED(mode, req, struct io_sync, mode);
	r->c = mode;
}

static __always_inline void read_two(struct scratch *s, struct io_kiocb *req, __u8 op)
{
	struct fs_record *r = (struct fs_record *)s->record;
	__u32 flags = 0;

	s->given.has |= HAS_PATH | HAS_PATH2;
	if (op == OP_RENAMEAT) {
		ASKED(s->given.fd, req, struct io_rename, old_dfd);
		ASKED(s->given.fd2, req, struct io_rename, new_dfd);
		NAME(s->given.path, req, struct io_rename, oldpath);
		NAME(s->given.path2, req, struct io_rename, newpath);
		ASKED(flags, req, struct io_rename, flags);
	} else {
		ASKED(s->given.fd, req, struct io_link, old_dfd);
		ASKED(s->given.fd2, req, struct io_link, new_dfd);
		NAME(s->given.path, req, struct io_link, oldpath);
		NAME(s->given.path2, req, struct io_link, newpath);
		ASKED(flags, req, struct io_link, flags);
	}
	r->a = flags;
}

static __always_inline void read_symlink(struct scratch *s, struct io_kiocb *req)
{
	s->given.has |= HAS_PATH | HAS_WORD;
	ASKED(s->given.fd, req, struct io_link, new_dfd);
	NAME(s->given.path, req, struct io_link, newpath);
	NAME(s->given.word, req, struct io_link, oldpath);
}

static __always_inline void read_one(struct scratch *s, struct io_kiocb *req, __u8 op)
{
	struct fs_record *r = (struct fs_record *)s->record;
	__u32 flags = 0;
	__u16 mode = 0;

	s->given.has |= HAS_PATH;
	if (op == OP_UNLINKAT) {
		ASKED(s->given.fd, req, struct io_unlink, dfd);
		NAME(s->given.path, req, struct io_unlink, filename);
		ASKED(flags, req, struct io_unlink, flags);
		r->a = flags;
	} else {
		ASKED(s->given.fd, req, struct io_mkdir, dfd);
		NAME(s->given.path, req, struct io_mkdir, filename);
		ASKED(mode, req, struct io_mkdir, mode);
		r->a = mode;
	}
}

static __always_inline void read_fs_request(struct scratch *s, struct io_kiocb *req, __u8 op)
{
	s->given.has = IN_KERNEL;
	s->given.fd = CWD;
	switch (op) {
	case OP_RENAMEAT:
	case OP_LINKAT:
		return read_two(s, req, op);
	case OP_UNLINKAT:
	case OP_MKDIRAT:
		return read_one(s, req, op);
	case OP_SYMLINKAT:
		return read_symlink(s, req);
	case OP_FALLOCATE:
	case OP_FTRUNCATE:
		return read_length(s, req, op);
	default:
		return read_xattr(s, req, op);
	}
}

static __always_inline void submit_fs(struct io_kiocb *req, __u8 op)
{
	struct fs_op as = fs_op_of(op);
	struct fs_record *r;
	struct scratch *s;

	if (!as.kind || is_by_function(as.kind))
		return;
	s = begin_fs(as.kind, owner_of_submission(), as.nr);
	if (!s)
		return;
	r = (struct fs_record *)s->record;
	r->header.flags |= FLAG_URING;
	read_fs_request(s, req, op);
	if (!(s->given.has & HAS_PATH))
		s->given.file = file_asked((__u64)req);
	s->kept.slot = 0;
	s->kept.held = !(s->given.has & HAS_PATH) && !s->given.file;
	fill_fs(s);
	s->kept.owner = owner_of_record(s);
	keep_request(s, (__u64)req, (__u64)req, as.kind, s->given.file);
	give_back(s);
}

/* Completes the record. A file that an earlier linked request opened did not exist at submission; its path is
 * inserted before the word, which is moved.
 */
static __always_inline void complete_fs(struct scratch *s, __u64 req, __s32 res)
{
	struct fs_record *r = (struct fs_record *)s->record;
	__u64 file = 0, len = r->word.len, at;

	r->ret = res;
	if (s->kept.held)
		READ(&file, req, struct io_kiocb, file);
	if (!file)
		return;
	BOUND(len, WORD_LIMIT);
	bpf_probe_read_kernel(&s->record[RECORD_LIMIT - WORD_LIMIT], len, &s->record[sizeof(*r)]);
	s->size = sizeof(*r);
	put_held(s, NULL, file);
	at = s->size;
	BOUND(at, RECORD_LIMIT - 2 * WORD_LIMIT);
	bpf_probe_read_kernel(&s->record[at], len, &s->record[RECORD_LIMIT - WORD_LIMIT]);
	s->size = at + len;
}

#endif
