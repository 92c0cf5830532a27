//! Tests of the results of expressions, and of the errors for invalid ones.

use serde_json::{Value as Json, json};

use super::{Expression, Schema};
use model::{Details, ExecId, Extended, Open, TracerName, Tracking, WallTime};

/// The time 2026-01-31 12:00:05.25.
const AT: WallTime = WallTime(1_769_860_805_250_000);

/// A file opened by root, in no container.
fn opened() -> Tracking {
    let open = Open {
        path: "/data/set.csv".into(),
        path_incomplete: false,
        path_unresolved: false,
        path_asked: "../set.csv".into(),
        handle: None,
        flags: 0o101,
        mode: 0o644,
        umask: 0o22,
        ret: -13,
        of_system: false,
        file: None,
    };
    let mut row = Tracking::new(TracerName::new("open"), AT, Extended::new(Details::Open(Box::new(open))));
    row.pid = Some(7);
    row.uid = Some(0);
    row.comm = Some("python3".into());
    row.fname = Some("/data/set.csv".into());
    row.ret = Some(-13);
    row.exec_id = Some(ExecId { pid: 7, start_ns: 99 });
    row
}

fn custom(fields: Json) -> Tracking {
    let Json::Object(fields) = fields else { panic!("no object") };
    Tracking::new(TracerName::new("mine"), AT, Extended::new(Details::Fields(fields)))
}

fn says(row: &Tracking, text: &str) -> Result<bool, String> {
    let expression = Expression::compile(text, &Schema::default());
    expression.map_err(|error| error.to_string())?.matches(row).map_err(|error| error.to_string())
}

fn refused(text: &str) -> String {
    Expression::compile(text, &Schema::default()).expect_err(text).to_string()
}

#[test]
fn columns_and_fields_have_their_values_and_types() {
    let row = opened();
    for text in [
        "tracer == 'open' && pid == 7 && uid == 0 && comm == \"python3\" && ret == -13",
        "fname.startsWith('/data/') && fname.endsWith('.csv') && fname.contains('set')",
        "exec_id == '7-99'",
        "dt == timestamp('2026-01-31 12:00:05.25') && dt >= timestamp('2026-01-31T12:00:05.25Z')",
        "dt - duration('1h30m') < timestamp('2026-01-31 10:30:06')",
        "dt.getHours() == 12 && dt.getDate() == 31 && dt.getMonth() == 0 && dt.getDayOfWeek() == 6",
        "dt.getMilliseconds() == 250 && duration('90s').getMinutes() == 1",
        "'O_CREAT' in flags && size(flags) == 2 && flags[0] == 'O_WRONLY'",
        "errno == 'EACCES' && extended.errno == 'EACCES' && extended[\"errno\"] == errno",
        "mode == 420 && path_asked.matches('^[.]{2}/') && matches(comm, r'^python\\d$')",
        "uid in [0, 1, 2, 3] && comm in ['python3', 'sh'] && !(comm in ['a', 'b', 'c', 'd'])",
        "uid == 0 ? comm != 'x' : false",
        "size(comm) == 7 && comm.size() == 7 && comm.upperAscii() == 'PYTHON3'",
        "string(pid) + '!' == '7!' && int('7') == pid && double(pid) == 7.0 && pid == 7.0 && pid < 7.5",
        "pid * 2 - 4 / 2 % 3 == 12 && -pid == -7",
        "uid == 0u",
        "has(extended.errno) && !has(extended.nothing) && has(errno) && 'errno' in extended",
        "extended[comm] == null",
        "inCidr('::ffff:10.1.2.3', '10.0.0.0/8') && !'10.1.2.3'.inCidr('11.0.0.0/8') && !inCidr(daddr, '::/0')",
    ] {
        assert_eq!(says(&row, text), Ok(true), "{text}");
    }
}

#[test]
fn null_matches_nothing_but_null_and_is_no_error() {
    let row = opened();
    let table = [
        ("container_id == null", true),
        ("container_id != null", false),
        ("container_id == 'x'", false),
        ("container_id != 'x'", true),
        ("container_id.startsWith('x')", false),
        ("!container_id.startsWith('x')", true),
        ("container_id.matches('.*')", false),
        ("container_id < 'x' || container_id >= 'x'", false),
        ("ppid > 0 || ppid <= 0", false),
        ("ppid + 1 == null", true),
        ("size(cwd) > 0", false),
        ("container_id in ['a', 'b', 'c']", false),
        ("container_id in [null]", true),
        ("extended.gone.deeper[3].still == null", true),
        ("extended.gone.exists(x, true)", false),
        ("extended.gone.all(x, false)", true),
        ("extended.gone", false),
        ("!extended.gone", true),
        ("extended.gone ? false : true", true),
        ("null == null && !null", true),
        ("null", false),
        ("int(extended.gone) == null && string(extended.gone) == null", true),
        ("argv.exists(a, a == 'x')", false),
    ];
    for (text, expected) in table {
        assert_eq!(says(&row, text), Ok(expected), "{text}");
    }
}

