/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The usage ledger: what each process did with each file, summed up here and flushed from time to time, so that
 * sums stay exact however fast calls come. It has two buffers (`side` 0 and 1). Programs write to one. The
 * agent swaps them, waits until no program is left that saw the old setting, and flushes the other
 * (src/ledger). So nothing is added to an entry while it is taken out.
 */
#ifndef DUETECTOR_LEDGER_H
#define DUETECTOR_LEDGER_H

#include "file.h"
#include "shares.h"

/* An entry holds the beginning of its path; the rest of a longer one is in parts. The kernel allocates elements of such
 * maps in sizes that are powers of two, and has 56 bytes in each besides key and value: entries take 1024 bytes, parts 512.
 */
#define ELEMENT(size, key, fields) ((size) - 56 - sizeof(key) - (fields))
#define USAGE_FIRST ELEMENT(1024, struct usage_key, sizeof(__u64) + sizeof(struct usage_record))
#define USAGE_PART ELEMENT(512, struct usage_part_key, 0)
#define USAGE_PARTS ((PATH_LIMIT - USAGE_FIRST) / USAGE_PART + 2)
#define PART_AT(part) (USAGE_FIRST + ((part) - 1) * USAGE_PART)
#define PIPEFS_MAGIC 0x50495045

struct usage_part_key {
	struct usage_key key;
	__u32 side;
	__u32 part;
};

/* The record as it will be emitted. */
struct usage_entry {
	__u64 owner;
	struct usage_record record;
	__u8 names[USAGE_FIRST];
};

struct usage_part {
	__u8 names[USAGE_PART];
};

/* The entries that may exist for a descriptor. Only a hint for when it is closed: what it misses is flushed by
 * the next sweep.
 */
struct usage_fd {
	__u32 tgid;
	__s32 fd;
};

struct usage_hint {
	struct usage_key key;
	__u32 directions;
	__u32 pad;
};

/* Not preallocated: kernel memory is used as entries are added. */
#define USAGE_MAP(map_type, flags, entries, name, key_type, value_type)                                      \
	struct {                                                                                             \
		__uint(type, map_type);                                                                      \
		__uint(max_entries, entries);                                                                \
		__uint(map_flags, flags);                                                                    \
		__type(key, key_type);                                                                       \
		__type(value, value_type);                                                                   \
	} name SEC(".maps")

USAGE_MAP(BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, 16384, usage_0, struct usage_key, struct usage_entry);
USAGE_MAP(BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, 16384, usage_1, struct usage_key, struct usage_entry);
USAGE_MAP(BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, PARTS_FOR(16384), usage_parts, struct usage_part_key, struct usage_part);
USAGE_MAP(BPF_MAP_TYPE_LRU_HASH, 0, 16384, usage_fds, struct usage_fd, struct usage_hint);

static __always_inline struct usage_entry *find_entry(__u32 side, const struct usage_key *key)
{
	return side ? bpf_map_lookup_elem(&usage_1, key) : bpf_map_lookup_elem(&usage_0, key);
}

#endif
