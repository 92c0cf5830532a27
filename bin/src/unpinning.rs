//! Removes the pins of an agent that stops, in a process of its own if that may take long.
//!
//! With tier function there are hundreds of links. Some kernels make whoever removes the pin of such a link wait until the
//! function is released, which takes a grace period of all tasks: more than a minute in sum (Debian's 6.1.192). The programs
//! are switched off by then, and all of their records are stored, so nobody has to wait for the rest but the next start.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use actors::clock;
use tokio::process::Command;

use crate::exit::Outcome;

/// Name of the hidden command that removes the pins.
pub(crate) const COMMAND: &str = "unpin";
/// Longest wait for the process; it goes on afterwards.
const WAIT: Duration = Duration::from_secs(1);

/// Removes the pins of this work folder, or starts a process that does and waits for it for a moment.
pub(crate) async fn unpin(workdir: &Path) {
    if !bpf_programs::leave_many_pins(workdir) {
        bpf_programs::unpin(workdir);
        return;
    }
    let mut command = Command::new("/proc/self/exe");
    command.arg(COMMAND).arg("--workdir").arg(workdir).current_dir("/");
    // Ctrl-C at a terminal ends the process group of the agent.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    match command.spawn() {
        Ok(mut process) => {
            let id = process.id();
            tokio::select! {
                _ = process.wait() => {}
                () = clock::sleep(WAIT) => tracing::info!(
                    process = id,
                    "the kernel is still detaching programs, which record nothing any more; a start waits for it"
                ),
            }
        }
        Err(cause) => {
            tracing::warn!(%cause, "no process could be started to remove the pins: it may take a minute");
            bpf_programs::unpin(workdir);
        }
    }
}

/// Removes the pins of this work folder.
pub(crate) fn run(workdir: &Path) -> Outcome {
    bpf_programs::unpin(workdir);
    Ok(())
}
