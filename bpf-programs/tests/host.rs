//! Host and tracer actors on the real kernel: each test triggers exactly 23 events and finds 23. Needs root;
//! without it the tests count as ignored.

use std::future::Future;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use actors::{Outbox, Phase, Supervisor, WhenFull, clock};
use bpf_programs::{EbpfConfig, EbpfTracers, KernelSettings};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use model::units::{Period, Size};
use model::{Accounts, Batch, Details, ExecId, ProcessTable, Record, SinkName, TracerName};
use tokio::io::{AsyncBufReadExt as _, BufReader};

const TIMES: usize = 23;
const DEADLINE: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One test at a time, because events of other tests would be in every ring.
    arguments.test_threads = Some(1);
    let trials = vec![
        trial("every_open_arrives_once", every_open_arrives_once),
        trial("detached_is_silent_attached_again_is_not", detached_is_silent_attached_again_is_not),
        trial("short_lives_are_whole", short_lives_are_whole),
        trial("a_storm_balances", a_storm_balances),
        trial("sums_without_room_at_the_end_are_counted", sums_without_room_at_the_end_are_counted),
        trial("check_finds_everything_here", check_finds_everything_here),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, test: fn()) -> Trial {
    Trial::ignorable_test(name, move || {
        if nix::unistd::geteuid().is_root() {
            test();
            Ok(Completion::Completed)
        } else if std::env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1") {
            Err(Failed::from("must run in CI, but needs root"))
        } else {
            Ok(Completion::ignored_with("needs root"))
        }
    })
}

/// A running set of kernel tracers, and the records that they produced.
struct Rig {
    ebpf: EbpfTracers,
    accounts: Accounts,
    table: ProcessTable,
    batches: flume::Receiver<Batch>,
    records: Vec<Record>,
    sink: SinkName,
}

impl Rig {
    async fn start() -> Self {
        Self::with(settings(), 64).await
    }

    /// Starts with these settings, and room for a number of batches in the collector's queue.
    async fn with(ebpf: EbpfConfig, batches: usize) -> Self {
        let sink = SinkName::new("memory");
        let accounts = Accounts::new(std::slice::from_ref(&sink));
        let table = ProcessTable::default();
        let (collector, batches) = Outbox::channel(batches, WhenFull::Block);
        let settings = KernelSettings { ebpf, manifest: true, ..KernelSettings::default() };
        let supervisor = Supervisor::new();
        let ebpf = bpf_programs::spawn(&supervisor, settings, &accounts, table.clone(), &collector, None);
        let mut rig = Self { ebpf, accounts, table, batches, records: Vec::new(), sink };
        let all = |rig: &Self| rig.ebpf.tracers().iter().all(|tracer| tracer.child.state().attached);
        let deadline = clock::now() + DEADLINE;
        while !all(&rig) {
            let tracers = rig.ebpf.tracers();
            let given_up = tracers.iter().find(|tracer| tracer.child.status().phase == Phase::GivenUp);
            assert!(given_up.is_none(), "{:?}", given_up.map(|tracer| tracer.child.status()));
            assert!(clock::now() < deadline, "not attached in time");
            rig.drain_while(clock::sleep(Duration::from_millis(5))).await;
        }
        rig
    }

    fn keep(&mut self, batch: Batch) {
        // Stored, as a sink would report.
        for mut claim in batch.claim.route() {
            claim.store(batch.records.len() as u64);
        }
        self.records.extend(batch.records);
    }

    /// Waits until `count` records satisfy `wanted`.
    async fn until(&mut self, count: usize, wanted: impl Fn(&Record) -> bool) {
        let deadline = clock::now() + DEADLINE;
        while self.records.iter().filter(|record| wanted(record)).count() < count {
            tokio::select! {
                batch = self.batches.recv_async() => self.keep(batch.expect("the collector's queue is open")),
                () = tokio::time::sleep_until(deadline) => panic!("{count} records did not come in time"),
            }
        }
    }

