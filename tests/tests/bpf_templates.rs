//! Templates of eBPF programs: whatever is wrong with one is told clearly and harms nobody else; rings, perf buffers,
//! kinds of record, constants, floods and falls.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tests::template::{example, pid_of, rows, signal_itself};
use tests::workload::succeed;
use tests::{Agent, Scratch, Setup, Store, binary, suite, until};

const SOON: Duration = Duration::from_secs(30);
/// Number of events triggered and expected.
const COUNT: usize = 23;

suite! {
    threads: 2;
    what_inspect_prints_works_as_pasted: [Kernel, Python];
    every_error_is_reported_and_the_others_run: [Kernel, Python];
    without_clang_a_source_is_refused_and_an_object_runs: [Kernel, Python];
    perf_buffer_kinds_constants_and_fall_backs: [Kernel, Python];
    a_flooded_ring_counts_to_the_last_record: [Kernel, Python];
    a_panicking_template_comes_back_with_its_ring: [Kernel, Python];
    disabled_enabled_and_changed_while_the_agent_runs: [Kernel, Python];
    a_clock_samples: [Kernel]
}

/// An agent with these templates only, whose files are in `folder`.
fn with_templates(folder: &Scratch, toml: &str) -> Agent {
    let config = folder.file("templates.toml", toml);
    let alone = ["ebpf.disabled=true", "tracer.uname.disabled=true"];
    let mut setup = Setup::new().options(&["--config", config.to_str().unwrap()]);
    for setting in alone {
        setup = setup.options(&["--set", setting]);
    }
    setup.start()
}

fn what_inspect_prints_works_as_pasted() {
    let (scratch, source) = (Scratch::new(), example("signals.bpf.c"));
    let store = Store::at(scratch.path());
    let printed = store.run(&["tracers", "inspect", source.to_str().unwrap()]);
    let printed = String::from_utf8(printed.stdout).unwrap();
    for words in
        ["on_signal", "tracepoint signal/signal_generate", "BPF_MAP_TYPE_RINGBUF", "min_signal", "char[16]"]
    {
        assert!(printed.contains(words), "{words} is not in\n{printed}");
    }
    let (_, template) = printed.split_once("template:").unwrap();
    let reported = store.json(&["tracers", "inspect", source.to_str().unwrap(), "--json"]);
    assert_eq!(reported["template"].as_str().unwrap().trim(), template.trim());
    assert_eq!(reported["programs"][0]["hook"], "tracepoint signal/signal_generate");
    assert_eq!(reported["records"][0]["record"], "struct sent");
    let agent = with_templates(&scratch, template);
    signal_itself(9954, COUNT);
    let agent = agent.finish();
    assert_eq!(rows(agent.store(), "signals", &json!({"uid": 9954, "signal": "SIGUSR2"})).len(), COUNT);
}

