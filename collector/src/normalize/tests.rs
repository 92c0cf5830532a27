//! Tables of records and the rows they become: duetector's conversions, and the columns of kernel records.

use jiff::tz::TimeZone;
use model::schema::{COLUMNS, ColumnValue};
use model::{BootNs, Clocks, Details, Exec, Identity, Moment, Open, Record, Text, Tracking, WallTime};
use serde_json::{Value, json};

use super::{NormalizeError, row};

fn clocks() -> Clocks {
    Clocks::new(1_000_000_000_000, TimeZone::UTC)
}

fn from_fields(fields: Value) -> Result<Tracking, NormalizeError> {
    let Value::Object(fields) = fields else { panic!("no object") };
    let at = Moment::Wall(WallTime(7_000_000));
    row(&"child".into(), Record { at, identity: None, details: Details::Fields(fields) }, &clocks())
}

fn identity(comm: &[u8]) -> Identity {
    let comm = Text::from_bytes(comm);
    Identity {
        pid: 7,
        tid: 8,
        ppid: 1,
        start_ns: 99,
        uid: 1000,
        gid: 100,
        comm,
        cgroup: model::CgroupId { hierarchy: 0, id: 5 },
        ns_pid: 1,
        pid_ns: 6,
        mnt_ns: 4,
        net_ns: Some(4_026_531_840),
        loginuid: Some(1000),
        sessionid: Some(3),
        ruid: 1000,
        fsuid: 0,
        uring: false,
        compat: false,
        unverified: false,
        result_unknown: false,
    }
}

#[test]
fn numbers_as_the_contract_takes_them() {
    let taken = [
        (json!(12), Some(12)),
        (json!(12.0), Some(12)),
        (json!("12"), Some(12)),
        (json!(" 12 "), Some(12)),
        (json!("12.0"), Some(12)),
        (json!(-1), Some(-1)),
        (json!(null), None),
        (json!(i64::MAX), Some(i64::MAX)),
    ];
    for (pid, expected) in taken {
        assert_eq!(from_fields(json!({"pid": pid})).unwrap().pid, expected, "{pid}");
    }
    for pid in
        [json!(1.5), json!("x"), json!(""), json!(true), json!([1]), json!({}), json!(u64::MAX), json!(1e300)]
    {
        let error = from_fields(json!({"pid": pid})).unwrap_err();
        assert_eq!(error.to_string(), "field pid is not a whole number of at most 63 bits", "{pid}");
    }
}

#[test]
fn texts_as_the_contract_takes_them() {
    let comm = |fields: Value| from_fields(fields).unwrap().comm.map(|comm| comm.to_string());
    assert_eq!(comm(json!({})).as_deref(), Some("Unknown"));
    assert_eq!(comm(json!({"comm": null})), None);
    assert_eq!(comm(json!({"comm": "sh"})).as_deref(), Some("sh"));
    for (field, value) in [("comm", json!(1)), ("fname", json!(["a"])), ("cwd", json!({}))] {
        assert_eq!(
            from_fields(json!({ field: value })).unwrap_err().to_string(),
            format!("field {field} is not text")
        );
    }
}