    /// Stops the host, then the tracers, takes the remaining batches, and checks the conservation law for each
    /// tracer.
    async fn stop(mut self) -> Self {
        let host = self.ebpf.host().expect("tracers are enabled");
        self.drain_while(async move { drop(host.stop().await) }).await;
        for tracer in self.ebpf.tracers() {
            self.drain_while(async move { drop(tracer.child.stop().await) }).await;
        }
        while let Ok(batch) = self.batches.try_recv() {
            self.keep(batch);
        }
        for account in self.accounts.all() {
            let snapshot = account.snapshot(&self.sink);
            assert_eq!(snapshot.in_flight(), 0, "{}: {snapshot:?}", account.tracer());
        }
        self
    }

    /// Takes batches until `done` completes: a full queue would block it.
    async fn drain_while(&mut self, done: impl Future<Output = ()>) {
        let mut done = Box::pin(done);
        loop {
            tokio::select! {
                () = &mut done => return,
                Ok(batch) = self.batches.recv_async() => self.keep(batch),
            }
        }
    }
}

/// Returns the defaults, with the kind of hooks that the suite is to be run with.
fn settings() -> EbpfConfig {
    let tier = std::env::var("DUETECTOR_TEST_TIER").unwrap_or_else(|_| "auto".to_owned());
    serde_json::from_value(serde_json::json!({ "tier": tier }))
        .expect("DUETECTOR_TEST_TIER names a kind of hooks")
}

fn run(test: impl Future<Output = ()>) {
    actix::System::new().block_on(test);
}

fn opens_of(path: &str) -> impl Fn(&Record) -> bool + '_ {
    move |record| matches!(&record.details, Details::Open(open) if open.path.to_str() == path)
}

/// Opens `path` `times` times from another process, because the agent's own opens are not recorded.
fn open_from_outside(path: &str, times: usize) -> u32 {
    let script = "i=0; while [ $i -lt $1 ]; do : < \"$0\"; i=$((i+1)); done";
    let mut child =
        Command::new("/bin/sh").args(["-c", script, path, &times.to_string()]).spawn().expect("sh runs");
    assert!(child.wait().expect("sh ends").success());
    child.id()
}

fn scratch_file(name: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, "x").expect("a file");
    let path = path.to_str().expect("plain path").to_owned();
    (folder, path)
}

fn every_open_arrives_once() {
    run(async {
        let mut rig = Rig::start().await;
        let (_folder, path) = scratch_file("counted");
        let pid = open_from_outside(&path, TIMES);
        rig.until(TIMES, opens_of(&path)).await;
        let rig = rig.stop().await;
        let found: Vec<_> = rig.records.iter().filter(|record| opens_of(&path)(record)).collect();
        assert_eq!(found.len(), TIMES);
        for record in found {
            let identity = record.identity.as_ref().expect("kernel records have one");
            assert_eq!(identity.pid, pid);
            assert_eq!(identity.comm.to_str(), "sh");
            let exe = rig.table.latest(identity.exec_id()).expect("the shell is known").exe.clone();
            assert!(exe.is_some_and(|exe| exe.to_str().ends_with("sh")));
        }
    });
}

fn detached_is_silent_attached_again_is_not() {
    run(async {
        let mut rig = Rig::start().await;
        let (_folder, path) = scratch_file("now-and-then");
        let name = TracerName::new("open");
        open_from_outside(&path, TIMES);
        let (ebpf, open) = (rig.ebpf.clone(), name.clone());
        let detach = async move { assert_eq!(ebpf.set_enabled(&open, false).await, Ok(true)) };
        rig.drain_while(detach).await;
        let off = rig.ebpf.tracers().into_iter().filter(|tracer| tracer.off);
        assert_eq!(off.map(|tracer| tracer.name).collect::<Vec<_>>(), ["open"]);
        open_from_outside(&path, TIMES);
        assert_eq!(rig.ebpf.set_enabled(&name, true).await, Ok(true));
        open_from_outside(&path, TIMES);
        rig.until(2 * TIMES, opens_of(&path)).await;
        let rig = rig.stop().await;
        let found = rig.records.iter().filter(|record| opens_of(&path)(record)).count();
        assert_eq!(found, 2 * TIMES);
    });
}

