//! `tracers`: all of them, running or not; and what is told of programs that could be some.

use clap::{Args, Subcommand};

use super::inspect::{self, CompileArgs, InspectArgs};
use crate::cli::Output;
use crate::cli_common::Common;
use crate::commands::cache::{self, CacheArgs};
use crate::commands::control::{fetch, read_answer, to_json};
use crate::control::{AskError, Request};
use crate::exit::{Failure, Outcome};
use crate::output;
use crate::status::tracer_table;
use crate::turn::Turned;
use crate::{assemble, control};

/// Options of `tracers`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct TracersArgs {
    /// How the answer looks
    #[arg(long, value_enum, default_value_t)]
    format: Output,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a shell tracer's last run brought, whose like is not stored again; or set or clear it
    Cache(CacheArgs),
    /// Tell what is in an eBPF program: programs, hooks, maps, the records' fields, and a template to paste
    Inspect(InspectArgs),
    /// Make an object (.bpf.o) of a source (.bpf.c), as the agent does at its start: for machines without clang
    Compile(CompileArgs),
    /// Print the header that programs of templates may include as "duetector.h"
    Header,
    /// Attach tracers of the running agent, given-up ones too; answered when they record
    Enable(TurnArgs),
    /// Detach tracers of the running agent until they are enabled, their section changes, or the agent restarts
    Disable(TurnArgs),
}

#[derive(Debug, clap::Args)]
struct TurnArgs {
    /// Which: names as in `status`, or their sections
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

/// Runs `tracers`.
pub(crate) fn run(common: &Common, args: &TracersArgs) -> Outcome {
    match &args.command {
        Some(Command::Enable(args)) => turn(common, args, true),
        Some(Command::Disable(args)) => turn(common, args, false),
        None => list(common, args.format),
        Some(Command::Cache(args)) => cache::run(common, args),
        Some(Command::Inspect(args)) => inspect::run(args),
        Some(Command::Compile(args)) => inspect::compile(args),
        Some(Command::Header) => output::print(bpf_programs::template::compile::HEADER.trim_end()),
    }
}

/// Turns tracers of the running agent on or off, and says what happened to each.
fn turn(common: &Common, args: &TurnArgs, on: bool) -> Outcome {
    let request = Request::Turn { tracers: args.names.clone(), on };
    let turned: Vec<Turned> = match control::ask(&common.workdir()?, &request) {
        Ok(value) => read_answer(value)?,
        Err(AskError::Refused(why)) => return Err(Failure::Usage(anyhow::anyhow!(why))),
        Err(cause) => return Err(Failure::Failed(cause.into())),
    };
    match args.format {
        Output::Json => output::print(&to_json(&turned)?)?,
        Output::Table => {
            let lines = turned.iter().map(|it| format!("tracer {}: {}", it.tracer, it.outcome));
            output::print(&lines.collect::<Vec<_>>().join("\n"))?;
        }
    }
    if turned.iter().all(|it| it.ok) { Ok(()) } else { Err(Failure::No) }
}

/// Lists the running agent's tracers, or without one those the configuration asks for.
fn list(common: &Common, format: Output) -> Outcome {
    let workdir = common.workdir()?;
    if control::socket_path(&workdir).exists()
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
            output::complain("no agent runs: these are the tracers that the configuration asks for");
            let mut table = comfy_table::Table::new();
            table.load_style(comfy_table::presets::NOTHING);
            table.set_header(["tracer", "kind", "stored as", "disabled", "what it hooks or runs"]);
            for tracer in configured {
                table.add_row([
                    tracer.name,
                    tracer.kind.to_owned(),
                    tracer.stored_as,
                    tracer.disabled.to_string(),
                    tracer.hooks.join(", "),
                ]);
            }
            output::print(&table.to_string())
        }
    }
}
