//! Records hostile names: they come back byte for byte, and break nothing.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;

use serde_json::Value;
use tests::workload::python;
use tests::{Agent, Setup, suite};

const UID: u32 = 9996;

/// Makes and opens each name given in hex, and says in hex what the whole path is.
const SCRIPT: &str = r#"
import os, sys
base = os.getcwdb()
for word in sys.argv[1:]:
    path = base + b"/" + bytes.fromhex(word)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "wb").close()
    print(path.hex())
"#;

suite! {
    threads: 2;
    names_come_back_byte_for_byte: [Kernel, Python];
    a_path_longer_than_the_kernel_takes_is_marked: [Kernel, Python];
    arguments_and_command_names_too: [Kernel, Python];
    the_agent_opens_no_path_of_a_watched_process: [Kernel, Python]
}

fn names() -> Vec<Vec<u8>> {
    let long = vec![b'l'; 255];
    // Deep enough that with the folder before it and the name after it the path has some 4,000 bytes.
    let deep: Vec<u8> = std::iter::repeat_n([&[b'd'; 250][..], b"/"].concat(), 15).flatten().collect();
    vec![
        b"new\nline".to_vec(),
        b"tab\tand\rreturn".to_vec(),
        b"'single' \"double\" `back` $(sub) ; DROP TABLE x; --".to_vec(),
        b"\x1b[31mred\x1b[0m\x07\x1b]0;title\x07".to_vec(),
        b"inv\xff\xfe\xc3(alid".to_vec(),
        "ünï—😀\u{202e}".as_bytes().to_vec(),
        b"back\\slash\\xff".to_vec(),
        b" ".to_vec(),
        b"csv,\"quoted\",\n=1+1".to_vec(),
        long,
        [deep, b"end".to_vec()].concat(),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The exact bytes of a text column.
fn exact(row: &Value, column: &str) -> Vec<u8> {
    match row["extended"][format!("{column}_bytes")].as_str() {
        Some(hex) => unhex(hex),
        None => row[column].as_str().unwrap().as_bytes().to_vec(),
    }
}

fn names_come_back_byte_for_byte() {
    let agent = Setup::new().start();
    let folder = agent.scratch().folder("names");
    let words: Vec<_> = names().iter().map(|name| hex(name)).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let output = python(UID, &folder, SCRIPT, &words);
    let paths: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(unhex).collect();
    assert_eq!(paths.len(), names().len());
    let agent = agent.finish();

    let rows = agent.store().query("open", &["uid=9996"]);
    let mut seen: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    for row in &rows {
        *seen.entry(exact(row, "fname")).or_default() += 1;
    }
    for path in &paths {
        assert_eq!(seen.get(path), Some(&1), "not there exactly once: {}", path.escape_ascii());
    }
    let longest = paths.iter().map(Vec::len).max().unwrap();
    assert!((3800..4096).contains(&longest), "the long path is {longest} bytes");
    for row in rows.iter().filter(|row| paths.contains(&exact(row, "fname"))) {
        assert_eq!(row["extended"]["path_incomplete"], Value::Null, "{row}");
    }
    nothing_breaks_an_output(&agent, rows.len());
}

/// The same rows in every format: valid, and harmless to a terminal.
fn nothing_breaks_an_output(agent: &Agent, count: usize) {
    let ask = |format| {
        let query = ["query", "--tracer", "open", "--where", "uid=9996", "--limit", "0", "--format", format];
        let output = agent.store().run(&query);
        assert!(output.status.success(), "{format}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap_or_else(|_| panic!("{format} is not valid UTF-8"))
    };
    let lines = ask("jsonl");
    assert_eq!(lines.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count(), count);
    let table = ask("table");
    let harmful = |c: char| c != '\n' && (c.is_control() || matches!(c, '\u{202a}'..='\u{202e}'));
    let found = table.chars().find(|c| harmful(*c));
    assert_eq!(found, None, "the table holds a character that acts on a terminal");
    let csv = ask("csv");
    assert!(csv.contains("\"\"double\"\""), "csv does not double quotes");
}

fn a_path_longer_than_the_kernel_takes_is_marked() {
    // 50 folders of 200 bytes: some 10,000 bytes, reached step by step.
    let script = "
import os
for depth in range(50):
    os.mkdir('p' * 200); os.chdir('p' * 200)
os.close(os.open('deepest', os.O_CREAT | os.O_WRONLY))
";
    let agent = Setup::new().start();
    let folder = agent.scratch().folder("deep");
    python(9995, &folder, script, &[]);
    let agent = agent.finish();
    let rows = agent.store().query("open", &["uid=9995"]);
    let rows: Vec<_> = rows.iter().filter(|row| row["extended"]["path_asked"] == "deepest").collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["extended"]["path_incomplete"], true, "{}", rows[0]);
    let fname = rows[0]["fname"].as_str().unwrap();
    assert!(fname.ends_with("/deepest"), "the end of the path, which tells most, is cut: {fname:.100}…");
}

fn arguments_and_command_names_too() {
    let script = r#"
import os, sys
argument = b"a\xff\n\x1b[2Jb"
pid = os.fork()
if pid == 0:
    os.execv("/bin/true", [b"true", argument, b""])
os.waitpid(pid, 0)
open("/proc/self/comm", "wb").write(b"c\xfe\x1b[1m\n")
os.close(os.open("named", os.O_CREAT | os.O_WRONLY))
"#;
    let agent = Setup::new().start();
    let folder = agent.scratch().folder("words");
    python(9994, &folder, script, &[]);
    let agent = agent.finish();

    let execs = agent.store().query("exec", &["uid=9994", "comm=true"]);
    assert_eq!(execs.len(), 1);
    let bytes = execs[0]["extended"]["argv_bytes"].as_array().unwrap();
    let argv: Vec<_> = bytes.iter().map(|hex| unhex(hex.as_str().unwrap())).collect();
    assert_eq!(argv, [&b"true"[..], b"a\xff\n\x1b[2Jb", b""]);

    let opens = agent.store().query("open", &["uid=9994"]);
    let named = folder.join("named");
    let opens: Vec<_> =
        opens.iter().filter(|row| exact(row, "fname") == named.as_os_str().as_bytes()).collect();
    assert_eq!(opens.len(), 1);
    assert_eq!(exact(opens[0], "comm"), b"c\xfe\x1b[1m\n");
}

/// Checks that the agent opens no path of a watched process: a user's file system may never answer, or give false answers.
fn the_agent_opens_no_path_of_a_watched_process() {
    let watcher = Setup::new().set("ebpf.uids", "[0]").start();
    let agent = Setup::new().start();
    let folder = agent.scratch().folder("names");
    let script = r#"
import os, shutil, subprocess
shutil.copy("/bin/true", "program")
subprocess.run(["./program"], check=True)
for name in ["one", "two"]:
    os.close(os.open(name, os.O_RDWR | os.O_CREAT))
os.rename("one", "three"); os.symlink("two", "link"); os.unlink("three"); os.mkdir("folder")
print(os.getpid())
"#;
    let output = python(UID, &folder, script, &[]);
    let process = String::from_utf8(output.stdout).unwrap();
    let watched = [format!("{}/", folder.display()), format!("/proc/{}/", process.trim())];
    let pid = format!("pid={}", agent.pid());
    let agent = agent.finish_run();
    let own = format!("uid={UID}");
    assert!(!agent.store().query("open", &[&own]).is_empty());
    let watcher = watcher.finish();
    let opens = watcher.store().query("open", &[&pid]);
    let paths: Vec<_> = opens.iter().filter_map(|row| row["fname"].as_str()).collect();
    assert!(paths.iter().any(|path| path.contains("store.sqlite3")), "{paths:?}");
    let touched = paths.iter().filter(|path| watched.iter().any(|watched| path.starts_with(watched)));
    assert_eq!(touched.collect::<Vec<_>>(), Vec::<&&str>::new());
}
