//! What the host says, read by a thread of its own: a poll counts from the moment it comes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::time::Duration;

use actors::clock::{self, Instant};
use collector::sink::host::HostPipe;
use serde_json::Value;

/// A longer line is no message of a host's; its configuration would have to be that long.
const LONGEST_LINE: u64 = 16 << 20;
/// So many messages may wait. Polls that find no room are not told: they are all alike.
const QUEUE: usize = 16;

/// What was heard.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    /// The first message.
    Init {
        /// How long the host waits after `stop`.
        kill_timeout: Option<Duration>,
    },
    /// The host asks for what there is.
    Poll,
    /// The host asks for the end.
    Stop,
    /// The host is no more, or seems so.
    Gone(&'static str),
}

/// Listens to the host.
pub(super) struct Ear {
    heard: flume::Receiver<Heard>,
    last: Instant,
}

impl Ear {
    /// Begins to listen. The pipe is told of polls and of the host's end at once.
    pub(super) fn open(pipe: HostPipe) -> Self {
        let (say, heard) = flume::bounded(QUEUE);
        // It ends with the process at the latest: a read can't be given up.
        std::thread::spawn(move || listen(&pipe, &say));
        Self { heard, last: clock::now() }
    }

    /// What is heard next; a host that says nothing for `patience` is taken for gone.
    pub(super) async fn next(&mut self, patience: Duration) -> Heard {
        tokio::select! {
            heard = self.heard.recv_async() => {
                self.last = clock::now();
                heard.unwrap_or(Heard::Gone("it closed its end"))
            }
            () = tokio::time::sleep_until(self.last + patience) => Heard::Gone("it has said nothing for too long"),
        }
    }
}

fn listen(pipe: &HostPipe, say: &flume::Sender<Heard>) {
    let mut input = BufReader::new(std::io::stdin().lock());
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) {
            // Nobody is left to read either, unless it has closed but this one.
            let _ = say.send(Heard::Gone("it closed its end"));
            return;
        }
        match understand(&line) {
            Some(Heard::Poll) => {
                pipe.polled();
                pipe.show_life();
                // No room: those that wait say the same.
                let _ = say.try_send(Heard::Poll);
            }
            Some(heard) => drop(say.send(heard)),
            None => {}
        }
    }
}

/// Only the type counts, as in duetector.
fn understand(line: &[u8]) -> Option<Heard> {
    let message: Value = serde_json::from_slice(line).ok()?;
    match message["type"].as_str()? {
        "init" => {
            let seconds = message["payload"]["kill_timeout"].as_f64();
            let kill_timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            Some(Heard::Init { kill_timeout: kill_timeout.filter(|timeout| !timeout.is_zero()) })
        }
        "event" => Some(Heard::Poll),
        "stop" => Some(Heard::Stop),
        other => {
            tracing::warn!(kind = other, "the host says what is no message of its protocol");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_by_their_type() {
        let init = |seconds: u64| Heard::Init { kill_timeout: Some(Duration::from_secs(seconds)) };
        let table = [
            (r#"{"type":"init","payload":{"poll_time":0.01,"kill_timeout":7,"config":{}}}"#, Some(init(7))),
            (r#"{"type":"init"}"#, Some(Heard::Init { kill_timeout: None })),
            (r#"{"type":"init","payload":{"kill_timeout":-1}}"#, Some(Heard::Init { kill_timeout: None })),
            (r#"{"proto":"duetector","version":"0.1.0","type":"event","payload":{}}"#, Some(Heard::Poll)),
            (r#"{"type":"stop"}"#, Some(Heard::Stop)),
            (r#"{"type":"other"}"#, None),
            ("[1]", None),
            ("not JSON", None),
        ];
        for (line, expected) in table {
            assert_eq!(understand(line.as_bytes()), expected, "{line}");
        }
    }
}
