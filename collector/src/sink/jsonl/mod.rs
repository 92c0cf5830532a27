//! Writes one JSON object per line, with every column as a key, to a file with rotation or to standard output.

mod config;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub use config::JsonlConfig;

use actors::clock;
use model::lock::lock;
use model::{Problem, Routed, WallTime};

use super::kind::{BuildContext, CarriedOver, Pace, SinkKind, SinkSpec, Target};
use super::output_file::{OutputFile, Replaced};
use super::written::Written;
use super::{Rejected, Sink, SinkError, TracerAccount, Trouble, private_file};
use crate::checks::Checks;

/// Name of the file in the work folder, unless the section sets a path.
const FILE: &str = "duetector-tracking.jsonl";

/// Output for the lines.
enum Output {
    Stdout,
    File {
        path: PathBuf,
        open: Option<(File, u64)>,
        written: Arc<Mutex<Written>>,
        rotate_size: u64,
        keep: u32,
    },
}

/// Sink that writes rows as JSON lines.
pub struct Jsonl {
    output: Output,
    buffer: Vec<u8>,
}

impl SinkKind for JsonlConfig {
    fn validate(&self, section: &str) -> Vec<Problem> {
        let checks = Checks::of(section).positive("batch", self.batch).positive("queue", self.queue);
        checks.interval("flush_interval", self.flush_interval).problems()
    }

    fn target(&self, workdir: &Path) -> Target {
        match self.path.as_str() {
            "-" => Target::Named("standard output"),
            "" => Target::File(workdir.join(FILE)),
            path => Target::File(workdir.join(path)),
        }
    }

    fn build(&self, context: &BuildContext<'_>) -> SinkSpec {
        let (target, rotate_size, keep) =
            (self.target(context.workdir), self.rotate_size.0, self.rotate_keep);
        let written: Arc<Mutex<Written>> = context.before.get().unwrap_or_default();
        let carried_over = CarriedOver::new(written.clone());
        SinkSpec {
            queue: (self.queue, self.when_full),
            pace: Pace::new(self.batch, self.flush_interval, self.retry_for),
            make: Box::new(move || match &target {
                Target::Named(_) => Box::new(Jsonl::stdout()),
                Target::File(path) => Box::new(Jsonl::to(path.clone(), written.clone(), rotate_size, keep)),
            }),
            carried_over,
        }
    }
}

impl Jsonl {
    /// Makes a sink that writes to standard output.
    pub fn stdout() -> Self {
        Self { output: Output::Stdout, buffer: Vec::new() }
    }

    /// Makes a sink that writes to a file, which is rotated at `rotate_size` bytes (0: never); `keep` old files are
    /// kept.
    pub fn file(path: PathBuf, rotate_size: u64, keep: u32) -> Self {
        Self::to(path, Arc::default(), rotate_size, keep)
    }

    fn to(path: PathBuf, written: Arc<Mutex<Written>>, rotate_size: u64, keep: u32) -> Self {
        Self { output: Output::File { path, open: None, written, rotate_size, keep }, buffer: Vec::new() }
    }
}

impl Sink for Jsonl {
    fn check(&mut self) -> Result<(), SinkError> {
        self.output.open()
    }

    fn refresh(&mut self) -> Option<Replaced> {
        self.output.refresh()
    }

    fn write(&mut self, batches: &[Routed], _: &[TracerAccount]) -> Result<Vec<Rejected>, SinkError> {
        self.buffer.clear();
        let mut rejected = Vec::new();
        for (index, batch) in batches.iter().enumerate() {
            for row in &*batch.rows {
                let start = self.buffer.len();
                if let Err(cause) = serde_json::to_writer(&mut self.buffer, row) {
                    // Half a line would corrupt the next one.
                    self.buffer.truncate(start);
                    rejected.push(Rejected { batch: index, rows: 1, cause: cause.to_string() });
                    continue;
                }
                self.buffer.push(b'\n');
            }
        }
        self.output.append(&self.buffer)?;
        if let Output::File { written, .. } = &self.output {
            lock(written).add(batches, &rejected);
        }
        Ok(rejected)
    }

    fn close(&mut self, _: &[TracerAccount], _: WallTime) -> Result<(), SinkError> {
        self.buffer = Vec::new();
        if let Output::File { path, open, .. } = &mut self.output
            && let Some((file, _)) = open.take()
        {
            file.sync_all().map_err(|source| SinkError::io("syncing", path.display(), source))?;
        }
        Ok(())
    }
}

impl Output {
    fn open(&mut self) -> Result<(), SinkError> {
        let Self::File { path, open, written, .. } = self else { return Ok(()) };
        if open.is_none() {
            let opened = private_file::prepare(path).and_then(|path| {
                let file = private_file::open(&path)?;
                let len = file.metadata()?.len();
                lock(written).opened(OutputFile::at(&path)?);
                Ok((file, len))
            });
            *open = Some(opened.map_err(|source| SinkError::io("opening", path.display(), source))?);
        }
        Ok(())
    }

