//! Detaches programs for an agent that stops, in a process of its own if that may take long.
//!
//! With tier function there are hundreds of links, and the kernel takes a grace period of all tasks to detach each, a minute
//! in sum (Debian's 6.1.192). The programs are switched off by then, and all of their records are stored, so nobody has to
//! wait for the rest but the next start:
//!
//! ```text
//!  agent                         process
//!  starts it ──────────────────▶ duplicates the agent's links, if they are not pinned
//!  ends      ◀── LINKS_TAKEN ─── waits for the agent's end, closes them
//!                                removes the pins
//! ```

use std::fs;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use actors::clock;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, getppid, pidfd_getfd, pidfd_open};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::exit::Outcome;

/// Name of the hidden command that removes the pins.
pub(crate) const COMMAND: &str = "unpin";
/// Longest wait for the process; it goes on afterwards.
const WAIT: Duration = Duration::from_secs(1);
/// Byte that the process writes when the agent's links are its own, too.
const LINKS_TAKEN: u8 = b'+';

/// Removes the pins of this work folder and detaches what is not pinned, or starts a process that does and waits for it for
/// a moment.
pub(crate) async fn unpin(workdir: &Path) {
    if !bpf_programs::leave_many_links(workdir) {
        bpf_programs::unpin(workdir);
        return;
    }
    let mut command = Command::new("/proc/self/exe");
    command.arg(COMMAND).arg("--of").arg(std::process::id().to_string());
    command.arg("--workdir").arg(workdir).current_dir("/");
    // Ctrl-C at a terminal ends the process group of the agent.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    match command.spawn() {
        Ok(mut process) => {
            let mut said = [0];
            let ended = async {
                match process.stdout.as_mut() {
                    Some(output) => output.read(&mut said).await.is_ok_and(|length| length == 0),
                    None => true,
                }
            };
            let has_ended = tokio::select! {
                ended = ended => ended,
                () = clock::sleep(WAIT) => false,
            };
            if !has_ended {
                tracing::info!(
                    process = process.id(),
                    "the kernel is still detaching programs, which record nothing any more; a start waits for it"
                );
            }
        }
        Err(cause) => {
            tracing::warn!(%cause, "no process could be started to detach programs: it may take a minute");
            bpf_programs::unpin(workdir);
        }
    }
}

/// Takes over the links that the process `of` holds, which must have started this one, and detaches them when that has
/// ended; removes the pins of this work folder.
pub(crate) fn run(workdir: &Path, of: Option<i32>) -> Outcome {
    let parent = getppid().filter(|parent| Some(parent.as_raw_pid()) == of);
    if let Some(parent) = parent
        && let Ok((agent, links)) = links_of(parent)
        && !links.is_empty()
    {
        let mut output = std::io::stdout();
        // An agent that has stopped waiting does not read it.
        let _ = output.write_all(&[LINKS_TAKEN]).and_then(|()| output.flush());
        let _ = poll(&mut [PollFd::new(&agent, PollFlags::IN)], None);
        drop(links);
    }
    bpf_programs::unpin(workdir);
    Ok(())
}

/// Returns a process's pidfd and duplicates of its links of eBPF programs.
fn links_of(process: Pid) -> std::io::Result<(OwnedFd, Vec<OwnedFd>)> {
    let pidfd = pidfd_open(process, PidfdFlags::empty())?;
    let mut links = Vec::new();
    for entry in fs::read_dir(format!("/proc/{}/fd", process.as_raw_pid()))?.flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if fs::read_link(entry.path()).is_ok_and(|target| is_link(&target)) {
            links.push(pidfd_getfd(pidfd.as_fd(), number, PidfdGetfdFlags::empty())?);
        }
    }
    Ok((pidfd, links))
}

/// Returns whether `/proc/PID/fd` shows a link of an eBPF program so: `bpf_link_inc_not_zero` and `bpf_link_new_file` in the
/// kernel name it.
fn is_link(target: &Path) -> bool {
    matches!(target.to_str(), Some("anon_inode:bpf_link" | "anon_inode:bpf-link"))
}
