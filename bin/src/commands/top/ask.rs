//! Asks the store about a line: runs the command that a user would type, so that the screen goes on meanwhile and a long answer can be
//! given up.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use analyzer::render::escape::visible;
use analyzer::top::Key;
use flume::Receiver;

/// Most bytes of an answer that are kept.
const LONGEST: u64 = 1 << 20;

/// A command that runs; killed when dropped.
#[derive(Debug)]
pub(super) struct Asking {
    child: Child,
    pub(super) answer: Receiver<Vec<String>>,
}

impl Asking {
    /// Starts the command; returns it as a user would type it, too.
    ///
    /// # Errors
    /// The program can't be started.
    pub(super) fn begin(key: &Key, window: u64, workdir: &Path) -> std::io::Result<(String, Self)> {
        let words = words(key, window);
        let title = format!("duetector-actors {}", words.join(" "));
        // The file itself may have been replaced by a newer version since.
        let mut command = Command::new("/proc/self/exe");
        command.args(&words).arg("--workdir").arg(workdir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let outputs = (child.stdout.take(), child.stderr.take());
        let (sender, answer) = flume::bounded(1);
        thread::Builder::new().name("answer".to_owned()).spawn(move || {
            let (Some(out), Some(complaints)) = outputs else { return };
            // Both, because one that nobody reads would stop the command when it is full.
            let complaints = thread::spawn(move || lines(complaints));
            let mut text = lines(out);
            text.extend(complaints.join().unwrap_or_default());
            // Nobody waits for an answer that was given up.
            let _ = sender.send(text);
        })?;
        Ok((title, Self { child, answer }))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(output: impl std::io::Read) -> Vec<String> {
    let mut bytes = Vec::new();
    let mut output = output.take(LONGEST);
    // What was read before an error is shown.
    let _ = output.read_to_end(&mut bytes);
    let _ = std::io::copy(&mut output.into_inner(), &mut std::io::sink());
    let mut lines: Vec<_> =
        String::from_utf8_lossy(&bytes).lines().map(|line| visible(line).into_owned()).collect();
    if bytes.len() as u64 == LONGEST {
        lines.push("… the rest is left out".to_owned());
    }
    lines
}

/// Returns the command about a line.
fn words(key: &Key, window: u64) -> Vec<String> {
    let since = format!("-{window}s");
    let rows = |condition: String| {
        let words = ["query", "--where", &condition, "--since", &since, "--limit", "500"];
        words.map(str::to_owned).to_vec()
    };
    match key {
        Key::File(..) | Key::Path(_) => {
            vec!["uses".to_owned(), key.text(), "--since".to_owned(), "-1h".to_owned()]
        }
        Key::Process(id) => vec!["process".to_owned(), id.to_string()],
        Key::User(uid) => rows(format!("uid={uid}")),
        Key::Peer(text) => match text.rsplit_once(':') {
            Some((address, port)) if port.parse::<u16>().is_ok() => {
                let address = address.trim_start_matches('[').trim_end_matches(']');
                rows(format!("daddr == {} && dport == {port}", quoted(address)))
            }
            _ => rows(format!("daddr == {}", quoted(text))),
        },
    }
}

/// Returns a text as CEL writes it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use analyzer::query::Where;

    use super::*;

    #[test]
    fn the_command_about_a_line_is_one_that_a_user_could_type() {
        assert_eq!(words(&Key::File(1, 2, 3), 10), ["uses", "id:1:2:3", "--since", "-1h"]);
        assert_eq!(words(&Key::Process("7-9".into()), 10), ["process", "7-9"]);
        assert_eq!(words(&Key::User(5), 10)[..5], ["query", "--where", "uid=5", "--since", "-10s"]);
        for (peer, expected) in [
            ("10.0.0.1:80", "daddr == '10.0.0.1' && dport == 80"),
            ("[::1]:443", "daddr == '::1' && dport == 443"),
            ("a'b", r"daddr == 'a\'b'"),
        ] {
            let words = words(&Key::Peer(peer.into()), 10);
            assert_eq!(words[2], expected);
            assert!(matches!(words[2].parse::<Where>(), Ok(Where::Expression(_))), "{expected}");
        }
    }
}
