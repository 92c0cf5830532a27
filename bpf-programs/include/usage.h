/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Adds one read, write or map to the usage ledger. */
#ifndef DUETECTOR_USAGE_H
#define DUETECTOR_USAGE_H

#include "ledger.h"
#include "sock.h"
#include "system_files.h"

#define EEXIST 17

/* A use of a file: what was moved or mapped, and how. */
struct use {
	__u64 file;
	__u64 bytes;
	__u64 low; /* maps only */
	__u64 high;
	__u32 direction;
	__u32 via;
	__u32 protection;
	__s32 fd; /* -1: none or unknown */
	bool again; /* the call is counted already, and only its bytes are added */
	bool unverified; /* the descriptor may have been another file's */
};

/* Fills in the ledger's key; false if files of this type are not recorded. */
static __always_inline bool usage_key_of(struct usage_key *key, struct task_struct *task, const struct use *use,
					 __u32 files)
{
	__u64 inode = 0, super = 0, magic = 0;
	__u32 type;
	__u16 mode = 0;

	READ(&inode, use->file, struct file, f_inode);
	READ(&mode, inode, struct inode, i_mode);
	READ(&super, inode, struct inode, i_sb);
	type = mode >> 12;
	if (type == 1 /* FIFO */) {
		READ(&magic, super, struct super_block, s_magic);
		if (magic == PIPEFS_MAGIC)
			type = USAGE_PIPES;
	}
	if (!(files & 1U << type))
		return false;
	READ(&key->ino, inode, struct inode, i_ino);
	READ(&key->generation, inode, struct inode, i_generation);
	READ(&key->dev, super, struct super_block, s_dev);
	read_path(&key->mnt, use->file);
	key->tgid = task->tgid;
	key->start_ns = task->group_leader->start_boottime;
	key->direction = use->direction;
	return true;
}

/* Adds a use to an entry. Several threads may do so at once. */
static __always_inline void add_use(struct usage_record *r, const struct use *use)
{
	__u64 tick = bpf_jiffies64();

	if (r->tick != tick) {
		r->tick = tick;
		r->last_ns = bpf_ktime_get_boot_ns();
		if (!r->first_ns)
			r->first_ns = r->last_ns;
	}
	if ((r->via & use->via) != use->via)
		__sync_fetch_and_or(&r->via, use->via);
	if (!use->again)
		__sync_fetch_and_add(&r->calls, 1);
	if (use->unverified && !(r->header.flags & FLAG_UNVERIFIED))
		__sync_fetch_and_or(&r->header.flags, FLAG_UNVERIFIED);
	__sync_fetch_and_add(&r->bytes, use->bytes);
	if (use->direction != USAGE_MAPPED)
		return;
	__sync_fetch_and_or(&r->protection, use->protection);
	if (use->low < r->low)
		r->low = use->low;
	if (use->high > r->high)
		r->high = use->high;
}

/* Keeps the parts of a long path, after the first; false if there is no room for all, or no share. */
static __always_inline bool keep_parts(struct scratch *s, const struct usage_key *key, __u32 side, __u32 room)
{
	struct usage_record *r = (struct usage_record *)s->record;
	struct usage_part_key part = {.key = *key, .side = side};
	__u64 owner = s->kept.owner;
	long failed;

	if (!may_add(owner, IN_USAGE_PARTS, PARTS_FOR(room)))
		return false;
	for (__u32 i = 1; i < USAGE_PARTS; i++) {
		if (PART_AT(i) >= r->path.len)
			break;
		part.part = i;
		failed = bpf_map_update_elem(&usage_parts, &part, &s->record[sizeof(*r) + PART_AT(i)], BPF_NOEXIST);
		if (failed && failed != -EEXIST)
			return false;
		if (!failed)
			count_entries(owner, IN_USAGE_PARTS, 1); /* one by one, as in drop_entry() */
	}
	return true;
}

/* Adds a record to the ledger; false if there is no room, or another CPU was first. Not global: before 6.5 a
 * global function's argument cannot be a map's key or value.
 */
static __noinline bool keep_entry(struct scratch *s, const struct usage_key *key, __u32 side, __u32 room)
{
	struct usage_record *r;
	__u64 owner;

	if (!s || !key)
		return false;
	r = (struct usage_record *)s->record;
	owner = s->kept.owner;
	if (side ? !ADD_ENTRY(usage_1, IN_USAGE_1, room, key, &s->kept.owner, owner) :
		   !ADD_ENTRY(usage_0, IN_USAGE_0, room, key, &s->kept.owner, owner))
		return false;
	/* Without all its parts a long path is marked as incomplete. */
	if (r->path.len > USAGE_FIRST && !keep_parts(s, key, side, room))
		count_seen(COUNT_USAGE_CUT);
	return true;
}

/* Remembers the entry for when the descriptor is closed. */
static __always_inline void remember_fd(const struct usage_key *key, __s32 fd)
{
	struct usage_fd at = {.tgid = key->tgid, .fd = fd};
	struct usage_hint *known = bpf_map_lookup_elem(&usage_fds, &at);
	struct usage_hint hint = {.key = *key, .directions = 1U << (key->direction & 31)};

	if (known && known->key.ino == key->ino && known->key.mnt == key->mnt && known->key.dentry == key->dentry &&
	    known->key.dev == key->dev && known->key.generation == key->generation &&
	    known->key.start_ns == key->start_ns)
		hint.directions |= known->directions;
	bpf_map_update_elem(&usage_fds, &at, &hint, BPF_ANY);
}

