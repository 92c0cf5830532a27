// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* begin_new_exec: an exec is about to succeed, on kernels of any age. */
#include "exec_file.h"
#include "doing.h"

#if TIER == FUNCTION

FUNCTION_ENTRY(exec_begins)
{
	note_script(ARG(ctx, 0, struct linux_binprm));
	return 0;
}

#endif
