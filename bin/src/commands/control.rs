//! `reload` and `stop`: commands that send a request to the running agent.

use std::path::Path;
use std::time::Duration;

use crate::control::{self, Request, fetch_answer};
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, to_json};
use crate::status::Reloaded;
use crate::workdir::running_pid;

/// Longest wait of `stop` for the end of the agent. The agent itself allows each group of actors 5 s.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// Makes the agent load its configuration again, and prints what changed. If there are errors, prints them all and returns
/// exit code 2.
pub(crate) fn reload(workdir: &Path, format: Output) -> Outcome {
    let reloaded: Reloaded = fetch_answer(workdir, &Request::Reload)?;
    match (format, &reloaded) {
        (Output::Json, _) => output::print(&to_json(&reloaded)?)?,
        (Output::Table, Reloaded::Applied { changes }) => output::print(&changes.to_string())?,
        (Output::Table, Reloaded::Refused { .. }) => {}
    }
    match reloaded {
        Reloaded::Applied { .. } => Ok(()),
        Reloaded::Refused { problems } => {
            Err(Failure::Usage(anyhow::anyhow!("{problems}\nnothing was changed")))
        }
    }
}

/// Stops the agent and waits until it has ended.
pub(crate) fn stop(workdir: &Path, keep: Option<bool>) -> Outcome {
    if keep == Some(false) && !crate::workdir::is_locked(workdir) && bpf_programs::unpin(workdir) {
        output::complain(
            "no agent is running; the eBPF programs and ring buffers that an earlier one had pinned were removed",
        );
        return Ok(());
    }
    let pid = running_pid(workdir);
    control::ask(workdir, &Request::Stop { keep })?;
    let start = actors::clock::now();
    while crate::workdir::is_locked(workdir) {
        if start.elapsed() > STOP_PATIENCE {
            let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            return Err(Failure::failed(format!(
                "the agent{pid} was asked to stop but is still running after {} s; see its log",
                STOP_PATIENCE.as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    output::complain("stopped");
    Ok(())
}

/// Makes an actor of the running agent panic.
#[cfg(feature = "fault-injection")]
pub(crate) fn inject_panic(workdir: &Path, actor: String) -> Outcome {
    control::ask(workdir, &Request::InjectPanic { actor })?;
    Ok(())
}
