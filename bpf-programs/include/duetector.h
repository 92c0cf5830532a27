/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* For the C programs of templates ([tracer.template.bpf.<name>]). The agent puts this file on the include path
 * when it compiles one; `duetector-actors tracers header` prints it for use with another build system.
 *
 * A record's struct is decoded by its own type information: each field becomes a named field of the row. Fields
 * named timestamp (nanoseconds since boot), pid, uid, gid, comm, cwd, fname, tid, ppid and ret fill the columns
 * of these names; all others go into `extended`.
 */
#ifndef DUETECTOR_H
#define DUETECTOR_H

#ifndef __VMLINUX_H__
#include <linux/bpf.h>
#include <linux/ptrace.h>

struct task_struct {
	struct task_struct *group_leader;
	__u64 start_boottime;
} __attribute__((preserve_access_index));
#endif
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

/* Types that are shown as IP addresses: four and sixteen bytes in network order. */
typedef __be32 ipv4_t;
typedef struct {
	__u8 bytes[16];
} ipv6_t;

/* The fields that most records begin with: time, process, thread, user, group and command name. A pid and its
 * start_boottime become `exec_id`, by which the agent finds working folder, executable and container.
 */
#define DUETECTOR_COMMON                                                                                     \
	__u64 timestamp;                                                                                     \
	__u64 start_boottime;                                                                                \
	__u32 pid, tid, uid, gid;                                                                            \
	char comm[16]

#define duetector_fill_common(record)                                                                        \
	do {                                                                                                 \
		__u64 ids = bpf_get_current_pid_tgid(), user = bpf_get_current_uid_gid();                    \
		struct task_struct *task = (struct task_struct *)bpf_get_current_task();                     \
		(record)->timestamp = bpf_ktime_get_boot_ns();                                               \
		(record)->start_boottime = BPF_CORE_READ(task, group_leader, start_boottime);                \
		(record)->pid = ids >> 32;                                                                   \
		(record)->tid = ids;                                                                         \
		(record)->uid = user;                                                                        \
		(record)->gid = user >> 32;                                                                  \
		bpf_get_current_comm((record)->comm, sizeof((record)->comm));                                \
	} while (0)

/* Defines a ring for records of one type; `bytes` is a power of two and a multiple of the page size. */
#define DUETECTOR_RING(name, record, bytes)                                                                  \
	struct {                                                                                             \
		__uint(type, BPF_MAP_TYPE_RINGBUF);                                                          \
		__uint(max_entries, bytes);                                                                  \
	} name SEC(".maps");                                                                                 \
	DUETECTOR_RECORD(record)

/* Brings a record's type into the object's type information. */
#define DUETECTOR_RECORD(record) const struct record *duetector_record_##record __attribute__((unused))

/* The count of records that found their ring full; the agent counts them as lost. Without this map such losses
 * are not known.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} duetector_lost SEC(".maps");

/* Set by the agent: its own process, as numbered in its own pid namespace. */
const volatile __u32 agent_tgid = 0;
const volatile __u64 agent_pidns_dev = 0;
const volatile __u64 agent_pidns_ino = 0;

static __always_inline void duetector_count_lost(void)
{
	__u32 zero = 0;
	__u64 *lost = bpf_map_lookup_elem(&duetector_lost, &zero);

	if (lost)
		__sync_fetch_and_add(lost, 1);
}

/* Reserves room for a record in a ring, to be passed to bpf_ringbuf_submit or bpf_ringbuf_discard. NULL, and
 * counted as lost, if there is none.
 */
#define duetector_reserve(ring, size)                                                                        \
	({                                                                                                   \
		void *reserved = bpf_ringbuf_reserve(ring, size, 0);                                         \
		if (!reserved)                                                                               \
			duetector_count_lost();                                                              \
		reserved;                                                                                    \
	})

/* Sends a record through a perf buffer (BPF_MAP_TYPE_PERF_EVENT_ARRAY); counted as lost if there is no room. */
#define duetector_output(ctx, map, record, size)                                                             \
	do {                                                                                                 \
		if (bpf_perf_event_output(ctx, map, BPF_F_CURRENT_CPU, record, size))                        \
			duetector_count_lost();                                                              \
	} while (0)

/* True if the current process is the agent, which should not be recorded. */
static __always_inline int duetector_is_agent(void)
{
	struct bpf_pidns_info own = {};

	return !bpf_get_ns_current_pid_tgid(agent_pidns_dev, agent_pidns_ino, &own, sizeof(own)) &&
	       own.tgid == agent_tgid;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#endif
