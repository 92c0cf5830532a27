//! `serve` for clients that mean harm: without a token nothing is answered, and nobody takes more than his share.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::http::{Address, Connection, ask};
use tests::rows::workdir;
use tests::served::Served;
use tests::{Scratch, Setup, binary, suite, until};

/// The user that serves in most tests: nobody else's.
const UID: u32 = 9971;
/// A group of every Debian.
const GROUP: &str = "games";
const SOON: Duration = Duration::from_secs(60);

suite! {
    threads: 4;
    nothing_is_answered_without_a_token: [Root];
    requests_that_are_no_requests_harm_nobody: [Root];
    slow_clients_and_large_bodies_are_sent_away: [Root];
    a_client_that_takes_nothing_holds_up_others_for_a_bounded_time: [Root];
    tokens_have_scopes_and_a_rate: [Root];
    root_is_given_up: [Root];
    addresses_that_others_reach_need_a_proxy: [Root];
    accounts_of_the_agent_are_metrics: [Kernel];
}

fn start(scratch: &Scratch, rows: u32, options: &[&str]) -> Served {
    Served::start(&workdir(scratch, UID, rows), Some(UID), options)
}

fn nothing_is_answered_without_a_token() {
    let scratch = Scratch::new();
    let server = start(&scratch, 3, &[]);
    let token = server.token.as_str();
    assert_eq!(token.len(), 64);
    assert_eq!(scratch.path().join("work/server.token").metadata().unwrap().mode() & 0o777, 0o600);
    let get =
        |target: &str, headers: &[(&str, &str)]| ask(&server.address, "GET", target, headers, b"").status;
    for open in ["/healthz", "/readyz", "/docs", "/redoc", "/openapi.json"] {
        assert_eq!(get(open, &[]), 200, "{open}");
    }
    let wrong = "0".repeat(64);
    let shorter = &token[..63];
    for guess in ["", &wrong, shorter, "%00", &format!("{token}0"), &token.to_uppercase()] {
        for route in ["/", "/query/", "/control/", "/query/dbanalyzer/brief"] {
            assert_eq!(get(&format!("{route}?token={guess}"), &[]), 403, "{route} {guess}");
        }
        let header = format!("Bearer {guess}");
        assert_eq!(get("/metrics", &[("Authorization", &header)]), 401, "{guess}");
    }
    let body = b"{\"collector_id\": \"here\"}";
    assert_eq!(ask(&server.address, "POST", "/query/dbanalyzer", &[], body).status, 403);
    let bearer = format!("Bearer {token}");
    // A token in a query string gets into logs of proxies: only duetector's routes take it there, and they take no other.
    assert_eq!(get(&format!("/metrics?token={token}"), &[]), 401);
    assert_eq!(get("/query/", &[("Authorization", &bearer)]), 403);
    assert_eq!(get("/metrics", &[("Authorization", &bearer), ("Authorization", &bearer)]), 401);
    assert_eq!(get("/metrics", &[("Authorization", &bearer)]), 200);
    assert_eq!(get(&format!("/query/?token={token}"), &[]), 200);
    let log = server.log();
    assert!(log.contains("/query/") && !log.contains(token), "{log}");
}

