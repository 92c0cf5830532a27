//! `tracers`: lists tracers, enables and disables them, and helps to make eBPF programs of the user into tracers.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;

use super::inspect::{self, CompileArgs, InspectArgs};
use crate::cli_common::{Common, without_effect};
use crate::commands::cache::{self, CacheArgs};
use crate::control::{AskError, Request, fetch, read_answer};
use crate::enable::EnableResult;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, to_json};
use crate::status::tracer_table;
use crate::{assemble, completion, control, socket};

/// Options of `tracers`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct TracersArgs {
    /// Format of the output
    #[arg(long, value_enum, default_value_t)]
    format: Output,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show, replace or clear the cache of a shell tracer. The cache is the output of the last run of its command; lines of
    /// the next run are stored only if they are not in the cache
    #[command(args = without_effect(&["config", "set"]))]
    Cache(CacheArgs),
    /// Describe an eBPF program of your own (programs, hooks, maps and fields of its records), and print a configuration
    /// section for it, ready to paste
    #[command(args = without_effect(&["config", "set", "workdir"]))]
    Inspect(InspectArgs),
    /// Compile an eBPF program from C to an object file, as the agent does when it starts (needs clang). Machines without
    /// clang can then use the object file
    #[command(args = without_effect(&["config", "set", "workdir"]))]
    Compile(CompileArgs),
    /// Print the C header "duetector.h", which eBPF programs of your own may include
    #[command(args = without_effect(&["config", "set", "workdir"]))]
    Header,
    /// Enable tracers of the running agent that were disabled or have failed. Returns when they have started to record
    #[command(args = without_effect(&["config", "set"]))]
    Enable(EnableArgs),
    /// Disable tracers of the running agent, until they are enabled again, their configuration changes, or the agent
    /// restarts
    #[command(args = without_effect(&["config", "set"]))]
    Disable(EnableArgs),
}

#[derive(Debug, clap::Args)]
struct EnableArgs {
    /// Names of the tracers as in `status`, or their sections in the configuration, such as tracer.open
    #[arg(required = true, value_name = "NAME", add = ArgValueCandidates::new(completion::tracers))]
    names: Vec<String>,
    /// Format of the output
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

/// Runs `tracers` or its subcommand.
pub(crate) fn run(common: &Common, args: &TracersArgs) -> Outcome {
    match &args.command {
        Some(Command::Enable(args)) => set_enabled(common, args, true),
        Some(Command::Disable(args)) => set_enabled(common, args, false),
        None => list(common, args.format),
        Some(Command::Cache(args)) => cache::run(common, args),
        Some(Command::Inspect(args)) => inspect::run(args),
        Some(Command::Compile(args)) => inspect::compile(args),
        Some(Command::Header) => output::print(bpf_programs::template::HEADER.trim_end()),
    }
}

/// Enables or disables tracers of the running agent, and prints the result for each.
fn set_enabled(common: &Common, args: &EnableArgs, on: bool) -> Outcome {
    let request = Request::SetEnabled { tracers: args.names.clone(), on };
    let results: Vec<EnableResult> = match control::ask(&common.workdir()?, &request) {
        Ok(value) => read_answer(value)?,
        Err(AskError::Refused(why)) => return Err(Failure::Usage(anyhow::anyhow!(why))),
        Err(cause) => return Err(cause.into()),
    };
    match args.format {
        Output::Json => output::print(&to_json(&results)?)?,
        Output::Table => {
            let lines = results.iter().map(|it| format!("tracer {}: {}", it.tracer, it.outcome));
            output::print(&lines.collect::<Vec<_>>().join("\n"))?;
        }
    }
    if results.iter().all(|it| it.ok) { Ok(()) } else { Err(Failure::No) }
}

/// Lists the tracers of the running agent; if there is none, those of the configuration.
fn list(common: &Common, format: Output) -> Outcome {
    let workdir = common.workdir()?;
    if socket::CONTROL.path(&workdir).exists()
        && let Ok(status) = fetch(&workdir)
    {
        return match format {
            Output::Json => output::print(&to_json(&status.tracers)?),
            Output::Table => output::print(&tracer_table(&status.tracers).to_string()),
        };
    }
    let configured = assemble::configured(&common.load()?);
    match format {
        Output::Json => output::print(&to_json(&configured)?),
        Output::Table => {
            output::complain("no agent is running: these are the tracers of the configuration");
            let mut table = comfy_table::Table::new();
            table.load_style(comfy_table::presets::NOTHING);
            table.set_header(["tracer", "kind", "stored as", "disabled", "hooks or program"]);
            for tracer in configured {
                table.add_row([
                    tracer.name,
                    tracer.kind.as_str().to_owned(),
                    tracer.stored_as,
                    tracer.disabled.to_string(),
                    tracer.hooks.join(", "),
                ]);
            }
            output::print(&table.to_string())
        }
    }
}
