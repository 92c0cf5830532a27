//! Reads the parent program's messages from stdin on a thread of its own, so that a poll takes effect the moment it
//! arrives.

use std::io::{BufRead as _, BufReader, Read as _};
use std::time::Duration;

use actors::clock::{self, Instant};
use collector::sink::host::HostPipe;
use serde_json::Value;

/// Longest line in bytes. Only `init` carries a configuration and could be long; no real one is longer.
const LONGEST_LINE: u64 = 16 << 20;
/// Number of messages that may wait. Polls beyond it are dropped, because they are all alike.
const QUEUE: usize = 16;

/// Reason why the parent counts as gone: end of file on stdin.
const CLOSED: &str = "the parent program closed our stdin";
/// Reason why the parent counts as gone: `--host-timeout` has passed.
const SILENT: &str = "the parent program sent nothing for longer than --host-timeout";

/// A message of the parent program, or its end.
#[derive(Debug, PartialEq)]
pub(super) enum HostMessage {
    /// `init`, the first message.
    Init {
        /// Time that the parent waits after `stop` before it kills the child.
        kill_timeout: Option<Duration>,
    },
    /// `event`: the parent is ready to read events.
    Poll,
    /// `stop`: the parent asks the child to end.
    Stop,
    /// The parent has exited or appears to have, with the reason for thinking so.
    Gone(&'static str),
}

/// Receives the parent's messages.
pub(super) struct HostReader {
    messages: flume::Receiver<HostMessage>,
    last: Instant,
}

impl HostReader {
    /// Starts the thread that reads stdin. It notifies the pipe of each poll at once.
    pub(super) fn start(pipe: HostPipe) -> Self {
        let (sender, messages) = flume::bounded(QUEUE);
        // The thread may end only with the process, because a blocking read can't be cancelled.
        std::thread::spawn(move || read_messages(&pipe, &sender));
        Self { messages, last: clock::now() }
    }

    /// Returns the next message. A parent that sends nothing for `timeout` counts as gone.
    pub(super) async fn next(&mut self, timeout: Duration) -> HostMessage {
        tokio::select! {
            message = self.messages.recv_async() => {
                self.last = clock::now();
                message.unwrap_or(HostMessage::Gone(CLOSED))
            }
            () = tokio::time::sleep_until(self.last + timeout) => HostMessage::Gone(SILENT),
        }
    }
}

fn read_messages(pipe: &HostPipe, sender: &flume::Sender<HostMessage>) {
    let mut input = BufReader::new(std::io::stdin().lock());
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) {
            // End of file: the parent has most likely exited, so nobody reads our output either.
            let _ = sender.send(HostMessage::Gone(CLOSED));
            return;
        }
        match parse(&line) {
            Some(HostMessage::Poll) => {
                pipe.polled();
                pipe.show_life();
                // If the queue is full, a poll is waiting in it already.
                let _ = sender.try_send(HostMessage::Poll);
            }
            Some(message) => drop(sender.send(message)),
            None => {}
        }
    }
}

/// Parses a message by its type alone, as duetector does.
fn parse(line: &[u8]) -> Option<HostMessage> {
    let message: Value = serde_json::from_slice(line).ok()?;
    match message["type"].as_str()? {
        "init" => {
            let seconds = message["payload"]["kill_timeout"].as_f64();
            let kill_timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            Some(HostMessage::Init { kill_timeout: kill_timeout.filter(|timeout| !timeout.is_zero()) })
        }
        "event" => Some(HostMessage::Poll),
        "stop" => Some(HostMessage::Stop),
        other => {
            tracing::warn!(message_type = other, "ignored a message of unknown type from the parent program");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_recognised_by_their_type() {
        let init = |seconds: u64| HostMessage::Init { kill_timeout: Some(Duration::from_secs(seconds)) };
        let table = [
            (r#"{"type":"init","payload":{"poll_time":0.01,"kill_timeout":7,"config":{}}}"#, Some(init(7))),
            (r#"{"type":"init"}"#, Some(HostMessage::Init { kill_timeout: None })),
            (
                r#"{"type":"init","payload":{"kill_timeout":-1}}"#,
                Some(HostMessage::Init { kill_timeout: None }),
            ),
            (
                r#"{"proto":"duetector","version":"0.1.0","type":"event","payload":{}}"#,
                Some(HostMessage::Poll),
            ),
            (r#"{"type":"stop"}"#, Some(HostMessage::Stop)),
            (r#"{"type":"other"}"#, None),
            ("[1]", None),
            ("not JSON", None),
        ];
        for (line, expected) in table {
            assert_eq!(parse(line.as_bytes()), expected, "{line}");
        }
    }
}
