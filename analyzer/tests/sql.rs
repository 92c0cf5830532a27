//! SQL: the same answers on both layouts, what is refused, and the bounds.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use analyzer::sql::Limits;
use analyzer::{Error, Sql, Store};
use common::audit::{self, CAT, SHELL};
use common::show;
use serde_json::Value;

fn sql(store: Store) -> Sql {
    Sql::new(store, Limits::default()).unwrap()
}

/// Returns the rows of a statement, each as the JSON of its cells.
fn ask(sql: &Sql, text: &str) -> Vec<String> {
    try_ask(sql, text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn try_ask(sql: &Sql, text: &str) -> Result<Vec<String>, Error> {
    let mut answer = sql.query(text)?;
    let rows = answer.rows()?.map(|row| Ok(row?.cells.iter().map(show).collect::<Vec<_>>().join(" ")));
    rows.collect()
}

#[test]
fn both_layouts_give_the_same_rows() {
    let (file, columnar) = audit::both();
    let (plain, typed) = (sql(file.store()), sql(columnar.store()));
    let tables = [
        "open", "usage", "exec", "clone", "exit", "rename", "unlink", "connect", "close", "loss", "setuid",
        "bind",
    ];
    for table in tables {
        let (one, other) = (
            ask(&plain, &format!("SELECT * FROM \"{table}\"")),
            ask(&typed, &format!("SELECT * FROM \"{table}\"")),
        );
        assert_eq!(one, other, "{table}");
        assert_eq!(one.is_empty(), table == "bind", "{table}");
    }
    for statement in [
        "SELECT tracer, id, fname, extended ->> '$.ino', time FROM events ORDER BY time DESC, tracer",
        "SELECT * FROM processes ORDER BY exec_id",
        "SELECT * FROM files ORDER BY dev, ino",
        "SELECT * FROM losses",
        "SELECT size, typeof(size) FROM mine",
        "SELECT fname, typeof(dev), typeof(time), typeof(fname_bytes), typeof(flags), typeof(dt) FROM open ORDER BY id",
        "SELECT count(*), sum(ret), max(time) FROM open WHERE pid = '100' AND comm = 'cat' AND time > 5.5",
        "SELECT a.fname, b.fname FROM open a JOIN usage b USING (dev, ino) ORDER BY a.id, b.id",
        "SELECT fname FROM open WHERE fname = '/DATA/SECRET' COLLATE NOCASE",
        "SELECT fname FROM open WHERE pid IN (90, 100) AND fname IN ('/data/secret', 'x') ORDER BY time",
        "SELECT fname FROM open WHERE pid = 90 OR uid = 1000 ORDER BY id",
        "SELECT fname FROM unlink WHERE ret = -2.0",
    ] {
        let (one, other) = (ask(&plain, statement), ask(&typed, statement));
        assert_eq!(one, other, "{statement}");
        assert!(!other.is_empty(), "{statement}");
    }
}

#[test]
fn values_have_types() {
    let (_, columnar) = audit::both();
    let sql = sql(columnar.store());
    let one = |text: &str| ask(&sql, text).join("|");
    assert_eq!(
        one("SELECT hex(fname_bytes), fname_bytes FROM open WHERE fname_bytes = x'2f646174612f6eff'"),
        r#""2F646174612F6EFF" "2f646174612f6eff""#
    );
    assert_eq!(one("SELECT flags ->> 1 FROM open WHERE id = 1"), r#""O_CLOEXEC""#);
    // Of unsigned numbers above the largest signed one, SQL has the nearest real number.
    assert_eq!(one("SELECT typeof(mapped_to), mapped_to > 1e19 FROM usage WHERE ino = 78"), r#""real" 1"#);
    assert_eq!(
        one(
            "SELECT time = ns('2026-01-31 12:00:02'), local(time) LIKE '2026-01-31 12:00:02.0%' FROM open LIMIT 1"
        ),
        "1 1"
    );
    assert_eq!(
        one("SELECT utc(1000000000), ns('1970-01-01T00:00:01Z')"),
        r#""1970-01-01T00:00:01.000000000+00:00" 1000000000"#
    );
    assert_eq!(
        one("SELECT latest(column1, column2) FROM (VALUES ('a', 1), ('c', 3), (NULL, 4), ('b', 2))"),
        r#""c""#
    );
    assert_eq!(one("SELECT user_name(0)"), r#""root""#);
    // Lists of other things than text, objects and numbers with a fraction have no column.
    assert_eq!(one("SELECT size, other ->> 'share', other ->> '$.\"odd name\"[0]' FROM mine"), "5 0.5 1");
    assert!(
        matches!(try_ask(&sql, "SELECT ns('gestern')"), Err(Error::Statement { cause, .. }) if cause.contains("expected a time"))
    );
}

#[test]
fn views_put_rows_together() {
    let (_, columnar) = audit::both();
    let sql = sql(columnar.store());
    let process = ask(
        &sql,
        &format!(
            "SELECT pid, parent_exec_id, argv, exe, uid, container_name, code, \"end\" > start, (\"end\" - start) / 1000000000 FROM processes WHERE exec_id = '{CAT}'"
        ),
    );
    assert_eq!(
        process,
        [format!(r#"100 "{SHELL}" "[\"cat\",\"/data/sécret\"]" "/usr/bin/cat" 1000 "web" 1 1 18"#)]
    );
    let names = ask(
        &sql,
        "SELECT json_extract(names, '$[0].path'), json_extract(names, '$[1].path'), path, count FROM files WHERE ino = 78",
    );
    assert_eq!(names, [r#""/tmp/copy" "/tmp/holiday.jpg" "/tmp/holiday.jpg" 4"#]);
    assert_eq!(
        ask(&sql, "SELECT tracer, count, cause, place FROM losses"),
        [r#""open" 12 "the ring was full" "ring""#]
    );
    let all: Vec<String> = ask(&sql, "SELECT count(*) FROM events");
    assert_eq!(all, ["16"]);
}

#[test]
fn rows_of_one_tracer_come_in_order_of_time_without_being_sorted() {
    let (_, columnar) = audit::both();
    let sql = sql(columnar.store());
    for (order, sorts) in [("time", false), ("time DESC", false), ("fname", true)] {
        let steps = ask(&sql, &format!("EXPLAIN QUERY PLAN SELECT fname FROM open ORDER BY {order} LIMIT 2"));
        assert_eq!(steps.iter().any(|step| step.contains("TEMP B-TREE")), sorts, "{steps:?}");
    }
    let descending = ask(&sql, "SELECT id FROM open WHERE comm = 'cat' ORDER BY time DESC");
    assert_eq!(descending, ["2", "1"]);
}

#[test]
fn nothing_but_select_is_run() {
    let (file, columnar) = audit::both();
    for store in [file.store(), columnar.store()] {
        let sql = sql(store);
        for text in [
            "DELETE FROM open",
            "INSERT INTO open (id) VALUES (1)",
            "CREATE TEMP TABLE x (a)",
            "CREATE VIEW x AS SELECT 1",
            "DROP VIEW events",
            "ATTACH ':memory:' AS other",
            "PRAGMA query_only = 0",
            "PRAGMA writable_schema = 1",
            "SELECT * FROM pragma_database_list",
            "SELECT load_extension('x')",
            "BEGIN",
            "COMMIT",
            "VACUUM INTO '/tmp/x'",
            "REINDEX",
            "ANALYZE",
        ] {
            let error = try_ask(&sql, text).unwrap_err();
            assert!(matches!(error, Error::Refused { .. }) && error.is_usage(), "{text}: {error}");
        }
        // The transaction is still open, and the tables are all there.
        assert_eq!(ask(&sql, "SELECT count(*) FROM open"), ["3"]);
        assert!(matches!(try_ask(&sql, "SELECT 1; SELECT 2"), Err(Error::Several)));
        assert!(matches!(try_ask(&sql, " -- nothing"), Err(Error::NoStatement)));
        assert_eq!(ask(&sql, "SELECT 1;\n"), ["1"]);
    }
}

#[test]
fn errors_name_what_is_most_like_it() {
    let (_, columnar) = audit::both();
    let sql = sql(columnar.store());
    let message = |text: &str| try_ask(&sql, text).unwrap_err().to_string();
    let table = message("SELECT * FROM opne");
    assert!(table.starts_with("no such table: opne; did you mean \"open\"?"), "{table}");
    assert!(message("SELECT fnmae FROM open").contains("did you mean \"fname\"?\n"));
    assert!(message("SELECT o.bytes_raed FROM usage AS o").contains("did you mean \"bytes_read\"?\n"));
    let wrong = message("SELECT 1,\n  * FORM open");
    assert!(wrong.contains("syntax error") && wrong.contains("2:"), "{wrong}");
    let unknown = sql.describe("opne").map(drop).unwrap_err().to_string();
    assert_eq!(unknown, "no such table: opne; did you mean \"open\"?");
}

#[test]
fn a_query_ends_at_its_limit_or_when_it_is_stopped() {
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT sum(x) FROM n";
    let (_, columnar) = audit::both();
    let limits = Limits { timeout: Some(Duration::from_millis(20)), ..Limits::default() };
    let limited = Sql::new(columnar.store(), limits).unwrap();
    let error = try_ask(&limited, endless).unwrap_err();
    assert!(matches!(error, Error::TimeLimit { .. }) && !error.is_usage(), "{error}");
    assert!(error.to_string().contains("20ms") && error.to_string().contains("--timeout"), "{error}");

    let sql = sql(columnar.store());
    let meter = sql.meter();
    let stopper = std::thread::spawn(move || meter.stop());
    let error = try_ask(&sql, endless).unwrap_err();
    assert!(matches!(error, Error::Stopped), "{error}");
    stopper.join().unwrap();
}

#[test]
fn queries_see_one_moment() {
    let (_, columnar) = audit::both();
    let sql = sql(columnar.store());
    let before = ask(&sql, "SELECT count(*) FROM open");
    let details = model::Extended::new(model::Details::Fields(serde_json::Map::new()));
    columnar.write("vm", &[model::Tracking::new("open".into(), model::WallTime(0), details)]);
    assert_eq!(ask(&sql, "SELECT count(*) FROM open"), before);
    assert_eq!(ask(&self::sql(columnar.store()), "SELECT count(*) FROM open"), ["4"]);
}

#[test]
fn tables_and_columns_are_listed() {
    let (file, columnar) = audit::both();
    for store in [file.store(), columnar.store()] {
        let sql = sql(store);
        let list = |answer: Result<analyzer::Answer<'_>, Error>| -> Vec<Vec<Value>> {
            let mut answer = answer.unwrap();
            let rows = answer.rows().unwrap().map(|row| {
                row.unwrap().cells.iter().map(|cell| serde_json::to_value(cell).unwrap()).collect()
            });
            rows.collect()
        };
        let tables = list(sql.tables());
        for (name, kind, rows) in [
            ("open", "table", "yes"),
            ("bind", "table", "no"),
            ("events", "view", "yes"),
            ("mine", "table", "yes"),
        ] {
            assert!(tables.iter().any(|row| row[0] == name && row[1] == kind && row[2] == rows), "{name}");
        }
        // What is listed is what there is, in that order.
        for table in tables.iter().map(|row| row[0].as_str().unwrap()) {
            let listed: Vec<String> =
                list(sql.describe(table)).iter().map(|row| row[0].as_str().unwrap().to_owned()).collect();
            let answer = sql.query(&format!("SELECT * FROM \"{table}\"")).unwrap();
            let found: Vec<String> = answer.columns().iter().map(|column| column.name.clone()).collect();
            assert_eq!(listed, found, "{table}");
        }
    }
}

/// Returns the statements of the page, in order.
fn questions() -> Vec<&'static str> {
    let page = include_str!("../../docs/SQL.md");
    page.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_ten_questions_of_the_page_have_answers() {
    let expected: [&[&str]; 10] = [
        &[r#"/usr/bin/cat" "web" 4096"#],
        &["1000 4096 4096 2"],
        &[r#""[\"cat\",\"/data/sécret\"]" 1 18"#],
        &[r#""cat" "10.0.0.9" 443 1 4096 10"#],
        &[r#"1000 "cat" "/tmp/holiday.jpg""#],
        &[r#""open" "the ring was full" "ring" 12"#],
        &[r#"8 78 4 "/tmp/copy""#, r#"8 78 4 "/tmp/holiday.jpg""#],
        &[
            r#""exec" "/usr/bin/cat" 0"#,
            r#""open" "/data/secret" 3"#,
            r#""open" "/data/n\\xff" -13"#,
            r#""usage" "/data/secret""#,
            r#""usage" "/tmp/copy""#,
            r#""rename" "/tmp/copy" 0 "rename""#,
            r#""connect" "tcp:10.0.0.9:443" 0"#,
            r#""close" "tcp:10.0.0.9:443" 0"#,
            r#""unlink" "/tmp/holiday.jpg" 0 "unlink""#,
            r#""exit""#,
        ],
        &[r#""cat" "/data/n\\xff" 1"#],
        &[r#""100-5000000000" "cat" "/data/secret" "10.0.0.9" 4096"#],
    ];
    let (file, columnar) = audit::both();
    let questions = questions();
    assert_eq!(questions.len(), expected.len());
    for store in [file.store(), columnar.store()] {
        let sql = sql(store);
        for (question, expected) in questions.iter().zip(expected) {
            let rows = ask(&sql, question);
            assert_eq!(rows.len(), expected.len(), "{question}\n{rows:#?}");
            for (row, part) in rows.iter().zip(expected) {
                assert!(row.contains(part), "{question}\n{row}\n{part}");
            }
        }
    }
}
