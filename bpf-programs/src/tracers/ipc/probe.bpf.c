// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* System V shared memory and message queues, POSIX message queues. The kernel's object is found by its id, so the key, the
 * size and the segment's file are read from the object itself.
 */
#include "ipc_types.h"
#include "misc_calls.h"

/* Bits of act_record.ids[0] above the key: what is known of the object. */
#define HAS_KEY (1ULL << 32)
#define HAS_ID (1ULL << 33)
#define HAS_SIZE (1ULL << 34)

#define IPC_RMID 0
#define IPC_INFO 3 /* this command, SHM_INFO and MSG_INFO are about no object */
#define SHM_INFO 14
#define MSG_INFO 12
#define SHM_STAT 13 /* the commands *_STAT take an index, and return the id */
#define SHM_STAT_ANY 15
#define MSG_STAT 11
#define MSG_STAT_ANY 13
#define COMMAND(r) ((r)->args[1] & 0xff) /* without IPC_64 */

#define INDEX_BITS 0x7fff /* of an id, without the boot parameter ipcmni_extend */
/* Returns the object with this id below the head of its namespace's table; 0 if there is none. */
static __always_inline __u64 find_object(__u64 head, __u32 id)
{
	__u64 object = object_of_number(head, id & INDEX_BITS);
	__u32 found = 0;

	READ(&found, object, struct kern_ipc_perm, id);
	return object && found == id ? object : 0;
}

static __always_inline bool is_memory(__u32 nr)
{
	return nr == NR_SHMGET || nr == NR_SHMAT || nr == NR_SHMCTL;
}

static __always_inline bool is_queue(__u32 nr)
{
	return nr == NR_MSGGET || nr == NR_MSGSND || nr == NR_MSGRCV || nr == NR_MSGCTL;
}

/* Returns the id of the object that the call is about; negative if it has none. */
static __always_inline __s32 id_of(struct act_record *r)
{
	__u32 command = COMMAND(r);

	if (r->call == NR_SHMGET || r->call == NR_MSGGET)
		return r->ret;
	if (r->call == NR_SHMCTL) {
		if (command == SHM_STAT || command == SHM_STAT_ANY)
			return r->ret;
		return command == IPC_INFO || command == SHM_INFO ? -1 : (__s32)r->args[0];
	}
	if (r->call == NR_MSGCTL) {
		if (command == MSG_STAT || command == MSG_STAT_ANY)
			return r->ret;
		return command == IPC_INFO || command == MSG_INFO ? -1 : (__s32)r->args[0];
	}
	return r->args[0];
}

/* Fills in key, size and file of the object with this id. */
static __always_inline void put_object(struct scratch *s, struct task_struct *task, struct act_record *r, __u64 ns,
				       __u32 id)
{
	__u64 head = 0, object, size = 0, file = 0;
	__u32 key = 0;

	if (is_memory(r->call))
		COPY(&head, ns, struct ipc_namespace, ids[2].ipcs_idr.idr_rt.xa_head);
	else
		COPY(&head, ns, struct ipc_namespace, ids[1].ipcs_idr.idr_rt.xa_head);
	object = find_object(head, id);
	if (!object)
		return;
	READ(&key, object, struct kern_ipc_perm, key);
	r->ids[0] |= HAS_KEY | key;
	if (!is_memory(r->call))
		return;
	READ(&size, object, struct shmid_kernel, shm_segsz);
	READ(&file, object, struct shmid_kernel, shm_file);
	r->ids[0] |= HAS_SIZE;
	r->ids[1] = size;
	if (file)
		put_file(s, task, file, &r->file, &r->path);
}

/* Fills in the IPC namespace and the object of System V. */
__noinline int fill_ipc(struct scratch *s)
{
	struct task_struct *task = current_task();
	struct act_record *r;
	__u64 ns = 0;
	__u32 inum = 0;
	__s32 id;

	if (!s)
		return 0;
	r = (struct act_record *)s->record;
	READ(&ns, (__u64)task->nsproxy, struct nsproxy, ipc_ns);
	READ(&inum, ns, struct ipc_namespace, ns.inum);
	r->ids[2] = inum;
	if (!is_memory(r->call) && !is_queue(r->call))
		return 0;
	if (r->call == NR_SHMGET || r->call == NR_MSGGET)
		r->ids[0] = HAS_KEY | (__u32)r->args[0];
	if (r->call == NR_SHMGET) {
		r->ids[0] |= HAS_SIZE;
		r->ids[1] = r->args[1];
	}
	id = id_of(r);
	if (id < 0)
		return 0;
	r->ids[0] |= HAS_ID;
	r->ids[3] = id;
	/* An object that is being removed has lost its key. */
	if ((r->call == NR_SHMCTL || r->call == NR_MSGCTL) && COMMAND(r) == IPC_RMID)
		return 0;
	put_object(s, task, r, ns, id);
	return 0;
}

/* Returns bits ACT_*, which say where the text and the queue's descriptor are in a call's arguments. */
static __always_inline __u32 how_called(__u32 nr)
{
	if (nr == NR_MQ_OPEN)
		return 1 | ACT_MADE | ACT_NAMED;
	if (nr == NR_MQ_TIMEDSEND || nr == NR_MQ_TIMEDRECEIVE)
		return ACT_GIVEN;
	return nr == NR_MQ_UNLINK ? 1 : 0;
}

/* True if the call is a shmat() that succeeded. Its result, an address, does not fit into a row: the address becomes an
 * argument, and the result 0.
 */
static __always_inline bool has_address(struct call *call)
{
	return call->nr == NR_SHMAT && (__u64)call->ret < (__u64)-4095;
}

/* Fills in the address of attached memory. For ipc() the kernel has written the address to the caller's memory, where it
 * may have changed since.
 */
static __always_inline void put_attached(struct act_record *r, struct call *call)
{
	__u32 address = 0;

	r->args[5] = call->ret;
	if ((call->abi & CALL_IPC) != CALL_IPC)
		return;
	bpf_probe_read_user(&address, sizeof(address), (void *)syscall_compat_arg(call->regs, 3));
	r->args[5] = address;
	r->header.flags |= FLAG_UNVERIFIED;
}

SYSCALL_EXIT(ipc_exit)
{
	struct scratch *s = begin_act(KIND_IPC, call, has_address(call) ? 0 : call->ret);

	if (!s)
		return;
	fill_act(s, how_called(call->nr), call->abi);
	if (has_address(call))
		put_attached((struct act_record *)s->record, call);
	fill_ipc(s);
	emit_data(s, KIND_IPC);
	give_back(s);
}
