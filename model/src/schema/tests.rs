//! The tables against the page about them, and against what the details of records write.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::*;
use crate::*;

/// Returns `docs/FIELDS.md` as the tables say it.
fn page() -> String {
    let mut page = String::from(
        "# Columns and fields\n\n\
         Made from the tables in `model/src/schema`, and compared with them by `the_page_is_as_the_tables_say()`. The types are those of a \
         columnar store; SQLite and JSON have numbers, text, lists and objects.\n\n\
         ## Columns\n\n| column | type | tracers | since | content |\n|---|---|---|---|---|\n",
    );
    for column in Column::ALL {
        let (name, arrow, tracers) = (column.name(), column.arrow(), column.tracers());
        let _ =
            writeln!(page, "| `{name}` | {arrow} | {tracers} | {} | {} |", column.since(), column.about());
    }
    page.push_str(
        "\n## Fields of `extended`\n\n| field | type | tracers | since | content |\n|---|---|---|---|---|\n",
    );
    for field in FIELDS {
        let (Field { name, arrow, tracers, since }, about) = (field, field.about());
        let _ = writeln!(page, "| `{name}` | {arrow} | {tracers} | {since} | {about} |");
    }
    page
}

/// `WRITE_PAGE=1 cargo test -p model` writes the page.
#[test]
fn the_page_is_as_the_tables_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/FIELDS.md");
    if std::env::var_os("WRITE_PAGE").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap() == page(),
        "docs/FIELDS.md: WRITE_PAGE=1 cargo test -p model"
    );
}

#[test]
fn a_row_has_the_columns_of_the_table() {
    let row = Tracking::new("t".into(), WallTime(0), Extended::new(Details::Fields(Default::default())));
    let Value::Object(row) = serde_json::to_value(row).unwrap() else { panic!("no object") };
    let stored = Column::ALL.iter().filter(|column| column.is_stored());
    let mut names: Vec<&str> = stored.map(|column| column.name()).collect();
    names.sort_unstable();
    let mut keys: Vec<&str> = row.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(names, keys);
    assert_eq!(COLUMNS.len() + 2, Column::ALL.len());
    assert!(COLUMNS.is_sorted_by_key(|column| !column.is_core()), "our columns follow duetector's");
}

fn fits(value: &Value, arrow: ArrowType) -> bool {
    match (value, arrow) {
        (Value::Bool(_), ArrowType::Bool) => true,
        (
            Value::String(_),
            ArrowType::Utf8 | ArrowType::Binary | ArrowType::LocalTime | ArrowType::TimestampUtc,
        ) => true,
        (Value::Number(number), ArrowType::Int32) => {
            number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
        }
        (Value::Number(number), ArrowType::Int64) => number.is_i64(),
        (Value::Number(number), ArrowType::UInt8 | ArrowType::UInt16) => {
            number.as_u64().is_some_and(|number| u16::try_from(number).is_ok())
        }
        (Value::Number(number), ArrowType::UInt32) => {
            number.as_u64().is_some_and(|number| u32::try_from(number).is_ok())
        }
        (Value::Number(number), ArrowType::UInt64) => number.is_u64(),
        (Value::Array(items), ArrowType::List(of)) => items.iter().all(|item| fits(item, *of)),
        _ => false,
    }
}

fn writes(tracers: Tracers, tracer: &str) -> bool {
    match tracers {
        Tracers::All | Tracers::Kernel | Tracers::KernelOr(_) => true,
        Tracers::Shell => false,
        Tracers::Only(names) => names.contains(&tracer),
    }
}

/// Asserts that the table has each field that these details write, for this tracer and of this type.
fn check(tracer: &str, details: Details) {
    let (has_path, has_result) = (details.fname().is_some(), details.ret().is_some());
    let in_doubt = (details.has_incomplete_path(), details.has_unresolved_path());
    let Value::Object(fields) = serde_json::to_value(Extended::new(details)).unwrap() else { panic!() };
    for (name, value) in &fields {
        let field = Field::named(name).unwrap_or_else(|| panic!("{name} of {tracer} is not in the table"));
        assert!(writes(field.tracers, tracer), "{tracer} writes {name}, which is that of {}", field.tracers);
        assert!(fits(value, field.arrow), "{name} of {tracer} is {value} and not {}", field.arrow);
    }
    let said = ["path_incomplete", "path_unresolved"].map(|name| fields.contains_key(name));
    assert_eq!(in_doubt, said.into(), "{tracer}: filters must know of a path in doubt");
    assert!(!has_path || writes(Column::Fname.tracers(), tracer), "{tracer} has a path");
    assert!(!has_result || writes(Column::Ret.tracers(), tracer), "{tracer} has a result");
}

fn file() -> Option<File> {
    let real = RealFile { layer: Layer::Upper, dev: 1, ino: 2, generation: 3 };
    Some(File {
        dev: 1,
        ino: u64::MAX,
        generation: 3,
        mode: 0o100644,
        real: Some(real),
        subvolume_unknown: true,
    })
}

/// Text that is not valid UTF-8, so that its exact bytes are a field of their own.
fn raw(text: &str) -> Text {
    Text::from_bytes(&[text.as_bytes(), b"\xe9"].concat())
}

