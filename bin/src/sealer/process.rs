//! Starts the process that does the work.

use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::{Report, Work};
use crate::commands::store::MAINTAIN;

/// Longest report and longest error text that are read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Runs the work in a process of its own, which is killed if this is dropped.
pub(super) async fn run(work: &Work) -> anyhow::Result<Report> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["store", MAINTAIN]).current_dir("/").kill_on_drop(true);
    // Ctrl-C at a terminal ends the process group of the agent, which ends this process itself.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut process = command.spawn().context("starting a process that seals")?;
    let mut stdin = process.stdin.take().context("no pipe to the process that seals")?;
    let (output, errors) = (process.stdout.take(), process.stderr.take());
    let (Some(output), Some(errors)) = (output, errors) else { bail!("no pipe from the process that seals") };
    // If the process ends before it has read this, its status says why. It also ends when the pipe is closed.
    let mut request = serde_json::to_vec(work)?;
    request.push(b'\n');
    let _ = stdin.write_all(&request).await;
    let (mut report, mut text) = (Vec::new(), Vec::new());
    let (mut output, mut errors) = (output.take(LONGEST), errors.take(LONGEST));
    let read = futures::future::join(output.read_to_end(&mut report), errors.read_to_end(&mut text));
    let (read, _) = read.await;
    read.context("reading the report of the process that seals")?;
    let status = process.wait().await.context("waiting for the process that seals")?;
    drop(stdin);
    if !status.success() {
        let text = String::from_utf8_lossy(&text);
        bail!("the process that seals ended with {status}: {}", text.trim());
    }
    serde_json::from_slice(&report).context("the report of the process that seals")
}
