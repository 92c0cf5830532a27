//! Ends a connection when the user has enough: at Ctrl-C, SIGTERM, SIGHUP, SIGQUIT, or when nobody reads the output any more.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::signal::unix::{SignalKind, signal};

/// Tells whether the connection was ended here.
pub(crate) struct Interrupted(Arc<AtomicBool>);

impl Interrupted {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Shuts the connection down when the user has enough. A second signal ends the process at once: it may wait for a reader that
/// takes nothing.
pub(crate) fn watch(connection: UnixStream) -> anyhow::Result<Interrupted> {
    let is_set = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.context("listening for signals")?;
    // Installed before this returns, so that no signal is missed.
    let mut signals = {
        let _entered = runtime.enter();
        let listen = |kind| signal(kind).context("listening for signals");
        let ends =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()];
        let [interrupt, terminate, hangup, quit] = ends.map(listen);
        [interrupt?, terminate?, hangup?, quit?]
    };
    let end = {
        let (is_set, connection) = (is_set.clone(), Arc::new(connection));
        move || {
            is_set.store(true, Ordering::SeqCst);
            // It may have ended already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    };
    let end_too = end.clone();
    let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
    let on_signal = move || {
        runtime.block_on(async {
            let [interrupt, terminate, hangup, quit] = &mut signals;
            for is_second in [false, true] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                    _ = quit.recv() => {}
                }
                if is_second {
                    std::process::exit(130);
                }
                end();
            }
        });
    };
    thread("signals").spawn(on_signal).context("listening for signals")?;
    thread("output").spawn(move || wait_for_closing(end_too)).context("watching the output")?;
    Ok(Interrupted(is_set))
}

/// Waits until the reader of a pipe has closed it. Without this, that would show only when the next row is printed.
fn wait_for_closing(end: impl FnOnce()) {
    let stdout = io::stdout();
    let mut watched = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    loop {
        match poll(&mut watched, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => {}
            Ok(count) if count > 0 => return end(),
            // A file can't be watched, and has no reader.
            _ => return,
        }
    }
}