    fn refresh(&mut self) -> Option<Replaced> {
        let Self::File { path, open, written, .. } = self else { return None };
        let mut written = lock(written);
        if let Some(gone) = written.gone() {
            *open = None;
            return Some(written.replaced(&gone));
        }
        let (file, len) = open.as_mut()?;
        let before = std::mem::replace(len, file.metadata().map_or(*len, |now| now.len()));
        if *len >= before {
            return None;
        }
        // As logrotate does with `copytruncate`. Whether the rows are elsewhere is not known.
        *open = None;
        written.begin_again();
        let cause = format!("{} was truncated by another program", path.display());
        Some(Replaced { cause, lost: BTreeMap::new(), since: clock::boot_ns() })
    }

    fn append(&mut self, lines: &[u8]) -> Result<(), SinkError> {
        if lines.is_empty() {
            return Ok(());
        }
        self.rotate(lines.len() as u64)?;
        self.open()?;
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines).and_then(|()| out.flush()).map_err(|source| {
                    let mut error = SinkError::io("writing to", "standard output", source);
                    // Some of the text may have been written, so a retry could write it twice.
                    error.trouble = Trouble::Permanent;
                    error
                })
            }
            Self::File { path, open, .. } => {
                let Some((file, len)) = open else { return Ok(()) };
                match file.write_all(lines) {
                    Ok(()) => {
                        *len += lines.len() as u64;
                        Ok(())
                    }
                    Err(source) => {
                        // A failed write must leave nothing behind. If truncating fails too, the file is opened again
                        // and then begins with the rest of a line.
                        if file.set_len(*len).is_err() {
                            *open = None;
                        }
                        Err(SinkError::io("writing to", path.display(), source))
                    }
                }
            }
        }
    }

    /// Rotates the file if `more` bytes would make it too large.
    fn rotate(&mut self, more: u64) -> Result<(), SinkError> {
        let Self::File { path, open, written, rotate_size, keep } = self else { return Ok(()) };
        let len = open.as_ref().map_or(0, |(_, len)| *len);
        if *rotate_size == 0 || len == 0 || len + more <= *rotate_size {
            return Ok(());
        }
        *open = None;
        lock(written).begin_again();
        let moved = put_aside(path, *keep);
        moved.map_err(|source| SinkError::io("rotating", path.display(), source))
    }
}

/// Renames `x.jsonl` to `x.jsonl.1`, `x.jsonl.1` to `x.jsonl.2`, and so on; the oldest file is removed.
fn put_aside(path: &Path, keep: u32) -> io::Result<()> {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    if keep == 0 {
        return fs::remove_file(path);
    }
    for number in (1..keep).rev() {
        match fs::rename(numbered(number), numbered(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, numbered(1))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{Clocks, Details, Moment, Record};
    use serde_json::{Value, json};

    use super::*;

    fn routed(from: i64, to: i64) -> Routed {
        let row = |number: i64| {
            let fields = serde_json::Map::from_iter([("number".to_owned(), json!(number))]);
            let at = Moment::Wall(WallTime(number));
            let record = Record { at, identity: None, details: Details::Fields(fields) };
            crate::normalize::row(&"t".into(), record, &Clocks::default()).unwrap()
        };
        Routed { claim: None, rows: (from..to).map(row).collect::<Arc<[_]>>(), bytes: 0 }
    }

    #[test]
    fn every_column_is_a_key() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("x.jsonl");
        Jsonl::file(path.clone(), 0, 0).write(&[routed(0, 1)], &[]).unwrap();
        let text = fs::read_to_string(path).unwrap();
        let row: Value = serde_json::from_str(&text).unwrap();
        let keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        let columns = model::schema::COLUMNS.iter().map(|column| column.name());
        let mut expected: Vec<&str> = std::iter::once("tracer").chain(columns).collect();
        expected.retain(|name| *name != "extended");
        expected.push("extended");
        assert_eq!(keys, expected);
        assert_eq!(row["extended"], json!({"number": 0}));
        assert_eq!(row["dt"], "1970-01-01 00:00:00.000000");
    }

    #[test]
    fn rotation_keeps_whole_lines_in_order_and_no_more_files_than_asked() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("x.jsonl");
        let mut sink = Jsonl::file(path.clone(), 1000, 2);
        for number in 0..20 {
            sink.write(&[routed(number, number + 1)], &[]).unwrap();
        }
        let mut names: Vec<String> = fs::read_dir(scratch.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["x.jsonl", "x.jsonl.1", "x.jsonl.2"]);
        let mut numbers = Vec::new();
        for name in ["x.jsonl.2", "x.jsonl.1", "x.jsonl"] {
            let text = fs::read_to_string(scratch.path().join(name)).unwrap();
            assert!(text.len() <= 1000);
            let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            numbers.extend(rows.map(|row| row["extended"]["number"].as_i64().unwrap()));
        }
        let expected: Vec<i64> = (20 - numbers.len() as i64..20).collect();
        assert_eq!(numbers, expected);
    }
}
