// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Requests of io_uring that will post no completion, at the ends of the functions that do the work. These functions run in
 * the thread that submits, in a worker or in a polling thread. They all have the prototype
 * int (struct io_kiocb *req, unsigned int issue_flags); a result of 0 says that the request has ended, with its own result in
 * cqe.res. A request that failed is not one of these any more, because its completion is posted.
 */
#include "doing.h"
#include "unposted.h"

#if TIER == FUNCTION

#define RESULT 2 /* behind the two parameters */

/* A global function, so that it is verified once and not for each program. */
__noinline int settle_ended(__u64 req)
{
	__u64 thread = bpf_get_current_pid_tgid(), ring;
	struct awaited_ends *of;
	__u32 settled;

	if (!has_kept() || !is_unposted(req))
		return 0;
	ring = ADDRESS(req, struct io_kiocb, ctx);
	settled = settle_request(req, ENDED_HERE);
	/* If this thread has submitted the request, it need not search for it. */
	of = bpf_map_lookup_elem(&unposted, &thread);
	if (of && of->ring == ring)
		of->count -= of->count > settled ? settled : of->count;
	return 0;
}

static __always_inline void end_operation(__u64 *ctx)
{
	__u64 req = 0;

	if ((__s32)ctx[RESULT])
		return;
	bpf_probe_read_kernel(&req, sizeof(req), ctx);
	settle_ended(req);
}

#define OPERATION_END(name)                                                                                  \
	FUNCTION_EXIT(name)                                                                                  \
	{                                                                                                    \
		end_operation(ctx);                                                                          \
		return 0;                                                                                    \
	}

OPERATION_END(uring_connected)
OPERATION_END(uring_accepted)
OPERATION_END(uring_bound)
OPERATION_END(uring_listens)
OPERATION_END(uring_sent)
OPERATION_END(uring_sent_message)
OPERATION_END(uring_received)
OPERATION_END(uring_received_message)
OPERATION_END(uring_read)
OPERATION_END(uring_read_fixed)
OPERATION_END(uring_written)
OPERATION_END(uring_written_fixed)
OPERATION_END(uring_spliced)
OPERATION_END(uring_teed)
OPERATION_END(uring_allocated)
OPERATION_END(uring_shortened)
OPERATION_END(uring_set_file_attribute)

/* The worker has no further part in the call, which the programs of the tracer attr have noted. */
FUNCTION_EXIT(uring_set_attribute)
{
	struct doing *now = doing_now(KIND_ATTR);

	if (now)
		now->kind = 0;
	end_operation(ctx);
	return 0;
}

#endif
