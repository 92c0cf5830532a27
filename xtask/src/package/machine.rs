//! Tries the package on a machine with systemd: a minimal Debian, booted in a container on this kernel. `packaging/try.sh` runs there
//! when the machine is up, and switches it off.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use super::build::deb as package;
use super::tools::Tools;
use crate::run;

/// Packages of the machine.
const CONTENTS: &str = "--include=systemd,systemd-sysv,debconf,jq";
/// Runs the script once all other units are up.
const UNIT: &str = "[Unit]\nDescription=Tries the package\nAfter=multi-user.target\nSuccessAction=poweroff\nFailureAction=poweroff\n\
                    [Service]\nType=oneshot\nExecStart=/bin/bash /root/try.sh\nStandardOutput=file:/root/result\nStandardError=inherit\n\
                    TimeoutStartSec=10min\n";

/// Installs this package and a later one of the same contents, and fails unless everything that the script tries works.
pub(super) fn try_it(tools: &Tools, build: &Path, deb: &Path, folder: &Path) -> Result<()> {
    let later = folder.join("duetector-actors-later.deb");
    run::run(package(tools, build, &later)?.args(["--deb-revision", "2"]))?;
    let machine = folder.join("machine");
    if !machine.join("etc/os-release").exists() {
        let mut debootstrap = run::as_root(&run::find("debootstrap").context("debootstrap is missing")?)?;
        run::run(
            debootstrap.args(["--variant=minbase", CONTENTS, "stable"]).arg(&machine).stdout(Stdio::null()),
        )?;
    }
    let root = machine.join("root");
    fs::copy(deb, root.join("first.deb")).context("copying the package")?;
    fs::copy(&later, root.join("second.deb")).context("copying the package")?;
    fs::copy(run::root().join("packaging/try.sh"), root.join("try.sh"))
        .context("copying packaging/try.sh")?;
    let units = machine.join("etc/systemd/system");
    fs::write(units.join("try.service"), UNIT).context("writing the unit")?;
    let wants = units.join("graphical.target.wants");
    fs::create_dir_all(&wants).context("making the folder of wanted units")?;
    let link = wants.join("try.service");
    if !link.is_symlink() {
        symlink("/etc/systemd/system/try.service", &link).context("enabling the unit")?;
    }
    // systemd writes over it, and does not shorten it.
    let result = root.join("result");
    if result.exists() {
        fs::remove_file(&result).context("removing the result of the run before")?;
    }
    boot(&machine)?;
    let result = fs::read_to_string(&result).context("the machine has left no result")?;
    run::say(&format!("on the machine:\n{}", result.trim_end()));
    ensure!(result.trim_end().ends_with("SUCCEEDED"), "the package does not work as it should");
    Ok(())
}

/// Boots the machine, and waits until it is off.
fn boot(machine: &Path) -> Result<()> {
    // sysfs with write access has bpffs, which the machine mounts.
    let nspawn = run::find("systemd-nspawn").context("systemd-nspawn is missing")?;
    let mut command = run::as_root(Path::new("/usr/bin/env"))?;
    command.arg("SYSTEMD_NSPAWN_API_VFS_WRITABLE=yes").arg("timeout").arg("900").arg(nspawn);
    command.args([
        "--quiet",
        "--boot",
        "--keep-unit",
        "--register=no",
        "--private-users=no",
        "--capability=all",
    ]);
    command
        .args(["--console=pipe", "--system-call-filter=bpf perf_event_open @privileged", "--directory"])
        .arg(machine);
    command.args(["systemd.unit=graphical.target"]).stdin(Stdio::null()).stdout(Stdio::null());
    run::run(&mut command)
}
