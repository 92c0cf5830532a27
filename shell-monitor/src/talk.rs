//! What goes to a child's stdin, without ever waiting for a child that does not read.

use tokio::io::AsyncWriteExt as _;
use tokio::process::ChildStdin;

/// The writing end. Holds `init`, one poll and `stop` at most: while a message waits, polls are skipped.
pub(crate) struct Talk {
    stdin: Option<ChildStdin>,
    waiting: Vec<u8>,
    written: usize,
    last: bool,
}

impl Talk {
    pub(crate) fn new(stdin: Option<ChildStdin>, first: Vec<u8>) -> Self {
        Self { stdin, waiting: first, written: 0, last: false }
    }

    /// Says `message` unless something still waits; says whether it did.
    pub(crate) fn say_if_free(&mut self, message: &[u8]) -> bool {
        let free = self.stdin.is_some() && self.waiting.is_empty() && !self.last;
        if free {
            self.waiting.extend_from_slice(message);
        }
        free
    }

    /// Says `message`, and closes stdin behind it: a child that only waits for its input's end is told too.
    pub(crate) fn say_last(&mut self, message: &[u8]) {
        if !self.last {
            self.waiting.extend_from_slice(message);
            self.last = true;
        }
    }

    /// Whether there is something to write, and somebody to write it to.
    pub(crate) fn has_work(&self) -> bool {
        self.stdin.is_some() && (!self.waiting.is_empty() || self.last)
    }

    /// Writes on. Can be given up at any time without loss.
    pub(crate) async fn write(&mut self) {
        let Some(stdin) = self.stdin.as_mut() else { return };
        let rest = &self.waiting[self.written..];
        let count = if rest.is_empty() { Ok(0) } else { stdin.write(rest).await };
        match count {
            Ok(count) => self.written += count,
            // It has closed its stdin, or ended: there is nobody to talk to.
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
