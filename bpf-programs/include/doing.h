/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Programs at functions of the kernel (tier function), and the call that the current task is in. A call passes several
 * functions, of which one has the caller's texts, one the file and one the result.
 *
 *     do_sys_openat2 ─► do_filp_open ─► fd_install ─► (end of do_sys_openat2)
 *        begins          file, error     descriptor      refusal
 */
#ifndef DUETECTOR_DOING_H
#define DUETECTOR_DOING_H

#include "task.h"

#if TIER == FUNCTION

/* The kinds that are recorded at functions, a bit each; set by the loader. */
const volatile __u64 by_function = 0;

#define FUNCTION_ENTRY(name) SEC("fentry/" #name) int name(__u64 *ctx)
#define FUNCTION_EXIT(name) SEC("fexit/" #name) int name(__u64 *ctx)

/* Defines the position of a parameter, or of the result behind the parameters, as the loader finds it in the kernel's
 * type information (src/by_function.rs).
 */
#define POSITION(name) const volatile __u8 name = 0

/* The result of the function that opens files for io_uring; 0 if no program is there: it is never the first parameter. */
POSITION(uring_open_result);

#define ABSENT 255 /* the position of a parameter that the function lacks */

#define TAKE_ARGUMENT(n) asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(value) : "r"(ctx), "i"((n) * 8))

/* Returns an argument of the function, or its result. Each position has its own load, because the verifier refuses a load
 * from a computed address; it removes the loads that do not apply.
 */
static __always_inline __u64 argument(__u64 *ctx, __u8 at)
{
	__u64 value = 0;

	if (at == 0)
		TAKE_ARGUMENT(0);
	else if (at == 1)
		TAKE_ARGUMENT(1);
	else if (at == 2)
		TAKE_ARGUMENT(2);
	else if (at == 3)
		TAKE_ARGUMENT(3);
	else if (at == 4)
		TAKE_ARGUMENT(4);
	else if (at == 5)
		TAKE_ARGUMENT(5);
	else
		TAKE_ARGUMENT(6);
	return value;
}

#define MAX_ERRNO 4095
#define IS_ERROR(pointer) ((pointer) >= (__u64)-MAX_ERRNO)

/* The call that a task is in. Addresses are the kernel's unless said otherwise. */
struct doing {
	__u32 kind; /* 0: none */
	__s32 dirfd;
	__u64 asked; /* address of the text in the caller's memory */
	__u64 name; /* struct filename */
	__u64 how; /* struct open_how; for io_uring struct io_kiocb */
	__u64 file;
	__u32 done; /* the record was emitted */
	__u32 nr;   /* number of the call */
	__u32 abi;
	__u32 kept;   /* the record so far is kept */
	__u32 object; /* the file is known, in `id` */
	__u32 asks;   /* a question to a name server is left to the end of the call */
	__u32 inner;  /* a datagram was recorded by an inner function */
	__u32 uring;  /* for a request of io_uring: then the arguments are in the fields below */
	__s32 fd;
	__s32 fd2;
	__u64 a;
	__u64 name2;
	__u64 word; /* struct filename */
	__u64 mnt;  /* mount of the path that was resolved last */
	struct file_id id;
	struct file_id replaced;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct doing);
} doing SEC(".maps");

static __always_inline void clear_doing(struct doing *now, __u32 kind)
{
	/* The end of an earlier call was not seen. */
	if (now->kind && !now->done) {
		count_seen(now->kind);
		count_lost(now->kind);
	}
	__builtin_memset(now, 0, sizeof(*now));
	now->kind = kind;
}

/* Notes that the current task begins a call; NULL if there is no memory: the record is then lost. */
static __always_inline struct doing *begin_doing(__u32 kind)
{
	struct doing *now =
		bpf_task_storage_get(&doing, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!now) {
		count_seen(kind);
		count_lost(kind);
		return NULL;
	}
	clear_doing(now, kind);
	return now;
}

/* Returns the call that the current task is in, if it is of this kind. */
static __always_inline struct doing *doing_now(__u32 kind)
{
	struct doing *now = bpf_task_storage_get(&doing, bpf_get_current_task_btf(), 0, 0);

	return now && now->kind == kind ? now : NULL;
}

#else
#define by_function 0ULL
#endif

/* True if requests of io_uring that change names are recorded at functions, too. */
static __always_inline bool is_by_function(__u32 kind)
{
	return by_function & (1ULL << (kind & 63));
}

/* True if requests of io_uring that open files are. */
static __always_inline bool opens_by_function(void)
{
#if TIER == FUNCTION
	return is_by_function(KIND_OPEN) && uring_open_result;
#else
	return false;
#endif
}

#endif
