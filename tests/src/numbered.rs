//! Generators whose opens bear running numbers, so that one that is missing or there twice shows.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::wait::until;
use crate::workload::generator;

/// A generator ends within this long after its input.
const PATIENCE: Duration = Duration::from_secs(20);

/// Several generators side by side.
pub struct Crowd {
    workers: Vec<Worker>,
}

/// A running generator.
struct Worker {
    prefix: String,
    child: Child,
    done: Arc<AtomicU64>,
    reader: Option<JoinHandle<Option<u64>>>,
}

impl Crowd {
    /// Starts `workers` of them, each at `rate` opens a second, as user `uid`. Every `spawn_every` opens one program is
    /// run.
    pub fn start(uid: u32, workers: u32, rate: u64, spawn_every: u64) -> Self {
        let start = |worker| Worker::start(uid, format!("/seam-{uid}-{worker}/"), rate, spawn_every);
        Self { workers: (0..workers).map(start).collect() }
    }

    /// Opens made so far, about.
    pub fn done(&self) -> u64 {
        self.workers.iter().map(|worker| worker.done.load(Ordering::Relaxed)).sum()
    }

    /// Waits for so many opens more.
    ///
    /// # Panics
    /// When they don't come.
    pub fn wait_for(&self, more: u64) {
        let enough = self.done() + more;
        until("opens are made", PATIENCE, || (self.done() >= enough).then_some(()));
    }

    /// Ends them: each one's prefix, and how many opens it made.
    ///
    /// # Panics
    /// When one does not end in good order.
    pub fn end(self) -> Vec<(String, u64)> {
        self.workers.into_iter().map(Worker::end).collect()
    }
}

impl Worker {
    fn start(uid: u32, prefix: String, rate: u64, spawn_every: u64) -> Self {
        let (rate, every) = (rate.to_string(), spawn_every.to_string());
        let mut command = generator(uid, &["numbered", &prefix, "--rate", &rate, "--spawn-every", &every]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the generator can't be started");
        let lines = BufReader::new(child.stdout.take().expect("it has a pipe")).lines();
        let done = Arc::new(AtomicU64::new(0));
        let shared = done.clone();
        let reader = Some(std::thread::spawn(move || read(lines, &shared)));
        Self { prefix, child, done, reader }
    }

    fn end(mut self) -> (String, u64) {
        drop(self.child.stdin.take());
        let count = self.reader.take().and_then(|reader| reader.join().ok()).flatten();
        assert!(self.child.wait().is_ok_and(|status| status.success()), "a generator failed");
        (std::mem::take(&mut self.prefix), count.expect("a generator did not say how many opens it made"))
    }
}

/// Follows what it says: numbers on the way, an object at the end.
fn read(lines: Lines<BufReader<ChildStdout>>, done: &AtomicU64) -> Option<u64> {
    for line in lines.map_while(Result::ok) {
        match serde_json::from_str::<Value>(&line) {
            Ok(Value::Object(end)) => return end.get("count")?.as_u64(),
            Ok(number) => done.store(number.as_u64()?, Ordering::Relaxed),
            Err(_) => return None,
        }
    }
    None
}

impl Drop for Worker {
    fn drop(&mut self) {
        // After a test that failed; else it has ended, and there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fails if a name was found twice, or if more names are missing than were counted as lost.
///
/// A busy machine may keep every agent from reading for longer than a ring holds, so that losses are no fault; a loss
/// that nobody counted is one. Losses of other events (a program's libraries) are counted with these, so that fewer may
/// be missing than were lost.
///
/// # Panics
/// If that is so.
pub fn assert_once(found: &[String], expected: &[String], lost: u64) {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    found.iter().for_each(|name| *counts.entry(name).or_default() += 1);
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    let missing: Vec<_> = expected.iter().filter(|name| !counts.contains_key(name.as_str())).collect();
    assert!(
        twice.is_empty() && missing.len() as u64 <= lost,
        "{} are there more than once, {} are missing of {}, {lost} are counted as lost: {:?} {:?}",
        twice.len(),
        missing.len(),
        expected.len(),
        &twice[..twice.len().min(5)],
        &missing[..missing.len().min(5)]
    );
    assert_eq!(found.len() + missing.len(), expected.len(), "names that nobody asked for");
}
