//! The progress of a query or an export that takes long: a line on the terminal, and Ctrl-C, which stops the work and not the
//! program.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use analyzer::sql::Meter;
use indicatif::{HumanCount, ProgressBar};
use tokio::signal::unix::{SignalKind, signal};

/// Time after which a query takes long.
const LONG: Duration = Duration::from_secs(1);
/// Time between two updates.
const UPDATE: Duration = Duration::from_millis(200);

/// A line on stderr that says how far a query is, until it is dropped.
pub(crate) struct Progress {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Shows the progress, if stderr is a terminal. `what` names what is done with the rows, for example `exported`.
    pub(crate) fn of(meter: Arc<Meter>, what: &'static str) -> Option<Self> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let (end, ended) = channel();
        let show = move || show(&meter, what, &ended);
        let thread = thread::Builder::new().name("progress".to_owned()).spawn(show).ok()?;
        Some(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It panics only if the terminal is closed meanwhile.
            let _ = thread.join();
        }
    }
}

fn show(meter: &Meter, what: &str, ended: &Receiver<()>) {
    if ended.recv_timeout(LONG) != Err(RecvTimeoutError::Timeout) {
        return;
    }
    let bar = ProgressBar::new_spinner();
    while ended.recv_timeout(UPDATE) == Err(RecvTimeoutError::Timeout) {
        bar.set_message(format!("{} rows {what}; Ctrl-C stops", HumanCount(meter.rows())));
        bar.tick();
    }
    bar.finish_and_clear();
}

/// Makes Ctrl-C stop the work. A second Ctrl-C ends the program, if the first has not. If no thread can be started for that, the first
/// one ends the program.
pub(crate) fn stop_on_interrupt(meter: Arc<Meter>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let Ok(runtime) = runtime else { return };
    let listening = {
        let _inside = runtime.enter();
        signal(SignalKind::interrupt())
    };
    let Ok(mut interrupts) = listening else { return };
    let listen = move || {
        runtime.block_on(async {
            interrupts.recv().await;
            meter.stop();
            interrupts.recv().await;
            std::process::exit(1);
        });
    };
    // It is never joined: it waits until the program ends.
    let _ = thread::Builder::new().name("interrupts".to_owned()).spawn(listen);
}
