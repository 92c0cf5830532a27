//! Users of one machine: some flood it with calls of one kind, each under its own uid or under all subordinate uids of
//! its own; one makes a few marked calls at a steady rate.

mod floods;
mod quiet;

use std::fs::write;
use std::io::{BufRead as _, BufReader, Write as _, stdin, stdout};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use clap::{Parser, Subcommand};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

use floods::{Error, Flood};

/// The first subordinate uid; any range that no user has will do.
const SUBORDINATES: u32 = 700_000;

/// Subordinate uids of the one user who has any.
const SUBORDINATE_COUNT: u32 = 65_536;

#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    /// Start users who flood, and end them with standard input
    Flood {
        flood: Flood,
        #[arg(long)]
        first_uid: u32,
        #[arg(long, default_value_t = 1)]
        users: u32,
        /// Each makes a user namespace, and works under so many subordinate uids in turn
        #[arg(long, default_value_t = 0)]
        subordinates: u32,
        /// Processes of each user
        #[arg(long, default_value_t = 1)]
        processes: u32,
        /// A folder that all may enter
        folder: PathBuf,
    },
    /// Be a process of a user who floods, until the parent ends
    One {
        flood: Flood,
        #[arg(long)]
        uid: u32,
        #[arg(long, default_value_t = 0)]
        subordinates: u32,
        folder: PathBuf,
    },
    /// Make so many rounds of marked calls, one of each kind
    Quiet {
        #[arg(long)]
        uid: u32,
        #[arg(long)]
        rounds: u32,
        /// Rounds a second
        #[arg(long)]
        rate: f64,
        /// Beginning of the paths that are asked for; nothing is there
        prefix: String,
    },
}

fn main() -> Result<(), Error> {
    match Options::parse().work {
        Work::Flood { flood, first_uid, users, subordinates, processes, folder } => {
            floods::make_deep(&folder)?;
            let mut children = Vec::new();
            for process in 0..users * processes {
                let uid = first_uid + process / processes;
                children.push(start(flood, uid, subordinates, &folder)?);
            }
            // All at once: those who have begun would slow down the start of the others.
            for child in &mut children {
                writeln!(child.stdin.take().ok_or("no input")?, "begin")?;
            }
            writeln!(stdout(), "begun")?;
            std::io::copy(&mut stdin().lock(), &mut std::io::sink())?;
            children.iter_mut().try_for_each(Child::kill)?;
            children.iter_mut().try_for_each(|child| child.wait().map(drop))?;
            Ok(())
        }
        Work::One { flood, uid, subordinates, folder } => {
            become_user(uid)?;
            // After the change of user, which would undo it.
            set_pdeathsig(Signal::SIGKILL)?;
            if subordinates > 0 {
                unshare(CloneFlags::CLONE_NEWUSER)?;
                writeln!(stdout(), "in a namespace of its own")?;
            }
            stdin().lock().read_line(&mut String::new())?;
            flood.run(&folder, subordinates)
        }
        Work::Quiet { uid, rounds, rate, prefix } => {
            become_user(uid)?;
            quiet::run(Uid::from_raw(uid), rounds, rate, &prefix)
        }
    }
}

fn become_user(uid: u32) -> nix::Result<()> {
    setgroups(&[])?;
    setgid(Gid::from_raw(uid))?;
    setuid(Uid::from_raw(uid))
}

/// Starts a process of a user who floods when his input has a line; with subordinate uids, maps them as `newuidmap` does.
fn start(flood: Flood, uid: u32, subordinates: u32, folder: &PathBuf) -> Result<Child, Error> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("one").arg(flood.to_string()).arg(folder);
    command.args(["--uid", &uid.to_string(), "--subordinates", &subordinates.to_string()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    if subordinates == 0 {
        return Ok(child);
    }
    let output = child.stdout.take().ok_or("no output")?;
    BufReader::new(output).read_line(&mut String::new())?;
    for map in ["uid_map", "gid_map"] {
        let map = format!("/proc/{}/{map}", child.id());
        write(map, format!("0 {uid} 1\n1 {SUBORDINATES} {SUBORDINATE_COUNT}\n"))?;
    }
    Ok(child)
}
