//! The real kernel: each tracer's programs loaded and attached, each thing done 23 times, each field compared.
//! Needs root; without it every test is counted as ignored.
#![expect(unreachable_pub, reason = "what the modules beside it offer it is public to nobody else")]

#[path = "support/mod.rs"]
mod support;

#[path = "support/files.rs"]
mod files;
#[path = "support/processes.rs"]
mod processes;
#[path = "support/sockets.rs"]
mod sockets;

use libtest_mimic::{Arguments, Failed, Trial};

/// How often each thing is done.
const TIMES: usize = 23;

fn main() -> std::process::ExitCode {
    let mut arguments = Arguments::from_args();
    // One object at a time: what another test does is in every ring.
    arguments.test_threads = Some(1);
    let able = nix::unistd::geteuid().is_root();
    if !able {
        #[expect(clippy::print_stderr, reason = "says why tests are not run")]
        {
            eprintln!("kernel tests are ignored: not root");
        }
    }
    let mut trials = Vec::new();
    for (name, test) in files::TESTS.iter().chain(processes::TESTS).chain(sockets::TESTS) {
        let run = || test().map_err(|error| Failed::from(format!("{error:#}")));
        trials.push(Trial::test(*name, run).with_ignored_flag(!able));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A test by name.
type Test = (&'static str, fn() -> anyhow::Result<()>);
