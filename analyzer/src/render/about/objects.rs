//! Phrases for rows of the tracers `namespace` and `ipc`, about objects of the kernel that processes share.

use super::facts::Facts;
use super::units::bytes;

/// `new root /srv/jail`, `unshare (CLONE_NEWNS|CLONE_NEWPID)`, `enter CLONE_NEWNET 4026532000`.
pub(super) fn namespace(row: &Facts<'_>) -> Option<String> {
    match row.call()? {
        "chroot" => Some(format!("new root {}", row.path.or(row.text("path_asked"))?)),
        "setns" => match (row.text("type"), row.unsigned("namespace"), row.signed("target_pid")) {
            (Some(kind), Some(number), _) => Some(format!("enter {kind} {number}")),
            (_, _, Some(pid)) => Some(format!("enter namespaces of process {pid}{}", row.flags("flags"))),
            _ => Some("enter what is no namespace".to_owned()),
        },
        "unshare" => Some(format!("unshare{}", row.flags("flags"))),
        _ => None,
    }
}

/// `shmat: shared memory 32769 of 4096 bytes (SHM_RDONLY)`, `msgsnd: 5 bytes, message queue 3`, `mq_open: /jobs`.
pub(super) fn ipc(row: &Facts<'_>) -> Option<String> {
    let call = row.call()?;
    let mut words: Vec<String> = row.text("command").map(str::to_owned).into_iter().collect();
    words.extend(row.signed("length").and_then(|length| u64::try_from(length).ok()).map(bytes));
    let id = row.signed("ipc_id").map(|id| id.to_string());
    let id = id.or_else(|| row.signed("ipc_key").map(|key| format!("with key {key}")));
    let what = match call {
        "shmget" | "shmat" | "shmctl" => id.map(|id| {
            let size = row.unsigned("size").map(|size| format!(" of {}", bytes(size)));
            format!("shared memory {id}{}", size.unwrap_or_default())
        }),
        "msgget" | "msgsnd" | "msgrcv" | "msgctl" => id.map(|id| format!("message queue {id}")),
        "shmdt" => row.unsigned("address").map(|at| format!("memory at {at:#x}")),
        "mq_open" | "mq_unlink" | "mq_timedsend" | "mq_timedreceive" => {
            row.path.or(row.text("name")).map(str::to_owned)
        }
        _ => return None,
    };
    words.extend(what);
    Some(format!("{call}: {}{}", words.join(", "), row.flags("flags")))
}
