//! `child`: what can be said about it on the command line.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::{Args, ValueEnum};
use collector::sink::host::HostReads;

use crate::child::{self, ChildRun};
use crate::cli_common::Common;
use crate::commands::start::parse_duration;
use crate::exit::Outcome;
use crate::output;

/// `child`.
#[derive(Debug, Args)]
pub(crate) struct ChildArgs {
    /// Run this tracer and no other but those named too: a kernel tracer, `uname` or a template of the configuration.
    /// Without it, all that the configuration enables
    #[arg(long = "tracer", value_name = "NAME")]
    tracers: Vec<String>,
    /// What the names that events are stored under begin with. An agent of ours keeps its own tracers' names to itself
    #[arg(long, value_name = "TEXT", default_value = "")]
    name_prefix: String,
    /// How the host reads: only after its polls (Python duetector), always, or as can be told of it
    #[arg(long, value_enum, default_value_t)]
    host_reads: Reads,
    /// Tell a host that reads at polls at most so many records a second; 0: as many as it reads
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    rate: u32,
    /// A host that says nothing for so long is taken for dead
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1m")]
    host_timeout: Duration,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Reads {
    #[default]
    Auto,
    Polls,
    Always,
}

/// Runs it.
pub(crate) fn run(common: &Common, args: &ChildArgs) -> Outcome {
    let loaded = common.load_with_origins();
    let left_out = loaded.as_ref().map(|loaded| loaded.warnings.clone()).unwrap_or_default();
    let config = loaded.and_then(|loaded| child::choose(loaded.config, &args.tracers));
    if std::io::stdin().is_terminal() {
        // A host that is told the protocol's way would be a person.
        config.as_ref().map_err(crate::exit::Failure::clone_words)?;
        output::complain(
            "this speaks duetector's subprocess protocol on stdin and stdout: it is for a host to start",
        );
    }
    child::run(ChildRun {
        config,
        left_out,
        name_prefix: args.name_prefix.clone(),
        reads: match args.host_reads {
            Reads::Auto => child::host_reads(args.rate),
            Reads::Polls => HostReads::AtPolls { most_a_second: args.rate },
            Reads::Always => HostReads::Always,
        },
        host_timeout: args.host_timeout,
    })
}
