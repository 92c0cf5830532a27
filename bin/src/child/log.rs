//! Logs of a child: lines that are never JSON, because Python duetector reads its children's stderr as messages.
//!
//! Where stderr is the very pipe that events go through, log lines take their turn with them; they are few, wait in a
//! bounded queue, and are dropped rather than waited for.

use std::io::{self, Write};
use std::time::Duration;

use collector::sink::host::HostPipe;
use tracing_subscriber::fmt::MakeWriter;

use crate::logging;

/// So many log lines may wait for their turn.
const QUEUE: usize = 64;
/// A longer one is cut: what fits into a pipe of one page is written at once.
const LONGEST_LINE: usize = 4000;
/// A host polls twice a second; one that does not read for so long misses the line.
const PATIENCE: Duration = Duration::from_secs(3);
/// Every line begins with it, and no JSON does.
const MARK: &str = "duetector-actors ";

/// Where log lines go.
#[derive(Clone)]
enum ToHost {
    Stderr,
    Pipe(flume::Sender<Vec<u8>>),
}

/// Sets logging up: over the pipe that events take too, if there is only that.
pub(super) fn init(shared: Option<HostPipe>) -> anyhow::Result<()> {
    let to = match shared {
        None => ToHost::Stderr,
        Some(pipe) => {
            let (say, lines) = flume::bounded::<Vec<u8>>(QUEUE);
            std::thread::spawn(move || {
                for line in lines {
                    pipe.say(&line, PATIENCE);
                }
            });
            ToHost::Pipe(say)
        }
    };
    logging::init_plain(to, "warn")
}

impl Write for ToHost {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let said = plain(line);
        match self {
            Self::Stderr => io::stderr().lock().write_all(&said)?,
            // Full: a host that does not read needs no more of them.
            Self::Pipe(say) => drop(say.try_send(said)),
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

/// One line of ASCII that is no JSON.
fn plain(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    let mut said = MARK.to_owned();
    for c in text.trim_end().chars() {
        if c.is_ascii_graphic() || c == ' ' {
            said.push(c);
        } else {
            said.extend(c.escape_default());
        }
        if said.len() > LONGEST_LINE {
            said.push_str("...");
            break;
        }
    }
    said.push('\n');
    said.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_is_one_line_and_no_message() {
        let said = plain("WARN x\n{\"type\":\"event\"} grün\n".as_bytes());
        assert_eq!(said, b"duetector-actors WARN x\\n{\"type\":\"event\"} gr\\u{fc}n\n");
        assert!(plain(&[b'x'; 10_000]).len() < 4096);
    }
}
