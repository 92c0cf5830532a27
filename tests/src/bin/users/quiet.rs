//! The quiet user: one call of each kind a round, each with the round's number in it.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::signal::kill;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, Uid, setresuid};

use crate::floods::Error;

/// A port on which nothing listens (discard).
const PORT: u16 = 9;

pub(crate) fn run(uid: Uid, rounds: u32, rate: f64, prefix: &str) -> Result<(), Error> {
    let start = now();
    for round in 0..rounds {
        let due = Duration::from_secs_f64(f64::from(round) / rate);
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        one_round(uid, round, prefix)?;
    }
    writeln!(
        std::io::stdout(),
        r#"{{"count": {rounds}, "pid": {}, "ns": {}}}"#,
        std::process::id(),
        start.elapsed().as_nanos()
    )?;
    Ok(())
}

fn one_round(uid: Uid, round: u32, prefix: &str) -> Result<(), Error> {
    let path = format!("{prefix}{round}");
    expect(open(path.as_str(), OFlag::O_RDONLY, Mode::empty()).err() == Some(Errno::ENOENT), "open")?;
    expect(Command::new("/bin/true").arg(&path).status()?.success(), "exec")?;
    setresuid(uid, uid, uid)?;
    expect(kill(Pid::from_raw(1), None) == Err(Errno::EPERM), "kill")?;
    expect(std::fs::rename(&path, format!("{path}-new")).is_err(), "rename")?;
    let [_, _, high, low] = round.to_be_bytes();
    expect(TcpStream::connect((Ipv4Addr::new(127, 77, high, low), PORT)).is_err(), "connect")
}

fn expect(as_expected: bool, call: &str) -> Result<(), Error> {
    as_expected.then_some(()).ok_or_else(|| format!("{call}: not the expected result").into())
}

#[expect(clippy::disallowed_methods, reason = "a program of its own, not part of the agent")]
fn now() -> Instant {
    Instant::now()
}
