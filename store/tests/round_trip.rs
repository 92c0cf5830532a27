//! Rows come back as they were written: every column, every field of every tracer, and whatever other programs send.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeSet;

use common::{Scratch, row, write};
use model::extended::Extra;
use model::schema::{ArrowType, COLUMNS, ColumnSlot, FIELDS, Tracers};
use model::{
    BootNs, Details, Direction, Exec, ExecId, Extended, Mapped, Open, SocketIds, Text, Tracking, Usage,
    WallTime, ZonedTime,
};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Names of all built-in tracers, and of some that are not.
fn tracers() -> Vec<&'static str> {
    let named = FIELDS.iter().filter_map(|field| match field.tracers {
        Tracers::Only(names) => Some(names),
        _ => None,
    });
    let mut names: BTreeSet<&str> = named.flatten().copied().collect();
    names.extend(["uname", "do_sys_openat2", "my probe"]);
    names.into_iter().collect()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z/]{1,12}", "\\PC{0,8}", Just("\\xff\n\"'\u{0}".to_owned())]
}

fn whole() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-3_i64..300).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::sample::select(vec![u64::from(u32::MAX), 65535, 65536, u64::MAX, 1 << 63])
            .prop_map(Value::from),
    ]
}

/// Any JSON, as a program may send it.
fn anything() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        whole(),
        (-1000_i32..1000).prop_map(|quarters| (f64::from(quarters) / 4.0).into()),
        text().prop_map(Value::from),
    ];
    let nested = leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{1,3}", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    nested.boxed()
}

/// A value of that type, as rows have it.
fn typed(kind: ArrowType) -> BoxedStrategy<Value> {
    match kind {
        ArrowType::Bool => any::<bool>().prop_map(Value::from).boxed(),
        ArrowType::Int32 => any::<i32>().prop_map(Value::from).boxed(),
        ArrowType::Int64 => any::<i64>().prop_map(Value::from).boxed(),
        ArrowType::UInt8 => any::<u8>().prop_map(Value::from).boxed(),
        ArrowType::UInt16 => any::<u16>().prop_map(Value::from).boxed(),
        ArrowType::UInt32 => any::<u32>().prop_map(Value::from).boxed(),
        ArrowType::UInt64 => any::<u64>().prop_map(Value::from).boxed(),
        ArrowType::Utf8 | ArrowType::Struct => text().prop_map(Value::from).boxed(),
        ArrowType::Binary => vec(any::<u8>(), 0..9).prop_map(|bytes| model::text::hex(&bytes).into()).boxed(),
        ArrowType::LocalTime => {
            any::<i32>().prop_map(|at| WallTime(i64::from(at) * 1_000_003).to_text().into()).boxed()
        }
        ArrowType::TimestampUtc => zoned().prop_map(|at| at.to_text().into()).boxed(),
        ArrowType::List(of) => vec(typed(*of), 0..4).prop_map(Value::from).boxed(),
    }
}

fn zoned() -> impl Strategy<Value = ZonedTime> {
    (any::<i64>(), -50_000_i32..50_000).prop_map(|(at, offset)| ZonedTime { utc_ns: at / 2, offset })
}

/// A field: of the table with a value of its type, of the table with any value, or of a program's own.
fn field() -> BoxedStrategy<(String, Value)> {
    let known = prop::sample::select(FIELDS);
    let typed_field = known.clone().prop_flat_map(|field| (Just(field.name.to_owned()), typed(field.arrow)));
    let wrong = known.prop_flat_map(|field| (Just(field.name.to_owned()), anything()));
    let own =
        (prop_oneof!["[a-z_]{1,6}", text(), Just("other".to_owned()), Just("pid".to_owned())], anything());
    prop_oneof![6 => typed_field, 1 => wrong, 2 => own].boxed()
}

prop_compose! {
    fn any_row()(
        tracer in prop::sample::select(tracers()),
        time in zoned(),
        fields in vec(field(), 0..12),
        numbers in vec(any::<Option<i64>>(), COLUMNS.len()),
        texts in vec(any::<Option<Vec<u8>>>(), COLUMNS.len()),
    ) -> Tracking {
        let mut row = row(tracer, time.utc_ns, fields.into_iter().collect());
        for (index, column) in COLUMNS.iter().enumerate() {
            let text = texts[index].as_deref().map(Text::from_bytes);
            match row.slot(*column) {
                ColumnSlot::Int(slot) => *slot = numbers[index],
                ColumnSlot::Shared(slot) => *slot = text.map(|text| text.to_str().into()),
                ColumnSlot::Text(slot) => *slot = text,
                ColumnSlot::ExecId(slot) => {
                    *slot = numbers[index].map(|number| ExecId { pid: number as u32, start_ns: number as u64 });
                }
                ColumnSlot::Time(_) | ColumnSlot::Zoned(_) | ColumnSlot::Fixed => {}
            }
        }
        (row.time, row.dt) = (Some(time), Some(time.wall()));
        row
    }
}

