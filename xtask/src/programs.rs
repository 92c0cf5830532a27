//! The one build of `cargo xtask test`, `vm` and `bench`: the agent under test, every test program and the programs that
//! suites run, by one call of cargo with one set of features, so that nothing is compiled twice.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::run;

/// The profile of everything that xtask builds, except for benchmarks, and its folder below the target folder.
pub(crate) const PROFILE: &str = "xtask";

/// Features of everything that is built, checked or documented for tests: `testkit` comes with the tests' own
/// dependencies, and is named so that other commands of cargo find the same crates built.
const FEATURES: &str = "duetector-actors/fault-injection,actors/testkit";

/// Everything that one build makes.
pub(crate) struct Programs {
    /// The agent under test, in a folder of its own.
    pub(crate) agent: PathBuf,
    /// Programs that suites run, by their names.
    pub(crate) helpers: Vec<(String, PathBuf)>,
    pub(crate) suites: Vec<Suite>,
}

/// A test program.
pub(crate) struct Suite {
    /// The folder of its crate, below the workspace.
    pub(crate) crate_folder: String,
    /// The target's name.
    pub(crate) name: String,
    /// True for the tests inside a library or a program.
    pub(crate) is_unit: bool,
    pub(crate) path: PathBuf,
}

impl Suite {
    /// The name for people: `tests/storm`, `model/unit tests`.
    pub(crate) fn label(&self) -> String {
        match (self.is_unit, self.crate_folder.as_str()) {
            (false, folder) => format!("{folder}/{}", self.name),
            // The crate has several programs.
            (true, "tests") => format!("tests/{} (unit tests)", self.name),
            (true, folder) => format!("{folder}/unit tests"),
        }
    }

    /// The names of its tests, in its order.
    pub(crate) fn tests(&self) -> Result<Vec<String>> {
        let listed = || {
            let output = Command::new(&self.path).arg("--list").output()?;
            ensure!(output.status.success(), "it ended with {}", output.status);
            let text = String::from_utf8(output.stdout)?;
            Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
        };
        listed().with_context(|| format!("cannot list the tests of {}", self.path.display()))
    }
}

/// Adds what every command of cargo on the whole workspace shares: profile, features, the committed lock file.
pub(crate) fn shared(command: &mut Command) -> &mut Command {
    command.args(["--workspace", "--locked", "--profile", PROFILE, "--features", FEATURES])
}

/// Builds everything, with cargo's own progress on the terminal. An agent named by `DUETECTOR_TEST_BIN` is used
/// instead of the built one.
pub(crate) fn build() -> Result<Programs> {
    let mut command = run::cargo();
    shared(command.arg("test")).args(["--no-run", "--message-format=json-render-diagnostics"]);
    let for_users = run::target_dir()?.join(PROFILE).join("duetector-actors");
    let kept = for_users.with_extension("kept");
    // Cargo gives both agents, with and without injected faults, the same name in the same folder. The one for users
    // goes back there afterwards.
    let had_one = fs::rename(&for_users, &kept).is_ok();
    let built = messages(&mut command).and_then(|messages| programs(&messages, &for_users));
    if had_one {
        fs::rename(&kept, &for_users).with_context(|| format!("cannot restore {}", for_users.display()))?;
    }
    let mut built = built?;
    if let Some(named) = std::env::var_os("DUETECTOR_TEST_BIN") {
        built.agent = PathBuf::from(named);
    }
    Ok(built)
}

/// Runs cargo and returns its messages, one a line.
fn messages(command: &mut Command) -> Result<Vec<Value>> {
    run::say_command(command);
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let lines = BufReader::new(child.stdout.take().context("cargo has no output")?).lines();
    let messages = lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok()).collect();
    ensure!(child.wait()?.success(), "the build failed");
    Ok(messages)
}

/// Sorts out what cargo built, and moves the agent under test to a folder of its own.
fn programs(messages: &[Value], agent: &Path) -> Result<Programs> {
    let folder = run::target_dir()?.join("under-test");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let under_test = folder.join("duetector-actors");
    fs::rename(agent, &under_test).with_context(|| format!("cargo built no {}", agent.display()))?;
    let (mut suites, mut helpers) = (Vec::new(), Vec::new());
    for message in messages {
        let target = &message["target"];
        let (Some(path), Some(kind), Some(name)) =
            (message["executable"].as_str(), target["kind"][0].as_str(), target["name"].as_str())
        else {
            continue;
        };
        if message["profile"]["test"] == true {
            suites.push(Suite {
                crate_folder: crate_folder(message)?,
                name: name.to_owned(),
                is_unit: kind != "test",
                path: path.into(),
            });
        } else if kind == "bin" {
            helpers.push((name.to_owned(), PathBuf::from(path)));
        }
    }
    suites.sort_by_key(|suite| (suite.crate_folder.clone(), !suite.is_unit, suite.name.clone()));
    Ok(Programs { agent: under_test, helpers, suites })
}

fn crate_folder(message: &Value) -> Result<String> {
    let manifest = Path::new(message["manifest_path"].as_str().context("a message without a manifest")?);
    match manifest.parent().and_then(|folder| folder.strip_prefix(run::root()).ok()) {
        Some(folder) => Ok(folder.display().to_string()),
        None => bail!("{} is not in the workspace", manifest.display()),
    }
}
