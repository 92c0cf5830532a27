//! Files that others own, may write, or have changed: the agent does not use them, even as root, and says what to do.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::Signal;
use rusqlite::Connection;
use tests::workload::{PYTHON, generate};
use tests::{Agent, Scratch, Setup, Store, suite, until};

const UID: u32 = 9922;
/// A user who wants to harm.
const OTHER: u32 = 9923;
const SOON: Duration = Duration::from_secs(60);

suite! {
    threads: 2;
    work_folders_and_files_of_others_are_refused: [Root];
    triggers_are_refused_and_do_not_fire: [Kernel];
    a_store_with_another_layout_is_refused_and_an_old_one_migrated: [Kernel];
    damage_in_a_store_is_reported: [Kernel];
    files_that_others_may_change_are_neither_read_nor_run: [Root];
    files_of_others_on_a_read_only_mount_are_used: [Root, Mounts];
    a_reload_refuses_them_too_and_changes_nothing: [Root];
}

fn setup(store: &Store) -> Setup {
    let setup =
        Setup::new().checks_permissions().workdir(store.workdir()).set("ebpf.uids", &format!("[{UID}]"));
    // What is planted here is tables and triggers of this layout; suite `file` of crate store has those of the columnar store.
    setup.set("tracer.uname.disabled", "true").duetector_layout()
}

/// Makes a store with some rows.
fn written(scratch: &Scratch) -> Store {
    let store = Store::at(scratch.path().join("work"));
    let agent = setup(&store).start();
    open(&agent, scratch);
    agent.finish();
    store
}

fn open(agent: &Agent, scratch: &Scratch) {
    let before = agent.tracer("open")["stored"].as_u64().unwrap();
    let file = scratch.file("file", "");
    generate(UID, &["open", file.to_str().unwrap(), "--count", "200"]);
    let stored = || agent.tracer("open")["stored"].as_u64().unwrap();
    until("the opens are stored", SOON, || (stored() >= before + 200).then_some(()));
}

/// Starts an agent that must refuse to, and returns what it says.
fn refused(store: &Store) -> String {
    let mut agent = setup(store).options(&["--duration", "1ms"]).set("ebpf.disabled", "true").spawn();
    let ended = agent.wait();
    assert_eq!(ended.status.code(), Some(1), "not refused:\n{}", ended.stderr);
    ended.stderr
}

