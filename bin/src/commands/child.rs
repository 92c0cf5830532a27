//! `child`: the options of the command.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::{Args, ValueEnum};
use collector::sink::host::HostReads;

use crate::child::{self, ChildRun};
use crate::cli_common::{Common, parse_duration};
use crate::exit::Outcome;
use crate::output;

/// Options of `child`.
#[derive(Debug, Args)]
pub(crate) struct ChildArgs {
    /// Run only this tracer: a kernel tracer such as open, the shell tracer uname, or a template (a tracer of your own that
    /// the configuration defines). May be repeated: then all these tracers. Default: all that the configuration enables
    #[arg(long = "tracer", value_name = "NAME")]
    tracers: Vec<String>,
    /// Put this text before each tracer name in the events. Needed if the parent program is a duetector-actors agent, which
    /// refuses events under the names of its own kernel tracers
    #[arg(long, value_name = "TEXT", default_value = "")]
    name_prefix: String,
    /// When the parent program reads the output of this command
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    host_reads: Reads,
    /// Send at most NUMBER records per second; the others wait. 0: no limit. Has no effect if the parent program reads at
    /// any time (--host-reads always)
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    rate: u32,
    /// Exit if the parent program sends no message for this time, for example 30s or 5m. It must be longer than the time
    /// between two of the parent's messages: with 0s the command exits at once. No value means "never"
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1m")]
    host_timeout: Duration,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Reads {
    /// `always` if the parent program is a duetector-actors agent, otherwise `polls`
    #[default]
    Auto,
    /// Only for a moment after each `event` message that it sends (its poll), as Python duetector does
    Polls,
    /// At any time
    Always,
}

/// Runs the command.
pub(crate) fn run(common: &Common, args: &ChildArgs) -> Outcome {
    let loaded = common.load_trusted();
    let left_out = loaded.as_ref().map(|loaded| loaded.warnings.clone()).unwrap_or_default();
    let config = loaded.and_then(|loaded| child::choose(loaded.config, &args.tracers));
    if std::io::stdin().is_terminal() {
        // On a terminal a person sees an error of the configuration at once, without sending `init` first.
        config.as_ref().map_err(crate::exit::Failure::clone_words)?;
        output::complain(
            "note: this command is meant to be started by another program: it expects messages of duetector's subprocess \
             protocol on stdin",
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