#define SHARED (1U << 8) /* MAP_SHARED in usage_record.protection */
#define PROT_WRITE 2

/* Leaves FILE_OF_SYSTEM set only if the file was only read. A map that others share may write to it, or be made to, if its
 * descriptor was open for writing.
 */
static __always_inline void settle_system_file(struct usage_record *r)
{
	bool may_write = r->protection & SHARED && (r->protection & PROT_WRITE || r->flags & 3);

	if (r->direction == USAGE_WRITTEN || may_write)
		r->file.known &= ~FILE_OF_SYSTEM;
}

/* Makes the record of a use; NULL, and counted as lost, if there is no scratch space. */
static __always_inline struct scratch *begin_use(struct task_struct *task, const struct use *use)
{
	struct scratch *s = take_scratch();
	struct usage_record *r;
	bool is_system;

	if (!s) {
		count_seen(KIND_USAGE);
		count_lost(KIND_USAGE);
		return NULL;
	}
	r = (struct usage_record *)s->record;
	__builtin_memset(r, 0, sizeof(*r));
	fill_header(s, task, KIND_USAGE, true);
	r->first_ns = r->last_ns = r->header.time_ns;
	r->bytes = use->bytes;
	r->calls = !use->again;
	r->header.flags |= use->unverified ? FLAG_UNVERIFIED : 0;
	r->low = use->low;
	r->high = use->high;
	r->direction = use->direction;
	r->via = use->via;
	r->protection = use->protection;
	READ(&r->flags, use->file, struct file, f_flags);
	s->size = sizeof(*r);
	s->kept.owner = owner_of_record(s);
	set_walk_to_file(s, use->file);
	is_system = use->direction != USAGE_WRITTEN && system_file(s) == SYSTEM_FILE;
	put_file(s, task, use->file, &r->file, &r->path);
	if (is_system)
		r->file.known |= FILE_OF_SYSTEM;
	s->sock = sock_of(use->file);
	if (s->sock)
		put_socket_ids(s, &r->socket);
	return s;
}

/* Emits a use that the ledger has no room for, or no share of it. */
static __always_inline void emit_use(struct scratch *s)
{
	struct usage_record *r = (struct usage_record *)s->record;
	__u32 filter;

	count_seen(COUNT_USAGE_FULL);
	count_seen(KIND_USAGE);
	settle_system_file(r);
	filter = system_filter(KIND_USAGE, r->file.known);
	if (filter)
		count_filtered(KIND_USAGE, filter - 1);
	else
		emit_data(s, KIND_USAGE);
}

/* Adds an entry: for the first use of a file by a process, or the first since the entry was flushed. */
static __always_inline void begin_entry(struct task_struct *task, const struct use *use, const struct usage_key *key,
					struct settings *set, __u32 side)
{
	struct scratch *s = begin_use(task, use);
	struct usage_entry *entry;

	if (!s)
		return;
	if (keep_entry(s, key, side, set->usage_room)) {
		if (use->fd >= 0)
			remember_fd(key, use->fd);
		return give_back(s);
	}
	entry = find_entry(side, key);
	if (entry) /* another CPU was first */
		add_use(&entry->record, use);
	else
		emit_use(s);
	give_back(s);
}

/* Counts a use of a file by `task`. */
static __always_inline void count_use(struct task_struct *task, const struct use *use)
{
	struct settings *set = get_settings();
	struct usage_entry *entry;
	struct usage_key key;
	__u32 side;

	if (!set || !use->file || !is_traced(KIND_USAGE, task))
		return;
	if (!usage_key_of(&key, task, use, set->usage_files))
		return;
	side = set->usage_side;
	entry = find_entry(side, &key);
	if (entry)
		add_use(&entry->record, use);
	else
		begin_entry(task, use, &key, set, side);
}

/* Counts bytes read from or written to the file behind a descriptor, for calls with two files. A global function for each file
 * alone, because the stack is full in the longest chain of calls.
 */
__noinline int count_side(__s32 fd, __u64 bytes, __u32 via, __u32 unverified, __u32 direction)
{
	struct task_struct *task = current_task();
	struct use use = {.bytes = bytes, .fd = fd, .via = via, .direction = direction};

	use.file = file_of(task, fd);
	use.unverified = unverified || are_files_shared(task) || is_answered_for(task);
	count_use(task, &use);
	return 0;
}

/* Counts a use for programs that saw the call in another way: `file` is the address of a struct file, `direction`
 * USAGE_READ or USAGE_WRITTEN, `bytes` the call's result (0 or more), `via` one of VIA_*.
 */
static __always_inline void usage_add(struct task_struct *task, __u64 file, __u32 direction, __u64 bytes, __u32 via)
{
	struct use use = {.file = file, .bytes = bytes, .direction = direction, .via = via, .fd = -1};

	count_use(task, &use);
}

#endif
