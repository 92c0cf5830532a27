//! SIGHUP: the configuration is to be read again. A terminal that goes away sends it too: then an agent in its
//! foreground ends, as anything there does, unless it was started to outlive it (nohup).

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::agent::Agent;
use crate::exit::Failure;

/// Listens for SIGHUP.
pub(crate) struct Hangups {
    signal: Signal,
    terminal: Terminal,
}

impl Hangups {
    /// From now on none ends the process.
    pub(crate) fn listen() -> Result<Self, Failure> {
        // Looked at first: listening changes it.
        let terminal = Terminal { there: is_there(), outlived: is_ignored() };
        let signal = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
        Ok(Self { signal, terminal })
    }

    /// Reloads at each; comes back when the agent is to end.
    pub(crate) async fn serve(&mut self, agent: &Agent) {
        while self.signal.recv().await.is_some() {
            match self.terminal.means(is_there()) {
                Meaning::Reload => agent.reload().await,
                Meaning::Nothing => tracing::info!("the terminal is gone"),
                Meaning::End => {
                    tracing::info!(why = "the terminal is gone", "stopping");
                    return;
                }
            }
        }
        std::future::pending().await
    }
}

/// What is known of the terminal the agent was started from.
struct Terminal {
    there: bool,
    /// SIGHUP was ignored when the agent was started.
    outlived: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Reload,
    Nothing,
    End,
}

impl Terminal {
    /// What a SIGHUP means, given whether the terminal is there now.
    fn means(&mut self, there: bool) -> Meaning {
        let gone = std::mem::replace(&mut self.there, there) && !there;
        match (gone, self.outlived) {
            (false, _) => Meaning::Reload,
            (true, true) => Meaning::Nothing,
            (true, false) => Meaning::End,
        }
    }
}

/// Whether this process has a terminal that controls it.
fn is_there() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Whether SIGHUP is ignored, as proc(5) tells it: bit 0 of `SigIgn`.
fn is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hangup_of_a_terminal_ends_the_agent() {
        let mut daemon = Terminal { there: false, outlived: false };
        assert_eq!(daemon.means(false), Meaning::Reload);
        let mut foreground = Terminal { there: true, outlived: false };
        assert_eq!(foreground.means(true), Meaning::Reload);
        assert_eq!(foreground.means(false), Meaning::End);
        let mut nohup = Terminal { there: true, outlived: true };
        assert_eq!([nohup.means(false), nohup.means(false)], [Meaning::Nothing, Meaning::Reload]);
    }
}
