//! SIGHUP makes the agent reload its configuration. The kernel sends the same signal when the terminal is closed; then an
//! agent in the foreground stops, unless it was started with SIGHUP ignored (nohup).

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::agent::Agent;
use crate::exit::Failure;

/// Receives SIGHUP and decides what it means.
pub(crate) struct Hangups {
    signal: Signal,
    terminal: Terminal,
}

impl Hangups {
    /// Starts listening. From now on SIGHUP no longer ends the process by itself.
    pub(crate) fn listen() -> Result<Self, Failure> {
        // Read before listening, which changes how the process handles the signal.
        let terminal = Terminal { attached: has_terminal(), ignores_hangup: is_ignored() };
        let signal = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
        Ok(Self { signal, terminal })
    }

    /// Reloads at each SIGHUP. Returns when the agent should stop because its terminal was closed.
    pub(crate) async fn serve(&mut self, agent: &Agent) {
        while self.signal.recv().await.is_some() {
            match self.terminal.meaning(has_terminal()) {
                Meaning::Reload => agent.reload().await,
                Meaning::Ignore => {
                    tracing::info!("terminal closed, the agent continues (started with SIGHUP ignored)")
                }
                Meaning::Stop => {
                    tracing::info!(why = "terminal closed", "stopping");
                    return;
                }
            }
        }
        std::future::pending().await
    }
}

/// State of the terminal from which the agent was started.
struct Terminal {
    /// True if the process has a controlling terminal, as of the latest SIGHUP.
    attached: bool,
    /// True if SIGHUP was ignored when the agent was started (nohup).
    ignores_hangup: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Reload,
    Ignore,
    Stop,
}

impl Terminal {
    /// Returns what a SIGHUP means, given whether the process still has its terminal.
    fn meaning(&mut self, attached: bool) -> Meaning {
        let closed = std::mem::replace(&mut self.attached, attached) && !attached;
        match (closed, self.ignores_hangup) {
            (false, _) => Meaning::Reload,
            (true, true) => Meaning::Ignore,
            (true, false) => Meaning::Stop,
        }
    }
}

/// Returns whether this process has a controlling terminal.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Returns whether SIGHUP is ignored: bit 0 of `SigIgn` in /proc/self/status, see proc(5).
fn is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hangup_of_a_closed_terminal_stops_the_agent() {
        let mut daemon = Terminal { attached: false, ignores_hangup: false };
        assert_eq!(daemon.meaning(false), Meaning::Reload);
        let mut foreground = Terminal { attached: true, ignores_hangup: false };
        assert_eq!(foreground.meaning(true), Meaning::Reload);
        assert_eq!(foreground.meaning(false), Meaning::Stop);
        let mut nohup = Terminal { attached: true, ignores_hangup: true };
        assert_eq!([nohup.meaning(false), nohup.meaning(false)], [Meaning::Ignore, Meaning::Reload]);
    }
}