#[test]
fn times_as_the_contract_takes_them() {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let local = |utc: &str| {
        let at: jiff::Timestamp = utc.parse().unwrap();
        zone.to_datetime(at).strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
    };
    let taken = [
        (json!({"timestamp": 5_000_000_000_u64}), "1970-01-01 00:16:45.000000".to_owned()),
        (json!({"timestamp": "5000000000"}), "1970-01-01 00:16:45.000000".to_owned()),
        (json!({"timestamp": 5e9, "dt": "2024-01-02 03:04:05"}), "1970-01-01 00:16:45.000000".to_owned()),
        (json!({"dt": "2024-01-02 03:04:05.000006"}), "2024-01-02 03:04:05.000006".to_owned()),
        (json!({"dt": "2024-01-02T03:04:05"}), "2024-01-02 03:04:05.000000".to_owned()),
        (json!({"dt": "2024-01-02"}), "2024-01-02 00:00:00.000000".to_owned()),
        (json!({"dt": "2024-01-02T03:04:05+08:00"}), local("2024-01-01T19:04:05Z")),
        (json!({"dt": "2024-01-02T03:04:05Z"}), local("2024-01-02T03:04:05Z")),
        (json!({"dt": 1_704_164_645}), local("2024-01-02T03:04:05Z")),
        (json!({"dt": 1_704_164_645_500_u64}), local("2024-01-02T03:04:05.5Z")),
        (json!({"dt": "1704164645"}), local("2024-01-02T03:04:05Z")),
        (json!({"dt": null}), "1970-01-01 00:00:07.000000".to_owned()),
        (json!({}), "1970-01-01 00:00:07.000000".to_owned()),
    ];
    for (fields, expected) in taken {
        let details = Details::Fields(fields.as_object().unwrap().clone());
        let record = Record { at: Moment::Wall(WallTime(7_000_000)), identity: None, details };
        let row = row(&"child".into(), record, &Clocks::new(-2_600_000_000_000, zone.clone())).unwrap();
        assert_eq!(row.dt.unwrap().to_text(), expected, "{fields}");
        assert_eq!(row.time.unwrap().wall(), row.dt.unwrap(), "{fields}");
        assert_eq!(row.boot_ns.is_some(), fields.get("timestamp").is_some(), "{fields}");
    }
    for fields in [
        json!({"timestamp": null}),
        json!({"timestamp": "soon"}),
        json!({"timestamp": -1}),
        json!({"dt": "soon"}),
        json!({"dt": ""}),
        json!({"dt": [1]}),
        json!({"dt": 1e300}),
    ] {
        assert!(from_fields(fields.clone()).is_err(), "{fields}");
    }
}

/// Clocks of Berlin on the day on which they were set back from 03:00 to 02:00.
fn autumn() -> Clocks {
    // 2026-10-24 22:00 UTC, midnight there, when the boot clock began.
    Clocks::new(1_792_879_200_000_000_000, TimeZone::get("Europe/Berlin").unwrap())
}

#[test]
fn rows_of_the_hour_that_occurred_twice_are_in_order_of_utc() {
    let at = |minutes: u64| {
        let details = Details::Fields(Default::default());
        let record = Record { at: Moment::Boot(BootNs(minutes * 60_000_000_000)), identity: None, details };
        let row = row(&"t".into(), record, &autumn()).unwrap();
        (row.time.unwrap().utc_ns, row.dt.unwrap().to_text(), row.time.unwrap().to_text(), row.boot_ns)
    };
    let (before, after) = (at(179), at(181));
    assert!(before.0 < after.0 && before.1 > after.1, "{before:?} {after:?}");
    assert_eq!(
        (before.1.as_str(), after.1.as_str()),
        ("2026-10-25 02:59:00.000000", "2026-10-25 02:01:00.000000")
    );
    assert_eq!(before.2, "2026-10-25T02:59:00.000000000+02:00");
    assert_eq!(
        (after.2.as_str(), after.3),
        ("2026-10-25T02:01:00.000000000+01:00", Some(181 * 60_000_000_000))
    );
}

#[test]
fn a_field_time_says_which_of_two_hours_dt_means_and_nothing_else() {
    let time = |fields: Value| {
        let Value::Object(fields) = fields else { panic!("no object") };
        let record = Record { at: Moment::Boot(BootNs(0)), identity: None, details: Details::Fields(fields) };
        let row = row(&"child".into(), record, &autumn()).unwrap();
        (row.time.unwrap().to_text(), row.boot_ns)
    };
    let dt = "2026-10-25 02:30:00.000000";
    let (first, second) = ("2026-10-25T02:30:00.000000000+02:00", "2026-10-25T02:30:00.000000000+01:00");
    assert_eq!(time(json!({"dt": dt})), (first.to_owned(), None));
    assert_eq!(time(json!({"dt": dt, "time": first})).0, first);
    assert_eq!(time(json!({"dt": dt, "time": second, "boot_ns": 5})), (second.to_owned(), Some(5)));
    assert_eq!(
        time(json!({"dt": dt, "time": "2020-01-01T00:00:00Z", "boot_ns": 5})),
        (first.to_owned(), None)
    );
    assert_eq!(time(json!({"time": second})).0, "2026-10-25T00:00:00.000000000+02:00", "the time of arrival");
}

