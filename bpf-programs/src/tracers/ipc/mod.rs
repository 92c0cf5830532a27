//! Tracer `ipc`: shared memory and message queues of System V, and POSIX message queues; failed calls included. POSIX shared
//! memory consists of files of a tmpfs, which `open` and `usage` record.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`]. The program finds the object by its id in the kernel's own table,
//! which has its key, size and file. Rows of processes that use the same object have the same namespace and id, or the same file.
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Reading the header and the object, and walking the file's path; see `docs/BENCHMARKS.md`. One row for each
//! message.

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{
    MQ_OPEN, MQ_TIMEDRECEIVE, MQ_TIMEDSEND, MQ_UNLINK, MSGCTL, MSGGET, MSGRCV, MSGSND, SHMAT, SHMCTL, SHMDT,
    SHMGET, Stage,
};
use crate::tracers::act;
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
    name: "ipc",
    kind: Kind::Ipc,
    programs: &[Program {
        name: "ipc_exit",
        hook: Hook::SyscallExits(
            Stage::Events,
            &[
                SHMGET,
                SHMAT,
                SHMDT,
                SHMCTL,
                MSGGET,
                MSGSND,
                MSGRCV,
                MSGCTL,
                MQ_OPEN,
                MQ_UNLINK,
                MQ_TIMEDSEND,
                MQ_TIMEDRECEIVE,
            ],
        ),
        without: None,
    }],
    decode: act::decode,
};