fn assert_refused(store: &Store, words: &[&str]) {
    let text = refused(store);
    words.iter().for_each(|word| assert!(text.contains(word), "nothing about {word}:\n{text}"));
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn sql(store: &Store, sql: &str) {
    Connection::open(store.database()).unwrap().execute_batch(sql).unwrap();
}

fn table(store: &Store) -> String {
    let query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'duetector_tracking:%'";
    Connection::open(store.database()).unwrap().query_row(query, (), |row| row.get(0)).unwrap()
}

fn work_folders_and_files_of_others_are_refused() {
    let scratch = Scratch::new();
    let store = Store::at(scratch.path().join("work"));
    let (folder, database) = (store.workdir(), store.database());
    fs::create_dir(folder).unwrap();
    mode(folder, 0o777);
    assert_refused(&store, &["work (mode 0777)", "chmod", "--workdir"]);
    mode(folder, 0o1777);
    assert_refused(&store, &["work (mode 1777)"]);
    mode(folder, 0o700);
    chown(folder, Some(OTHER), None).unwrap();
    assert_refused(&store, &["work (mode 0700) belongs to uid 9923", "chown"]);
    chown(folder, Some(0), None).unwrap();
    // What others have put there while it was theirs: a lock, a store, a log and a journal that SQLite would apply to it.
    for name in ["lock", "duetector-dbcollector.sqlite3"] {
        let file = folder.join(name);
        fs::write(&file, "").unwrap();
        mode(&file, 0o666);
        assert_refused(&store, &[name, "mode 0666"]);
        mode(&file, 0o600);
        chown(&file, Some(OTHER), None).unwrap();
        assert_refused(&store, &[name, "belongs to uid 9923"]);
        fs::remove_file(&file).unwrap();
    }
    for suffix in ["-wal", "-shm", "-journal"] {
        let file = folder.join(format!("{}{suffix}", database.file_name().unwrap().display()));
        fs::write(&file, "").unwrap();
        chown(&file, Some(OTHER), None).unwrap();
        assert_refused(&store, &[suffix, "belongs to uid 9923"]);
        fs::remove_file(&file).unwrap();
        symlink("/etc/passwd", &file).unwrap();
        assert_refused(&store, &[suffix]);
        fs::remove_file(&file).unwrap();
    }
    // Who owns a folder above could put another work folder in its place.
    let above = scratch.path().join("above");
    fs::create_dir(&above).unwrap();
    chown(&above, Some(OTHER), None).unwrap();
    assert_refused(&Store::at(above.join("work")), &["above (mode 0755) belongs to uid 9923", "--workdir"]);
    assert!(!above.join("work").exists());
    let output = above.join("sub/rows.jsonl");
    let elsewhere = setup(&store).set("collector.jsonl.path", output.to_str().unwrap());
    let elsewhere = elsewhere.set("collector.jsonl.disabled", "false");
    let ended = elsewhere.options(&["--duration", "1ms"]).spawn().wait();
    assert!(!ended.status.success() && ended.stderr.contains("above (mode 0755)"), "{}", ended.stderr);
    // A store elsewhere, in a folder where others may make files beside it.
    let elsewhere = setup(&store).set("collector.sqlite.path", scratch.path().join("db").to_str().unwrap());
    let ended = elsewhere.options(&["--duration", "1ms"]).spawn().wait();
    assert!(!ended.status.success() && ended.stderr.contains("may be written by others"), "{}", ended.stderr);
}

fn triggers_are_refused_and_do_not_fire() {
    let scratch = Scratch::new();
    let store = written(&scratch);
    let (table, before) = (table(&store), store.account("open").count);
    let trigger = format!(
        "CREATE TRIGGER vanish AFTER INSERT ON \"{table}\" BEGIN DELETE FROM \"{table}\" WHERE id = NEW.id; END"
    );
    sql(&store, &trigger);
    assert_refused(&store, &["trigger \"vanish\"", "DROP TRIGGER", "move the file away"]);
    sql(&store, "DROP TRIGGER vanish; CREATE VIEW \"duetector_tracking:exec@x\" AS SELECT 1");
    assert_refused(&store, &["is a view"]);
    sql(&store, "DROP VIEW \"duetector_tracking:exec@x\"");
    // One that is planted while the agent runs has no effect.
    let agent = setup(&store).start();
    sql(&store, &trigger);
    open(&agent, &scratch);
    agent.finish_run();
    let account = store.account("open");
    assert!(account.stored >= 200, "{account:?}");
    assert_eq!(account.count, before + account.stored, "{account:?}");
}

fn a_store_with_another_layout_is_refused_and_an_old_one_migrated() {
    let scratch = Scratch::new();
    let store = written(&scratch);
    let table = table(&store);
    sql(&store, &format!("ALTER TABLE \"{table}\" ADD COLUMN foreign_column"));
    assert_refused(&store, &["foreign_column", "DROP COLUMN"]);
    sql(&store, &format!("ALTER TABLE \"{table}\" DROP COLUMN foreign_column; PRAGMA user_version = 99"));
    assert_refused(&store, &["later version", "99"]);
    sql(&store, "PRAGMA user_version = 0; ALTER TABLE duetector_actors_account DROP COLUMN filtered");
    assert_refused(&store, &["duetector_actors_account", "lacks the column", "filtered"]);
    sql(
        &store,
        "ALTER TABLE duetector_actors_account ADD COLUMN filtered INTEGER;
         CREATE TABLE \"duetector_tracking:x@y\" (id INTEGER PRIMARY KEY, pid INTEGER UNIQUE ON CONFLICT IGNORE)",
    );
    assert_refused(&store, &["duetector_tracking:x@y", "CONFLICT"]);
    // As an early version made it: without a column, and without a mark.
    fs::remove_file(store.database()).unwrap();
    let store = written(&scratch);
    sql(&store, "PRAGMA user_version = 0; ALTER TABLE duetector_actors_run DROP COLUMN adopted");
    let agent = setup(&store).start();
    open(&agent, &scratch);
    agent.finish_run();
    let connection = Connection::open(store.database()).unwrap();
    let layout: i64 = connection.query_row("PRAGMA user_version", (), |row| row.get(0)).unwrap();
    assert_eq!(layout, 2);
    connection.prepare("SELECT adopted FROM duetector_actors_run").unwrap();
}

fn damage_in_a_store_is_reported() {
    use std::os::unix::fs::FileExt as _;

    let scratch = Scratch::new();
    let store = written(&scratch);
    let connection = Connection::open(store.database()).unwrap();
    let page: i64 = connection
        .query_row(
            "SELECT rootpage FROM sqlite_master WHERE type = 'index' AND name LIKE '%:open@%'",
            (),
            |row| row.get(0),
        )
        .unwrap();
    let size: i64 = connection.query_row("PRAGMA page_size", (), |row| row.get(0)).unwrap();
    drop(connection);
    // The index of the table `open`, which an agent without rows does not touch.
    let file = fs::File::options().write(true).open(store.database()).unwrap();
    file.write_all_at(&[0xff; 64], ((page - 1) * size) as u64).unwrap();
    let mut agent = setup(&store).start();
    let damage = until("the damage is reported", SOON, || {
        agent.actor("sink:sqlite")["state"]["damage"].as_str().map(str::to_owned)
    });
    assert!(!damage.is_empty());
    let shown = String::from_utf8(agent.store().run(&["status"]).stdout).unwrap();
    assert!(shown.contains("damaged"), "{shown}");
    assert!(agent.stop(Signal::SIGTERM).stderr.contains("move the file away"));
}

/// A configuration in a folder of its own, with the template that it runs.
struct Planted {
    scratch: Scratch,
    folder: PathBuf,
    script: PathBuf,
    config: PathBuf,
}

impl Planted {
    fn new(comm: &str) -> Self {
        let scratch = Scratch::new();
        let folder = scratch.path().join("etc");
        fs::create_dir(&folder).unwrap();
        let (script, config) = (folder.join("script"), folder.join("agent.toml"));
        fs::write(&script, "echo 1").unwrap();
        let comm = comm.replace("SCRIPT", script.to_str().unwrap());
        let text = format!("[ebpf]\ndisabled = true\n[tracer.template.sh.mine]\ncomm = {comm}\n");
        fs::write(&config, text).unwrap();
        Self { scratch, folder, script, config }
    }

    /// Starts an agent for a moment; returns its exit code and log.
    fn start(&self, more: &[&str]) -> (Option<i32>, String) {
        let config = ["--config", self.config.to_str().unwrap(), "--duration", "1ms"];
        let setup =
            Setup::new().checks_permissions().workdir(self.scratch.path().join("work")).options(&config);
        let ended = setup.options(more).spawn().wait();
        (ended.status.code(), ended.stderr)
    }

    fn assert_refused(&self, words: &[&str]) {
        let (code, log) = self.start(&[]);
        assert_eq!(code, Some(2), "not refused:\n{log}");
        words.iter().for_each(|word| assert!(log.contains(word), "nothing about {word}:\n{log}"));
        // `check` says the same, and tests can switch it off.
        let check = ["check", "--config", self.config.to_str().unwrap()];
        let output = Store::at(self.scratch.path().join("work")).run(&check);
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stdout));
        let (code, log) = self.start(&["--insecure-permissions"]);
        assert_eq!(code, Some(0), "{log}");
    }

    fn assert_accepted(&self) {
        let (code, log) = self.start(&[]);
        assert_eq!(code, Some(0), "{log}");
    }
}

