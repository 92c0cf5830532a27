/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Filters, as far as the kernel side can decide them. A filter is a set of rules, a rule is a series of tests
 * that must all hold; they read the record as it would be sent. If a rule holds, the record is dropped and
 * counted for its filter.
 *
 *     map tests:   | t t t* | t* | t t* |  …       * last test of a rule: with it the rule holds, or not
 *     for a record:  ──early──────► paths known ──the rest──►     (tests_done remembers how far)
 */
#ifndef DUETECTOR_RULES_H
#define DUETECTOR_RULES_H

#include "cgroup_rules.h"
#include "ancestry.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * TEST_BANK);
	__type(key, __u32);
	__type(value, struct test);
} tests SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FILTER_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} filtered_by SEC(".maps");

/* The sets of prefixes that a path is in. A trie, because one lookup finds the longest prefix that fits; the
 * value of a prefix has the sets of all shorter ones too. A path ends in NUL, so that a prefix can be a whole
 * path.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, PATH_PREFIXES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct path_key);
	__type(value, __u64);
} path_sets SEC(".maps");

/* The parts of settings.rules. */
#define RULES_BASE(rules) ((__u32)(rules) & 0xffff)
#define RULES_EARLY(rules) ((__u32)((rules) >> 16) & 0xffff)
#define RULES_END(rules) ((__u32)((rules) >> 32) & 0xffff)
#define RULES_PATHS(rules) ((rules) >> 48)

static __always_inline __u64 get_rules(void)
{
	struct settings *set = get_settings();

	return set ? set->rules : 0;
}

/* Kinds without a `ret` in their rows. */
#define KINDS_WITHOUT_RET (KINDS_OF_CLONE | KINDS_OF_EXIT | KINDS_OF_USAGE | KINDS_OF_PROCESS)
_Static_assert((KINDS_OF_OPEN | KINDS_OF_EXEC | KINDS_OF_SOCKET | KINDS_OF_DNS | KINDS_OF_FS | KINDS_OF_ACT |
		KINDS_WITHOUT_RET) == KINDS,
	       "ret_of knows all families");

/* The row's `ret`, for kinds where it is known. */
static __always_inline bool ret_of(struct header *h, __s64 *ret)
{
	__u64 kind = 1ULL << (h->kind & 63);
	__u32 nr;

	if (h->flags & FLAG_NO_RESULT)
		return false;
	if (kind & KINDS_OF_OPEN) {
		*ret = ((struct open_record *)h)->ret;
	} else if (kind & KINDS_OF_EXEC) {
		*ret = ((struct exec_record *)h)->ret;
	} else if (kind & (KINDS_OF_SOCKET | KINDS_OF_DNS)) {
		*ret = ((struct sock_record *)h)->ret;
		return h->kind != KIND_UDP || !(((struct sock_record *)h)->flags & SOCK_END);
	} else if (kind & KINDS_OF_FS) {
		*ret = ((struct fs_record *)h)->ret;
	} else if (kind & KINDS_OF_ACT) {
		*ret = ((struct act_record *)h)->ret;
		nr = ((struct act_record *)h)->call;
		return *ret >= 0 || (nr != NR_SETFSUID && nr != NR_SETFSGID); /* they return an id */
	} else {
		return false;
	}
	return true;
}

static __always_inline bool number_of(struct header *h, __u32 field, __s64 *value)
{
	switch (field) {
	case FIELD_PID:
		*value = h->pid;
		return true;
	case FIELD_TID:
		*value = h->tid;
		return true;
	case FIELD_PPID:
		*value = h->ppid;
		return true;
	case FIELD_UID:
		*value = h->euid;
		return true;
	case FIELD_GID:
		*value = h->egid;
		return true;
	case FIELD_CGROUP:
		*value = h->cgroup_id;
		return true;
	case FIELD_PID_NS:
		*value = h->pid_ns;
		return true;
	case FIELD_MNT_NS:
		*value = h->mnt_ns;
		return true;
	default:
		return ret_of(h, value);
	}
}

/* True if the test holds. What is not known does not hold, negated or not. */
static __always_inline bool holds(struct scratch *s, struct test *t)
{
	struct header *h = (struct header *)s->record;
	__u64 *comm = (__u64 *)h->comm;
	__s64 value = 0;
	bool is;

	if (t->field == FIELD_COMM) {
		is = !(((comm[0] ^ t->a) & t->c) | ((comm[1] ^ t->b) & t->d));
	} else if (t->field == FIELD_PATH) {
		if (!s->has_path)
			return false;
		is = s->path_sets & t->a;
	} else if (t->field == FIELD_CGROUP_SET) {
		if (!lookup_cgroup(s))
			return false;
		is = s->cgroup_sets & t->a;
	} else if (t->field == FIELD_TREE) {
		if (!lookup_ancestors(s, t->b))
			return false;
		is = s->tree_bits & t->a;
	} else {
		if (!number_of(h, t->field, &value))
			return false;
		is = value >= (__s64)t->a && value <= (__s64)t->b;
	}
	return is != t->negate;
}

