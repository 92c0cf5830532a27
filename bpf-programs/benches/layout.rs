//! Measures laying out and decoding a record: an ordinary event, and one with every type.

use std::hint::black_box;
use std::process::Command;

use bpf_programs::testing::layout;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const SOURCE: &str = r#"
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64;
typedef u32 ipv4_t;
enum state { OPEN = 1, CLOSED = 2, GONE = -1 };
struct plain { u64 timestamp; u32 pid, tid, uid, gid; int ret; u32 flags; char comm[16]; char fname[64]; } *plain;
struct inner { short a, b; char name[16]; };
struct all { u64 start_ns; u32 pid; enum state state; ipv4_t saddr; u16 port; u8 raw[6]; unsigned low : 3; int high : 17;
  void *pointer; double ratio; _Bool yes; struct inner in[2]; union { u64 whole; u32 half[2]; } u; u64 stack[8]; } *all;
"#;

fn object() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let (c, o) = (folder.path().join("b.bpf.c"), folder.path().join("b.bpf.o"));
    std::fs::write(&c, SOURCE).expect("a file");
    let arguments = ["-target", "bpf", "-g", "-O2", "-c"];
    let done = Command::new("clang").args(arguments).arg(&c).arg("-o").arg(&o).status().expect("clang");
    assert!(done.success(), "clang ended with {done}");
    std::fs::read(&o).expect("an object")
}

fn decode(criterion: &mut Criterion) {
    let object = object();
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(1));
    for name in ["plain", "all"] {
        let (lay_out, decode) = layout(&object, name).expect("a layout");
        // ASCII text of middling length, with a NUL every 32 bytes.
        let bytes: Vec<u8> = (0..lay_out()).map(|at| if at % 32 == 31 { 0 } else { b'a' }).collect();
        group.bench_function(format!("decode {name}"), |bencher| {
            bencher.iter(|| decode(black_box(&bytes)));
        });
        group.bench_function(format!("lay out {name}"), |bencher| {
            bencher.iter(&lay_out);
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
