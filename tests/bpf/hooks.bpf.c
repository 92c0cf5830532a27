/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Has a program for each kind of hook; an unlink() by the given user reaches all of them. See
 * tests/tests/bpf_examples.rs.
 */
#include "duetector.h"

enum hook { TRACEPOINT, RAW_TRACEPOINT, BTF_TRACEPOINT, KPROBE, KRETPROBE, FENTRY, FEXIT, LSM, UPROBE, URETPROBE };
enum { UNLINK = 87 }; /* the system call's number on x86-64 */

struct met {
	DUETECTOR_COMMON;
	enum hook hook;
};
DUETECTOR_RING(meetings, met, 256 * 1024);

const volatile __u32 uid = 0;

static __always_inline int meet(enum hook hook)
{
	struct met *met;

	if ((__u32)bpf_get_current_uid_gid() != uid)
		return 0;
	met = duetector_reserve(&meetings, sizeof(*met));
	if (!met)
		return 0;
	duetector_fill_common(met);
	met->hook = hook;
	bpf_ringbuf_submit(met, 0);
	return 0;
}

SEC("tracepoint") int on_tracepoint(void *ctx) { return meet(TRACEPOINT); }
SEC("raw_tracepoint") int on_raw_tracepoint(struct bpf_raw_tracepoint_args *ctx)
{
	return ctx->args[1] == UNLINK ? meet(RAW_TRACEPOINT) : 0;
}
SEC("tp_btf/sys_enter") int BPF_PROG(on_btf_tracepoint, struct pt_regs *regs, long id)
{
	return id == UNLINK ? meet(BTF_TRACEPOINT) : 0;
}
SEC("kprobe") int on_kprobe(void *ctx) { return meet(KPROBE); }
SEC("kretprobe") int on_kretprobe(void *ctx) { return meet(KRETPROBE); }
SEC("fentry") int on_fentry(void *ctx) { return meet(FENTRY); }
SEC("fexit") int on_fexit(void *ctx) { return meet(FEXIT); }
SEC("lsm") int on_lsm(void *ctx) { return meet(LSM); }
SEC("uprobe") int on_uprobe(void *ctx) { return meet(UPROBE); }
SEC("uretprobe") int on_uretprobe(void *ctx) { return meet(URETPROBE); }
