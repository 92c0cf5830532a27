// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* open, openat, openat2, creat: one program at the exits of all. */
#include "file.h"

#define O_ACCESS_CREAT 0100
#define O_TMPFILE_BIT 020000000
#define O_CREAT_CALL (0100 | 01000 | 01) /* what creat() stands for: O_CREAT | O_TRUNC | O_WRONLY */
#define CWD -100			 /* AT_FDCWD */

struct open_how {
	__u64 flags;
	__u64 mode;
};

struct open_args {
	__s32 dirfd;
	__u64 path;
	__u64 flags;
	__u64 mode;
};

static __always_inline void read_args(struct open_args *args, int nr)
{
	struct pt_regs *regs = current_regs();
	int at = nr == NR_OPEN || nr == NR_CREAT ? 0 : 1;
	struct open_how how = {};

	args->dirfd = at ? (__s32)syscall_arg(regs, 0) : CWD;
	args->path = at ? syscall_arg(regs, 1) : syscall_arg(regs, 0);
	args->flags = at ? syscall_arg(regs, 2) : syscall_arg(regs, 1);
	args->mode = at ? syscall_arg(regs, 3) : syscall_arg(regs, 2);
	if (nr == NR_OPENAT2) {
		bpf_probe_read_user(&how, sizeof(how), (void *)args->flags);
		args->flags = how.flags;
		args->mode = how.mode;
		return;
	}
	if (nr == NR_CREAT) {
		args->mode = args->flags;
		args->flags = O_CREAT_CALL;
	}
	args->flags = (__u32)args->flags;
	args->mode = args->flags & (O_ACCESS_CREAT | O_TMPFILE_BIT) ? (__u16)args->mode : 0;
}

/* The file that was opened: where it is, and what. */
static __always_inline void put_file(struct scratch *s, struct task_struct *task, __u64 file)
{
	struct open_record *r = (struct open_record *)s->record;
	__u64 dentry, inode = 0, super = 0, magic = 0;
	__u32 dev = 0;

	set_walk_to_file(s, file);
	dentry = s->walk.dentry;
	put_path(s, task, &r->path);
	inode = s->walk.inode;
	if (!inode) /* the root: no name was read */
		READ(&inode, dentry, struct dentry, d_inode);
	READ(&r->ino, inode, struct inode, i_ino);
	READ(&r->file_mode, inode, struct inode, i_mode);
	READ(&super, inode, struct inode, i_sb);
	READ(&dev, super, struct super_block, s_dev);
	r->dev_major = dev >> 20;
	r->dev_minor = dev & 0xfffff;
	r->has_file = 1;
	if (r->path.flags & TEXT_DETACHED)
		READ(&magic, super, struct super_block, s_magic);
	r->fs_magic = magic;
}

/* Of a failed open only where a relative path would have started is known. */
static __always_inline void put_base(struct scratch *s, struct task_struct *task, __s32 dirfd)
{
	struct open_record *r = (struct open_record *)s->record;
	bool absolute = r->asked.len && s->record[sizeof(*r)] == '/';
	__u64 file;

	r->ino = r->dev_major = r->dev_minor = r->fs_magic = 0;
	r->file_mode = r->has_file = 0;
	r->path.len = 0;
	r->path.flags = TEXT_PATH | TEXT_UNREADABLE;
	if (absolute)
		return;
	if (dirfd == CWD)
		return put_cwd(s, task, &r->path);
	file = file_of(task, dirfd);
	if (!file)
		return;
	set_walk_to_file(s, file);
	put_path(s, task, &r->path);
}

SEC("tracepoint/syscalls/sys_exit_openat")
int open_exit(struct sys_exit *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct open_args args = {};
	struct open_record *r;
	struct scratch *s;
	__s64 ret = ctx->ret;
	__u64 file = 0;

	if (!is_traced(KIND_OPEN, task))
		return 0;
	count_seen(KIND_OPEN);
	s = take_scratch();
	if (!s) {
		count_lost(KIND_OPEN);
		return 0;
	}
	r = (struct open_record *)s->record;
	fill_header(s, task, KIND_OPEN, true);
	read_args(&args, ctx->nr);
	r->flags = args.flags;
	r->mode = args.mode;
	r->ret = ret;
	s->size = sizeof(*r);
	put_asked(s, args.path, &r->asked);
	if (ret >= 0)
		file = file_of(task, ret);
	if (file)
		put_file(s, task, file);
	else
		put_base(s, task, args.dirfd);
	emit_data(s, KIND_OPEN);
	give_back(s);
	return 0;
}