#[test]
fn what_open_exec_clone_and_exit_write_is_in_the_table() {
    let open = Open {
        path: raw("/a"),
        path_incomplete: true,
        path_unresolved: true,
        path_asked: raw("a"),
        handle: None,
        flags: 0o100,
        mode: 0o644,
        umask: 0o22,
        ret: -2,
        of_system: false,
        file: file(),
    };
    let handle = Some(FileHandle { kind: -1, bytes: vec![1, 2] });
    check("open", Details::Open(Box::new(Open { handle, ..open.clone() })));
    check("open", Details::Open(Box::new(open)));
    let exec = Exec {
        path_asked: raw("a"),
        path: raw("/a"),
        argv: vec![raw("x")],
        argv_cut: true,
        cwd: raw("/"),
        path_incomplete: true,
        path_unresolved: true,
        ret: -2,
        execveat: Some(0x100),
        memfd: true,
        file: file(),
        interpreter: Some(Interpreter { path: raw("/b"), file: file().unwrap() }),
    };
    check("exec", Details::Exec(Box::new(exec)));
    let clone = Clone { child_pid: 1, child_tid: 2, child_start_ns: 3, flags: Some(0x100), thread: true };
    check("clone", Details::Clone(clone));
    check("exit", Details::Exit(Exit { code: 255, signal: 9, core_dumped: true, duration_ns: u64::MAX }));
}

#[test]
fn what_sockets_write_is_in_the_table() {
    let inet = || Ends::Inet {
        is_v6: true,
        local: ([127, 0, 0, 1].into(), 80),
        remote: Some(([127, 0, 0, 1].into(), 65535)),
    };
    let unix = Ends::Unix { path: Some(raw("/s")), path_incomplete: true, name: raw("s"), peer_pid: Some(7) };
    let ids = SocketIds { ino: Some(u64::MAX), peer_ino: Some(u64::MAX), net_ns: Some(u32::MAX) };
    let packet = Ends::Packet { interface: 1, protocol: 0x800, address: "00:01".to_owned() };
    let vsock = Ends::Vsock { local: Some((1, 2)), remote: Some((u32::MAX, u32::MAX)) };
    let socket = |ends| Socket {
        call: None,
        ids,
        ends,
        kind: 1,
        protocol: 6,
        ret: Some(-2),
        nonblocking: None,
        accepted: None,
        backlog: None,
        direction: None,
        traffic: None,
    };
    let traffic = Traffic { bytes_sent: 1, bytes_received: 2, datagrams: None, duration_ns: 3 };
    let datagrams = Some((1, 2));
    let all = [
        ("connect", Socket { call: Some("connect"), nonblocking: Some(true), ..socket(unix) }),
        ("accept", Socket { call: Some("accept4"), ..socket(inet()) }),
        ("bind", Socket { call: Some("listen"), backlog: Some(1), ..socket(inet()) }),
        ("close", Socket { accepted: Some(true), traffic: Some(traffic), ..socket(inet()) }),
        ("connect", Socket { call: Some("connect"), ..socket(vsock) }),
        ("udp", Socket { protocol: 136, call: Some("sendto"), ..socket(packet) }),
        (
            "udp",
            Socket { protocol: 136, call: Some("sendto"), direction: Some(Transfer::Sent), ..socket(inet()) },
        ),
        ("udp", Socket { traffic: Some(Traffic { datagrams, ..traffic }), ..socket(inet()) }),
    ];
    for (tracer, socket) in all {
        check(tracer, Details::Socket(Box::new(socket)));
    }
    let message = DnsMessage {
        id: 1,
        name: "a.".to_owned(),
        query_type: "A".to_owned(),
        code: Some("NOERROR"),
        addresses: vec![[127, 0, 0, 1].into()],
        incomplete: true,
    };
    let dns =
        |message| Dns { call: "sendto", ids, ends: inet(), direction: Transfer::Sent, ret: -2, message };
    check("dns", Details::Dns(Box::new(dns(Some(message)))));
    check("dns", Details::Dns(Box::new(dns(None))));
}

#[test]
fn what_usage_and_loss_write_is_in_the_table() {
    let mapped = Mapped { from: 0, to: 4096, protection: 3 };
    for direction in [Direction::Read, Direction::Written, Direction::Mapped(mapped)] {
        let usage = Usage {
            path: raw("/a"),
            path_incomplete: true,
            of_system: false,
            file: file(),
            socket: Some(SocketIds { ino: Some(1), peer_ino: Some(2), net_ns: Some(3) }),
            flags: 0,
            direction,
            bytes: 1,
            calls: 2,
            via: vec!["read"],
            first: BootNs(1),
            last: BootNs(2),
        };
        check("usage", Details::Usage(Box::new(usage)));
    }
    for owner in [Owner::Unknown, Owner::User(1), Owner::Cgroup(u64::MAX), Owner::Others] {
        let loss = Loss {
            tracer: "open".into(),
            point: LossPoint::Ring,
            sink: Some("sqlite".into()),
            cause: "x".to_owned(),
            owner,
            count: 1,
            from: ZonedTime::default(),
            to: ZonedTime::default(),
        };
        check("loss", Details::Loss(Box::new(loss)));
    }
    assert!(writes(Column::Count.tracers(), "loss"));
    let Value::Object(manifest) = json!({"tracer": "open", "hooks": ["x"], "unseen": [], "degraded": []})
    else {
        panic!()
    };
    check("manifest", Details::Fields(manifest));
}
