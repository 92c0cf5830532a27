//! A subprocess tracer in Rust, with nothing but the standard library and `serde_json`: tells each file that appears in
//! a folder, with its size and owner.
//!
//! It says something only when it is asked to (`event`), ends when it is told to (`stop`), when its input ends, and
//! when it has heard nothing for `patience` seconds: whoever started it is dead then.

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
                watcher.look();
                say(&mut out, "init", json!({"name": "folder_watcher", "version": "1"}))?;
            }
            Some("event") => watcher.tell(&mut out)?,
            Some("stop") => {
                watcher.tell(&mut out)?;
                break;
            }
            _ => {}
        }
        out.flush()?;
    }
    say(&mut out, "stopped", json!({}))?;
    out.flush()
}

/// What the agent says. A thread reads it, so that waiting for it can have an end.
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
    /// Names that were not there before.
    fn look(&mut self) -> Vec<OsString> {
        let names = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names: BTreeSet<OsString> = names.map(|entry| entry.file_name()).collect();
        let new = names.difference(&self.known).cloned().collect();
        self.known = names;
        new
    }

    fn tell(&mut self, out: &mut impl Write) -> io::Result<()> {
        for name in self.look() {
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
