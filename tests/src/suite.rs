//! Runs a suite's tests and prints cargo's usual result lines. A test whose needs this machine can't meet is
//! counted as ignored, with the reason; in CI that is a failure.

use std::env;
use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Requirement of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To be root.
    Root,
    /// A kernel with BTF in which we may load programs.
    Kernel,
    /// Debian's `/usr/bin/python3`, which every user can run.
    Python,
    /// Python duetector in a virtual environment, named by `DUETECTOR_TEST_VENV`.
    Duetector,
    /// To be allowed to mount, and to make mount namespaces.
    Mounts,
    /// fio and rsync.
    Movers,
    /// The shell of SQLite, sqlite3.
    Sqlite,
    /// git, vim and gcc.
    Developing,
    /// Node.js, and Java with its compiler.
    Runtimes,
    /// A kernel that has btrfs, or a module of it.
    Btrfs,
    /// runc, and a static busybox to run in it.
    Runc,
    /// systemd-analyze, which judges units.
    SystemdAnalyze,
    /// setpriv, to run the agent with fewer privileges.
    Setpriv,
    /// A kernel that lets every user make requests of io_uring.
    Uring,
    /// A virtual machine of `cargo xtask vm`, because the test changes what belongs to all programs of a machine. Elsewhere it
    /// is ignored in CI, too.
    Guest,
}

/// A test: name, needs, function.
pub type Case = (&'static str, &'static [Need], fn());

/// Names a suite's tests: `suite! { threads: 2; name: [Kernel, Python]; other: [] }`.
#[macro_export]
macro_rules! suite {
    (threads: $threads:expr; $($name:ident: [$($need:ident),*]);+ $(;)?) => {
        fn main() -> std::process::ExitCode {
            $crate::suite::run($threads, &[
                $((stringify!($name), &[$($crate::suite::Need::$need),*], $name as fn())),+
            ])
        }
    };
}

/// Runs the cases, at most `threads` at a time.
pub fn run(threads: usize, cases: &[Case]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(threads));
    let trials = cases.iter().map(|&(name, needs, case)| {
        Trial::ignorable_test(name, move || match needs.iter().find_map(|need| unmet(*need)) {
            None => {
                alone();
                case();
                Ok(Completion::Completed)
            }
            Some(why) if in_ci() && !needs.contains(&Need::Guest) => {
                Err(Failed::from(format!("must run in CI, but {why}")))
            }
            Some(why) => Ok(Completion::ignored_with(why)),
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Waits until no suite of another run is at work on this machine: suites share user ids and names, and would count each
/// other's events. The lock is held until this process ends, however it does.
fn alone() {
    static LOCK: OnceLock<File> = OnceLock::new();
    LOCK.get_or_init(|| {
        let path = env::temp_dir().join("duetector-suites.lock");
        // Whoever comes first makes the file, perhaps as another user: it is not written, and only opened for reading.
        let created = File::options().write(true).create_new(true).open(&path);
        let created = created.and_then(|file| file.set_permissions(Permissions::from_mode(0o644)));
        let lock = File::open(&path)
            .unwrap_or_else(|why| panic!("no lock for suites at {}: {why}, {created:?}", path.display()));
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            say(&format!("waits for a suite of another run on this machine, which holds {}", path.display()));
        }
        lock.lock().expect("the lock for suites can't be taken");
        lock
    });
}

#[expect(clippy::print_stderr, reason = "why a suite waits is for a person")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// Why the need is not met here, if it is not.
fn unmet(need: Need) -> Option<String> {
    let lacking = |met: bool, why: &str| (!met).then(|| why.to_owned());
    match need {
        Need::Root => lacking(nix::unistd::geteuid().is_root(), "needs root"),
        Need::Kernel => lacking(nix::unistd::geteuid().is_root(), "loading kernel programs needs root")
            .or_else(|| lacking(capable(39) || capable(21), "neither CAP_BPF nor CAP_SYS_ADMIN is ours"))
            .or_else(|| lacking(Path::new("/sys/kernel/btf/vmlinux").exists(), "the kernel has no BTF")),
        Need::Python => lacking(Path::new(crate::workload::PYTHON).exists(), "there is no /usr/bin/python3"),
        Need::Duetector => {
            lacking(env::var_os("DUETECTOR_TEST_VENV").is_some(), "Python duetector is not installed")
        }
        Need::Movers => lacking(works("fio") && works("rsync"), "there is no fio, or no rsync"),
        Need::Sqlite => lacking(works("sqlite3"), "there is no sqlite3"),
        Need::Developing => {
            lacking(works("git") && works("vim") && works("gcc"), "there is no git, no vim, or no gcc")
        }
        Need::Runtimes => lacking(works("node") && works("javac"), "there is no node, or no javac"),
        Need::Mounts => lacking(capable(21), "mounting needs CAP_SYS_ADMIN"),
        Need::Runc => {
            lacking(works("runc") && Path::new("/bin/busybox").exists(), "there is no runc, or no busybox")
        }
        Need::Btrfs => {
            let known =
                std::fs::read_to_string("/proc/filesystems").is_ok_and(|known| known.contains("\tbtrfs\n"));
            lacking(known || works_with("modprobe", "btrfs"), "the kernel has no btrfs")
        }
        Need::SystemdAnalyze => lacking(works("systemd-analyze"), "there is no systemd-analyze"),
        Need::Setpriv => lacking(works("setpriv"), "there is no setpriv"),
        Need::Guest => lacking(
            env::var_os("DUETECTOR_TEST_GUEST").is_some(),
            "only virtual machines of `cargo xtask vm` run it",
        ),
        Need::Uring => {
            let switch = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
            // Kernels before 6.6 have no such switch.
            lacking(!switch.is_ok_and(|value| value.trim() != "0"), "io_uring is off for users")
        }
    }
}

/// Returns whether the program is installed.
fn works(program: &str) -> bool {
    works_with(program, "--version")
}

/// Returns whether the program succeeds with this argument.
fn works_with(program: &str, argument: &str) -> bool {
    Command::new(program).arg(argument).output().is_ok_and(|done| done.status.success())
}

/// The capability of that number is effective for us.
fn capable(capability: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = set.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    set.is_some_and(|set| set & (1 << capability) != 0)
}

/// How many seconds a test that gets better the longer it runs should take.
pub fn seconds() -> u64 {
    share(if in_ci() { 60 } else { 15 })
}

/// How much of so much is to be done here: an emulated processor, so many times slower as `DUETECTOR_TEST_SLOWNESS`
/// says, does less of the same.
pub fn share(whole: u64) -> u64 {
    let slowness = env::var("DUETECTOR_TEST_SLOWNESS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    whole.div_ceil(slowness)
}

fn in_ci() -> bool {
    env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1")
}