/// Makes a folder of another user beside the configuration; returns its path.
fn folder_of_others(planted: &Planted) -> String {
    let theirs = planted.scratch.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    chown(&theirs, Some(OTHER), None).unwrap();
    theirs.to_str().unwrap().to_owned()
}

fn files_that_others_may_change_are_neither_read_nor_run() {
    let planted = Planted::new(r#"["sh", "SCRIPT"]"#);
    planted.assert_accepted();
    // The configuration itself, its owner, and a folder above.
    mode(&planted.config, 0o666);
    planted.assert_refused(&["agent.toml (mode 0666)", "chmod"]);
    mode(&planted.config, 0o644);
    chown(&planted.config, Some(OTHER), None).unwrap();
    planted.assert_refused(&["agent.toml (mode 0644) belongs to uid 9923"]);
    chown(&planted.config, Some(0), None).unwrap();
    mode(&planted.folder, 0o777);
    planted.assert_refused(&["etc (mode 0777)"]);
    // As /tmp: others can make files there, but not replace root's.
    mode(&planted.folder, 0o1777);
    planted.assert_accepted();
    mode(&planted.folder, 0o755);
    // A script among the arguments, and one that is run by its first line.
    mode(&planted.script, 0o757);
    planted.assert_refused(&["tracer.template.sh.mine.comm", "script (mode 0757)"]);
    let run = Planted::new(r#"["SCRIPT"]"#);
    fs::write(&run.script, "#!/bin/sh\necho 1\n").unwrap();
    mode(&run.script, 0o755);
    run.assert_accepted();
    mode(&run.script, 0o775);
    run.assert_refused(&["script (mode 0775)"]);
    let interpreter = run.scratch.file("interpreter", "#!/bin/sh\n");
    mode(&interpreter, 0o777);
    fs::write(&run.script, format!("#!{}\n", interpreter.display())).unwrap();
    mode(&run.script, 0o755);
    run.assert_refused(&["interpreter (mode 0777)"]);
    // What a program only reads may be anybody's, and a program that runs as somebody else may be his.
    let reads = Planted::new(r#"["cat", "SCRIPT"]"#);
    mode(&reads.script, 0o666);
    reads.assert_accepted();
    let own = Planted::new("[\"sh\", \"SCRIPT\"]\nuser = \"9923:9923\"");
    chown(&own.script, Some(OTHER), None).unwrap();
    own.assert_accepted();
    // A folder of PATH in which another program of that name could be put, and the folder that the program runs in.
    let theirs = folder_of_others(&planted);
    let path = format!("[\"date\"]\nenv = {{ PATH = \"{theirs}:/usr/bin:/bin\" }}");
    Planted::new(&path).assert_refused(&["sh.mine.comm", "theirs (mode 0755) belongs to uid 9923"]);
    let module = format!("[{PYTHON:?}, \"-c\", \"import theirs\"]\ncwd = \"{theirs}\"");
    Planted::new(&module).assert_refused(&["sh.mine.comm", "theirs (mode 0755) belongs to uid 9923"]);
    // An eBPF source and what it includes.
    let source = planted.folder.join("mine.bpf.c");
    fs::write(&source, "#include \"mine.h\"\n").unwrap();
    fs::write(planted.folder.join("mine.h"), "").unwrap();
    mode(&planted.folder.join("mine.h"), 0o666);
    fs::write(&planted.config, "[tracer.template.bpf.mine]\nprogram = \"mine.bpf.c\"\n").unwrap();
    let (code, log) = planted.start(&[]);
    assert!(code == Some(2) && log.contains("mine.h (mode 0666)"), "{log}");
    fs::remove_file(planted.folder.join("mine.h")).unwrap();
    chown(&source, Some(OTHER), None).unwrap();
    let (code, log) = planted.start(&[]);
    assert!(code == Some(2) && log.contains("mine.bpf.c (mode 0644) belongs to uid 9923"), "{log}");
}

/// A file system in memory, which is unmounted when dropped.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn at(folder: &'a Path) -> Self {
        mount(Some("none"), folder, Some("tmpfs"), MsFlags::empty(), Some("mode=0777")).unwrap();
        Self(folder)
    }

    fn make_read_only(&self) {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(Some("none"), self.0, None::<&str>, flags, None::<&str>).unwrap();
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = umount2(self.0, MntFlags::MNT_DETACH);
    }
}

fn files_of_others_on_a_read_only_mount_are_used() {
    let planted = Planted::new(r#"["sh", "SCRIPT"]"#);
    let text = fs::read(&planted.config).unwrap();
    let mounted = Mounted::at(&planted.folder);
    for (file, text) in [(&planted.config, text.as_slice()), (&planted.script, b"echo 1")] {
        fs::write(file, text).unwrap();
        chown(file, Some(OTHER), None).unwrap();
        mode(file, 0o666);
    }
    planted.assert_refused(&["etc (mode 0777)"]);
    mounted.make_read_only();
    planted.assert_accepted();
}

fn a_reload_refuses_them_too_and_changes_nothing() {
    let planted = Planted::new(r#"["sh", "SCRIPT"]"#);
    let store = Store::at(planted.scratch.path().join("work"));
    let options = ["--config", planted.config.to_str().unwrap()];
    let mut agent = Setup::new().checks_permissions().workdir(store.workdir()).options(&options).start();
    chown(&planted.script, Some(OTHER), None).unwrap();
    let output = store.run(&["reload"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("belongs to uid 9923"), "{text}");
    assert_eq!(agent.status()["config"]["generation"], 1);
    assert!(agent.stop(Signal::SIGTERM).status.success());
}