/// A program at `sys_enter_getppid` whose record is `fields`; `fill` fills `r` and may return.
fn source(fields: &str, fill: &str) -> String {
    format!(
        "#include \"duetector.h\"
struct event {{ {fields} }};
DUETECTOR_RING(events, event, 64 * 1024);
const volatile __u32 uid = 0;
SEC(\"tracepoint/syscalls/sys_enter_getppid\")
int on_call(void *ctx)
{{
    if ((__u32)bpf_get_current_uid_gid() != uid)
        return 0;
    struct event *r = duetector_reserve(&events, sizeof(*r));
    if (!r)
        return 0;
    {fill}
    bpf_ringbuf_submit(r, 0);
    return 0;
}}
"
    )
}

const GETPPID: &str = "import os, sys
for _ in range(int(sys.argv[1])): os.getppid()
print(os.getpid())";

fn call_getppid(uid: u32, count: usize) -> u64 {
    pid_of(uid, Path::new("/"), GETPPID, &[&count.to_string()])
}

fn compile(source: &Path, options: &[&str]) -> PathBuf {
    let object = source.with_extension("o");
    let multiarch = format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    let mut clang = Command::new("clang");
    clang.args(["-target", "bpf", "-O2", "-idirafter", &multiarch]).args(options);
    clang.arg(format!("-I{}", binary::workspace().join("bpf-programs/include").display()));
    clang.arg("-D__TARGET_ARCH_x86").arg("-c").arg(source).arg("-o").arg(&object);
    succeed(&mut clang);
    object
}

fn every_error_is_reported_and_the_others_run() {
    let scratch = Scratch::new();
    let good = source("DUETECTOR_COMMON;", "duetector_fill_common(r);");
    scratch.file("good.bpf.c", &good);
    scratch.file("shape.bpf.c", source("DUETECTOR_COMMON; char rest[];", "duetector_fill_common(r);"));
    let unsafe_fill = "__u32 key = 9; r->x = *(__u64 *)bpf_map_lookup_elem(&duetector_lost, &key);";
    scratch.file("refused.bpf.c", source("__u64 x;", unsafe_fill));
    scratch.file("syntax.bpf.c", "#include \"duetector.h\"\nint x = y;\n");
    scratch.file("text.bpf.o", "no object at all");
    compile(&scratch.file("stripped.bpf.c", source("__u64 x;", "r->x = 1;")), &[]);
    let cases = [
        ("shape", "program = 'shape.bpf.c'", &["struct event", "rest", "char[0]"][..]),
        ("no_btf", "program = 'stripped.bpf.o'", &["no type information", "clang -g"]),
        (
            "hook",
            "program = 'good.bpf.c'\nattach = [{ type = 'tracepoint', category = 'x', name = ['no_such', 'nor_this'] }]",
            &["no tracepoint x/no_such or x/nor_this"],
        ),
        ("refused", "program = 'refused.bpf.c'", &["on_call", "verifier", "map_value_or_null"]),
        (
            "record",
            "program = 'good.bpf.c'\nrecord = 'struct evnt'",
            &["struct evnt", "the object has", "event"],
        ),
        ("syntax", "program = 'syntax.bpf.c'", &["syntax.bpf.c:2:9", "undeclared identifier 'y'"]),
        ("text", "program = 'text.bpf.o'", &["text.bpf.o", "not an ELF file"]),
        ("absent", "program = 'absent.bpf.o'", &["absent.bpf.o", "No such file"]),
        ("map", "program = 'good.bpf.c'\nmap = 'evnts'", &["map evnts", "events (BPF_MAP_TYPE_RINGBUF)"]),
        ("poll", "program = 'good.bpf.c'\npoll = 'perf_buffer'", &["no BPF_MAP_TYPE_PERF_EVENT_ARRAY"]),
        ("constant", "program = 'good.bpf.c'\nconstants = { uidd = 1 }", &["uidd", "it has", "uid"]),
        (
            "size",
            "program = 'good.bpf.c'\nconstants = { uid = -3000000000 }",
            &["uid", "does not fit into 4 bytes"],
        ),
        (
            "program",
            "program = 'good.bpf.c'\nattach = [{ type = 'kprobe', function = 'f', program = 'on_call' }]",
            &["on_call", "is not for a kprobe"],
        ),
        ("show", "program = 'good.bpf.c'\nshow = { com = 'hex' }", &["show.\"com\"", "it has", "comm"]),
    ];
    let mut toml =
        "[tracer.template.bpf.good]\nprogram = 'good.bpf.c'\nconstants = { uid = 9955 }\n".to_owned();
    for (name, section, _) in cases {
        toml += &format!("[tracer.template.bpf.{name}]\n{section}\n");
    }
    let agent = with_templates(&scratch, &toml);
    for (name, _, expected) in cases {
        let tracer = agent.tracer(name);
        assert_eq!(tracer["phase"], "degraded", "{name}: {tracer}");
        let cause = tracer["cause"].as_str().unwrap();
        for words in expected {
            assert!(cause.contains(words), "{name} is told without {words:?}: {cause}");
        }
        assert!(!cause.contains('\n') && tracer["restarts"] == 0, "{name}: {tracer}");
    }
    assert_eq!(agent.tracer("good")["phase"], "attached");
    call_getppid(9955, COUNT);
    let agent = agent.finish();
    assert_eq!(rows(agent.store(), "good", &json!({"uid": 9955, "comm": "python3"})).len(), COUNT);
}

fn without_clang_a_source_is_refused_and_an_object_runs() {
    let scratch = Scratch::new();
    let source = scratch.file("a.bpf.c", source("DUETECTOR_COMMON;", "duetector_fill_common(r);"));
    compile(&source, &["-g"]);
    let toml = "[tracer.template.bpf.source]\nprogram = 'a.bpf.c'\n\
                [tracer.template.bpf.object]\nprogram = 'a.bpf.o'\nconstants = { uid = 9956 }\n";
    let config = scratch.file("templates.toml", toml);
    let options = ["--config", config.to_str().unwrap(), "--set", "ebpf.disabled=true"];
    let agent = Setup::new().options(&options).variable("PATH", "/nonexistent").start();
    let tracer = agent.tracer("source");
    assert_eq!(tracer["phase"], "degraded");
    assert!(tracer["cause"].as_str().unwrap().contains("clang"), "{tracer}");
    assert!(tracer["detail"]["advice"][0].as_str().unwrap().contains("apt-get install clang"), "{tracer}");
    call_getppid(9956, COUNT);
    let agent = agent.finish();
    assert_eq!(rows(agent.store(), "object", &json!({"uid": 9956})).len(), COUNT);
}

/// Two kinds of record on one ring; a perf buffer beside it, whose records come from the second name of two.
const MANY: &str = r#"#include "duetector.h"
enum kind { ENTERED = 1, LEFT = 2 };
struct entered { enum kind kind; __u32 uid; __u64 timestamp; char label[8]; };
struct left { enum kind kind; __u32 uid; __u64 timestamp; long ret; };
struct sample { DUETECTOR_COMMON; __u8 flag; short level; };
DUETECTOR_RING(ring, entered, 64 * 1024);
DUETECTOR_RECORD(left);
DUETECTOR_RECORD(sample);
struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(key_size, 4);
    __uint(value_size, 4);
} perf SEC(".maps");
const volatile __u32 uid = 0;
const volatile char label[8] = "none";
const volatile _Bool flag = 0;
const volatile short level = 0;
struct trace_event_raw_sys_exit { long ret; } __attribute__((preserve_access_index));

