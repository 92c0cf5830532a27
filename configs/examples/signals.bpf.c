/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Signals: a record for each one that is generated, with sender and target. See signals.toml. */
#include "duetector.h"

enum signal_number {
	SIGHUP = 1, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGUSR1, SIGSEGV, SIGUSR2,
	SIGPIPE, SIGALRM, SIGTERM, SIGCHLD = 17, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU,
};
enum signal_result { DELIVERED, IGNORED, ALREADY_PENDING, OVERFLOW_FAIL, LOSE_INFO };

struct sent {
	DUETECTOR_COMMON; /* the sender */
	enum signal_number signal;
	enum signal_result result;
	int code;
	__u32 target_tid;
	char target_comm[16];
};
DUETECTOR_RING(signals, sent, 256 * 1024);

/* Arguments as tracefs describes them: events/signal/signal_generate/format. */
struct trace_event_raw_signal_generate {
	int sig, code, pid, result;
	char comm[16];
} __attribute__((preserve_access_index));

/* Signals below this are not recorded. */
const volatile int min_signal = 1;

SEC("tracepoint/signal/signal_generate")
int on_signal(struct trace_event_raw_signal_generate *ctx)
{
	struct sent *sent;

	if (ctx->sig < min_signal || ctx->sig == SIGCHLD || duetector_is_agent())
		return 0;
	sent = duetector_reserve(&signals, sizeof(*sent));
	if (!sent)
		return 0;
	duetector_fill_common(sent);
	sent->signal = ctx->sig;
	sent->result = ctx->result;
	sent->code = ctx->code;
	sent->target_tid = ctx->pid;
	bpf_probe_read_kernel(sent->target_comm, sizeof(sent->target_comm), ctx->comm);
	bpf_ringbuf_submit(sent, 0);
	return 0;
}
