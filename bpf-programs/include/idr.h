/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The kernel's tables of objects by number (struct idr, a radix tree). */
#ifndef DUETECTOR_IDR_H
#define DUETECTOR_IDR_H

#include "compat.h"

#define IDR_LEVELS 4 /* of 6 bits each: process ids have 22 */
#define IS_NODE(entry) (((entry)&3) == 2)

/* Returns the object with this number below the table's head; 0 if there is none. Entries are copied, because the verifier
 * allows no arithmetic with a value that it knows to be a pointer. Global: verified once a program.
 */
__noinline __u64 object_of_number(__u64 entry, __u32 number)
{
	for (int i = 0; i < IDR_LEVELS && IS_NODE(entry); i++) {
		__u64 node = entry - 2, slot;
		__u8 shift = 0;

		READ(&shift, node, struct xa_node, shift);
		slot = number >> (shift & 31) & 63;
		bpf_probe_read_kernel(&entry, sizeof(entry),
				      (void *)(node + OFFSET(struct xa_node, slots) + slot * sizeof(entry)));
	}
	return IS_NODE(entry) ? 0 : entry;
}

#endif
