/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Transfers that are counted before their call ends, while the kernel still works with the file: another thread may put
 * another file behind the descriptor meanwhile. Only of processes whose descriptors are shared.
 *
 *     sock_recv_length ─► count_use, note_counted      end of the call ─► take_counted: counted already
 */
#ifndef DUETECTOR_COUNTED_H
#define DUETECTOR_COUNTED_H

#include "received.h"
#include "uring.h"

#define READERS                                                                                              \
	(VIA_READ | VIA_PREAD | VIA_READV | VIA_PREADV | VIA_PREADV2 | VIA_RECVFROM | VIA_RECVMSG | VIA_RECVMMSG)

static __always_inline __u32 via_of(__u32 nr)
{
	switch (nr) {
	case NR_READ:
		return VIA_READ;
	case NR_WRITE:
		return VIA_WRITE;
	case NR_PREAD64:
		return VIA_PREAD;
	case NR_PWRITE64:
		return VIA_PWRITE;
	case NR_READV:
		return VIA_READV;
	case NR_WRITEV:
		return VIA_WRITEV;
	case NR_SENDTO:
		return VIA_SENDTO;
	case NR_RECVFROM:
		return VIA_RECVFROM;
	case NR_SENDMSG:
		return VIA_SENDMSG;
	case NR_RECVMSG:
		return VIA_RECVMSG;
	case NR_PREADV:
		return VIA_PREADV;
	case NR_PWRITEV:
		return VIA_PWRITEV;
	case NR_PREADV2:
		return VIA_PREADV2;
	case NR_PWRITEV2:
		return VIA_PWRITEV2;
	case NR_SENDMMSG:
		return VIA_SENDMMSG;
	case NR_RECVMMSG:
		return VIA_RECVMMSG;
	default:
		return VIA_VMSPLICE;
	}
}

#define SOCKET_READS (VIA_READ | VIA_READV | VIA_RECVFROM | VIA_RECVMSG | VIA_RECVMMSG)
#define SOCKET_WRITES (VIA_SENDTO | VIA_SENDMSG | VIA_SENDMMSG)

/* By thread: the number of the call that was counted already. A hash, because thread ids are sparse; an entry lives until
 * its call ends.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} counted SEC(".maps");

/* The number of entries: mostly 0, and then the ends of calls need not search. */
__s64 counted_now;

/* Notes that the current call is counted; returns -EEXIST if it was already, another error if it cannot be noted. */
static __always_inline long note_counted(__u64 nr)
{
	__u64 thread = bpf_get_current_pid_tgid();
	long failed = bpf_map_update_elem(&counted, &thread, &nr, BPF_NOEXIST);

	if (!failed)
		__sync_fetch_and_add(&counted_now, 1);
	return failed;
}

/* True if the current call, which ends, is counted already. */
static __always_inline bool take_counted(__u64 nr)
{
	__u64 thread, *noted;
	bool same;

	if (counted_now <= 0)
		return false;
	thread = bpf_get_current_pid_tgid();
	noted = bpf_map_lookup_elem(&counted, &thread);
	if (!noted)
		return false;
	same = *noted == nr;
	if (!bpf_map_delete_elem(&counted, &thread))
		__sync_fetch_and_add(&counted_now, -1);
	return same;
}

/* Counts what the current call moves to or from the file that the kernel works with, if the call is one of `ways`. */
static __always_inline void count_early(__u64 file, __s64 ret, __u32 ways, __u32 flags)
{
	struct call call = {.regs = current_regs(), .ret = ret};
	struct task_struct *task = current_task();
	struct use use = {.file = file, .bytes = ret, .fd = -1};
	bool takes = true;
	long failed;

	if (ret < 0 || !file || !are_files_shared(task) || task->flags & (PF_KTHREAD | PF_IO_WORKER))
		return;
	name_call(&call);
	use.via = via_of(call.nr);
	if (!(use.via & ways) || !is_traced(KIND_USAGE, task))
		return;
	use.direction = use.via & READERS ? USAGE_READ : USAGE_WRITTEN;
	if (file_of(task, (__s32)call_arg(&call, 0)) == file)
		use.fd = call_arg(&call, 0);
	if (use.via & (VIA_RECVFROM | VIA_RECVMSG))
		takes = received(&use, &call);
	else if (flags & TAKES_NOTHING)
		takes = false;
	/* The messages of one call are counted one by one. */
	failed = note_counted(call.nr);
	use.again = failed == -EEXIST;
	if (failed && !(use.again && use.via & (VIA_RECVMMSG | VIA_SENDMMSG)))
		return;
	if (takes)
		count_use(task, &use);
}

/* The same for a socket. Requests of io_uring pass here, too, also in the middle of another call: what threads with rings
 * do is counted when their calls end. Sockets of the kernel itself have no file.
 */
static __always_inline void count_socket(__u64 sock, __s32 ret, __u32 ways, __u32 flags)
{
	struct task_struct *task = current_task();
	__u64 socket = 0, file = 0;

	if (!are_files_shared(task) || (bpf_core_field_exists(struct task_struct, io_uring) && task->io_uring))
		return;
	READ(&socket, sock, struct sock, sk_socket);
	if (socket)
		READ(&file, socket, struct socket, file);
	count_early(file, ret, ways, flags);
}

#endif
