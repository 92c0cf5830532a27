/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Names that processes resolve: a record for each call of libc's getaddrinfo(). See lookup.toml. */
#include "duetector.h"

struct lookup {
	DUETECTOR_COMMON;
	char node[256];   /* the name; empty if only a service was given */
	char service[32];
};
DUETECTOR_RING(lookups, lookup, 256 * 1024);

SEC("uprobe")
int BPF_KPROBE(on_getaddrinfo, const char *node, const char *service)
{
	struct lookup *lookup;

	if (duetector_is_agent())
		return 0;
	lookup = duetector_reserve(&lookups, sizeof(*lookup));
	if (!lookup)
		return 0;
	duetector_fill_common(lookup);
	lookup->node[0] = lookup->service[0] = 0;
	bpf_probe_read_user_str(lookup->node, sizeof(lookup->node), node);
	bpf_probe_read_user_str(lookup->service, sizeof(lookup->service), service);
	bpf_ringbuf_submit(lookup, 0);
	return 0;
}
