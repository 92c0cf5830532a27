//! Writes messages to a child's stdin without ever waiting for a child that does not read.

use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::Sender;

/// Write end of a child's stdin. It buffers at most `init`, one poll and `stop`: while a message waits, polls are
/// skipped.
pub(crate) struct StdinWriter {
    stdin: Option<Sender>,
    waiting: Vec<u8>,
    written: usize,
    last: bool,
}

impl StdinWriter {
    pub(crate) fn new(stdin: Option<Sender>, first: Vec<u8>) -> Self {
        Self { stdin, waiting: first, written: 0, last: false }
    }

    /// Queues `message` unless another one still waits; returns whether it did.
    pub(crate) fn send_if_idle(&mut self, message: &[u8]) -> bool {
        let free = self.stdin.is_some() && self.waiting.is_empty() && !self.last;
        if free {
            self.waiting.extend_from_slice(message);
        }
        free
    }

    /// Queues `message` and closes stdin after it, which also ends a child that only waits for the end of its input.
    pub(crate) fn send_last(&mut self, message: &[u8]) {
        if !self.last {
            self.waiting.extend_from_slice(message);
            self.last = true;
        }
    }

    /// Returns whether there is something to write and stdin is open.
    pub(crate) fn has_work(&self) -> bool {
        self.stdin.is_some() && (!self.waiting.is_empty() || self.last)
    }

    /// Writes what is queued. The future can be dropped at any time without losing data.
    pub(crate) async fn write(&mut self) {
        let Some(stdin) = self.stdin.as_mut() else { return };
        let rest = &self.waiting[self.written..];
        let count = if rest.is_empty() { Ok(0) } else { stdin.write(rest).await };
        match count {
            Ok(count) => self.written += count,
            // The child has closed its stdin or exited.
            Err(_) => self.stdin = None,
        }
        if self.written == self.waiting.len() {
            self.waiting.clear();
            self.written = 0;
            if self.last {
                self.stdin = None;
            }
        }
    }
}
