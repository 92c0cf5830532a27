/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Renames of files: a record for each call, also for those that failed. See renames.toml. */
#include "duetector.h"

struct renamed {
	DUETECTOR_COMMON;
	long ret;
	char fname[256]; /* the old name, as passed to the call */
	char to[256];
};
DUETECTOR_RING(renames, renamed, 1024 * 1024);

/* Arguments as tracefs describes them: events/syscalls/sys_{enter,exit}_rename*. */
struct trace_event_raw_sys_enter { unsigned long args[6]; } __attribute__((preserve_access_index));
struct trace_event_raw_sys_exit { long ret; } __attribute__((preserve_access_index));

/* Pending calls, by thread. LRU, so that a call that never returns is pushed out by others. */
struct asked { const char *from, *to; };
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct asked);
} pending SEC(".maps");

static __always_inline int remember(unsigned long from, unsigned long to)
{
	struct asked asked = {(const char *)from, (const char *)to};
	__u64 thread = bpf_get_current_pid_tgid();

	if (!duetector_is_agent())
		bpf_map_update_elem(&pending, &thread, &asked, BPF_ANY);
	return 0;
}
SEC("tracepoint") int on_rename(struct trace_event_raw_sys_enter *ctx) { return remember(ctx->args[0], ctx->args[1]); }
SEC("tracepoint") int on_renameat(struct trace_event_raw_sys_enter *ctx) { return remember(ctx->args[1], ctx->args[3]); }

/* Names are read when the call returns: before it, their pages may not be present. */
SEC("tracepoint") int on_return(struct trace_event_raw_sys_exit *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct asked *asked = bpf_map_lookup_elem(&pending, &thread);
	struct renamed *renamed = asked ? duetector_reserve(&renames, sizeof(*renamed)) : NULL;

	if (renamed) {
		duetector_fill_common(renamed);
		renamed->ret = ctx->ret;
		renamed->fname[0] = renamed->to[0] = 0;
		bpf_probe_read_user_str(renamed->fname, sizeof(renamed->fname), asked->from);
		bpf_probe_read_user_str(renamed->to, sizeof(renamed->to), asked->to);
		bpf_ringbuf_submit(renamed, 0);
	}
	bpf_map_delete_elem(&pending, &thread);
	return 0;
}
