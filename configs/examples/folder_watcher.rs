//! A subprocess tracer in Rust, with nothing but the standard library and `serde_json`: reports each file that appears
//! in a folder, with its size and owner.
//!
//! The program writes only when asked to (`event`). It ends on `stop`, at the end of its input, and after `patience`
//! seconds without a message: the agent that started it has then crashed.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let messages = messages();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let (mut watcher, mut patience) = (Watcher::default(), Duration::from_secs(10));
    while let Ok(message) = messages.recv_timeout(patience) {
        match message["type"].as_str() {
            Some("init") => {
                let config = &message["payload"]["config"];
                watcher.folder = PathBuf::from(config["folder"].as_str().unwrap_or("."));
                patience = config["patience"].as_u64().map_or(patience, Duration::from_secs);
                watcher.new_names();
                say(&mut out, "init", json!({"name": "folder_watcher", "version": "1"}))?;
            }
            Some("event") => watcher.report(&mut out)?,
            Some("stop") => {
                watcher.report(&mut out)?;
                break;
            }
            _ => {}
        }
        out.flush()?;
    }
    say(&mut out, "stopped", json!({}))?;
    out.flush()
}

/// Returns the agent's messages. A thread reads them, so that waiting for one can time out.
fn messages() -> Receiver<Value> {
    let (sender, messages) = mpsc::sync_channel(16);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if let Ok(message) = serde_json::from_str(&line)
                && sender.send(message).is_err()
            {
                break;
            }
        }
    });
    messages
}

fn say(out: &mut impl Write, kind: &str, payload: Value) -> io::Result<()> {
    let message = json!({"proto": "duetector", "version": "0.1.0", "type": kind, "payload": payload});
    writeln!(out, "{message}")
}

#[derive(Default)]
struct Watcher {
    folder: PathBuf,
    known: BTreeSet<OsString>,
}

impl Watcher {
    /// Returns the names that were not in the folder at the previous call.
    fn new_names(&mut self) -> Vec<OsString> {
        let names = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names: BTreeSet<OsString> = names.map(|entry| entry.file_name()).collect();
        let new = names.difference(&self.known).cloned().collect();
        self.known = names;
        new
    }

    fn report(&mut self, out: &mut impl Write) -> io::Result<()> {
        for name in self.new_names() {
            let path = self.folder.join(name);
            let meta = path.symlink_metadata().ok();
            let payload = json!({
                "fname": path.to_string_lossy(),
                "uid": meta.as_ref().map(MetadataExt::uid),
                "gid": meta.as_ref().map(MetadataExt::gid),
                "size": meta.as_ref().map(MetadataExt::size),
            });
            say(out, "event", payload)?;
        }
        Ok(())
    }
}
