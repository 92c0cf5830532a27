// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* The file that truncate, ftruncate or fallocate works with; the program at the end of the call (probe.bpf.c) adds the result. */
#include "names.h"

#if TIER == FUNCTION

PATH_FOUND(truncate_found, KIND_TRUNCATE, truncate_path)

POSITION(allocated_file);

POSITION(ftruncated_file);
POSITION(ftruncated_path);

/* Notes the file of a call with a descriptor, if the call has this number: other calls use the same functions. */
static __always_inline void note_length_of(__u64 path, __u32 nr)
{
	struct call call = {.regs = current_regs()};

	name_call(&call);
	if (call.nr == nr && !is_of_layer(path - OFFSET(struct file, f_path)))
		note_path_found(KIND_TRUNCATE, path);
}

FUNCTION_ENTRY(fallocate_found)
{
	note_length_of(argument(ctx, allocated_file) + OFFSET(struct file, f_path), NR_FALLOCATE);
	return 0;
}

/* security_file_truncate, or before 6.2 security_path_truncate, which has the file's path. */
FUNCTION_ENTRY(ftruncate_found)
{
	__u64 path;

	if (ftruncated_file != ABSENT)
		path = argument(ctx, ftruncated_file) + OFFSET(struct file, f_path);
	else
		path = argument(ctx, ftruncated_path);
	note_length_of(path, NR_FTRUNCATE);
	return 0;
}

#endif
