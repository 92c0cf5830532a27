//! A service manager learns the agent's state: the protocol of sd_notify(3), over a real socket.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::{Agent, Scratch, Setup, suite};

/// Only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

suite! {
    threads: 1;
    a_service_manager_learns_when_the_agent_is_ready_and_that_it_lives: [Kernel];
    a_reload_begins_and_ends_for_the_service_manager: [Kernel];
    an_agent_that_can_record_nothing_is_never_ready: []
}

/// The socket of a service manager.
struct Manager {
    scratch: Scratch,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let scratch = Scratch::new();
        let socket = UnixDatagram::bind(scratch.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { scratch, socket }
    }

    fn spawn(&self, setup: Setup) -> Agent {
        let socket = self.scratch.path().join("notify");
        setup.variable("NOTIFY_SOCKET", socket.to_str().unwrap()).spawn()
    }

    /// Returns the next message that has this line. Others before it are skipped.
    fn next_with(&self, line: &str) -> Vec<String> {
        loop {
            let message = self.next();
            if message.iter().any(|one| one == line) {
                return message;
            }
        }
    }

    fn next(&self) -> Vec<String> {
        let mut text = [0; 4096];
        let bytes = self.socket.recv(&mut text).expect("the agent says nothing");
        String::from_utf8_lossy(&text[..bytes]).lines().map(str::to_owned).collect()
    }
}

/// Returns the settings of an agent with these kernel tracers and no others.
fn only(tracers: &[&str]) -> Setup {
    Setup::new().only(tracers).set("tracer.uname.disabled", "true")
}

fn a_service_manager_learns_when_the_agent_is_ready_and_that_it_lives() {
    let manager = Manager::new();
    let mut agent = manager.spawn(only(&["open"]).variable("WATCHDOG_USEC", "200000"));
    let ready = manager.next();
    assert_eq!(ready, ["READY=1", "STATUS=1 of 1 tracers record; 0 records lost"]);
    assert_eq!(agent.tracer("open")["phase"], "attached");
    for _ in 0..3 {
        assert_eq!(manager.next()[0], "WATCHDOG=1");
    }
    let ended = agent.stop(Signal::SIGTERM);
    assert!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(manager.next_with("STOPPING=1")[1], "STATUS=storing the last records");
}

fn a_reload_begins_and_ends_for_the_service_manager() {
    let manager = Manager::new();
    let mut agent = manager.spawn(only(&["open"]));
    manager.next_with("READY=1");
    for reload in [true, false] {
        // By the command, and as `systemctl reload` does with Type=notify-reload.
        if reload {
            assert!(agent.store().run(&["reload"]).status.success());
        } else {
            agent.signal(Signal::SIGHUP);
        }
        let begun = manager.next();
        let [reloading, at] = &begun[..] else { panic!("{begun:?}") };
        assert_eq!(reloading, "RELOADING=1");
        let at: u64 = at.strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        // The clock of the uptime also counts while the machine is suspended.
        assert!(at > 0 && at < (uptime * 1e6) as u64 + 1_000_000, "{at}");
        assert_eq!(manager.next()[0], "READY=1");
    }
    agent.stop(Signal::SIGTERM);
    manager.next_with("STOPPING=1");
}

fn an_agent_that_can_record_nothing_is_never_ready() {
    let manager = Manager::new();
    let mut agent = manager.spawn(only(&[]));
    let ended = agent.wait();
    assert_eq!(ended.status.code(), Some(3), "{}", ended.stderr);
    assert_eq!(manager.next()[0], "STOPPING=1");
    manager.socket.set_nonblocking(true).unwrap();
    assert!(manager.socket.recv(&mut [0; 64]).is_err());
}