static __always_inline int other(void) { return (__u32)bpf_get_current_uid_gid() != uid; }

SEC("tracepoint/syscalls/sys_enter_getppid")
int on_enter(void *ctx)
{
    struct entered *r = other() ? NULL : duetector_reserve(&ring, sizeof(*r));
    if (!r)
        return 0;
    r->kind = ENTERED; r->uid = uid; r->timestamp = bpf_ktime_get_boot_ns();
    for (int i = 0; i < 8; i++)
        r->label[i] = label[i];
    bpf_ringbuf_submit(r, 0);
    return 0;
}
SEC("tracepoint/syscalls/sys_exit_getppid")
int on_exit(struct trace_event_raw_sys_exit *ctx)
{
    struct left *r = other() ? NULL : duetector_reserve(&ring, sizeof(*r));
    if (!r)
        return 0;
    r->kind = LEFT; r->uid = uid; r->timestamp = bpf_ktime_get_boot_ns(); r->ret = ctx->ret;
    bpf_ringbuf_submit(r, 0);
    return 0;
}
SEC("raw_tracepoint")
int on_sample(struct bpf_raw_tracepoint_args *ctx)
{
    struct sample r = {};
    if (other() || ctx->args[1] != 110) /* getppid on x86-64 */
        return 0;
    duetector_fill_common(&r);
    r.flag = flag; r.level = level;
    duetector_output(ctx, &perf, &r, sizeof(r));
    return 0;
}
"#;

