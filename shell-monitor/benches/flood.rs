//! Measures the cost of an event from the pipe to the batch: a child writes events as fast as it can, into a queue
//! whose reader only counts. The lines have the size that duetector's own measurements used.

use std::hint::black_box;

use actors::{Outbox, Supervisor, WhenFull, clock};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::{Accounts, Batch};
use shell_monitor::{Config, Launcher, Reserved, Wiring};

const EVENTS: u64 = 100_000;
const LINE: &str = r#"{"proto":"duetector","version":"0.1.0","type":"event","payload":{"tracer_name":"flood","pid":12345,"uid":1000,"gid":1000,"comm":"python3","fname":"/data/set/train/part-00017.parquet","timestamp":123456789012345}}"#;

async fn take(inbox: &flume::Receiver<Batch>) {
    let mut taken = 0;
    while taken < EVENTS {
        let Ok(batch) = inbox.recv_async().await else { panic!("the child is gone") };
        taken += black_box(batch).records.len() as u64;
    }
}

fn flood(criterion: &mut Criterion) {
    let template = format!("[sp.flood]\ncomm = [\"yes\", {LINE:?}]\nkill_timeout = \"10ms\"");
    let Ok(template) = toml::from_str(&template) else { panic!("bad template") };
    let mut config = Config { template, ..Config::default() };
    config.uname.disabled = true;
    let system = actix::System::new();
    let mut group = criterion.benchmark_group("subprocess");
    group.throughput(Throughput::Elements(EVENTS)).sample_size(20);
    let (outbox, inbox) = Outbox::channel(64, WhenFull::Block);
    let launcher = Launcher::new(env!("CARGO_BIN_EXE_launcher"), &[]);
    let wiring = Wiring { accounts: Accounts::new(&[]), outbox, reserved: Reserved::default(), launcher };
    let monitor = system.block_on(async { shell_monitor::spawn(&Supervisor::new(), &config, &wiring) });
    group.bench_function("flood", |bencher| {
        bencher.iter_custom(|rounds| {
            system.block_on(async {
                let start = clock::now();
                for _ in 0..rounds {
                    take(&inbox).await;
                }
                start.elapsed()
            })
        });
    });
    drop(inbox);
    for tracer in monitor.tracers() {
        system.block_on(tracer.child.stop());
    }
    group.finish();
}

criterion_group!(benches, flood);
criterion_main!(benches);
