// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Opens, from the kernel's own copies of path and arguments, and from the file itself. */
#include "doing.h"
#include "uring_types.h"

#if TIER == FUNCTION

POSITION(openat2_filename);
POSITION(openat2_how);
POSITION(openat2_result);
POSITION(opened_dfd);
POSITION(opened_pathname);
POSITION(opened_result);
POSITION(installed_fd);
POSITION(installed_file);
POSITION(uring_open_request);
POSITION(uring_open_flags);
POSITION(uring_slot_result);

#define TRY_WITHOUT_WAITING 0x80000000U /* IO_URING_F_NONBLOCK */
#define RESOLVE_CACHED 0x20
#define AGAIN -11

/* Reads the arguments of the system call that the task is in, but for path and descriptor. */
static __always_inline void read_open_call(struct open_args *args, struct doing *now)
{
	struct call call = {.regs = current_regs()};
	__u64 asked;

	name_call(&call);
	read_args(args, &call);
	if (call.nr == NR_OPENAT || call.nr == NR_OPEN || call.nr == NR_CREAT)
		return;
	asked = args->flags & O_LARGEFILE_BIT;
	READ(&args->flags, now->how, struct open_how, flags);
	args->flags = (args->flags & ~(__u64)O_LARGEFILE_BIT) | asked;
	READ(&args->mode, now->how, struct open_how, mode);
}

/* Emits the record; `file` is 0 if the open failed. `name` is the struct filename with the kernel's copy of the path, or 0.
 */
static __always_inline void emit_opened(struct doing *now, __u64 name, __u64 file, __s32 ret)
{
	struct task_struct *task = current_task();
	struct open_args args = {};
	struct open_record *r;
	struct scratch *s;

	if (now->uring)
		read_open_request(&args, now->how);
	else
		read_open_call(&args, now);
	args.is_handle = false;
	args.path = now->asked;
	args.in_kernel = name;
	if (name) {
		READ(&args.path, name, struct filename, name);
		args.dirfd = now->dirfd;
	}
	now->done = 1;
	s = begin_open(process_of(task), &args);
	if (!s)
		return;
	count_seen(KIND_OPEN);
	r = (struct open_record *)s->record;
	if (now->uring)
		r->header.flags |= FLAG_URING;
	r->ret = result_seen(ret);
	if (!name)
		r->header.flags |= FLAG_UNVERIFIED;
	if (drops_early(s)) {
		give_back(s);
		return;
	}
	if (!file)
		put_unopened(s, task, args.dirfd);
	if (!file || put_opened(s, task, file))
		emit_data(s, KIND_OPEN);
	give_back(s);
}

/* do_sys_openat2: a call begins; all system calls that open by path come here, those of 32-bit programs included. */
FUNCTION_ENTRY(open_begins)
{
	struct doing *now;

	if (!is_traced(KIND_OPEN, current_task()))
		return 0;
	now = begin_doing(KIND_OPEN);
	if (!now)
		return 0;
	now->asked = argument(ctx, openat2_filename);
	now->how = argument(ctx, openat2_how);
	return 0;
}

/* True if io_uring has tried to open without waiting, and will try again in a worker. */
static __always_inline bool is_tried_again(struct doing *now, __s32 error)
{
	__u64 resolve = 0;

	if (error != AGAIN || !(now->a & TRY_WITHOUT_WAITING))
		return false;
	ASKED(resolve, now->how, struct io_open, how.resolve);
	return !(resolve & RESOLVE_CACHED);
}

/* The end of do_filp_open: the file or the error. Drivers may open further files meanwhile. */
FUNCTION_EXIT(open_found)
{
	__u64 name = argument(ctx, opened_pathname), file = argument(ctx, opened_result), asked = 0;
	struct doing *now = doing_now(KIND_OPEN);

	if (!now || now->done)
		return 0;
	READ(&asked, name, struct filename, uptr);
	if (asked != now->asked)
		return 0;
	now->dirfd = argument(ctx, opened_dfd);
	now->name = name;
	if (!IS_ERROR(file))
		now->file = file;
	else if (now->uring && is_tried_again(now, file))
		now->kind = 0;
	else
		emit_opened(now, now->name, 0, file);
	return 0;
}

/* fd_install: no other thread can have closed or replaced the descriptor yet. */
FUNCTION_ENTRY(open_installed)
{
	__u64 file = argument(ctx, installed_file);
	struct doing *now = doing_now(KIND_OPEN);

	if (now && !now->done && now->file && now->file == file)
		emit_opened(now, now->name, now->file, argument(ctx, installed_fd));
	return 0;
}

/* The end of do_sys_openat2. A call that was refused before the kernel searched for the file has only the caller's text. */
FUNCTION_EXIT(open_ends)
{
	struct doing *now = doing_now(KIND_OPEN);
	__s32 ret = argument(ctx, openat2_result);

	if (!now || now->uring)
		return 0;
	if (!now->done)
		emit_opened(now, 0, ret >= 0 ? file_of(current_task(), ret) : 0, ret);
	now->kind = 0;
	return 0;
}

/* io_openat2: the work on a request of io_uring begins, in the task that submits it or in a worker. */
FUNCTION_ENTRY(uring_open_begins)
{
	__u64 req = argument(ctx, uring_open_request), name = 0;
	struct doing *now;

	if (!is_by_function(KIND_OPEN) || !is_traced(KIND_OPEN, process_of(current_task())))
		return 0;
	now = begin_doing(KIND_OPEN);
	if (!now)
		return 0;
	ASKED(name, req, struct io_open, filename);
	READ(&now->asked, name, struct filename, uptr);
	now->uring = 1;
	now->how = req;
	now->a = argument(ctx, uring_open_flags);
	return 0;
}

/* The end of io_fixed_fd_install: the file is in a slot of the ring's table, instead of a descriptor. */
FUNCTION_EXIT(uring_open_installed)
{
	struct doing *now = doing_now(KIND_OPEN);

	if (now && now->uring && !now->done && now->file)
		emit_opened(now, now->name, now->file, argument(ctx, uring_slot_result));
	return 0;
}

/* The end of io_openat2. The kernel's copy of the path is gone; of a refused open there is the caller's text. */
FUNCTION_EXIT(uring_open_ends)
{
	struct doing *now = doing_now(KIND_OPEN);
	__s32 ret = 0;

	if (!now || !now->uring)
		return 0;
	if (!now->done && (__s32)argument(ctx, uring_open_result) != AGAIN) {
		READ(&ret, now->how, struct io_kiocb, cqe.res);
		emit_opened(now, 0, now->file, ret);
	}
	now->kind = 0;
	return 0;
}

#endif
