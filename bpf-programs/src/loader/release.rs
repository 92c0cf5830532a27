//! Detaches programs from functions of the kernel, one after the other.
//!
//! When a function loses its program, the kernel waits for grace periods of all tasks (`ftrace_shutdown`). Who waits is who
//! drops the last reference to the link:
//!
//! ```text
//!  a descriptor   close() waits
//!  a pin          a work of the queue `events` waits (bpf_free_inode, bpf_link_put; since Linux 6.5)
//! ```
//!
//! Many pins must never be the last references. All works wait for one mutex, and its holder for a grace period that runs
//! a work on each processor (`schedule_on_each_cpu`), by the same queue. Once 256 works are in the queue it is full: none
//! of them ever ends, nor does any other work of the machine until it is booted anew (Debian's 6.12.117). Here a link is
//! therefore opened before its pin is removed, and closed last.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::time::Duration;
use std::{fs, io, thread};

use aya::programs::links::{FdLink, PinnedLink};
use model::lock::{lock, unpoisoned};

/// With more links than this, their pins are removed in portions of this size.
const PORTION: usize = 64;
/// Wait between the removal of pins and the closing of their links: a pin lets go of its link after a grace period of RCU.
const SETTLE: Duration = Duration::from_millis(100);

/// Links that wait to be closed.
struct Waiting {
    links: VecDeque<(FdLink, Was)>,
    /// Number of links that are being closed.
    closing: usize,
    /// A thread closes them.
    has_thread: bool,
}

/// The reference to a link besides its descriptor.
#[derive(Clone, Copy, PartialEq)]
enum Was {
    Pinned,
    Open,
}

static WAITING: Mutex<Waiting> =
    Mutex::new(Waiting { links: VecDeque::new(), closing: 0, has_thread: false });
static CLOSED: Condvar = Condvar::new();

/// Removes pins of links and detaches their programs, waiting for it if there are many; calls `failed` for each that could
/// not be removed.
pub(super) fn remove_pins(paths: &[&Path], failed: impl Fn(&Path, &io::Error)) {
    let are_many = paths.len() > PORTION;
    for portion in paths.chunks(PORTION) {
        let open = |path: &&Path| PinnedLink::from_pin(path).ok();
        let links: Vec<_> = portion.iter().filter(|_| are_many).filter_map(open).collect();
        for path in portion {
            if let Err(cause) = fs::remove_file(path) {
                failed(path, &cause);
            }
        }
        if are_many {
            thread::sleep(SETTLE);
        }
        drop(links);
    }
}

/// Removes the pin of a link and detaches its program in a thread of its own, which waits for it. If many wait already, the
/// caller waits, too.
pub(super) fn pinned(path: &Path) -> io::Result<()> {
    let link = PinnedLink::from_pin(path).map_err(io::Error::other)?;
    let are_many = |waiting: &mut Waiting| waiting.pinned() >= PORTION;
    drop(unpoisoned(CLOSED.wait_while(lock(&WAITING), are_many)));
    enqueue(link.unpin()?, Was::Pinned);
    Ok(())
}

/// Closes a link without a pin in a thread of its own, which waits until its program is detached.
pub(super) fn open(link: FdLink) {
    enqueue(link, Was::Open);
}

/// Returns the number of links whose programs are still being detached.
pub(crate) fn waiting() -> usize {
    let waiting = lock(&WAITING);
    waiting.links.len() + waiting.closing
}

impl Waiting {
    fn pinned(&self) -> usize {
        self.closing + self.links.iter().filter(|(_, was)| *was == Was::Pinned).count()
    }
}

fn enqueue(link: FdLink, was: Was) {
    let mut waiting = lock(&WAITING);
    waiting.links.push_back((link, was));
    if !waiting.has_thread {
        waiting.has_thread = thread::Builder::new().name("detaching".to_owned()).spawn(close_all).is_ok();
    }
    // Without a thread, the end of the process closes them.
}

/// Closes links, those that wait at the same time together, until none waits.
fn close_all() {
    loop {
        let links: Vec<_> = {
            let mut waiting = lock(&WAITING);
            waiting.closing = 0;
            CLOSED.notify_all();
            if waiting.links.is_empty() {
                waiting.has_thread = false;
                return;
            }
            let size = waiting.links.len().min(PORTION);
            waiting.closing = size;
            waiting.links.drain(..size).collect()
        };
        if links.iter().any(|(_, was)| *was == Was::Pinned) {
            thread::sleep(SETTLE);
        }
        drop(links);
    }
}
