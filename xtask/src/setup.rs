//! Installs what a fresh machine lacks: checks for each thing itself, installs what is missing with apt-get, and on a
//! machine without apt-get says what to install.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::run::{self, as_root, find, run, say};

/// Something that must be on the machine, and the packages that it is in.
pub(crate) struct Need {
    what: &'static str,
    present: fn() -> bool,
    /// Debian/Ubuntu, Fedora/RHEL, Arch, openSUSE, Alpine.
    packages: [&'static str; 5],
}

/// Everything that building needs, except a C compiler and cargo: without them xtask would not run.
pub(crate) const BUILD: [Need; 2] = [
    Need {
        what: "clang (14 or later; compiles the kernel programs)",
        present: || find("clang").is_some(),
        packages: ["clang", "clang", "clang", "clang", "clang"],
    },
    Need {
        what: "libbpf's headers",
        present: || Path::new("/usr/include/bpf/bpf_core_read.h").exists(),
        packages: ["libbpf-dev", "libbpf-devel", "libbpf", "libbpf-devel", "libbpf-dev linux-headers"],
    },
];

/// Everything else that the tests need.
pub(crate) const TEST: [Need; 7] = [
    Need {
        what: "systemd-analyze (says how much a unit may do)",
        present: || find("systemd-analyze").is_some(),
        packages: ["systemd", "systemd", "systemd", "systemd", "systemd"],
    },
    Need {
        what: "runc and busybox (run containers of milliseconds)",
        present: || find("runc").is_some() && Path::new("/bin/busybox").exists(),
        packages: [
            "runc busybox-static",
            "runc busybox",
            "runc busybox",
            "runc busybox-static",
            "runc busybox-static",
        ],
    },
    Need {
        what: "Python 3 (runs the scripts that are traced)",
        present: || find("python3").is_some() && Path::new("/usr/bin/python3").exists(),
        packages: ["python3", "python3", "python", "python3", "python3"],
    },
    Need {
        what: "Python's venv (for Python duetector, which reads our database in one test)",
        present: || {
            let probe = ["-c", "import ensurepip, venv"];
            Command::new("/usr/bin/python3").args(probe).output().is_ok_and(|done| done.status.success())
        },
        packages: ["python3-venv", "python3", "python", "python3", "python3"],
    },
    Need {
        what: "setpriv and unshare (util-linux)",
        present: || find("setpriv").is_some() && find("unshare").is_some() && find("mount").is_some(),
        packages: ["util-linux mount", "util-linux", "util-linux", "util-linux", "util-linux setpriv"],
    },
    Need {
        what: "fio, rsync, tar, gzip and perl (read and write files in their own ways)",
        present: || ["fio", "rsync", "tar", "gzip", "perl"].iter().all(|program| find(program).is_some()),
        packages: [
            "fio rsync tar gzip perl",
            "fio rsync tar gzip perl",
            "fio rsync tar gzip perl",
            "fio rsync tar gzip perl",
            "fio rsync tar gzip perl",
        ],
    },
    Need {
        what: "git, sqlite3, vim, gcc and ar (their calls are compared with the rows)",
        present: || ["git", "sqlite3", "vim", "gcc", "ar"].iter().all(|program| find(program).is_some()),
        packages: [
            "git sqlite3 vim gcc binutils libc6-dev",
            "git sqlite vim-enhanced gcc binutils",
            "git sqlite vim gcc binutils",
            "git sqlite3 vim gcc binutils",
            "git sqlite vim gcc binutils musl-dev",
        ],
    },
];

/// Everything else that booting other kernels needs.
pub(crate) const VM: [Need; 3] = [
    Need {
        what: "QEMU for x86-64 (boots the kernels)",
        present: || find("qemu-system-x86_64").is_some(),
        packages: [
            "qemu-system-x86",
            "qemu-system-x86-core",
            "qemu-system-x86",
            "qemu-x86",
            "qemu-system-x86_64",
        ],
    },
    Need {
        what: "busybox, linked statically (the guest's first process)",
        present: || {
            // One that is linked dynamically would need its libraries before there is a linker for them.
            let is_static = |path| run::output(Command::new("ldd").arg(path)).is_none();
            find("busybox").is_some_and(is_static)
        },
        packages: ["busybox-static", "busybox", "busybox", "busybox-static", "busybox-static"],
    },
    Need {
        what: "cpio, strip, xz and ldd (make the guest's file system)",
        present: || ["cpio", "strip", "xz", "ldd"].iter().all(|tool| find(tool).is_some()),
        packages: [
            "cpio binutils xz-utils libc-bin",
            "cpio binutils xz glibc-common",
            "cpio binutils xz glibc",
            "cpio binutils xz glibc",
            "cpio binutils xz musl-utils",
        ],
    },
];

/// Everything else that packages need.
pub(crate) const PACKAGE: [Need; 3] = [
    Need {
        what: "dpkg-deb, dpkg-shlibdeps and strip (make and unpack the package)",
        present: || find("dpkg-deb").is_some() && find("dpkg-shlibdeps").is_some() && find("strip").is_some(),
        packages: [
            "dpkg dpkg-dev binutils",
            "dpkg dpkg-dev binutils",
            "dpkg binutils",
            "dpkg binutils",
            "dpkg dpkg-dev binutils",
        ],
    },
    Need {
        what: "umoci (makes the image for containers)",
        present: || find("umoci").is_some(),
        packages: ["umoci", "umoci", "umoci", "umoci", "umoci"],
    },
    Need {
        what: "git (says of which commit the package is)",
        present: || find("git").is_some(),
        packages: ["git", "git", "git", "git", "git"],
    },
];

/// Everything else that trying a package needs.
pub(crate) const TRY_PACKAGE: [Need; 3] = [
    Need {
        what: "runc (runs the image)",
        present: || find("runc").is_some(),
        packages: ["runc", "runc", "runc", "runc", "runc"],
    },
    Need {
        what: "debootstrap (makes a minimal Debian)",
        present: || find("debootstrap").is_some(),
        packages: ["debootstrap", "debootstrap", "debootstrap", "debootstrap", "debootstrap"],
    },
    Need {
        what: "systemd-nspawn (boots it)",
        present: || find("systemd-nspawn").is_some(),
        packages: ["systemd-container", "systemd-container", "systemd", "systemd-container", "systemd"],
    },
];

/// Installs those of `needs` that are missing.
pub(crate) fn provide(needs: &[Need]) -> Result<()> {
    let missing: Vec<_> = needs.iter().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        say(&format!("missing: {}", need.what));
    }
    let Some(apt_get) = find("apt-get") else { bail!(advice(&missing)) };
    let mut update = as_root(&apt_get)?;
    run(update.arg("update"))?;
    let packages: Vec<_> = missing.iter().flat_map(|need| need.packages[0].split(' ')).collect();
    apt_install(&packages)?;
    match missing.iter().find(|need| !(need.present)()) {
        Some(need) => bail!("apt-get installed {packages:?}, but {} is still missing", need.what),
        None => Ok(()),
    }
}