/* Applies one test; returns the filter's slot + 1 if it completes a rule that holds, else 0. A global function,
 * so that it is verified once.
 */
__noinline int apply_test(struct scratch *s, __u32 at)
{
	struct test *t = bpf_map_lookup_elem(&tests, &at);
	__u32 failed;

	if (!s || !t)
		return 0;
	if (!s->failed && (!(t->kinds >> (((struct header *)s->record)->kind & 63) & 1) || !holds(s, t)))
		s->failed = 1;
	if (!t->last)
		return 0;
	failed = s->failed;
	s->failed = 0;
	return failed ? 0 : t->filter + 1;
}

/* Applies up to STRIDE tests before the one at `end`; returns as apply_test. */
__noinline int apply_tests(struct scratch *s, __u32 end)
{
	if (!s)
		return 0;
	for (int i = 0; i < STRIDE && s->tests_done < end; i++) {
		int found = apply_test(s, RULES_BASE(s->rules) + s->tests_done);

		s->tests_done++;
		if (found)
			return found;
	}
	return 0;
}

/* Counts a record that the filter with this slot drops. */
static __always_inline void count_filtered(__u32 kind, __u32 slot)
{
	struct count *count = count_of(kind);
	__u64 *by = bpf_map_lookup_elem(&filtered_by, &slot);

	if (count)
		__sync_fetch_and_add(&count->filtered, 1);
	if (by)
		__sync_fetch_and_add(by, 1);
}

/* True if a filter drops the record, which is then counted. Without `all` only the tests that need no paths are
 * made; with `all` those that were not made yet. Rules may change meanwhile: a record keeps to those it began
 * with.
 */
__noinline int apply_rules(struct scratch *s, __u32 all)
{
	__u32 kind, end;
	int found = 0;

	if (!s)
		return 0;
	if (!s->rules)
		s->rules = get_rules();
	end = all ? RULES_END(s->rules) : RULES_EARLY(s->rules);
	for (int i = 0; i < TEST_BANK / STRIDE && s->tests_done < end && !found; i++)
		found = apply_tests(s, end);
	if (!found)
		return 0;
	kind = ((struct header *)s->record)->kind;
	count_filtered(kind, found - 1);
	return 1;
}

/* For programs in which the first fields cost less than the rest. The record must already be counted as seen.
 */
static __always_inline bool drops_early(struct scratch *s)
{
	return get_rules() && apply_rules(s, false);
}

/* Appends the n-th name from the leaf to the path in reading order; 0 when there is no more room. */
__noinline int put_key_name(struct scratch *s, __u32 n)
{
	__u64 at, len, pos;

	if (!s)
		return 0;
	pos = s->key_len;
	if (pos >= KEY_LIMIT)
		return 0;
	at = s->name_at[n & (WALK_LIMIT - 1)];
	len = (n + 1 < s->walk.names ? s->name_at[(n + 1) & (WALK_LIMIT - 1)] : s->size) - at;
	BOUND(len, KEY_LIMIT);
	BOUND(at, RECORD_LIMIT - KEY_LIMIT);
	BOUND(pos, KEY_LIMIT - 1);
	s->key.bytes[pos] = '/';
	if (len <= SHORT_NAME)
		copy_short(&s->key.bytes[pos + 1], &s->record[at]);
	else
		bpf_probe_read_kernel(&s->key.bytes[pos + 1], len, &s->record[at]);
	s->key_len = pos + len;
	return 1;
}

/* Appends up to STRIDE names, beginning before the n-th from the leaf; 0 when there are no more, or no room. */
__noinline int put_key_names(struct scratch *s, __u32 n)
{
	for (__u32 i = 0; i < STRIDE; i++) {
		if (i >= n || !put_key_name(s, n - 1 - i))
			return 0;
	}
	return 1;
}

/* Finds the sets of the path that was just walked: its names are the end of the record. A path that is not
 * whole, or whose file has no name any more, is left for the agent to check.
 */
__noinline int lookup_path(struct scratch *s, __u32 flags)
{
	struct scratch *own;
	__u64 *sets = NULL;
	__u32 slot;

	if (!s || flags & ~TEXT_PATH)
		return 0;
	s->key_len = 0;
	s->key.bytes[0] = '/';
	s->key.bytes[1] = 0;
	for (__u32 i = 0; i < WALK_LIMIT / STRIDE; i++) {
		__u32 named = i * STRIDE;

		if (named >= s->walk.names || !put_key_names(s, s->walk.names - named))
			break;
	}
	s->key.bits = 8 * KEY_LIMIT;
	/* Before 6.5 a global function's argument cannot be a map's key; a map's value can. */
	slot = s->slot;
	own = bpf_map_lookup_elem(&scratches, &slot);
	if (own)
		sets = bpf_map_lookup_elem(&path_sets, &own->key);
	s->path_sets = sets ? *sets : 0;
	s->has_path = 1;
	return 0;
}

/* Called after the path that becomes the row's `fname`. */
static __always_inline void note_path(struct scratch *s, __u32 flags)
{
	if (RULES_PATHS(get_rules()))
		lookup_path(s, flags);
}

#endif
