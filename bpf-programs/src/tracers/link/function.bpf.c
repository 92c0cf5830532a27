// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* link, linkat, symlink, symlinkat at the functions that do the work. */
#include "names.h"

#if TIER == FUNCTION

POSITION(linkat_old);
POSITION(linkat_new);
POSITION(linkat_olddfd);
POSITION(linkat_newdfd);
POSITION(linkat_flags);
POSITION(symlinkat_dfd);
POSITION(link_old);
POSITION(link_new);
POSITION(symlinkat_from);
POSITION(symlinkat_to);

FUNCTION_ENTRY(link_begins)
{
	struct worked worked = {
		.nr = NR_LINKAT,
		.fd = argument(ctx, linkat_olddfd),
		.fd2 = argument(ctx, linkat_newdfd),
		.a = (__u32)argument(ctx, linkat_flags),
	};
	struct doing *now = begin_names(KIND_LINK, argument(ctx, linkat_old), &worked);

	if (now)
		now->name2 = argument(ctx, linkat_new);
	keep_asked(now);
	return 0;
}

/* Appends the path of a dentry in the mount of the path that was resolved last. */
static __always_inline void put_dentry(struct scratch *s, struct doing *now, __u64 dentry, struct text *text)
{
	s->walk.dentry = dentry;
	s->walk.mnt = now->mnt;
	put_path(s, current_task(), text);
	text->flags |= TEXT_RESOLVED;
}

/* vfs_link: the file, and both names, which are always in one mount. */
FUNCTION_ENTRY(link_file)
{
	__u64 from = argument(ctx, link_old), to = argument(ctx, link_new);
	struct doing *now = doing_now(KIND_LINK);
	struct fs_record *r;
	struct scratch *s;

	if (!now || now->object)
		return 0;
	now->object = now->kept = 1;
	s = begin_record(now);
	if (!s)
		return 0;
	r = (struct fs_record *)s->record;
	put_asked(s, s->given.path, true, &r->asked);
	put_dentry(s, now, from, &r->base);
	put_asked(s, s->given.path2, true, &r->asked2);
	put_dentry(s, now, to, &r->base2);
	put_nothing(&r->word);
	note_file(s, from, &now->id);
	keep_record(s, now);
	give_back(s);
	return 0;
}

NAMES_EXIT(link_ends, KIND_LINK, linkat_result)

FUNCTION_ENTRY(symlink_begins)
{
	struct worked worked = {.nr = NR_SYMLINKAT, .fd = argument(ctx, symlinkat_dfd)};
	struct doing *now = begin_names(KIND_LINK, argument(ctx, symlinkat_to), &worked);

	if (now)
		now->word = argument(ctx, symlinkat_from);
	return 0;
}

NAMES_MADE(symlink_made, KIND_LINK, symlink_dentry, symlink_result)
NAMES_EXIT(symlink_ends, KIND_LINK, symlinkat_result)

#endif
