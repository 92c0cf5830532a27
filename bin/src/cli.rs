//! The command line: what can be typed, and which command it runs.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cli_common::Common;
use crate::commands::{self, brief, check, child, control, query, start, tracers};
use crate::exit::Outcome;
use crate::logging::LogFormat;
use crate::{daemon, output};

/// Records how data is used on this host: which process opened, ran and connected to what. Tells what happened.
///
/// Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 nothing could be traced.
#[derive(Debug, Parser)]
#[command(name = "duetector-actors", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// How an answer looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Table,
    /// For scripts.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent; Ctrl-C stops it and prints the brief
    Start(StartArgs),
    /// Say what this kernel and user allow, per tracer, and what to do about the rest; exit 0 if nothing is amiss
    Check(FormatArgs),
    /// Say how the running agent stands; exit 0 if every enabled tracer is attached or reported degraded
    Status(FormatArgs),
    /// Have the running agent read its configuration again and apply what changed; exit 2 if anything in it is wrong
    Reload(FormatArgs),
    /// Stop the running agent and wait until everything is flushed
    Stop(StopArgs),
    /// List all tracers: state, hooks, counts; or look into one, or into a program for one
    Tracers(tracers::TracersArgs),
    /// Per tracer and collector: count, first, last, fields, losses; needs no running agent
    Brief(brief::BriefArgs),
    /// Ask the store what happened; needs no running agent
    Query(query::QueryArgs),
    /// Make, show or check a configuration
    Config(commands::config::ConfigArgs),
    /// Run tracers as the child of another program that speaks duetector's subprocess protocol on stdin and stdout
    Child(child::ChildArgs),
    /// Make an actor of the running agent panic
    #[cfg(feature = "fault-injection")]
    #[command(hide = true)]
    InjectPanic {
        /// Its name in `status`.
        actor: String,
    },
}

#[derive(Debug, Args)]
struct StartArgs {
    /// Stop by itself after this long (10s, 5m)
    #[arg(long, value_parser = start::parse_duration)]
    duration: Option<Duration>,
    /// Run in the background, in a session of its own; the log goes into the work folder
    #[arg(long)]
    daemon: bool,
    /// This process is the one that runs in the background
    #[arg(long, hide = true)]
    daemon_child: bool,
    /// How log lines look
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Debug, Args)]
struct StopArgs {
    /// With ebpf.pin: leave the kernel side at work; the next start goes on without a gap
    #[arg(long, conflicts_with = "unpin")]
    keep: bool,
    /// Let go of everything pinned, whatever ebpf.pin_keep says; also what a killed agent left
    #[arg(long)]
    unpin: bool,
}

impl StopArgs {
    /// What to do with what is pinned, if said.
    fn keep(&self) -> Option<bool> {
        (self.keep || self.unpin).then_some(self.keep)
    }
}

#[derive(Debug, Args)]
struct FormatArgs {
    /// How the answer looks
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

impl Cli {
    /// Runs the command.
    pub(crate) fn run(self) -> Outcome {
        let common = &self.common;
        match self.command {
            Command::Start(args) => run_start(common, &args),
            Command::Check(args) => check::run(common, args.format),
            Command::Status(args) => control::status(&common.workdir()?, args.format),
            Command::Reload(args) => control::reload(&common.workdir()?, args.format),
            Command::Stop(args) => control::stop(&common.workdir()?, args.keep()),
            Command::Tracers(args) => tracers::run(common, &args),
            Command::Brief(args) => brief::run(common, &args),
            Command::Query(args) => query::run(common, &args),
            Command::Config(args) => commands::config::run(common, &args),
            Command::Child(args) => child::run(common, &args),
            #[cfg(feature = "fault-injection")]
            Command::InjectPanic { actor } => control::inject_panic(&common.workdir()?, actor),
        }
    }
}

fn run_start(common: &Common, args: &StartArgs) -> Outcome {
    // Loaded before the daemon is started as well, so that a bad configuration is told here.
    let loaded = Arc::new(common.load_with_origins()?);
    let workdir = common.workdir()?;
    if args.daemon {
        return daemon::start(&workdir);
    }
    if args.daemon_child {
        daemon::detach()?;
    }
    let start = start::Start {
        sources: common.sources(),
        loaded,
        workdir,
        duration: args.duration,
        log_format: args.log_format,
        quiet: args.daemon_child,
    };
    let outcome = start::run(start);
    if let (Err(failure), true) = (&outcome, args.daemon_child) {
        output::complain(&format!("ended with exit code {}", failure.code()));
    }
    outcome
}
