//! The command line: all commands with their options, and the functions that run them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use shell_monitor::{launch, launcher};

use crate::cli_common::{Common, parse_duration, without_effect};
use crate::commands::{
    self, brief, check, child, control, export, follow, lineage, man, process, query, questions, serve, sql,
    start, status, store, top, tracers, uses,
};
use crate::exit::{Failure, Outcome};
use crate::logging::LogFormat;
use crate::output::{self, Output};
use crate::unpinning;
use crate::{daemon, examples};

/// Records how data is used on this machine: which process opened, read, wrote, ran or connected to what. Answers
/// questions about it afterwards.
///
/// `start` runs the agent, which gets its records from tracers: built-in kernel tracers, each for one kind of event (open,
/// exec, connect, …); shell tracers, which run a command at intervals; and child processes and eBPF programs of your own.
/// The agent writes all records to the store, an SQLite file in the work folder. `query` and `brief` read the store.
///
/// `help questions` lists questions that people ask, with the command for each.
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
    /// Check for each tracer whether it can run on this kernel as this user, and say what to do if it can't; list what the
    /// kernel tracers cannot record. Exit code 0: all enabled tracers are ok, 1: some are degraded or can't run, 3: none can
    /// run
    #[command(args = without_effect(&["workdir"]))]
    Check(FormatArgs),
    /// Show the state of the running agent: tracers, counters, losses, filters. Exit code 1 if no agent is running or a
    /// tracer is still starting
    #[command(args = without_effect(&["config", "set"]))]
    Status(status::StatusArgs),
    /// Make the running agent read its configuration file again and apply what changed, without a restart. The file, the
    /// environment variables and the --set options are those that the agent was started with. If there is an error in the
    /// configuration, nothing changes and the exit code is 2
    #[command(args = without_effect(&["config", "set"]))]
    Reload(FormatArgs),
    /// Stop the running agent. Returns when all records are stored and the agent has ended. Exit code 1 if no agent is
    /// running, or if it still runs after 30 s
    #[command(args = without_effect(&["config", "set"]))]
    Stop(StopArgs),
    /// List the tracers of the running agent with their state and counters; if no agent is running, the tracers of the
    /// configuration. The subcommands enable or disable tracers, and help to make tracers of your own
    Tracers(tracers::TracersArgs),
    /// Print a summary of the store: for each tracer the number of rows, the times of the first and the last, and how many
    /// records the latest run of the agent has seen, stored, filtered and lost. Works without a running agent
    Brief(brief::BriefArgs),
    /// Print the rows of the store that match conditions. Works without a running agent
    Query(query::QueryArgs),
    /// Show who used a file, the files of a folder or those of a label: a line for each process, user, program, container or day,
    /// with the bytes read, written, mapped and copied, and what else was done. Works without a running agent
    #[command(after_help = uses::EXAMPLES)]
    Uses(uses::UsesArgs),
    /// Show the ancestors of a process, the programs that it executed, the files that it used, the addresses that it talked to, the
    /// calls that were refused, and the processes that it made. Works without a running agent
    #[command(after_help = process::EXAMPLES)]
    Process(process::ProcessArgs),
    /// Run a statement of SQL on the store and print its rows. There is a table for each tracer, with typed columns, and
    /// views over all of them. docs/SQL.md has examples. Works without a running agent
    Sql(sql::SqlArgs),
    /// Show the busiest files, processes, users and network peers of the last seconds, on a screen that changes each second.
    /// Needs a running agent
    Top(top::TopArgs),
    /// Show where data can have gone, or where they can have come from: through processes, files, pipes, sockets and shared memory,
    /// in the order of time. docs/LINEAGE.md explains what an answer means. Works without a running agent
    #[command(after_help = lineage::EXAMPLES)]
    Lineage(lineage::LineageArgs),
    /// Serve the store over HTTP, with the API of duetector's server, to clients that have a token. Runs until Ctrl-C or SIGTERM, as a
    /// user without privileges. docs/SERVER.md describes it. Works without a running agent
    Serve(serve::ServeArgs),
    /// Write rows of the store to files of another format, or to stdout. Works without a running agent
    Export(export::ExportArgs),
    /// Show and check the columnar store; bring in rows of other files; seal or remove rows by hand
    Store(store::StoreArgs),
    /// List questions that the store can answer, with the command for each
    #[command(args = without_effect(&["config", "set", "workdir"]), after_help = questions::text())]
    Questions,
    /// Print, show, convert or validate a configuration
    Config(commands::config::ConfigArgs),
    /// Run tracers for another program, such as Python duetector, which starts this command and reads events from its
    /// stdout (duetector's subprocess protocol). Not for use on a terminal
    #[command(args = without_effect(&["workdir"]))]
    Child(child::ChildArgs),
    /// Write the manual pages into a folder (used by `cargo xtask package`)
    #[command(hide = true)]
    Man {
        /// The folder, which is made if it is not there
        folder: PathBuf,
    },
    /// Become the program of a template (used by the agent)
    #[command(name = launch::COMMAND, hide = true)]
    LaunchProgram,
    /// Detach the programs of an agent that ends (used by the agent)
    #[command(name = unpinning::COMMAND, hide = true)]
    Unpin {
        /// The agent, which must have started this process, if it holds links that are not pinned
        #[arg(long)]
        of: Option<i32>,
    },
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
    /// Let the eBPF programs continue to record while no agent runs. The records wait in ring buffers in kernel memory; the
    /// next start reads them. Records that do not fit are lost, and counted. This has an effect only if the programs are
    /// pinned (ebpf.pin). If neither --keep nor --unpin is given, ebpf.pin_keep decides
    #[arg(long, conflicts_with = "unpin")]
    keep: bool,
    /// Remove the pinned eBPF programs and ring buffers, even if ebpf.pin_keep is true. If no agent is running, remove those
    /// that an earlier agent has left
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
            Command::Query(args) if args.is_following() => follow::run(common, &args),
            Command::Query(args) => query::run(common, &args),
            Command::Uses(args) => uses::run(common, &args),
            Command::Process(args) => process::run(common, &args),
            Command::Sql(args) => sql::run(common, &args),
            Command::Top(args) => top::run(common, &args),
            Command::Lineage(args) => lineage::run(common, &args),
            Command::Serve(args) => serve::run(common, &args),
            Command::Export(args) => export::run(common, &args),
            Command::Store(args) => store::run(common, &args),
            Command::Questions => questions::run(),
            Command::Config(args) => commands::config::run(common, &args),
            Command::Child(args) => child::run(common, &args),
            Command::Man { folder } => man::run(examples::add(Cli::command()), &folder),
            Command::Unpin { of } => unpinning::run(&common.workdir()?, of),
            Command::LaunchProgram => Err(Failure::failed(launcher::run())),
            #[cfg(feature = "fault-injection")]
            Command::InjectPanic { actor } => control::inject_panic(&common.workdir()?, actor),
        }
    }
}

