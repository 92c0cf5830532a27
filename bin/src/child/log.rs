//! Log lines of the `child` command. A line is never valid JSON, because Python duetector parses its children's stderr as
//! messages.
//!
//! If stderr and stdout are the same pipe, log lines and events are written by the same writer, one after the other. Log
//! lines then wait in a bounded queue and are dropped when it is full.

use std::io::{self, Write};
use std::time::Duration;

use collector::sink::host::HostPipe;
use tracing_subscriber::fmt::MakeWriter;

use crate::logging;

/// Number of log lines that may wait.
const QUEUE: usize = 64;
/// Longest line in bytes, the rest is cut off: a line that fits into one page is written to a pipe at once.
const LONGEST_LINE: usize = 4000;
/// Longest wait for the parent to read; then the line is dropped. Parents poll about twice a second.
const PATIENCE: Duration = Duration::from_secs(3);
/// Prefix of every line. No JSON text begins with it.
const PREFIX: &str = "duetector-actors ";

/// Destination of log lines.
#[derive(Clone)]
enum ToHost {
    Stderr,
    Pipe(flume::Sender<Vec<u8>>),
}

/// Sets up logging: to stderr, or to `shared` if stderr is the pipe of the events.
pub(super) fn init(shared: Option<HostPipe>) -> anyhow::Result<()> {
    let to = match shared {
        None => ToHost::Stderr,
        Some(pipe) => {
            let (queue, lines) = flume::bounded::<Vec<u8>>(QUEUE);
            std::thread::spawn(move || {
                for line in lines {
                    pipe.say(&line, PATIENCE);
                }
            });
            ToHost::Pipe(queue)
        }
    };
    logging::init_plain(to, "warn")
}

impl Write for ToHost {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = plain(line);
        match self {
            Self::Stderr => io::stderr().lock().write_all(&text)?,
            // Dropped if the queue is full, because the parent does not read.
            Self::Pipe(queue) => drop(queue.try_send(text)),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for ToHost {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Converts a log message to one line of ASCII that is not JSON.
fn plain(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    let mut line = PREFIX.to_owned();
    for c in text.trim_end().chars() {
        if c.is_ascii_graphic() || c == ' ' {
            line.push(c);
        } else {
            line.extend(c.escape_default());
        }
        if line.len() > LONGEST_LINE {
            line.push_str("...");
            break;
        }
    }
    line.push('\n');
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_message_becomes_one_line_that_is_not_json() {
        let line = plain("WARN x\n{\"type\":\"event\"} grün\n".as_bytes());
        assert_eq!(line, b"duetector-actors WARN x\\n{\"type\":\"event\"} gr\\u{fc}n\n");
        assert!(plain(&[b'x'; 10_000]).len() < 4096);
    }
}
