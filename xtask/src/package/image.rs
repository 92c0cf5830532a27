//! The image for containers, in OCI's format: the agent, the libraries that it is linked with, and a configuration; nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::build;
use crate::run;

/// The capabilities that the container needs. deploy/ names the same.
const CAPABILITIES: [&str; 3] = ["CAP_BPF", "CAP_PERFMON", "CAP_DAC_READ_SEARCH"];
/// Where the store is in the container.
const WORK: &str = "/var/lib/duetector-actors";
/// Name of the container that tries the image.
const NAME: &str = "duetector-actors-try";
/// Seconds after which a container that does not start or end is given up.
const PATIENCE: u64 = 60;
/// Programs that a neighbour of the container runs, each of which must have a row.
const NEIGHBOURS: usize = 50;

/// Makes the image of this agent; returns the archive's path.
pub(super) fn make(agent: &Path, folder: &Path) -> Result<PathBuf> {
    let (layout, bundle) = (folder.join("image"), folder.join("bundle"));
    for old in [&layout, &bundle] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(|| format!("removing {}", old.display()))?;
        }
    }
    let date = build::date()?;
    let created = run::output(
        Command::new("date").args(["--utc", "--iso-8601=seconds", "--date"]).arg(format!("@{date}")),
    );
    let created = created.context("date failed")?.replace("+00:00", "Z");
    let image = format!("{}:{}", layout.display(), env!("CARGO_PKG_VERSION"));
    let umoci = |words: &[&str]| {
        let mut command = Command::new("umoci");
        command.args(words).args(["--image", &image]);
        command
    };
    run::quietly(Command::new("umoci").args(["init", "--layout"]).arg(&layout))?;
    run::quietly(&mut umoci(&["new"]))?;
    run::quietly(umoci(&["unpack", "--rootless"]).arg(&bundle))?;
    fill(&bundle.join("rootfs"), agent, &date)?;
    let history = ["--history.created", &created, "--history.created_by", "cargo xtask package"];
    run::quietly(umoci(&["repack"]).args(history).arg(&bundle))?;
    let mut config = umoci(&[
        "config",
        "--created",
        &created,
        "--config.user",
        "0",
        "--config.entrypoint",
        "/usr/bin/duetector-actors",
    ]);
    config.args(["--config.env", "PATH=/usr/bin", "--config.volume", WORK]);
    let start = ["start", "--config", "/etc/duetector-actors/config.toml", "--workdir", WORK];
    config.args(start.iter().flat_map(|word| ["--config.cmd", word]));
    run::quietly(config.args(history))?;
    run::quietly(Command::new("umoci").args(["gc", "--layout"]).arg(&layout))?;
    build::tar(&layout, ".", &folder.join("duetector-actors-image.tar"))
}

