//! The command line: all commands with their options, and the functions that run them.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::cli_common::{Common, parse_duration};
use crate::commands::{self, brief, check, child, control, query, start, status, tracers};
use crate::daemon;
use crate::exit::Outcome;
use crate::logging::LogFormat;
use crate::output::{self, Output};

/// Records how data is used on this machine: which process opened, read, wrote, ran or connected to what. Answers
/// questions about it afterwards.
///
/// `start` runs the agent, which gets its records from tracers: built-in kernel tracers, each for one kind of event (open,
/// exec, connect, …); shell tracers, which run a command at intervals; and programs of your own. The agent writes all
/// records to the store, an SQLite file in the work folder. `query` and `brief` read the store.
///
/// For a first try, run as root: `duetector-actors check`; then `duetector-actors start`, which you stop with Ctrl-C; then
/// `duetector-actors query`.
///
/// Exit codes: 0 success, 1 failure, 2 wrong command line or configuration, 3 no tracer can run.
#[derive(Debug, Parser)]
#[command(name = "duetector-actors", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start recording and keep running until Ctrl-C, SIGTERM or `stop`; then print a summary (`brief`)
    Start(StartArgs),
    /// Check for each tracer whether it can run on this kernel as this user, and say what to do if it can't. Exit code 0:
    /// all enabled tracers can record everything, 1: some can't, 3: none can record
    Check(FormatArgs),
    /// Show the state of the running agent: tracers, counters, losses. Exit code 1 if no agent is running or a tracer is
    /// still starting
    Status(status::StatusArgs),
    /// Make the running agent read its configuration again, from the file that it was started with, and apply what changed,
    /// without a restart. If there is any error in it, nothing changes and the exit code is 2. --config and --set have no
    /// effect here: those given to `start` stay in force
    Reload(FormatArgs),
    /// Stop the running agent. Returns when all records are stored and the agent has ended; exit code 1 if it still runs
    /// after 30 s
    Stop(StopArgs),
    /// List the tracers with their state and counters; with a subcommand: enable or disable some, or work with eBPF
    /// programs of your own
    Tracers(tracers::TracersArgs),
    /// Print a summary of the store: for each tracer the number of rows, the times of the first and the last, and how many
    /// records the latest run has seen, stored, filtered and lost. Works without a running agent
    Brief(brief::BriefArgs),
    /// Print the rows of the store that match conditions. Works without a running agent
    Query(query::QueryArgs),
    /// Print, show, convert or validate a configuration
    Config(commands::config::ConfigArgs),
    /// Run tracers for another program, such as Python duetector, that starts this command and reads events from its
    /// stdout (duetector's subprocess protocol). Not for use on a terminal
    Child(child::ChildArgs),
    /// Make an actor of the running agent panic
    #[cfg(feature = "fault-injection")]
    #[command(hide = true)]
    InjectPanic {
        /// Name of the actor in `status`
        actor: String,
    },
}

#[derive(Debug, Args)]
struct StartArgs {
    /// Stop automatically after this time, for example 10s, 5m or 1h. Default: run until stopped
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Run in the background. The command returns when the tracers have started; the log is written to
    /// duetector-actors.log in the work folder
    #[arg(long)]
    daemon: bool,
    /// Marks the process that runs in the background (set by --daemon)
    #[arg(long, hide = true)]
    daemon_child: bool,
    /// Format of the log lines. The environment variable DUETECTOR_LOG sets the lowest level that is logged: error, warn,
    /// info (the default), debug or trace
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    log_format: LogFormat,
}

#[derive(Debug, Args)]
struct StopArgs {
    /// Let the eBPF programs go on recording, into their ring buffers in kernel memory, while no agent runs. The next start
    /// reads these records first, so that none is missing; those that do not fit are lost, and counted. Needs
    /// ebpf.pin = true. Without --keep and --unpin, ebpf.pin_keep decides
    #[arg(long, conflicts_with = "unpin")]
    keep: bool,
    /// Remove the eBPF programs and ring buffers that are pinned in /sys/fs/bpf, even if ebpf.pin_keep is true. If no
    /// agent is running, removes those that a killed agent has left behind
    #[arg(long)]
    unpin: bool,
}

impl StopArgs {
    /// Returns whether pinned programs are kept, if an option says so.
    fn keep(&self) -> Option<bool> {
        (self.keep || self.unpin).then_some(self.keep)
    }
}

#[derive(Debug, Args)]
struct FormatArgs {
    /// Format of the output
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

impl Cli {
    /// Runs the command that was typed.
    pub(crate) fn run(self) -> Outcome {
        let common = &self.common;
        match self.command {
            Command::Start(args) => run_start(common, &args),
            Command::Check(args) => check::run(common, args.format),
            Command::Status(args) => status::run(&common.workdir()?, &args),
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
    // Loaded even if only the daemon needs it, so that errors in the configuration are reported on this terminal.
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
        output::complain(&format!("the agent has ended with exit code {}", failure.code()));
    }
    outcome
}