/// The row of a file below more folders than the kernel side follows.
fn too_deep() -> Tracking {
    let mut row = opened();
    if let Details::Open(open) = &mut row.extended.details {
        open.path_incomplete = true;
    }
    row.fname = Some("deep/set.csv".into());
    row
}

#[test]
fn what_is_missing_of_a_path_may_be_anything() {
    let no_answer = Err("the path is not known as a whole".to_owned());
    let row = too_deep();
    for text in [
        "fname.startsWith('/data/')",
        "!fname.startsWith('/data/')",
        "fname == '/data/deep/set.csv'",
        "fname != '/data/deep/set.csv'",
        "fname in ['/x', '/data/deep/set.csv']",
        "fname in ['/x', '/y', '/data/deep/set.csv']",
        "fname.matches('^/data/')",
        "fname.contains('/data/')",
        "fname.endsWith('/deep/set.csv')",
        "fname < '/x'",
        "size(fname) > 3",
        "fname == cwd + '/set.csv' || fname.startsWith('/data/')",
        "uid == 0 && fname.startsWith('/data/')",
        "uid != 0 || fname.startsWith('/data/')",
    ] {
        assert_eq!(says(&row, text), no_answer, "{text}");
    }
    let table = [
        ("fname.endsWith('.csv') && fname.contains('deep/') && has(fname) && fname != null", true),
        ("fname.endsWith('.txt') || fname.endsWith('/data/x.txt')", false),
        ("fname == '/data/other.csv' || fname in ['/x', '/y', '/z'] || fname in ['/x']", false),
        ("uid != 0 && fname.startsWith('/data/')", false),
        ("uid == 0 || fname.startsWith('/data/')", true),
        ("exe == null && path_incomplete", true),
    ];
    for (text, expected) in table {
        assert_eq!(says(&row, text), Ok(expected), "{text}");
    }
    let mut unreadable = too_deep();
    unreadable.fname = None;
    assert_eq!(says(&unreadable, "fname.startsWith('/data/')"), no_answer);
    assert_eq!(says(&unreadable, "fname == null && !has(fname)"), Ok(true));
    let mut unresolved = custom(json!({"path_unresolved": true, "new_path": "/data/x"}));
    unresolved.fname = Some("/data/link/x".into());
    for text in ["fname.startsWith('/data/')", "fname.endsWith('x')", "new_path == '/data/x'"] {
        assert_eq!(says(&unresolved, text), no_answer, "{text}");
    }
}

#[test]
fn fields_of_other_tracers_have_the_type_of_their_value() {
    let row = custom(json!({
        "a-b": 1, "n": 2.5, "big": u64::MAX, "list": [1, "x", null, {"k": [true]}], "obj": {"k": "v", "none": null},
        "truth": true, "mode": "rw", "flags": "none",
    }));
    let table = [
        ("extended['a-b'] == 1", Ok(true)),
        ("extended.n > 2 && extended.n < 3 && extended.n * 2.0 == 5.0", Ok(true)),
        ("extended.big > 9223372036854775807 && extended.big == extended.big", Ok(true)),
        ("extended.list[1] == 'x' && extended.list[3].k[0] && extended.list[9] == null", Ok(true)),
        ("extended.list.exists(e, e == 'x')", Ok(true)),
        ("extended.list.exists_one(e, e == null)", Ok(true)),
        ("extended.list.filter(e, e != null).size() == 3", Ok(true)),
        ("[1, 2, 3].map(x, x > 1, x * 2) == [4, 6] && [1, 2].map(x, x + 1) == [2, 3]", Ok(true)),
        ("[1, 2].all(x, [3, 4].exists(y, y == x + 2))", Ok(true)),
        ("extended.obj.exists(k, extended.obj[k] == 'v') && 'k' in extended.obj", Ok(true)),
        ("'none' in extended.obj || has(extended.obj.none)", Ok(false)),
        ("extended.truth", Ok(true)),
        ("extended.mode == 'rw'", Ok(true)),
        ("extended.n == 'x'", Ok(false)),
        ("extended.mode > 3", Err("> does not take string".to_owned())),
        ("mode > 3", Err("> does not take string".to_owned())),
        ("extended.mode + 1 == 2", Err("+ does not take string".to_owned())),
        ("extended.n", Err("a condition does not take double".to_owned())),
        ("1 / int(extended.truth ? 0 : 1) == 1", Err("division by zero".to_owned())),
        ("extended.big + 1 == 0", Err("+ does not take int".to_owned())),
        // An operand that decides the result does so even if another one fails.
        ("extended.mode > 3 || uid == null", Ok(true)),
        ("extended.mode > 3 && uid != null", Ok(false)),
        ("[1, 'x'].exists(e, e > 0)", Ok(true)),
        ("dyn(uid) == 'root'", Ok(false)),
    ];
    for (text, expected) in table {
        assert_eq!(says(&row, text), expected, "{text}");
    }
}

