//! The paths of the programs under test, which are built once if they were not built before.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::scratch::Scratch;

/// The agent: `DUETECTOR_TEST_BIN` (set by `cargo xtask test`), else built here the same way.
///
/// # Panics
/// When it can't be built.
pub fn agent() -> &'static Path {
    static AGENT: OnceLock<PathBuf> = OnceLock::new();
    AGENT.get_or_init(|| env::var_os("DUETECTOR_TEST_BIN").map_or_else(build_agent, PathBuf::from))
}

/// A copy of the agent in `scratch` that every user may run.
///
/// # Panics
/// When it can't be made.
pub fn public_agent(scratch: &Scratch) -> PathBuf {
    public_copy(scratch, agent())
}

/// A copy of a program in `scratch` that every user may run; the target folder may be closed to others.
///
/// # Panics
/// When it can't be made.
pub fn public_copy(scratch: &Scratch, program: &Path) -> PathBuf {
    let copy = scratch.path().join(program.file_name().expect("a program without a name"));
    // By another process: a descriptor of ours that is open for writing would be inherited by children that other
    // tests start meanwhile, and the copy could not be run (ETXTBSY).
    let copied = Command::new("install").args(["-m", "755"]).arg(program).arg(&copy).status();
    assert!(copied.is_ok_and(|status| status.success()), "no copy at {}", copy.display());
    copy
}

fn build_agent() -> PathBuf {
    let target = beside_us().parent().expect("no target folder above the profile's").to_owned();
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--quiet", "--profile", "xtask", "--package", "duetector-actors"];
    let mut command = Command::new(cargo);
    command.current_dir(workspace()).args(build).args(["--features", "fault-injection"]);
    let status = command.arg("--target-dir").arg(&target).status().expect("cargo can't be run");
    assert!(status.success(), "the agent can't be built");
    // Out of the way of the agent without injected faults, which has the same name in the same folder.
    let folder = target.join("under-test");
    std::fs::create_dir_all(&folder).expect("no folder for the agent under test");
    let agent = folder.join("duetector-actors");
    std::fs::rename(target.join("xtask/duetector-actors"), &agent).expect("the agent can't be moved");
    agent
}

/// The workload generator.
pub fn generator() -> PathBuf {
    program("generator")
}

/// A program of this crate, which cargo builds with the suites.
pub fn program(name: &str) -> PathBuf {
    beside_us().join(name)
}

/// An example that is a program, which `cargo test` builds with the suites; one suite alone builds it here.
///
/// # Panics
/// When it can't be built.
pub fn example(name: &str) -> PathBuf {
    let profile = beside_us();
    let example = profile.join("examples").join(name);
    if !example.exists() {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(workspace()).args(["build", "--quiet", "--package", "tests", "--example", name]);
        // The folder has the profile's name, except for `dev`.
        let folder = profile.file_name().and_then(OsStr::to_str).filter(|folder| *folder != "debug");
        command.args(["--profile", folder.unwrap_or("dev")]);
        let target = profile.parent().expect("no target folder above the profile's");
        let status = command.arg("--target-dir").arg(target).status().expect("cargo can't be run");
        assert!(status.success(), "example {name} can't be built");
    }
    example
}

/// The workspace's top folder.
///
/// # Panics
/// Never: this crate is in one.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate at the file system's root")
}

/// The profile's folder: suites are in its `deps`, programs in itself.
fn beside_us() -> PathBuf {
    let own = env::current_exe().expect("cannot tell where the test is");
    let folder = own.parent().expect("a program without a folder");
    let profile = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    profile.expect("no profile folder").to_owned()
}
