//! Reads a traced thread's state from `/proc`.

use std::fs;
use std::os::unix::fs::FileExt;

use nix::unistd::Pid;

use crate::calls::Stop;

/// Length of the longest path, with its NUL.
const LENGTH: usize = 4096;

/// Returns the process that a thread belongs to.
pub(crate) fn process_of(tid: Pid) -> i32 {
    status(tid, "Tgid:", 0).unwrap_or(tid.as_raw())
}

/// Returns the effective user id of a thread.
pub(crate) fn uid_of(tid: Pid) -> Option<u32> {
    status(tid, "Uid:", 1)
}

/// Returns a value in a line of the thread's `status`.
fn status<T: std::str::FromStr>(tid: Pid, name: &str, at: usize) -> Option<T> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().nth(at)?.parse().ok()
}

/// Returns the path that an argument points to; without a path, the path of the file behind the first argument.
pub(crate) fn path(tid: Pid, stop: &Stop, at: usize) -> String {
    match stop.arguments[at] {
        0 => {
            let link = fs::read_link(format!("/proc/{tid}/fd/{}", stop.arguments[0] as i32));
            link.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
        }
        address => text(tid, address).unwrap_or_default(),
    }
}

/// Reads a text in the thread's memory.
fn text(tid: Pid, address: u64) -> Option<String> {
    let memory = fs::File::open(format!("/proc/{tid}/mem")).ok()?;
    let mut bytes = vec![0; LENGTH];
    // Fewer, if the next page is not there.
    let count = memory.read_at(&mut bytes, address).ok()?;
    let end = bytes[..count].iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
}