#[test]
fn errors_name_line_and_column() {
    let table = [
        ("uid ==", "1:7: unexpected end: expected a value"),
        ("uid == 0 fname", "1:10: unexpected 'fname': expected an operator"),
        ("(uid == 0", "1:10: missing ')'"),
        ("", "1:1: unexpected end: expected a value"),
        ("uid == \"root\"", "1:5: operator == does not take int and string"),
        ("uid > 0 &&\n  fname + 1 == 'x'", "2:9: operator + does not take string and int"),
        ("fname > 3", "1:7: operator > does not take string and int"),
        ("flags < ['x']", "1:7: operator < does not take list(string) and list(string)"),
        ("fname", "1:1: the expression gives string, expected bool"),
        ("pid + 1", "1:1: the expression gives int, expected bool"),
        ("fname && true", "1:1: found string, expected bool"),
        (
            "pidd == 1",
            "1:1: unknown field \"pidd\", did you mean \"pid\"? (fields of other tracers: extended.pidd)",
        ),
        ("fname.startWith('x')", "1:16: unknown function \"startWith\", did you mean \"startsWith\"?"),
        ("fname.startsWith()", "1:17: expected string.startsWith(string)"),
        ("startsWith(fname, 'x')", "1:11: expected string.startsWith(string)"),
        ("fname.startsWith(3)", "1:17: found int, expected string.startsWith(string)"),
        ("fname.matches('(')", "1:14: \"(\" is no pattern: unclosed group"),
        ("fname.matches(comm)", "1:14: the pattern of matches() must be a string literal"),
        ("uid in ['root']", "1:5: operator in does not take int and list(string)"),
        ("uid.x == 1", "1:4: int has no field \"x\""),
        ("comm[0] == 'x'", "1:5: string can't be indexed by int"),
        ("dt > '2026'", "1:4: operator > does not take timestamp and string"),
        ("dt > timestamp('soon')", "1:15: timestamp() can't read the text that it is given"),
        ("1 / 0 == 1", "1:3: division by zero"),
        ("extended == null", "1:1: extended is all fields; name one: extended.x, extended[\"x\"]"),
        ("has(1)", "1:4: expected has(extended.x)"),
        ("flags.exists(x)", "1:13: expected list.exists(name, expression)"),
        ("uid.exists(x, true)", "1:11: found int, expected list.exists(name, expression)"),
        ("comm == b'x'", "1:9: there are no bytes in rows, only strings"),
        ("{'a': 1}['a'] == 1", "1:1: maps can't be written in an expression"),
        (
            "comm == 'é' && 'ü' == pidd",
            "1:23: unknown field \"pidd\", did you mean \"pid\"? (fields of other tracers: extended.pidd)",
        ),
    ];
    let found: Vec<(&str, String)> = table.iter().map(|(text, _)| (*text, refused(text))).collect();
    let expected: Vec<(&str, String)> =
        table.iter().map(|(text, error)| (*text, (*error).to_owned())).collect();
    assert_eq!(found, expected);
}

#[test]
fn expressions_that_are_too_large_are_refused() {
    assert!(refused(&"a".repeat(5000)).contains("at most 4096 bytes"));
    for (open, middle, close) in
        [("(", "true", ")"), ("[", "1", "]"), ("size([", "1", "])"), ("-(", "1", ")")]
    {
        let depth = 4000 / (open.len() + close.len());
        let text = open.repeat(depth) + middle + &close.repeat(depth);
        assert!(refused(&text).contains("nested at most 64 deep"), "{}", refused(&text));
    }
    for chain in ["pid".to_owned() + &" + 1".repeat(900), "extended".to_owned() + &".a".repeat(2000)] {
        assert!(refused(&chain).contains("nested at most 64 deep"), "{}", refused(&chain));
    }
    let flat = vec!["uid == 1"; 300].join(" || ");
    assert!(Expression::compile(&flat, &Schema::default()).is_ok());
}

#[test]
fn work_on_one_row_is_bounded() {
    let numbers: Vec<i64> = (0..2000).collect();
    let row = custom(json!({"l": numbers, "t": "x".repeat(1 << 20)}));
    let too_much = Err("the row is too large for this expression".to_owned());
    assert_eq!(says(&row, "extended.l.all(a, a >= 0)"), Ok(true));
    assert_eq!(says(&row, "extended.l.all(a, extended.l.exists(b, b == a))"), too_much);
    assert_eq!(says(&row, "extended.l.map(a, extended.t + extended.t).size() == 1"), too_much);
    assert_eq!(says(&row, "extended.l.all(a, extended.l == extended.l)"), too_much);
    assert_eq!(says(&row, "extended.l.exists(a, extended.t.contains('y'))"), too_much);
}
