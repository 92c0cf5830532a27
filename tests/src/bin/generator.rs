//! Makes exactly known numbers of kernel events, and says how many, as one JSON object.

use std::ffi::CString;
use std::io::{BufRead, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

#[derive(Parser)]
struct Options {
    /// Become this user and group first
    #[arg(long)]
    uid: Option<u32>,
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    /// Open and close one file as fast as one thread can, for a time or a number
    Open {
        file: PathBuf,
        #[arg(long, default_value_t = u64::MAX)]
        count: u64,
        #[arg(long, default_value_t = f64::INFINITY)]
        seconds: f64,
    },
    /// Open and close one file at a steady rate
    Paced {
        file: PathBuf,
        #[arg(long)]
        rate: u64,
        #[arg(long)]
        seconds: u64,
    },
    /// Open paths with running numbers at a steady rate, and run a program with the number every so often, until the
    /// standard input ends; tells how far it is
    Numbered {
        /// Paths begin so; nothing needs to be there
        prefix: String,
        #[arg(long)]
        rate: u64,
        /// Run `/bin/true <number>` after so many opens
        #[arg(long)]
        spawn_every: u64,
    },
    /// Run a program again and again, one after the other
    Spawn {
        program: PathBuf,
        #[arg(long)]
        count: u64,
    },
    /// Connect to a listener of its own on that address, and read to the end
    Connect {
        #[arg(long, default_value = "127.0.0.1")]
        address: String,
        #[arg(long)]
        count: u64,
    },
    /// Write and read 4 KiB at the beginning of a file, again and again
    ReadWrite {
        file: PathBuf,
        #[arg(long)]
        count: u64,
    },
    /// Write 8 bytes, then read and write single bytes of one file from several threads as fast as they can
    Bytes {
        file: PathBuf,
        #[arg(long, default_value_t = 1)]
        threads: u64,
        /// Reads, and as many writes, of each thread
        #[arg(long)]
        calls: u64,
    },
    /// Make a call that concerns nobody (getppid), again and again
    Unrelated {
        #[arg(long)]
        count: u64,
    },
    /// Make files 0, 1, 2… in a folder at a steady rate, until standard input ends; each is opened once
    Number {
        folder: PathBuf,
        #[arg(long)]
        rate: u64,
    },
    /// Be a subprocess tracer's child that writes an event every so often, numbered, until it is told to stop
    Tick {
        #[arg(long)]
        every_us: u64,
    },
    /// Be a subprocess tracer's child that writes numbered events as fast as it can, then waits for its end
    Flood {
        #[arg(long)]
        count: u64,
        /// Begin when this file is there
        #[arg(long)]
        when: Option<PathBuf>,
    },
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    // Bound while we still may; what a test counts comes after the change of user.
    if let Some(uid) = options.uid {
        setgroups(&[])?;
        setgid(Gid::from_raw(uid))?;
        setuid(Uid::from_raw(uid))?;
    }
    let start = now();
    let count = match options.work {
        Work::Open { file, count, seconds } => open_fast(&path(file)?, count, seconds)?,
        Work::Paced { file, rate, seconds } => open_paced(&path(file)?, rate, seconds)?,
        Work::Numbered { prefix, rate, spawn_every } => open_numbered(&prefix, rate, spawn_every)?,
        Work::Spawn { program, count } => spawn(&program, count)?,
        Work::Connect { address, count } => connect(&address, count)?,
        Work::ReadWrite { file, count } => read_write(&file, count)?,
        Work::Bytes { file, threads, calls } => bytes(&file, threads, calls)?,
        Work::Unrelated { count } => {
            for _ in 0..count {
                std::hint::black_box(nix::unistd::getppid());
            }
            count
        }
        Work::Number { folder, rate } => number(&folder, rate)?,
        // What it says is for its host alone.
        Work::Tick { every_us } => return Ok(tick(Duration::from_micros(every_us))?),
        Work::Flood { count, when } => return Ok(flood(count, when.as_deref())?),
    };
    say(&format!(
        r#"{{"count": {count}, "pid": {}, "ns": {}}}"#,
        std::process::id(),
        start.elapsed().as_nanos()
    ));
    Ok(())
}

fn path(file: PathBuf) -> Result<CString, std::ffi::NulError> {
    CString::new(file.into_os_string().into_encoded_bytes())
}

fn open_fast(file: &CString, count: u64, seconds: f64) -> Result<u64, Errno> {
    let start = now();
    let mut done = 0;
    while done < count {
        // The clock is asked now and then only, or it would be a good part of the work.
        if done % 256 == 0 && start.elapsed().as_secs_f64() >= seconds {
            break;
        }
        open_once(file)?;
        done += 1;
    }
    Ok(done)
}

fn open_paced(file: &CString, rate: u64, seconds: u64) -> Result<u64, Errno> {
    let start = now();
    let total = rate * seconds;
    let mut done = 0;
    while done < total {
        let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
        while done < due.min(total) {
            open_once(file)?;
            done += 1;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(done)
}

/// The descriptor is closed when dropped.
fn open_once(file: &CString) -> Result<(), Errno> {
    open(file.as_c_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).map(drop)
}

fn open_numbered(prefix: &str, rate: u64, spawn_every: u64) -> Result<u64, Box<dyn std::error::Error>> {
    let ended = Arc::new(AtomicBool::new(false));
    let seen = ended.clone();
    std::thread::spawn(move || {
        // An error is an end as well.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        seen.store(true, Ordering::Relaxed);
    });
    let start = now();
    let mut done = 0;
    while !ended.load(Ordering::Relaxed) {
        let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
        while done < due {
            // That there is no such file is no matter: it was asked for.
            let _ = open_once(&CString::new(format!("{prefix}{done}"))?);
            if done % spawn_every == 0 {
                Command::new("/bin/true").arg(format!("{prefix}{done}")).status()?;
            }
            done += 1;
        }
        say(&done.to_string());
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(done)
}

fn spawn(program: &PathBuf, count: u64) -> std::io::Result<u64> {
    for _ in 0..count {
        Command::new(program).status()?;
    }
    Ok(count)
}

fn connect(address: &str, count: u64) -> std::io::Result<u64> {
    let listener = TcpListener::bind((address, 0))?;
    let there = listener.local_addr()?;
    for _ in 0..count {
        let mut stream = TcpStream::connect(there)?;
        drop(listener.accept()?);
        stream.read_to_end(&mut Vec::new())?;
    }
    Ok(count)
}

fn read_write(file: &Path, count: u64) -> std::io::Result<u64> {
    let file = std::fs::File::options().read(true).write(true).open(file)?;
    let mut page = [b'x'; 4096];
    for _ in 0..count {
        file.write_all_at(&page, 0)?;
        file.read_exact_at(&mut page, 0)?;
    }
    Ok(count)
}

fn bytes(file: &Path, threads: u64, calls: u64) -> std::io::Result<u64> {
    let file = std::fs::File::options().read(true).write(true).open(file)?;
    file.write_all_at(&[b'x'; 8], 0)?;
    let work = || {
        for _ in 0..calls {
            file.read_exact_at(&mut [0], 3)?;
            file.write_all_at(b"y", 4)?;
        }
        std::io::Result::Ok(())
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| std::io::Error::other("a thread panicked"))?)
    })?;
    Ok(threads * calls)
}

fn number(folder: &Path, rate: u64) -> std::io::Result<u64> {
    let ended = Arc::new(AtomicBool::new(false));
    let stop = ended.clone();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        stop.store(true, Ordering::Relaxed);
    });
    let (start, mut done) = (now(), 0);
    while !ended.load(Ordering::Relaxed) {
        let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
        while done < due {
            let file = folder.join(done.to_string());
            std::fs::File::create(&file)?;
            std::fs::remove_file(&file)?;
            done += 1;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(done)
}

fn tick(every: Duration) -> std::io::Result<()> {
    let message = |kind: &str, payload: &str| {
        format!(r#"{{"proto":"duetector","version":"0.1.0","type":"{kind}","payload":{payload}}}"#)
    };
    let ended = Arc::new(AtomicBool::new(false));
    let stop = ended.clone();
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(Result::ok);
        lines.take_while(|line| !line.contains(r#""type":"stop""#)).for_each(drop);
        stop.store(true, Ordering::Relaxed);
    });
    let mut out = std::io::stdout().lock();
    for number in 0_u64.. {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        writeln!(out, "{}", message("event", &format!(r#"{{"n":{number}}}"#)))?;
        out.flush()?;
        std::thread::sleep(every);
    }
    writeln!(out, "{}", message("stopped", "{}"))?;
    out.flush()
}

/// The events are of the size that the contract's own measurements used.
fn flood(count: u64, when: Option<&Path>) -> std::io::Result<()> {
    const HEAD: &[u8] =
        b"{\"proto\":\"duetector\",\"version\":\"0.1.0\",\"type\":\"event\",\"payload\":{\"pid\":12345,\
        \"uid\":1000,\"gid\":1000,\"comm\":\"python3\",\"fname\":\"/data/set/train/part-00017.parquet\",\
        \"timestamp\":123456789012345,\"n\":";
    let mut lines = std::io::stdin().lock();
    lines.read_line(&mut String::new())?;
    while when.is_some_and(|file| !file.exists()) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut out = BufWriter::with_capacity(64 << 10, std::io::stdout().lock());
    for number in 0..count {
        out.write_all(HEAD)?;
        writeln!(out, "{number}}}}}")?;
    }
    out.flush()?;
    std::io::copy(&mut lines, &mut std::io::sink()).map(drop)
}

#[expect(clippy::disallowed_methods, reason = "a program of its own, not part of the agent")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::print_stdout, reason = "its result is its output")]
fn say(result: &str) {
    println!("{result}");
}