fn requests_that_are_no_requests_harm_nobody() {
    let scratch = Scratch::new();
    let mut server = start(&scratch, 3, &[]);
    let token = server.token.clone();
    for path in [
        "/../../etc/passwd",
        "/query/..%2f..%2fetc%2fpasswd/brief",
        "/docs/../metrics",
        "//metrics",
        "/%2e%2e/metrics",
    ] {
        let answer = ask(&server.address, "GET", &format!("{path}?token={token}"), &[], b"");
        assert!(
            [401, 404].contains(&answer.status) && !answer.text().contains("root:"),
            "{path}: {answer:?}"
        );
    }
    // What a client sends in a redirect comes back in one header, and makes no other.
    let answer = ask(&server.address, "GET", "/query?x=%0d%0aSet-Cookie:%20a", &[], b"");
    assert_eq!((answer.status, answer.header("location")), (307, Some("/query/?x=%0d%0aSet-Cookie:%20a")));
    assert_eq!(answer.header("set-cookie"), None);
    let garbage: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /query/dbanalyzer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /\r\n\x00\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\r\n\r\n\r\n: : :\r\n\r\n",
    ];
    for bytes in garbage {
        let mut connection = Connection::open(&server.address).unwrap();
        connection.send(bytes).unwrap();
        let answer = String::from_utf8_lossy(&connection.rest()).into_owned();
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    let long = format!("/query/?token={}", "a".repeat(1 << 20));
    let mut connection = Connection::open(&server.address).unwrap();
    let _ = connection.send(format!("GET {long} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    assert!(!String::from_utf8_lossy(&connection.rest()).contains("200 OK"));
    for body in [
        "[".repeat(100_000),
        "{\"where\":".repeat(50_000),
        format!("{{\"collector_id\":{}}}", "9".repeat(4000)),
    ] {
        let json = [("Content-Type", "application/json")];
        let answer =
            ask(&server.address, "POST", &format!("/query/dbanalyzer?token={token}"), &json, body.as_bytes());
        assert_eq!(answer.status, 422, "{}", answer.text());
    }
    assert_eq!(ask(&server.address, "GET", "/healthz", &[], b"").status, 200);
    assert!(!server.log().contains("panicked"), "{}", server.log());
    assert_eq!(server.stop().code(), Some(0));
}

fn slow_clients_and_large_bodies_are_sent_away() {
    let scratch = Scratch::new();
    let options = ["--set", "server.max_body=\"10KiB\"", "--set", "server.slow_client=\"1s\""];
    let server = start(&scratch, 3, &options);
    let target = format!("/query/dbanalyzer?token={}", server.token);
    let body = vec![b' '; 20 << 10];
    assert_eq!(ask(&server.address, "POST", &target, &[], &body).status, 413);
    // A head, and a body, that do not come to an end.
    let mut head = Connection::open(&server.address).unwrap();
    head.send(b"GET /healthz HTTP/1.1\r\nHo").unwrap();
    let mut body = Connection::open(&server.address).unwrap();
    body.send(format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{").as_bytes())
        .unwrap();
    assert!(String::from_utf8_lossy(&head.rest()).starts_with("HTTP/1.1 408"));
    assert_eq!(body.receive().unwrap().status, 408);
}

fn a_client_that_takes_nothing_holds_up_others_for_a_bounded_time() {
    let scratch = Scratch::new();
    let options =
        ["--set", "server.parallel=1", "--set", "server.waiting=0", "--set", "server.slow_client=\"3s\""];
    // More than the buffers of the system take.
    let server = start(&scratch, 150_000, &options);
    let target = format!("/query/dbanalyzer?token={}", server.token);
    let all = "{\"collector_id\": \"here\"}";
    let request = format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{all}", all.len());
    let mut greedy = Connection::open(&server.address).unwrap();
    greedy.send(request.as_bytes()).unwrap();
    let one = b"{\"collector_id\": \"here\", \"limit\": 1}";
    let answer = until("the others are refused", SOON, || {
        let answer = ask(&server.address, "POST", &target, &[], one);
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(answer.header("retry-after"), Some("1"));
    until("the others are answered again", SOON, || {
        (ask(&server.address, "POST", &target, &[], one).status == 200).then_some(())
    });
    // The answer does not end as a whole one would.
    assert!(!greedy.rest().ends_with(b"0\r\n\r\n"));
    // A client that goes on reading gets everything.
    let mut patient = Connection::open(&server.address).unwrap();
    patient.send(request.as_bytes()).unwrap();
    let answer = patient.receive().unwrap().json();
    assert_eq!((&answer["count"], answer["trackings"].as_array().unwrap().len()), (&json!(150_000), 150_000));
}

fn tokens_have_scopes_and_a_rate() {
    let scratch = Scratch::new();
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let options = [
        "--set",
        &format!("server.tokens.policy.sha256=\"{hash}\""),
        "--set",
        "server.tokens.policy.scopes=[\"attributes\"]",
        "--set",
        "server.rate=2",
    ];
    let server = start(&scratch, 3, &options);
    assert!(!scratch.path().join("work/server.token").exists());
    let get = |target: &str, headers: &[(&str, &str)]| ask(&server.address, "GET", target, headers, b"");
    assert_eq!(get("/query/?token=secret", &[]).status, 403, "the token does not open rows");
    let bearer = [("Authorization", "Bearer secret")];
    assert_eq!(get("/metrics", &bearer).status, 200);
    let limited = until("the rate is exceeded", SOON, || {
        Some(get("/metrics", &bearer)).filter(|answer| answer.status != 200)
    });
    assert_eq!((limited.status, limited.header("retry-after")), (429, Some("1")));
    assert!(server.log().contains("token=\"policy\""), "{}", server.log());
    // Without a right file for its token, the server does not start.
    let file = scratch.file("token", "a-token-of-enough-letters\n");
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let file = format!("server.tokens.x.file=\"{}\"", file.display());
    let output = serve(&["--workdir", scratch.path().to_str().unwrap(), "--set", &file]);
    assert_eq!(output.0, Some(1));
    assert!(output.1.contains("others may read the file"), "{}", output.1);
}

/// Runs `serve` to its end, which comes at once; returns its exit code and what it says.
fn serve(options: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(binary::agent());
    let output = command.arg("serve").args(options).arg("--insecure-permissions").output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn root_is_given_up() {
    let scratch = Scratch::new();
    let work = scratch.folder("work");
    let refused = serve(&["--workdir", work.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    assert!(refused.0 == Some(1) && refused.1.contains("set store.group"), "{refused:?}");
    let server = Served::start(&work, None, &["--set", &format!("store.group=\"{GROUP}\"")]);
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(value("Uid:"), "65534 65534 65534 65534");
    assert_eq!((value("Gid:"), value("Groups:")), ("60 60 60 60".to_owned(), "60".to_owned()));
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(value(set).trim_start_matches('0'), "", "{set}");
    }
    assert_eq!(value("NoNewPrivs:"), "1");
    // Threads that came later are the same.
    for thread in fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap() {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap_or_default();
        assert!(status.is_empty() || status.contains("\nNoNewPrivs:\t1\n"), "{status}");
    }
    // Nothing was recorded yet, and the token was made before root was given up.
    assert_eq!(ask(&server.address, "GET", "/readyz", &[], b"").status, 503);
    assert_eq!(server.get("/metrics").status, 200);
}

fn addresses_that_others_reach_need_a_proxy() {
    let scratch = Scratch::new();
    let work = workdir(&scratch, UID, 3);
    let options = ["--workdir", work.to_str().unwrap(), "--listen"];
    for address in ["0.0.0.0:0", "[::]:0"] {
        let refused = serve(&[&options[..], &[address]].concat());
        assert!(refused.0 == Some(2) && refused.1.contains("--behind-proxy"), "{refused:?}");
    }
    let wrong = serve(&[&options[..], &["8120"]].concat());
    assert!(wrong.0 == Some(2) && wrong.1.contains("HOST:PORT"), "{wrong:?}");
    drop(Served::start(&work, Some(UID), &["--listen", "0.0.0.0:0", "--behind-proxy"]));
    let socket = scratch.path().join("socket");
    let listen = format!("unix:{}", socket.display());
    for _ in 0..2 {
        // The second one finds the socket that the first one has left.
        let server = Served::start(&work, Some(UID), &["--listen", &listen]);
        assert!(matches!(&server.address, Address::Unix(path) if *path == socket));
        let target = format!("/query/dbanalyzer/brief?token={}", server.token);
        let brief = ask(&server.address, "GET", &target, &[], b"").json();
        assert_eq!(brief["brief"]["briefs"]["open@here"]["count"], 3);
        assert_eq!(server.get("/metrics").status, 200);
    }
}

fn accounts_of_the_agent_are_metrics() {
    let agent = Setup::new().only(&["open"]).set("store.group", &format!("\"{GROUP}\"")).start();
    let workdir = agent.store().workdir().to_owned();
    let mut server = Served::start(&workdir, None, &["--set", &format!("store.group=\"{GROUP}\"")]);
    assert_eq!(ask(&server.address, "GET", "/readyz", &[], b"").json(), json!({"ready": true}));
    let text = server.get("/metrics").text();
    let value = |name: &str| -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse().ok())
    };
    assert_eq!(value("duetector_actors_up "), Some(1.0), "{text}");
    let open =
        |name: &str| value(&format!("duetector_actors_records_{name}_total{{tracer=\"open\"}}")).unwrap();
    let now = agent.tracer("open");
    for name in ["seen", "stored", "filtered"] {
        assert!(open(name) <= now[name].as_f64().unwrap(), "{name}: {text}");
    }
    assert_eq!(
        value("duetector_actors_tracer_phase{tracer=\"open\",phase=\"attached\"} "),
        Some(1.0),
        "{text}"
    );
    // Rows of the running agent, over duetector's API.
    let target = format!("/query/dbanalyzer?token={}", server.token);
    let brief =
        ask(&server.address, "GET", &format!("/query/dbanalyzer/brief?token={}", server.token), &[], b"");
    let collector: Value = brief.json()["brief"]["collector_ids"][0].clone();
    let body = json!({"collector_id": collector, "tracers": ["uname"], "limit": 1}).to_string();
    let row = until("a row is there", SOON, || {
        let answer = ask(&server.address, "POST", &target, &[], body.as_bytes()).json();
        answer["trackings"].get(0).cloned()
    });
    assert_eq!(row["tracer"], "uname");
    assert_eq!(server.stop().code(), Some(0));
    let agent = agent.finish_run();
    drop(agent);
}