fn perf_buffer_kinds_constants_and_fall_backs() {
    let scratch = Scratch::new();
    scratch.file("many.bpf.c", MANY);
    let toml = r#"
[tracer.template.bpf.kinds]
program = "many.bpf.c"
poll = "ring_buffer"
record = { kind = "kind", 1 = "struct entered", LEFT = "struct left" }
constants = { uid = 9922, label = "told" }
rename = { label = "mark" }
attach = [
  { type = "tracepoint", category = "syscalls", name = "sys_enter_getppid", program = "on_enter" },
  { type = "tracepoint", category = "syscalls", name = "sys_exit_getppid", program = "on_exit" },
  { type = "raw_tracepoint", name = "no_such_tracepoint", program = "on_sample", optional = true },
]

[tracer.template.bpf.perf]
program = "many.bpf.c"
name = "samples"
map = "perf"
poll = "perf_buffer"
poll_timeout_ms = 20
buffer = "64KiB"
record = "sample"
constants = { uid = 9922, flag = true, level = -7 }
show = { flag = "hex" }
attach = [{ type = "raw_tracepoint", name = ["no_such", "sys_enter"] }]
"#;
    let agent = with_templates(&scratch, toml);
    let kinds = agent.tracer("kinds");
    assert_eq!(kinds["phase"], "attached", "{kinds}");
    let without = kinds["detail"]["without"][0].as_str().unwrap();
    assert!(without.contains("no_such_tracepoint"), "{without}");
    let samples = agent.tracer("samples");
    assert_eq!(samples["detail"]["hooks"], json!(["raw_tracepoint sys_enter"]), "{samples}");
    let pid = call_getppid(9922, COUNT);
    let agent = agent.finish();
    let entered = json!({"kind": "ENTERED", "uid": 9922, "mark": "told"});
    assert_eq!(rows(agent.store(), "kinds", &entered).len(), COUNT);
    let left = json!({"kind": "LEFT", "uid": 9922, "ret": std::process::id()});
    assert_eq!(rows(agent.store(), "kinds", &left).len(), COUNT);
    assert_eq!(agent.store().account("kinds").seen, 2 * COUNT as u64);
    let sample = json!({"pid": pid, "uid": 9922, "comm": "python3", "flag": "0x1", "level": -7});
    assert_eq!(rows(agent.store(), "samples", &sample).len(), COUNT);
    assert_eq!(agent.store().account("samples").seen, COUNT as u64);
}

fn a_flooded_ring_counts_to_the_last_record() {
    const CALLS: usize = 200_000;
    let scratch = Scratch::new();
    let counted = source("DUETECTOR_COMMON;", "duetector_fill_common(r);");
    scratch.file("counted.bpf.c", &counted);
    scratch.file(
        "blind.bpf.c",
        counted
            .replace("duetector_reserve(&events, sizeof(*r))", "bpf_ringbuf_reserve(&events, sizeof(*r), 0)")
            .replace(
                "#include \"duetector.h\"",
                "#define duetector_lost other_name\n#include \"duetector.h\"",
            ),
    );
    let toml = "[tracer.template.bpf.counted]\nprogram = 'counted.bpf.c'\nbuffer = '4KiB'\nconstants = { uid = 9923 }\n\
                [tracer.template.bpf.blind]\nprogram = 'blind.bpf.c'\n";
    let agent = with_templates(&scratch, toml);
    let reported = |name| agent.tracer(name)["detail"]["ring_losses"].as_str().unwrap().to_owned();
    assert_eq!(reported("counted"), "counted by the program");
    assert!(reported("blind").starts_with("not known"), "{}", reported("blind"));
    call_getppid(9923, CALLS);
    let agent = agent.finish();
    let account = agent.store().account("counted");
    assert_eq!(account.seen, CALLS as u64, "{account:?}");
    assert!(account.lost.ring > 0 && account.stored > 0, "{account:?}");
    let reported: u64 =
        agent.store().query("loss", &[]).iter().map(|row| row["count"].as_u64().unwrap()).sum();
    assert_eq!(reported, account.lost.total());
}

