// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* A program that does nothing at the end of a kernel function. Where it can be attached, tier function works
 * (trampolines.rs).
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

SEC("fexit")
int nothing(__u64 *ctx __attribute__((unused)))
{
	return 0;
}
