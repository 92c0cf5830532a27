// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Execs at functions of the kernel: begin_new_exec, where an exec is about to succeed (kernels of any age have it), and the end
 * of do_open_execat, if no file was found: there the kernel still has its own copy of the path.
 */
#include "doing.h"
#include "exec_refused.h"
#include "open.h"

#if TIER == FUNCTION

POSITION(execat_name);
POSITION(execat_result);

FUNCTION_ENTRY(exec_begins)
{
	note_script(ARG(ctx, 0, struct linux_binprm));
	return 0;
}

/* The end of do_open_execat. The kernel also opens interpreters by it; their struct filename has no address of the caller. */
FUNCTION_EXIT(exec_not_found)
{
	__u64 name = argument(ctx, execat_name), result = argument(ctx, execat_result), asked = 0, text = 0;
	struct call call = {.regs = current_regs()};
	struct doing *now;

	if (!IS_ERROR(result) || IS_ERROR(name) || !is_traced(KIND_EXEC, current_task()))
		return 0;
	name_call(&call);
	READ(&asked, name, struct filename, uptr);
	READ(&text, name, struct filename, name);
	if (call.nr != NR_EXECVE && call.nr != NR_EXECVEAT)
		return 0;
	if (!asked || asked != call_arg(&call, call.nr == NR_EXECVEAT ? 1 : 0))
		return 0;
	now = begin_doing(KIND_EXEC);
	if (!now)
		return 0;
	now->done = 1;
	call.ret = result_seen(result);
	emit_refused(&call, text);
	return 0;
}

/* True if exec_not_found() has emitted the current call's record. */
static __always_inline bool is_recorded_exec(void)
{
	struct doing *now = doing_now(KIND_EXEC);
	bool done = now && now->done;

	if (done)
		now->kind = 0;
	return done;
}

#else
#define is_recorded_exec() false
#endif