#[test]
fn fields_without_a_column_go_to_extended() {
    let row =
        from_fields(json!({"tracer_name": "X", "pid": 1, "a": 1, "extended": {"a": 2, "b": [3]}})).unwrap();
    assert_eq!(serde_json::to_value(&row.extended).unwrap(), json!({"a": 1, "b": [3], "tracer_name": "X"}));
    for extended in [json!(null), json!([]), json!("x"), json!(1)] {
        assert!(from_fields(json!({"extended": extended})).is_err(), "{extended}");
    }
}

#[test]
fn fields_named_like_our_columns_fill_them_where_they_fit() {
    let row =
        from_fields(json!({"ret": "-2", "tid": 3, "exe": "/x", "exec_id": "7-99", "count": "many"})).unwrap();
    assert_eq!((row.ret, row.tid, row.count), (Some(-2), Some(3), None));
    assert_eq!(row.exe, Some("/x".into()));
    assert_eq!(row.exec_id.unwrap().to_string(), "7-99");
    assert_eq!(row.extended.get("count").unwrap().to_plain(), "many");
    assert_eq!(row.extended.get("ret").unwrap().to_plain(), "-2");
}

#[test]
fn a_kernel_record_fills_the_columns() {
    let open = Open {
        path: Text::from_bytes(b"/data/caf\xe9"),
        path_incomplete: false,
        path_unresolved: false,
        path_asked: "caf".into(),
        handle: None,
        flags: 0,
        mode: 0,
        umask: 0o22,
        ret: -2,
        of_system: false,
        file: None,
    };
    let details = Details::Open(Box::new(open));
    let at = Moment::Boot(BootNs(2_000));
    let row =
        row(&"open".into(), Record { at, identity: Some(identity(b"p\xff")), details }, &clocks()).unwrap();
    let empty = COLUMNS.iter().filter(|column| matches!(row.value(**column), ColumnValue::Null));
    let empty: Vec<_> = empty.map(|column| column.name()).collect();
    assert_eq!(empty, ["cwd", "exe", "container_id", "count"], "only enrichment and `loss` fill these");
    assert_eq!(
        (row.pid, row.tid, row.ppid, row.uid, row.gid),
        (Some(7), Some(8), Some(1), Some(1000), Some(100))
    );
    assert_eq!(row.dt.unwrap().to_text(), "1970-01-01 00:16:40.000002");
    assert_eq!((&*row.fname.unwrap().to_str(), &*row.comm.unwrap().to_str()), ("/data/caf\\xe9", "p\\xff"));
    assert_eq!(row.ret, Some(-2));
    let extended = serde_json::to_value(&row.extended).unwrap();
    let expected = json!({
        "path_asked": "caf", "flags": ["O_RDONLY"], "errno": "ENOENT", "cgroup_id": 5, "pid_ns": 6,
        "mnt_ns": 4, "net_ns": 4_026_531_840_u32, "loginuid": 1000, "sessionid": 3, "ruid": 1000, "fsuid": 0, "ns_pid": 1, "fname_bytes": "2f646174612f636166e9", "comm_bytes": "70ff",
    });
    assert_eq!(extended, expected);
}

#[test]
fn an_executed_program_brings_its_own_exe_and_cwd() {
    let exec = Exec {
        path_asked: "x".into(),
        path: "/bin/x".into(),
        argv: vec!["x".into()],
        argv_cut: false,
        cwd: "/tmp".into(),
        path_incomplete: false,
        path_unresolved: false,
        ret: 0,
        execveat: None,
        memfd: false,
        file: None,
        interpreter: None,
    };
    let details = Details::Exec(Box::new(exec));
    let at = Moment::Boot(BootNs(0));
    let row = row(&"exec".into(), Record { at, identity: Some(identity(b"x")), details }, &clocks()).unwrap();
    assert_eq!(
        (row.exe, row.cwd, row.fname),
        (Some("/bin/x".into()), Some("/tmp".into()), Some("/bin/x".into()))
    );
}
