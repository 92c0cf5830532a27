//! Random operations on files, by several threads, and how many calls of each kind that were, as one JSON object.
//!
//! The order in which two calls end is not always the order in which they took effect. So what one thread does is in a
//! folder of its own, and whatever touches the shared folder is done under a lock: then both orders are one.

mod calls;
mod names;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{Mode, umask};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use calls::Calls;

#[derive(Parser)]
struct Options {
    /// The folder that all is done in; there is one named `shared` in it
    tree: PathBuf,
    /// Lock file to hold while working in the shared folder
    #[arg(long)]
    lock: PathBuf,
    /// Number of this program among several; its folders are named after it
    #[arg(long)]
    worker: u64,
    #[arg(long)]
    threads: u64,
    /// Operations a second, of all threads
    #[arg(long)]
    rate: f64,
    #[arg(long)]
    seconds: f64,
    /// The same seed, the same choices
    #[arg(long)]
    seed: u64,
    /// Taken off the modes of what is made, in octal
    #[arg(long, value_parser = octal)]
    umask: u32,
}

fn octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8).map_err(|why| why.to_string())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    umask(Mode::from_bits_truncate(options.umask));
    std::env::set_current_dir(&options.tree)?;
    let threads: Vec<_> = (0..options.threads)
        .map(|thread| {
            // Half of them by relative paths.
            let tree = if thread % 2 == 0 { options.tree.as_path() } else { Path::new("") };
            let own = tree.join(format!("worker{}-{thread}", options.worker));
            let lock = File::open(&options.lock)?;
            let random = StdRng::seed_from_u64(options.seed + (options.worker << 8) + thread);
            let (shared, rate) = (tree.join("shared"), options.rate / options.threads as f64);
            let time = Duration::from_secs_f64(options.seconds);
            Ok(std::thread::spawn(move || work(random, &own, &shared, lock, rate, time)))
        })
        .collect::<std::io::Result<_>>()?;
    let mut total = BTreeMap::<_, u64>::new();
    for thread in threads {
        for (tracer, count) in thread.join().map_err(|_| "a thread panicked")? {
            *total.entry(tracer).or_default() += count;
        }
    }
    say(&format!("{total:?}"));
    Ok(())
}

/// The steps of one thread; how many calls, by the tracer that is to record them.
fn work(
    mut random: StdRng,
    own: &Path,
    shared: &Path,
    mut lock: File,
    rate: f64,
    time: Duration,
) -> BTreeMap<&'static str, u64> {
    let mut calls = Calls::default();
    calls.mkdir(own, 0o777);
    let (start, mut done) = (now(), 0.0);
    while start.elapsed() < time {
        let due = start.elapsed().as_secs_f64() * rate;
        while done < due {
            done += 1.0;
            if random.random_ratio(3, 4) {
                calls.step(&mut random, own);
                continue;
            }
            lock = match Flock::lock(lock, FlockArg::LockExclusive) {
                Ok(held) => {
                    // Something that nobody else has a name for may come from the thread's own folder.
                    if random.random_ratio(1, 8) {
                        calls.give_away(&mut random, own, shared);
                    }
                    calls.step(&mut random, shared);
                    held.unlock().unwrap_or_else(|(_, why)| panic!("the lock can't be let go: {why}"))
                }
                Err((_, why)) => panic!("the lock can't be had: {why}"),
            };
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    calls.counts()
}

#[expect(clippy::disallowed_methods, reason = "a program of its own, not part of the agent")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::print_stdout, reason = "its result is its output")]
fn say(result: &str) {
    println!("{result}");
}