fn a_panicking_template_comes_back_with_its_ring() {
    let scratch = Scratch::new();
    scratch.file("calls.bpf.c", source("DUETECTOR_COMMON;", "duetector_fill_common(r);"));
    let toml = "[tracer.template.bpf.calls]\nprogram = 'calls.bpf.c'\nconstants = { uid = 9924 }\n";
    let agent = with_templates(&scratch, toml);
    call_getppid(9924, COUNT);
    until("the first records are in", SOON, || (agent.tracer("calls")["stored"] == COUNT).then_some(()));
    assert!(agent.store().run(&["inject-panic", "calls"]).status.success());
    call_getppid(9924, 1);
    until("it fell and is back", SOON, || {
        let tracer = agent.tracer("calls");
        (tracer["restarts"] == 1 && tracer["phase"] == "attached").then_some(())
    });
    call_getppid(9924, COUNT);
    let agent = agent.finish();
    let account = agent.store().account("calls");
    assert_eq!((account.seen, account.lost.decode), (2 * COUNT as u64 + 1, 1), "{account:?}");
}

fn disabled_enabled_and_changed_while_the_agent_runs() {
    let scratch = Scratch::new();
    scratch.file("calls.bpf.c", source("DUETECTOR_COMMON;", "duetector_fill_common(r);"));
    let section = |name: &str, uid: u32| {
        format!("[tracer.template.bpf.{name}]\nprogram = 'calls.bpf.c'\nconstants = {{ uid = {uid} }}\n")
    };
    let agent = with_templates(&scratch, &(section("one", 9925) + &section("other", 9925)));
    let switch = |how: &str| {
        let switched = agent.store().run(&["tracers", how, "one"]);
        assert!(switched.status.success(), "{}", String::from_utf8_lossy(&switched.stderr));
    };
    call_getppid(9925, COUNT);
    switch("disable");
    // What was in its ring has been handed over by then.
    assert_eq!(agent.tracer("one")["seen"], COUNT);
    assert_eq!(agent.tracer("one")["detail"]["attached"], false);
    call_getppid(9925, COUNT);
    switch("enable");
    assert_eq!(agent.tracer("one")["phase"], "attached");
    call_getppid(9925, COUNT);
    until("all are in", SOON, || (agent.tracer("one")["seen"] == 2 * COUNT).then_some(()));
    // The one is changed, the other is not touched.
    scratch.file("templates.toml", section("one", 9949) + &section("other", 9925) + &section("third", 9949));
    let reloaded = agent.store().run(&["reload"]);
    assert!(reloaded.status.success(), "{}", String::from_utf8_lossy(&reloaded.stderr));
    let reported = String::from_utf8_lossy(&reloaded.stdout).into_owned();
    assert!(
        reported.contains("restarted tracer one") && reported.contains("added tracer third"),
        "{reported}"
    );
    assert!(!reported.contains("other"), "{reported}");
    let settled =
        |name| until("it has begun anew", SOON, || (agent.tracer(name)["phase"] == "attached").then_some(()));
    settled("one");
    settled("third");
    call_getppid(9949, COUNT);
    let agent = agent.finish();
    let seen = |name| agent.store().account(name).seen;
    assert_eq!(
        (seen("one"), seen("other"), seen("third")),
        (3 * COUNT as u64, 3 * COUNT as u64, COUNT as u64)
    );
}

fn a_clock_samples() {
    let scratch = Scratch::new();
    let program = "#include \"duetector.h\"\nstruct tick { DUETECTOR_COMMON; __u32 cpu; };\n\
                   DUETECTOR_RING(ticks, tick, 256 * 1024);\nSEC(\"perf_event\")\nint on_tick(void *ctx)\n{\n\
                   struct tick *r = duetector_reserve(&ticks, sizeof(*r));\nif (!r)\nreturn 0;\n\
                   duetector_fill_common(r);\nr->cpu = bpf_get_smp_processor_id();\nbpf_ringbuf_submit(r, 0);\n\
                   return 0;\n}\n";
    fs::write(scratch.path().join("tick.bpf.c"), program).unwrap();
    let toml = "[tracer.template.bpf.tick]\nprogram = 'tick.bpf.c'\nattach = [{ type = 'perf_event', frequency = 50 }]\n";
    let agent = with_templates(&scratch, toml);
    assert_eq!(agent.tracer("tick")["detail"]["hooks"], json!(["perf_event 50 Hz"]));
    until("the clock has ticked", SOON, || (agent.tracer("tick")["stored"].as_u64() > Some(0)).then_some(()));
    agent.finish();
}
