//! Measures one hand-off: a batch through an outbox, in total and per record.

use actors::{Outbox, WhenFull};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Records in a batch, as many as the kernel host puts into one.
const BATCH: u64 = 1024;

fn handoff(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (outbox, inbox) = Outbox::channel(16, WhenFull::Block);
    let mut group = criterion.benchmark_group("outbox");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("batch of 1024", |bench| {
        bench.iter(|| {
            runtime.block_on(async {
                outbox.send(vec![0_u64; BATCH as usize]).await.expect("an open queue");
                inbox.recv_async().await.expect("a batch").len()
            })
        });
    });
    group.finish();
}

criterion_group!(benches, handoff);
criterion_main!(benches);