fn short_lives_are_whole() {
    run(async {
        let mut rig = Rig::start().await;
        let mut pids = Vec::new();
        for _ in 0..TIMES {
            let mut child = Command::new("/bin/true").spawn().expect("true runs");
            pids.push(child.id());
            child.wait().expect("true ends");
        }
        let is_ours = |record: &Record, pids: &[u32]| {
            let identity = record.identity.as_ref().expect("kernel records have one");
            pids.contains(&identity.pid)
        };
        let exec = |record: &Record| matches!(&record.details, Details::Exec(exec) if exec.argv[0].to_str() == "/bin/true");
        let ended = |record: &Record| matches!(&record.details, Details::Exit(exit) if exit.code == 0);
        rig.until(TIMES, |record| exec(record) && is_ours(record, &pids)).await;
        rig.until(TIMES, |record| ended(record) && is_ours(record, &pids)).await;
        let rig = rig.stop().await;
        let count = |wanted: &dyn Fn(&Record) -> bool| {
            rig.records.iter().filter(|record| wanted(record) && is_ours(record, &pids)).count()
        };
        assert_eq!((count(&exec), count(&ended)), (TIMES, TIMES));
        for record in rig.records.iter().filter(|record| exec(record) && is_ours(record, &pids)) {
            let identity = record.identity.as_ref().expect("kernel records have one");
            let ExecId { pid, start_ns } = identity.exec_id();
            assert!(start_ns > 0 && identity.ppid == std::process::id(), "{pid}");
            assert!(rig.table.latest(identity.exec_id()).is_some_and(|info| info.cwd.is_some()));
        }
    });
}

/// 300,000 opens by one thread: a full ring may lose some, but all are accounted for.
fn a_storm_balances() {
    run(async {
        let mut rig = Rig::start().await;
        let (_folder, path) = scratch_file("stormy");
        let count = 300_000;
        let script = "import os,sys\nfor i in range(int(sys.argv[2])): os.close(os.open(sys.argv[1], 0))";
        let mut storm = tokio::process::Command::new("python3");
        let mut storm = storm.args(["-c", script, &path, &count.to_string()]).spawn().expect("python3 runs");
        rig.drain_while(async move { assert!(storm.wait().await.expect("it ends").success()) }).await;
        let rig = rig.stop().await;
        let stored = rig.records.iter().filter(|record| opens_of(&path)(record)).count() as u64;
        let account = rig.accounts.of(&"open".into()).snapshot(&rig.sink);
        assert!(stored + account.lost.ring >= count && stored <= count, "{stored} {account:?}");
    });
}

/// Nobody takes records while the host stops, so that it can't wait until there is room for the sums of flows and files.
fn sums_without_room_at_the_end_are_counted() {
    const FLOWS: usize = 8000;
    const FILES: usize = 8000;
    run(async {
        let (folder, _) = scratch_file("first");
        let mut ebpf = settings();
        ebpf.data_ring = Size(64 << 10);
        ebpf.usage_interval = Period(DEADLINE);
        let mut rig = Rig::with(ebpf, 1).await;
        let script = "
import resource, socket, sys
flows, files, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(flows):
    sender.sendto(b'x', (f'127.1.{number >> 7 & 127}.{number & 127}', 9))
resource.setrlimit(resource.RLIMIT_NOFILE, (files + 100,) * 2)
held = [open(f'{folder}/{number}', 'w') for number in range(files)]
for file in held:
    file.write('x')
    file.flush()
print('done', flush=True)
sys.stdin.read()
";
        let mut python = tokio::process::Command::new("python3");
        python.args(["-c", script, &FLOWS.to_string(), &FILES.to_string()]).arg(folder.path());
        let mut python = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 runs");
        let mut lines = BufReader::new(python.stdout.take().expect("a pipe")).lines();
        rig.drain_while(async {
            assert_eq!(lines.next_line().await.expect("a line").as_deref(), Some("done"))
        })
        .await;
        let host = rig.ebpf.host().expect("tracers are enabled");
        host.stop().await;
        let rig = rig.stop().await;
        let account = |tracer: &str| rig.accounts.of(&tracer.into()).snapshot(&rig.sink);
        let (udp, usage) = (account("udp"), account("usage"));
        assert!(
            udp.seen >= 2 * FLOWS as u64 && udp.lost.ring > 0,
            "a first datagram and a sum each: {udp:?}"
        );
        assert!(usage.seen >= FILES as u64 && usage.lost.ring > 0, "{usage:?}");
        drop(python);
    });
}

fn check_finds_everything_here() {
    for check in bpf_programs::check(&settings()).tracers {
        assert!(check.ok, "{check:?}");
    }
}
