//! duetector's server and ours on the same file: every answer is the same, but for what `docs/SERVER.md` lists.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs;
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tests::http::{Address, Connection, Response, ask};
use tests::rows::write_table;
use tests::served::Served;
use tests::workload::succeed;
use tests::{Scratch, binary, duetector, suite, until};

const PATIENCE: Duration = Duration::from_secs(120);
/// The token of Python's server.
const TOKEN: &str = "a-token-of-the-test";

suite! {
    threads: 1;
    each_answer_is_that_of_pythons_server: [Duetector];
}

/// Python duetector's server, killed when dropped.
struct Python {
    child: Child,
    address: Address,
}

impl Python {
    fn start(scratch: &Scratch, file: &Path) -> Self {
        let folder = scratch.folder("python");
        let config = format!(
            "[server]\ntoken = \"{TOKEN}\"\n[analyzer.dbanalyzer.db.engine]\nurl = \"sqlite:///{}\"\n",
            file.display()
        );
        fs::write(folder.join("config.toml"), config).unwrap();
        // Nobody takes it in the moment until Python does.
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = || File::create(folder.join("log")).unwrap();
        let mut command = Command::new(duetector::program("duectl-server"));
        command.args(["start", "--config", "config.toml", "--workdir", ".", "--host", "127.0.0.1", "--port"]);
        command.arg(free.port().to_string()).current_dir(&folder);
        let child = command.stdin(Stdio::null()).stdout(log()).stderr(log()).spawn().unwrap();
        let address = Address::Tcp(free);
        let python = Self { child, address };
        until("Python's server listens", PATIENCE, || Connection::open(&python.address).ok().map(drop));
        python
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes rows of all kinds. A tracer has one collector: Python mixes several up.
fn write_rows(file: &Path) {
    let row = |number: i64| {
        let comm = ["sh", "python3", "größe", ""][number as usize % 4];
        let fraction = if number % 3 == 0 { 0 } else { number * 1001 };
        json!({
            "pid": number, "uid": number % 4 * 1000, "gid": 5, "comm": comm,
            "dt": format!("2026-01-31 12:{:02}:{:02}.{fraction:06}", number / 60, number % 60),
            "cwd": "/srv", "fname": format!("/data/\u{1f600} \"{number}\"\n"),
            "extended": {"tracer_name": "open", "flags": ["O_RDONLY"], "n": 1.5, "none": null, "deep": {"a": [1, {"b": true}]}},
        })
    };
    write_table(file, "open", "here", (0..90).map(row));
    let other = json!({"pid": 7, "dt": "2026-01-31 12:00:30.000001", "comm": "curl", "extended": {}});
    let nulls = json!({"dt": "2026-01-31 12:00:31.500000", "extended": {"a": "b"}});
    write_table(file, "connect", "here", [other, nulls].into_iter());
    write_table(file, "exec", "there", (0..5).map(row));
    write_table(file, "empty", "here", std::iter::empty());
}

/// A request: method, path with its query, type of the body, body. `TOKEN` stands for the token of the server.
type Request = (&'static str, &'static str, Option<&'static str>, String);

const JSON: Option<&str> = Some("application/json");

fn post(body: Value) -> Request {
    ("POST", "/query/dbanalyzer?token=TOKEN", JSON, body.to_string())
}

fn get(path: &'static str) -> Request {
    ("GET", path, None, String::new())
}

/// Requests about the server: tokens, routes, redirects, methods.
fn about_routes() -> Vec<Request> {
    let other = |method, path| (method, path, None, String::new());
    vec![
        get("/"),
        get("/?token=TOKEN"),
        get("/?token=wrong"),
        get("/?token=wrong&token=TOKEN"),
        get("/?token=TOKEN&token=wrong"),
        get("/query/?token=TOKEN"),
        get("/query/"),
        get("/query?token=TOKEN&x=1"),
        get("/query"),
        get("/control?token=TOKEN"),
        get("/control/?token=TOKEN"),
        get("/control/"),
        get("/query/dbanalyzer/brief?token=TOKEN"),
        get("/query/dbanalyzer/brief"),
        get("/query/dbanalyzer/brief/?token=TOKEN"),
        get("/query/nope/brief?token=TOKEN"),
        get("/query/db-analyzer/brief?token=TOKEN"),
        get("/query/dbanalyzer?token=TOKEN"),
        get("/nope?token=TOKEN"),
        get("/query/dbanalyzer/nope"),
        get("/docs/"),
        get("/openapi.json"),
        get("/openapi.json/"),
        other("POST", "/query/?token=TOKEN"),
        other("POST", "/query/dbanalyzer/?token=TOKEN"),
        other("POST", "/query/dbanalyzer?token=TOKEN"),
        other("POST", "/query/dbanalyzer"),
        other("PUT", "/query/dbanalyzer?token=TOKEN"),
        other("DELETE", "/"),
        ("POST", "/query/nope?token=TOKEN", JSON, "{\"collector_id\": \"here\"}".to_owned()),
        ("POST", "/query/nope?token=TOKEN", JSON, "{}".to_owned()),
        ("POST", "/query/db-analyzer?token=TOKEN", JSON, "{\"collector_id\": \"here\"}".to_owned()),
    ]
}

/// Bodies that are refused, or read in another way than one may think.
fn about_bodies() -> Vec<Request> {
    let body = |kind, body: &str| ("POST", "/query/dbanalyzer?token=TOKEN", kind, body.to_owned());
    let mut requests = vec![
        body(Some("text/plain"), "{\"collector_id\": \"here\"}"),
        body(Some("application/x-www-form-urlencoded"), "a=b"),
        body(Some("application/vnd.x+json; charset=utf-8"), "{\"collector_id\": \"there\"}"),
        body(None, "{\"collector_id\": \"there\"}"),
        body(JSON, "null"),
        body(JSON, "[1]"),
        body(JSON, "\"text\""),
        body(JSON, "{abc"),
        body(JSON, "{\"a\":"),
        body(JSON, "{} x"),
        body(JSON, "{\"collector_id\" 1}"),
        body(JSON, "{}"),
    ];
    let wrong = json!({
        "collector_id": 1, "tracers": [1, "open", null], "start_datetime": "yesterday", "end_datetime": [], "start": "x", "limit": 1.5,
        "columns": "a", "where": [], "distinct": 7, "order_by_asc": {}, "order_by_desc": [[]],
    });
    requests.push(post(wrong));
    for (field, value) in [
        ("start", json!(null)),
        ("start", json!("2.0")),
        ("start", json!(" 3 ")),
        ("start", json!(true)),
        ("limit", json!([])),
        ("limit", json!(2.0)),
        ("limit", json!(-1)),
        ("distinct", json!(null)),
        ("distinct", json!("Yes")),
        ("distinct", json!("maybe")),
        ("distinct", json!(0.0)),
        ("tracers", json!(null)),
        ("start_datetime", json!("2026-13-01")),
        ("start_datetime", json!("2026-02-30T00:00:00")),
        ("start_datetime", json!("2026-01-31T25:00:00")),
        ("start_datetime", json!("2026/01/31 12:00")),
        ("start_datetime", json!(true)),
        ("start_datetime", json!({})),
    ] {
        requests.push(post(json!({"collector_id": "here", field: value})));
    }
    requests
}

/// Queries that have rows.
fn about_rows() -> Vec<Request> {
    let ask = |more: Value| {
        let mut body = json!({"collector_id": "here"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        post(body)
    };
    vec![
        ask(json!({})),
        post(json!({"collector_id": "there"})),
        post(json!({"collector_id": ""})),
        ask(
            json!({"unknown": 1, "tracers": [], "columns": [], "where": {}, "order_by_asc": [], "order_by_desc": []}),
        ),
        ask(json!({"tracers": ["open"], "limit": 5})),
        ask(json!({"tracers": ["open", "nope"], "start": 85})),
        ask(json!({"limit": 1, "start": 1})),
        ask(json!({"start": -5, "limit": -5})),
        ask(json!({"columns": ["fname", "pid"], "limit": 2})),
        ask(json!({"columns": ["id", "dt"], "order_by_desc": ["id"], "limit": 3})),
        ask(json!({"columns": ["comm"], "distinct": true, "order_by_asc": ["comm"]})),
        ask(json!({"where": {"pid": 7}})),
        ask(json!({"where": {"pid": "7"}})),
        ask(json!({"where": {"pid": 7.0, "comm": "curl"}})),
        ask(json!({"where": {"comm": null}})),
        ask(json!({"where": {"comm": "größe", "uid": 2000}, "order_by_asc": ["uid", "pid"], "limit": 2})),
        ask(json!({"where": {"id": 3}})),
        ask(json!({"where": {"uid": false}, "limit": 2})),
        ask(json!({"order_by_asc": ["comm"], "order_by_desc": ["pid"], "tracers": ["open"], "limit": 9})),
        ask(json!({"start_datetime": "2026-01-31T12:00:30", "end_datetime": "2026-01-31 12:00:31.5"})),
        ask(json!({"start_datetime": "2026-01-31T12:01:20+08:00"})),
        ask(json!({"end_datetime": "2026-01-31T12:00"})),
        ask(json!({"end_datetime": "2026-01-31"})),
        ask(json!({"start_datetime": 1_769_860_885, "limit": 2})),
        ask(json!({"start_datetime": "1769860885", "limit": 2})),
        ask(json!({"end_datetime": 1_769_860_805_500_i64})),
    ]
}

fn send(address: &Address, (method, target, kind, body): &Request, token: &str) -> Response {
    let headers: Vec<_> = kind.iter().map(|kind| ("Content-Type", *kind)).collect();
    ask(address, method, &target.replace("TOKEN", token), &headers, body.as_bytes())
}

/// Returns what has to be equal: without the token, the order of sets, and the name that SQLAlchemy 2.1 has for a type.
fn compared(response: &Response, token: &str) -> Value {
    let mut body = serde_json::from_slice(&response.body).unwrap_or_else(|_| Value::from(response.text()));
    for set in ["tracers", "collector_ids"] {
        if let Some(Value::Array(names)) = body.pointer_mut(&format!("/brief/{set}")) {
            names.sort_by_key(Value::to_string);
        }
    }
    for brief in body.pointer_mut("/brief/briefs").and_then(Value::as_object_mut).into_iter().flatten() {
        if brief.1["fields"]["extended"] == "object" {
            brief.1["fields"]["extended"] = "dict".into();
        }
    }
    // The time at which the server was started.
    if let Some(example) = body.pointer_mut("/components/schemas/QueryBody/examples/0/end_datetime") {
        *example = Value::Null;
    }
    // Python names the address by which it was asked, ours is relative.
    let location = response.header("location").map(|location| {
        let path = location.strip_prefix("http://here").unwrap_or(location);
        path.replace(token, "TOKEN")
    });
    let headers =
        [response.header("content-type").map(str::to_owned), response.header("allow").map(str::to_owned)];
    let headers = if response.status == 307 { Default::default() } else { headers };
    json!({"status": response.status, "body": body, "location": location, "headers": headers})
}

fn each_answer_is_that_of_pythons_server() {
    let scratch = Scratch::new();
    let work = scratch.path().join("work");
    fs::create_dir(&work).unwrap();
    std::os::unix::fs::chown(&work, Some(9972), Some(9972)).unwrap();
    let file = work.join("duetector-dbcollector.sqlite3");
    write_rows(&file);
    let python = Python::start(&scratch, &file);
    let ours = Served::start(&work, Some(9972), &[]);
    let mut wrong = Vec::new();
    let mut differ = |request: &Request, ours: &Served| {
        let theirs = compared(&send(&python.address, request, TOKEN), TOKEN);
        let own = compared(&send(&ours.address, request, &ours.token), &ours.token);
        if theirs != own {
            wrong.push(format!("{request:?}\n  Python: {theirs}\n  ours:   {own}"));
        }
    };
    for request in about_routes().iter().chain(&about_bodies()).chain(&about_rows()) {
        differ(request, &ours);
    }
    // The same rows in a columnar store, in an order that does not depend on how they are kept.
    let columnar = scratch.path().join("columnar");
    fs::create_dir(&columnar).unwrap();
    let mut import = Command::new(binary::agent());
    succeed(import.args(["store", "import"]).arg(&file).arg("--workdir").arg(&columnar));
    succeed(Command::new("chown").args(["-R", "9972:9972"]).arg(&columnar));
    let ours = Served::start(&columnar, Some(9972), &[]);
    for mut request in about_rows() {
        let mut body: Value = serde_json::from_str(&request.3).unwrap();
        if body["order_by_asc"].as_array().is_none_or(Vec::is_empty) && body["order_by_desc"].is_null() {
            body["order_by_asc"] = json!(["dt"]);
            if body["distinct"] == true {
                continue;
            }
        }
        request.3 = body.to_string();
        differ(&request, &ours);
    }
    assert!(wrong.is_empty(), "{} answers differ:\n{}", wrong.len(), wrong.join("\n"));
    a_column_that_is_none_is_explained(&ours);
}

/// Python's server fails at it.
fn a_column_that_is_none_is_explained(ours: &Served) {
    let request = post(json!({"collector_id": "here", "where": {"comn": "x"}, "columns": ["pidd"]}));
    let answer = send(&ours.address, &request, &ours.token);
    let errors = answer.json()["detail"].clone();
    assert_eq!(answer.status, 422);
    assert_eq!(
        (&errors[0]["loc"], &errors[1]["loc"]),
        (&json!(["body", "where", "comn"]), &json!(["body", "columns", "pidd"]))
    );
    assert!(errors[0]["msg"].as_str().unwrap().contains("did you mean \"comm\""), "{errors}");
}