/// Asserts that rows come back. They are compared as JSON output, in which the order of fields has no meaning.
fn assert_back(rows: &[Tracking]) {
    let scratch = Scratch::new();
    write(&mut scratch.writer(), rows.to_vec());
    let tracers: BTreeSet<&str> = rows.iter().map(|row| row.tracer.as_str()).collect();
    for (tracer, is_sealed) in
        tracers.iter().map(|it| (*it, false)).chain(tracers.iter().map(|it| (*it, true)))
    {
        if is_sealed {
            scratch.seal();
        }
        let written = rows.iter().filter(|row| row.tracer.as_str() == tracer);
        let json = |row: &Tracking| serde_json::to_value(row).unwrap();
        let written: Vec<Value> = written.map(json).collect();
        assert_eq!(
            scratch.rows(tracer).iter().map(json).collect::<Vec<_>>(),
            written,
            "{tracer}, {is_sealed}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_rows_come_back(rows in vec(any_row(), 1..40)) {
        assert_back(&rows);
    }
}

/// Each field of each tracer alone, with a value of its type, comes back from a column of its own.
#[test]
fn every_field_of_every_tracer_has_a_column_that_holds_it() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for tracer in tracers() {
        let columns = store::columns::columns_of(tracer);
        let has_column = |field: &str| columns.iter().any(|(name, _)| name == field);
        let writes = |field: &&model::schema::Field| match field.tracers {
            Tracers::Only(names) => names.contains(&tracer),
            _ => has_column(field.name),
        };
        let mut rows = Vec::new();
        for field in FIELDS.iter().filter(writes) {
            assert!(has_column(field.name), "{tracer} lacks {}", field.name);
            let value = typed(field.arrow).new_tree(&mut runner).unwrap().current();
            rows.push(row(tracer, 7, Map::from_iter([(field.name.to_owned(), value)])));
        }
        let mut columns = store::rows::Rows::new(store::layout::Layout::of(tracer));
        rows.iter().for_each(|row| columns.push(row));
        let batch = columns.finish().unwrap();
        // Points in time are restored with the field that has their local time, which these rows lack.
        let in_map = rows.iter().filter(|row| {
            row.extended.get("from_time").or(row.extended.get("to_time")).is_some()
                || row.extended.get("first_time").or(row.extended.get("last_time")).is_some()
        });
        let other = batch.column_by_name(store::layout::OTHER).unwrap();
        assert_eq!(
            arrow_array::cast::as_map_array(other).entries().columns()[0].len(),
            in_map.count(),
            "{tracer}"
        );
        if !rows.is_empty() {
            assert_back(&rows);
        }
    }
}

fn raw(text: &str) -> Text {
    Text::from_bytes(&[text.as_bytes(), b"\xe9"].concat())
}

/// Returns details of three built-in tracers, with all kinds of fields.
fn details() -> [(&'static str, Details); 3] {
    let file = Some(model::File {
        dev: 1,
        ino: u64::MAX,
        generation: 3,
        mode: 0o100644,
        real: None,
        subvolume_unknown: false,
    });
    let open = Open {
        path: raw("/a"),
        path_incomplete: true,
        path_unresolved: false,
        path_asked: "a".into(),
        handle: Some(model::FileHandle { kind: -1, bytes: vec![1, 2] }),
        flags: 0o102,
        mode: 0o644,
        umask: 0o22,
        ret: -2,
        of_system: false,
        file,
    };
    let exec = Exec {
        path_asked: raw("a"),
        path: "/a".into(),
        argv: vec![raw("x"), "y".into()],
        argv_cut: true,
        cwd: "/".into(),
        path_incomplete: false,
        path_unresolved: true,
        ret: -2,
        execveat: Some(0x100),
        memfd: true,
        file,
        interpreter: None,
    };
    let usage = Usage {
        path: "/a".into(),
        path_incomplete: false,
        of_system: false,
        file,
        socket: Some(SocketIds { ino: Some(1), peer_ino: None, net_ns: Some(3) }),
        flags: 0,
        direction: Direction::Mapped(Mapped { from: 0, to: 4096, protection: 3 }),
        bytes: u64::MAX,
        calls: 2,
        via: vec!["read"],
        first: BootNs(1),
        last: BootNs(2),
    };
    [
        ("open", Details::Open(Box::new(open))),
        ("exec", Details::Exec(Box::new(exec))),
        ("usage", Details::Usage(Box::new(usage))),
    ]
}

#[test]
fn records_of_built_in_tracers_come_back_without_the_map() {
    let at = ZonedTime { utc_ns: 1_700_000_000_123_456_789, offset: 20_700 };
    let mut rows = Vec::new();
    for (tracer, details) in details() {
        let mut row = Tracking::new(tracer.into(), at.wall(), Extended::new(details));
        (row.time, row.fname) = (Some(at), Some(raw("/a")));
        row.extended.extra.push(("fname_bytes".into(), Extra::Bytes(raw("/a"))));
        if tracer == "usage" {
            for (name, text) in [("first", at.wall().to_text()), ("first_time", at.to_text())] {
                row.extended.extra.push((name.into(), Extra::Value(text.into())));
            }
        }
        let mut columns = store::rows::Rows::new(store::layout::Layout::of(tracer));
        columns.push(&row);
        let batch = columns.finish().unwrap();
        let other = batch.column_by_name(store::layout::OTHER).unwrap();
        let names = arrow_array::cast::as_map_array(other).keys().clone();
        assert_eq!(names.len(), 0, "{tracer}: {names:?}");
        rows.push(row);
    }
    assert_back(&rows);
}

#[test]
fn the_fields_of_other_programs_become_columns_up_to_a_limit() {
    let fields = |range: std::ops::Range<usize>| {
        range.map(|number| (format!("field_{number}"), json!(number))).collect::<Map<_, _>>()
    };
    let rows =
        vec![row("mine", 1, fields(0..10)), row("mine", 2, fields(5..200)), row("mine", 3, fields(0..1))];
    let mut columns = store::rows::Rows::new(store::layout::Layout::of("mine"));
    rows.iter().for_each(|row| columns.push(row));
    let batch = columns.finish().unwrap();
    let schema = batch.schema();
    let own = schema.fields().iter().filter(|field| field.name().starts_with("field_"));
    assert_eq!(own.count(), 64);
    assert_eq!(*batch.column_by_name("field_3").unwrap().data_type(), arrow_schema::DataType::Int64);
    assert_back(&rows);
}
