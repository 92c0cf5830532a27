//! Writes a child's stderr to the log, line by line, with limits on length and rate.

use std::time::Duration;

use actors::clock::{self, Instant};
use serde::Serialize;

use crate::lines::{Line, LineReader};
use crate::pipe::{Pipe, PollResult};

/// Length in bytes above which a line is not logged.
const LINE_LIMIT: usize = 4096;
/// Number of lines logged per second; further ones are only counted.
const LINES_PER_SECOND: u32 = 20;
/// Number of characters of the last line that are quoted in the cause of a child's end.
const QUOTED: usize = 200;

/// Number of lines on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StderrCounts {
    /// All lines except blank ones.
    pub lines: u64,
    /// Lines that were not logged, because they were too long or too many.
    pub suppressed: u64,
}

/// Reads and logs a child's stderr.
pub(crate) struct StderrLog {
    pipe: Pipe,
    open: bool,
    reader: LineReader,
    pub(crate) counts: StderrCounts,
    window: (Instant, u32),
    last: Option<String>,
}

impl StderrLog {
    pub(crate) fn new(pipe: Pipe, counts: StderrCounts) -> Self {
        let reader = LineReader::new(LINE_LIMIT);
        Self { pipe, open: true, reader, counts, window: (clock::now(), 0), last: None }
    }

    /// Returns whether more output may follow.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Waits until there may be something to read.
    pub(crate) async fn readable(&self) {
        self.pipe.readable().await;
    }

    /// Reads and logs what is available, after [`StderrLog::readable`].
    pub(crate) fn read(&mut self, tracer: &str, buffer: &mut [u8]) {
        match self.pipe.read(buffer) {
            PollResult::Bytes(count) => self.feed(tracer, &buffer[..count]),
            PollResult::Empty => {}
            PollResult::End => self.open = false,
        }
    }

    /// Reads what an exited child has left in the pipe.
    pub(crate) fn drain(&mut self, tracer: &str, buffer: &mut [u8]) {
        let mut left = self.pipe.capacity();
        while left > 0
            && let PollResult::Bytes(count) = self.pipe.read_now(buffer)
        {
            left = left.saturating_sub(count);
            self.feed(tracer, &buffer[..count]);
        }
        let mut log =
            Log { tracer, counts: &mut self.counts, window: &mut self.window, last: &mut self.last };
        self.reader.finish(|line| log.line(line));
    }

    /// Returns the last line that was not blank, to be added to the cause of a child's end.
    pub(crate) fn last_line(&self) -> String {
        self.last.as_ref().map(|line| format!("; last on stderr: {line}")).unwrap_or_default()
    }

    fn feed(&mut self, tracer: &str, chunk: &[u8]) {
        let mut log =
            Log { tracer, counts: &mut self.counts, window: &mut self.window, last: &mut self.last };
        self.reader.feed(chunk, |line| log.line(line));
    }
}

struct Log<'a> {
    tracer: &'a str,
    counts: &'a mut StderrCounts,
    window: &'a mut (Instant, u32),
    last: &'a mut Option<String>,
}

impl Log<'_> {
    fn line(&mut self, line: Line<'_>) {
        if matches!(line, Line::Whole(bytes) if bytes.trim_ascii().is_empty()) {
            return;
        }
        self.counts.lines += 1;
        let Line::Whole(bytes) = line else {
            self.counts.suppressed += 1;
            return;
        };
        let text = printable(bytes);
        *self.last = Some(text.chars().take(QUOTED).collect());
        if self.may_log() {
            tracing::info!(tracer = self.tracer, line = text, "child wrote to stderr");
        } else {
            self.counts.suppressed += 1;
        }
    }

    fn may_log(&mut self) -> bool {
        if self.window.0.elapsed() >= Duration::from_secs(1) {
            *self.window = (clock::now(), 0);
        }
        self.window.1 += 1;
        self.window.1 <= LINES_PER_SECOND
    }
}

/// Returns the text with control characters escaped, so that it can't disturb a terminal or a log.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = model::Text::from_bytes(bytes.trim_ascii_end());
    text.to_str()
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}
