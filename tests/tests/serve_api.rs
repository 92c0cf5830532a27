//! Our own API, `/api/v1`: rows page by page, and SQL that can only read.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use serde_json::{Value, json};
use tests::http::ask;
use tests::rows::workdir;
use tests::served::Served;
use tests::{Scratch, suite};

/// The user that serves.
const UID: u32 = 9973;

suite! {
    threads: 2;
    rows_come_page_by_page: [Root];
    sql_can_only_read: [Root];
}

fn start(scratch: &Scratch, rows: u32, options: &[&str]) -> Served {
    Served::start(&workdir(scratch, UID, rows), Some(UID), options)
}

fn rows_come_page_by_page() {
    let scratch = Scratch::new();
    let server = start(&scratch, 25, &["--set", "label.few.files=[\"/data/1*\"]"]);
    let ask = |query: Value| {
        let answer = server.post("/api/v1/query", &query.to_string());
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer
    };
    let wheres = json!(["pid < 23", "uid == 1000"]);
    let columns = ["id", "fname"];
    let all = ask(json!({"where": wheres, "columns": columns, "limit": 10_000}));
    assert_eq!(all.header("next-cursor"), None);
    let all = all.json().as_array().unwrap().clone();
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let page = ask(json!({"where": wheres, "columns": columns, "limit": 5, "cursor": cursor}));
        rows.extend(page.json().as_array().unwrap().clone());
        cursor = page.header("next-cursor").map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    assert!(all.len() == 23 && rows == all, "{rows:?}");
    let lines = ask(json!({"where": wheres, "columns": columns, "format": "jsonl", "limit": 10_000})).text();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, all);
    assert_eq!(ask(json!({"where": "label('few')"})).json().as_array().unwrap().len(), 11);
    assert_eq!(server.get("/api/v1/labels").json()["labels"]["few"]["files"], json!(["/data/1*"]));
    assert_eq!(server.get("/api/v1/evidence").json()["schema"], "evidence/1");
    for wrong in [
        "limit=0",
        "limit=1000000",
        "where=uid%20%3D%3D%20%27x%27",
        "columns=nothing",
        "sinse=-1h",
        "cursor=x",
    ] {
        let answer = server.get(&format!("/api/v1/query?{wrong}"));
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    assert_eq!(server.get("/api/v1/nothing").status, 404);
    for route in ["query", "labels", "evidence", "sql?sql=SELECT%201"] {
        let target = format!("/api/v1/{route}");
        assert_eq!(ask_without_token(&server, &target), 401, "{target}");
        let separator = if target.contains('?') { '&' } else { '?' };
        assert_eq!(
            ask_without_token(&server, &format!("{target}{separator}token={}", server.token)),
            401,
            "{target}"
        );
    }
}

fn ask_without_token(server: &Served, target: &str) -> u16 {
    ask(&server.address, "GET", target, &[], b"").status
}

fn sql_can_only_read() {
    let scratch = Scratch::new();
    let server =
        start(&scratch, 25, &["--set", "server.timeout=\"2s\"", "--set", "server.sql_memory=\"32MiB\""]);
    let ask = |sql: &str| server.post("/api/v1/sql", &json!({"sql": sql}).to_string());
    assert_eq!(
        ask("SELECT count(*) AS rows, max(pid) AS pid FROM open").json(),
        json!([{"rows": 25, "pid": 24}])
    );
    for wrong in [
        "DELETE FROM open",
        "DROP VIEW events",
        "CREATE TABLE x (a)",
        "ATTACH '/etc/passwd' AS x",
        "ATTACH ':memory:' AS x",
        "PRAGMA hard_heap_limit = 0",
        "VACUUM INTO '/tmp/x'",
        "SELECT load_extension('x')",
        "SELECT 1; SELECT 2",
        "BEGIN",
        "SELECT writefile('/tmp/x', 'y')",
        "",
    ] {
        let answer = ask(wrong);
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
    }
    // Statements that never end, and one that needs too much memory, end; the server goes on.
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    assert_eq!(ask(endless).status, 504);
    assert_eq!(ask("SELECT length(hex(zeroblob(100000000)))").status, 400);
    assert_eq!(ask("SELECT 1 AS one").json(), json!([{"one": 1}]));
}