fn run_start(common: &Common, args: &StartArgs) -> Outcome {
    // Loaded even if only the daemon needs it, so that errors in the configuration are reported on this terminal.
    let loaded = Arc::new(common.load_trusted()?);
    let workdir = common.workdir()?;
    if !common.insecure_permissions {
        crate::workdir::check_parents(&workdir)?;
    }
    if args.daemon {
        return daemon::start(&workdir);
    }
    if args.daemon_child {
        daemon::detach(&workdir)?;
    }
    let start = start::Start {
        sources: common.sources_to_run(),
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

#[cfg(test)]
mod tests {

    use super::*;

    /// Returns the names of the common options that the help of a command lists.
    fn listed(path: &str) -> Vec<String> {
        let mut cli = Cli::command();
        cli.build();
        let command = path.split(' ').fold(&cli, |above, name| above.find_subcommand(name).expect(path));
        let common = ["config", "set", "workdir"];
        let arguments = command.get_arguments().filter(|arg| !arg.is_hide_set());
        arguments.map(|arg| arg.get_id().to_string()).filter(|id| common.contains(&id.as_str())).collect()
    }

    #[test]
    fn common_options_are_listed_where_they_have_an_effect() {
        for path in
            ["start", "tracers", "brief", "query", "sql", "export", "store import", "config", "config show"]
        {
            assert_eq!(listed(path), ["config", "set", "workdir"], "{path}");
        }
        for path in ["check", "child", "config validate"] {
            assert_eq!(listed(path), ["config", "set"], "{path}");
        }
        for path in ["status", "reload", "stop", "tracers enable", "tracers disable", "tracers cache"] {
            assert_eq!(listed(path), ["workdir"], "{path}");
        }
        for path in
            ["tracers inspect", "tracers compile", "tracers header", "config generate", "config import"]
        {
            assert!(listed(path).is_empty(), "{path}");
        }
    }

    #[test]
    fn common_options_are_accepted_everywhere() {
        let options = ["--config", "a.toml", "--set", "ebpf.pin=true", "--workdir", "/w"];
        for path in ["query", "reload", "config generate", "tracers header"] {
            let cli =
                Cli::try_parse_from(["duetector-actors"].into_iter().chain(path.split(' ')).chain(options));
            let common = cli.expect(path).common;
            assert_eq!(
                (common.config, common.set),
                (Some("a.toml".into()), vec!["ebpf.pin=true".to_owned()])
            );
            assert_eq!(common.workdir, Some("/w".into()), "{path}");
        }
    }

    #[test]
    fn the_commands_of_the_questions_are_understood() {
        for command in questions::commands() {
            let words = shlex::split(command).expect(command);
            let cli = Cli::try_parse_from(["duetector-actors".to_owned()].into_iter().chain(words));
            assert!(cli.is_ok(), "{command}: {:?}", cli.err());
        }
    }

    #[test]
    fn the_readme_has_a_row_for_each_command() {
        let readme = include_str!("../../README.md");
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let row = format!("\n| `{}` | ", command.get_name());
            assert!(readme.contains(&row), "README.md has no row {row}");
        }
    }
}
