//! The programs on the real kernel: each tracer's programs are loaded and attached, each operation is done 23
//! times, each field compared. Needs root; without it every test counts as ignored.
#![expect(unreachable_pub, reason = "what the modules beside it offer it is public to nobody else")]

#[path = "support/mod.rs"]
mod support;

#[path = "support/acts.rs"]
mod acts;
#[path = "support/aiming.rs"]
mod aiming;
#[path = "support/arriving.rs"]
mod arriving;
#[path = "support/attempts.rs"]
mod attempts;
#[path = "support/budgets.rs"]
mod budgets;
#[path = "support/compat.rs"]
mod compat;
#[path = "support/compat_ways.rs"]
mod compat_ways;
#[path = "support/connections.rs"]
mod connections;
#[path = "support/credentials.rs"]
mod credentials;
#[path = "support/datagrams.rs"]
mod datagrams;
#[path = "support/doubts.rs"]
mod doubts;
#[path = "support/families.rs"]
mod families;
#[path = "support/files.rs"]
mod files;
#[path = "support/filters.rs"]
mod filters;
#[path = "support/identity.rs"]
mod identity;
#[path = "support/instructions.rs"]
mod instructions;
#[path = "support/layers.rs"]
mod layers;
#[path = "support/ledger.rs"]
mod ledger;
#[path = "support/moving.rs"]
mod moving;
#[path = "support/names.rs"]
mod names;
#[path = "support/objects.rs"]
mod objects;
#[path = "support/overload.rs"]
mod overload;
#[path = "support/paged.rs"]
mod paged;
#[path = "support/processes.rs"]
mod processes;
#[path = "support/races.rs"]
mod races;
#[path = "support/racing.rs"]
mod racing;
#[path = "support/reflink.rs"]
mod reflink;
#[path = "support/rings.rs"]
mod rings;
#[path = "support/scripts.rs"]
mod scripts;
#[path = "support/segments.rs"]
mod segments;
#[path = "support/served.rs"]
mod served;
#[path = "support/sharing.rs"]
mod sharing;
#[path = "support/skipped.rs"]
mod skipped;
#[path = "support/socket_ids.rs"]
mod socket_ids;
#[path = "support/sockets.rs"]
mod sockets;
#[path = "support/tiers.rs"]
mod tiers;
#[path = "support/unposted.rs"]
mod unposted;
#[path = "support/unseen.rs"]
mod unseen;
#[path = "support/urings.rs"]
mod urings;
#[path = "support/usage.rs"]
mod usage;

use std::io::Read as _;
use std::process::{Command, Stdio};

use bpf_programs::Tier;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// How often each operation is done.
const TIMES: usize = 23;

/// All tests, ordered so that each half takes about half of the time.
const GROUPS: [&[Test]; 40] = [
    names::TESTS,
    acts::TESTS,
    filters::TESTS,
    compat::TESTS,
    compat_ways::TESTS,
    connections::TESTS,
    attempts::TESTS,
    credentials::TESTS,
    datagrams::TESTS,
    doubts::TESTS,
    files::TESTS,
    identity::TESTS,
    instructions::TESTS,
    layers::TESTS,
    ledger::TESTS,
    objects::TESTS,
    overload::TESTS,
    budgets::TESTS,
    paged::TESTS,
    processes::TESTS,
    races::TESTS,
    aiming::TESTS,
    arriving::TESTS,
    moving::TESTS,
    reflink::TESTS,
    racing::TESTS,
    rings::TESTS,
    scripts::TESTS,
    served::TESTS,
    sharing::TESTS,
    skipped::TESTS,
    sockets::TESTS,
    segments::TESTS,
    families::TESTS,
    socket_ids::TESTS,
    urings::TESTS,
    unposted::TESTS,
    unseen::TESTS,
    usage::TESTS,
    tiers::TESTS,
];

fn main() -> std::process::ExitCode {
    let mut arguments = Arguments::from_args();
    // One test at a time, because events of other tests would be in every ring.
    arguments.test_threads = Some(1);
    let able = nix::unistd::geteuid().is_root();
    if !able {
        #[expect(clippy::print_stderr, reason = "says why tests are not run")]
        {
            eprintln!("kernel tests are ignored: not root");
        }
    }
    let mut trials = Vec::new();
    for (name, test) in GROUPS.into_iter().flatten() {
        let run = || match test() {
            Ok(()) => Ok(Completion::Completed),
            Err(error) => match error.downcast_ref::<support::Lacking>() {
                Some(lacking) => Ok(Completion::ignored_with(lacking.to_string())),
                None => Err(Failed::from(format!("{error:#}"))),
            },
        };
        trials.push(Trial::ignorable_test(*name, run).with_ignored_flag(!able));
    }
    let code = libtest_mimic::run(&arguments, trials).exit_code();
    leave_links();
    code
}

/// Has the agent's command `unpin` take over the links at functions, as it does when an agent stops: the kernel takes minutes to
/// release hundreds of functions on emulated processors, and this process would wait for that at its end.
fn leave_links() {
    let is_link = |entry: std::fs::DirEntry| {
        std::fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().contains("bpf"))
    };
    let has_links = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten().any(is_link);
    let Some(agent) = std::env::var_os("DUETECTOR_TEST_BIN").filter(|_| has_links) else { return };
    if support::tier() != Tier::Function {
        return;
    }
    let mut unpin = Command::new(agent);
    unpin.args(["unpin", "--of", &std::process::id().to_string(), "--workdir", "/nowhere"]);
    let started = unpin.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let taken = started.map(|child| child.stdout.map(|mut output| output.read(&mut [0])));
    assert!(matches!(taken, Ok(Some(Ok(1)))), "the links were not taken over: {taken:?}");
}

/// Name and function of a test.
type Test = (&'static str, fn() -> anyhow::Result<()>);
