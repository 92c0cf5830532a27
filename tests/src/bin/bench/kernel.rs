//! Measures what each tracer's events cost in the kernel: the run time of the agent's programs, which the kernel counts
//! while `kernel.bpf_stats_enabled` is set, less the same with another tracer on.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use tests::workload::succeed;
use tests::{Agent, Setup, catalog};

use crate::figure::{Figure, figure};

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";
const UID: u32 = 9963;

/// Perl code that makes events of a tracer, run once for each `$n` in a folder with a file `a` that `F` has open.
const WORKS: &[(&str, u32, &str)] = &[
    ("open", 20_000, "sysopen(G, 'a', 0); close G"),
    ("usage", 20_000, "sysseek(F, 0, 0); sysread(F, $b, 4096)"),
    ("exec", 300, "system '/bin/true'"),
    ("clone", 300, "system '/bin/true'"),
    ("exit", 300, "system '/bin/true'"),
    ("connect", 5_000, CONNECT),
    ("accept", 5_000, CONNECT),
    ("close", 5_000, CONNECT),
    ("bind", 10_000, "socket(S, 2, 1, 0); bind(S, sockaddr_in(0, INADDR_LOOPBACK))"),
    ("udp", 10_000, "socket(S, 2, 2, 0); send(S, 'x', 0, sockaddr_in(9, INADDR_LOOPBACK))"),
    ("dns", 10_000, DNS),
    ("rename", 20_000, "rename $n % 2 ? 'a' : 'b', $n % 2 ? 'b' : 'a'"),
    ("unlink", 20_000, "syscall(87, $no)"),
    ("link", 20_000, "link 'l', 'l'"),
    ("truncate", 20_000, "truncate F, 4096"),
    ("attr", 20_000, "chmod 0600, 'l'"),
    ("mkdir", 20_000, "mkdir 'l'"),
    ("mount", 20_000, "syscall(166, $no, 0)"),
    ("ptrace", 20_000, "syscall(101, 17, 1, 0, 0)"),
    ("bpf", 20_000, "syscall(321, 99, 0, 0)"),
    ("module", 20_000, "syscall(176, $no, 0)"),
    ("memfd", 10_000, "syscall(3, syscall(319, $no, 0))"),
    ("setuid", 20_000, "syscall(105, $<)"),
    ("kill", 20_000, "kill 0, $$"),
    ("namespace", 20_000, "syscall(272, 1)"),
    ("ipc", 20_000, "syscall(29, 0, 0, 0)"),
];

const CONNECT: &str = "socket(C, 2, 1, 0); connect(C, $there); accept(A, L); close A; close C";
const DNS: &str = "socket(S, 2, 2, 0); send(S, \
     \"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\7example\\3org\\0\\0\\1\\0\\1\", 0, sockaddr_in(53, INADDR_LOOPBACK))";

const PRELUDE: &str = "use Socket; $no = 'no'; open(F, '+>', 'a'); open(L, '>', 'l'); syswrite F, 'x' x 4096; \
     socket(L, 2, 1, 0); bind(L, sockaddr_in(0, INADDR_LOOPBACK)); listen(L, 100); $there = getsockname L;";

/// Cost of one tracer.
pub(crate) struct Cost {
    pub(crate) tracer: String,
    /// Nanoseconds per event; none if there is no work for it here, or it saw nothing.
    pub(crate) ns: Option<f64>,
}

/// Measures all tracers, in the order of the catalogue.
pub(crate) fn take() -> Vec<Cost> {
    let Some(_switch) = Switch::on() else { return Vec::new() };
    let tracers = catalog::kernel_tracers();
    let costs = tracers.iter().map(|tracer| Cost { tracer: tracer.clone(), ns: cost(&tracers, tracer) });
    costs.collect()
}

/// Makes the kernel count run times; restores the earlier setting when dropped.
struct Switch(String);

impl Switch {
    fn on() -> Option<Self> {
        let before = fs::read_to_string(SWITCH).ok()?;
        fs::write(SWITCH, "1").ok().map(|()| Self(before))
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        // It was there to be written to.
        let _ = fs::write(SWITCH, &self.0);
    }
}

/// Returns the costs as a table.
pub(crate) fn report(costs: &[Cost]) -> String {
    let mut text = String::from("\n| tracer | ns an event in the kernel |\n|---|---|\n");
    for cost in costs {
        let ns = cost.ns.map_or_else(|| "–".to_owned(), |ns| format!("{ns:.0}"));
        text.push_str(&format!("| {} | {ns} |\n", cost.tracer));
    }
    text.push_str("\nThis is what enabling the tracer adds. The programs of the process table run at each fork, exec and exit even without it.\n");
    text
}

/// Returns the costs that have a budget.
pub(crate) fn figures(costs: &[Cost]) -> Vec<Figure> {
    let of = |tracer: &str, what: &str, budget| {
        let cost = costs.iter().find(|cost| cost.tracer == tracer)?;
        cost.ns.map(|ns| figure(what, ns, 0, "ns", budget))
    };
    let open = of("open", "kernel time of an open, path walked", (600.0, 350.0));
    open.into_iter().chain(of("usage", "kernel time of a read in the ledger", (250.0, 120.0))).collect()
}

/// Returns the tracer's own part: the cost less that of an agent with another tracer on that does the same work.
fn cost(tracers: &[String], tracer: &str) -> Option<f64> {
    let (_, count, work) = WORKS.iter().find(|(name, ..)| *name == tracer)?;
    let other = if tracer == "mount" { "rename" } else { "mount" };
    let (idle, _) = run(tracers, other, tracer, *count, work);
    let (busy, seen) = run(tracers, tracer, tracer, *count, work);
    let events = if tracer == "usage" { u64::from(*count) } else { seen };
    (events > 0).then(|| (busy - idle).max(0.0) / events as f64)
}

/// Returns the nanoseconds spent in the agent's programs while the work is done, and the number of events seen.
fn run(tracers: &[String], on: &str, watched: &str, count: u32, work: &str) -> (f64, u64) {
    let others = tracers.iter().filter(|tracer| *tracer != on);
    let setup =
        others.fold(Setup::new(), |setup, tracer| setup.set(&format!("tracer.{tracer}.disabled"), "true"));
    let agent = setup.set("ebpf.uids", &format!("[{UID}]")).start();
    let folder = agent.scratch().folder("things");
    let before = run_time(&agent);
    let mut perl = Command::new("perl");
    perl.args(["-e", &format!("{PRELUDE} for $n (1..{count}) {{ {work} }}")]);
    succeed(perl.current_dir(&folder).uid(UID).gid(UID));
    let took = run_time(&agent) - before;
    // Only now everything is counted.
    let agent = agent.finish_run();
    let seen = if on == watched { agent.store().account(on).seen } else { 0 };
    (took, seen)
}

/// Returns the nanoseconds that the agent's programs have run so far (`run_time_ns` of their descriptors).
fn run_time(agent: &Agent) -> f64 {
    let folder = format!("/proc/{}/fdinfo", agent.pid());
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    let of = |text: String| -> Option<f64> {
        text.lines().find_map(|line| line.strip_prefix("run_time_ns:")?.trim().parse().ok())
    };
    texts.filter_map(of).sum()
}