fn apt_install(packages: &[&str]) -> Result<()> {
    // `env` carries the variable over sudo, which would drop it.
    let mut install = as_root(Path::new("/usr/bin/env"))?;
    install.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends"]);
    run(install.args(packages))
}

/// The command that installs what is missing on a distribution without apt-get.
fn advice(missing: &[&Need]) -> String {
    let id = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let systems = [
        ("fedora rhel centos", "sudo dnf install", 1),
        ("arch", "sudo pacman -S", 2),
        ("suse", "sudo zypper install", 3),
        ("alpine", "sudo apk add", 4),
    ];
    let line = |(_, command, column): &(&str, &str, usize)| {
        let mut packages: Vec<_> =
            missing.iter().flat_map(|need| need.packages[*column].split(' ')).collect();
        packages.dedup();
        format!("{command} {}", packages.join(" "))
    };
    let is_this = |names: &str| {
        let ids = id.lines().filter(|line| line.starts_with("ID=") || line.starts_with("ID_LIKE="));
        ids.into_iter().any(|line| names.split(' ').any(|name| line.contains(name)))
    };
    match systems.iter().find(|(names, ..)| is_this(names)) {
        Some(system) => format!("install what is missing with:  {}", line(system)),
        None => {
            let lines: Vec<_> = systems.iter().map(line).collect();
            format!("install what is missing with one of:\n  {}", lines.join("\n  "))
        }
    }
}

/// Installs rustfmt and clippy, which are components of a rustup toolchain and packages of distributions.
pub(crate) fn provide_rust_tools() -> Result<()> {
    let tools = [("fmt", "rustfmt", "rustfmt"), ("clippy", "clippy", "rust-clippy")];
    for (subcommand, component, package) in tools {
        let works = || run::output(run::cargo().args([subcommand, "--version"])).is_some();
        if works() {
            continue;
        }
        if let Some(rustup) = find("rustup") {
            run(Command::new(rustup).args(["component", "add", component]))?;
        } else if find("apt-get").is_some() {
            apt_install(&[package])?;
        }
        if !works() {
            bail!("cargo {subcommand} is missing: install {component} as your Rust was installed");
        }
    }
    Ok(())
}
