// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* init_module, finit_module, delete_module, kexec_load, kexec_file_load. */
#include "misc_calls.h"

SYSCALL_EXIT(module_exit)
{
	__u32 how = call->nr == NR_FINIT_MODULE ? 2 | ACT_GIVEN : call->nr == NR_INIT_MODULE ? 3 : 1;

	if (call->nr == NR_KEXEC_FILE_LOAD)
		how = 4 | ACT_GIVEN;
	else if (call->nr == NR_KEXEC_LOAD)
		how = 0;
	emit_act(KIND_MODULE, call, how);
}