/// Puts the files into the image's root folder.
fn fill(root: &Path, agent: &Path, date: &str) -> Result<()> {
    for folder in ["usr/bin", "etc/duetector-actors", "proc", "sys", "dev", "run", "tmp", &WORK[1..]] {
        fs::create_dir_all(root.join(folder)).with_context(|| format!("making {folder} in the image"))?;
    }
    let libraries = run::output(Command::new("ldd").arg(agent)).context("ldd failed")?;
    let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/'));
    let files = libraries.map(|path| (PathBuf::from(path), path[1..].to_owned())).chain([
        (agent.to_owned(), "usr/bin/duetector-actors".to_owned()),
        (run::root().join("deploy/config.toml"), "etc/duetector-actors/config.toml".to_owned()),
        (run::root().join("LICENSE"), "LICENSE".to_owned()),
    ]);
    for (from, to) in files {
        let to = root.join(to);
        fs::create_dir_all(to.parent().context("a file without a folder")?)?;
        fs::copy(&from, &to).with_context(|| format!("copying {} into the image", from.display()))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/usr/sbin/nologin\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    run::quietly(Command::new("chmod").args(["0700"]).arg(root.join(&WORK[1..])))?;
    run::quietly(Command::new("find").arg(root).args([
        "-exec",
        "touch",
        "--no-dereference",
        "--date",
        &format!("@{date}"),
        "{}",
        "+",
    ]))
}

/// Runs the image with runc, with no rights but those named, and fails unless it records what its neighbours do.
pub(super) fn try_it(folder: &Path) -> Result<()> {
    let (bundle, work) = (folder.join("bundle"), folder.join("image-store"));
    if work.exists() {
        fs::remove_dir_all(&work).context("removing the store of the run before")?;
    }
    fs::create_dir(&work).context("making a folder for the store")?;
    run::quietly(Command::new("chmod").arg("0700").arg(&work))?;
    let config = bundle.join("config.json");
    let made: Value = serde_json::from_slice(&fs::read(&config)?).context("umoci's config.json")?;
    fs::write(&config, container(made, &work).to_string()).context("writing config.json")?;
    let runc = |words: &[&str]| {
        let mut command = run::as_root(Path::new("/usr/bin/env"))?;
        command.arg("runc").args(words);
        Ok::<_, anyhow::Error>(command)
    };
    let inside = |words: &[&str]| {
        Ok::<_, anyhow::Error>(run::output(
            runc(&["exec", NAME, "/usr/bin/duetector-actors", "--workdir", WORK])?.args(words),
        ))
    };
    run::run(
        runc(&["run", "--detach", "--bundle"])?.arg(&bundle).arg(NAME).stdin(std::process::Stdio::null()),
    )?;
    let done = (|| {
        let watch = run::Watch::start();
        while inside(&["status"])?.is_none() {
            ensure!(watch.elapsed().as_secs() < PATIENCE, "the agent in the container does not start");
        }
        for _ in 0..NEIGHBOURS {
            run::quietly(Command::new("/bin/true").arg("neighbour-of-the-image"))?;
        }
        let status: Value =
            serde_json::from_str(&inside(&["status", "--format", "json"])?.context("no status")?)?;
        let tracers = status["tracers"].as_array().context("no tracers")?;
        let idle: Vec<_> =
            tracers.iter().filter(|one| one["phase"] != "attached").map(|one| &one["tracer"]).collect();
        ensure!(idle.is_empty(), "these tracers do not attach: {idle:?}");
        runc(&["kill", NAME, "TERM"]).and_then(|mut kill| run::run(&mut kill))?;
        let watch = run::Watch::start();
        while run::output(&mut runc(&["state", NAME])?).is_some_and(|state| state.contains("running")) {
            ensure!(watch.elapsed().as_secs() < PATIENCE, "the agent in the container does not end");
        }
        Ok(tracers.len())
    })();
    let removed = runc(&["delete", "--force", NAME]).and_then(|mut delete| run::quietly(&mut delete));
    let tracers = done?;
    removed?;
    let mut query = run::as_root(&bundle.join("rootfs/usr/bin/duetector-actors"))?;
    query
        .args(["query", "--tracer", "exec", "--limit", "0", "--format", "jsonl", "--where", "comm=true"])
        .arg("--workdir")
        .arg(&work);
    let rows = run::output(&mut query).context("the store can't be read")?;
    let rows = rows.lines().filter(|row| row.contains("neighbour-of-the-image")).count();
    ensure!(rows == NEIGHBOURS, "{rows} of {NEIGHBOURS} programs of a neighbour are recorded");
    run::say(&format!(
        "the image runs with {} and records its neighbours; {tracers} tracers attach",
        CAPABILITIES.join(", ")
    ));
    Ok(())
}

/// Returns the configuration of the container: what deploy/compose.yaml asks for.
fn container(mut config: Value, work: &Path) -> Value {
    let sets = ["bounding", "effective", "permitted", "inheritable", "ambient"];
    config["process"]["capabilities"] =
        sets.iter().map(|set| ((*set).to_owned(), json!(CAPABILITIES))).collect();
    config["process"]["noNewPrivileges"] = true.into();
    config["process"]["terminal"] = false.into();
    config["process"]["user"] = json!({"uid": 0, "gid": 0});
    config["root"]["readonly"] = true.into();
    let namespaces = ["network", "ipc", "uts", "mount"].map(|kind| json!({"type": kind}));
    config["linux"] = json!({"namespaces": namespaces});
    let bind = |from: &Path, to: &str, kind: &str| json!({"destination": to, "type": "bind", "source": from, "options": ["rbind", kind]});
    config["mounts"] = json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        bind(Path::new("/sys"), "/sys", "ro"),
        bind(work, WORK, "rw"),
    ]);
    config
}
