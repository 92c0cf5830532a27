//! `tracers inspect` describes an eBPF program of the user and suggests a template for it; `tracers compile` compiles one.

use std::path::PathBuf;

use anyhow::Context as _;
use bpf_programs::template::{self, Inspection, RecordLayout, TemplateError, inspect};
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};

use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, to_json};

/// Options of `tracers inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// eBPF object file (.bpf.o), or C source (.bpf.c), which is compiled first (needs clang)
    file: PathBuf,
    /// Additional argument for clang, for example -DX=1 or -I/folder. May be repeated
    #[arg(long = "cflag", value_name = "ARG", allow_hyphen_values = true)]
    cflags: Vec<String>,
    /// Same as `--format json`
    #[arg(long, hide = true)]
    json: bool,
    /// Format of the output
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

/// Options of `tracers compile`.
#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    /// C source of the eBPF program (.bpf.c)
    file: PathBuf,
    /// Object file to write. Default: next to the source, with the ending .bpf.o
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Additional argument for clang, for example -DX=1 or -I/folder. May be repeated
    #[arg(long = "cflag", value_name = "ARG", allow_hyphen_values = true)]
    cflags: Vec<String>,
}

/// Compiles the source and prints the path of the object.
pub(crate) fn compile(args: &CompileArgs) -> Outcome {
    if !template::is_source(&args.file) {
        return Err(Failure::Usage(anyhow::anyhow!(
            "{}: expected a C source file with the ending .bpf.c",
            args.file.display()
        )));
    }
    let object =
        actix::System::new().block_on(template::compile(&args.file, &args.cflags)).map_err(failed)?;
    let path = args.output.clone().unwrap_or_else(|| args.file.with_extension("o"));
    std::fs::write(&path, object).with_context(|| format!("writing the object file {}", path.display()))?;
    output::print(&path.display().to_string())
}

fn failed(cause: TemplateError) -> Failure {
    let advice: Vec<_> = cause.advice().iter().map(|line| format!("\n- {line}")).collect();
    Failure::failed(format!("{cause}{}", advice.concat()))
}

/// Prints programs, hooks, maps and records of the file.
pub(crate) fn run(args: &InspectArgs) -> Outcome {
    let inspected = actix::System::new().block_on(inspect(&args.file, &args.cflags)).map_err(failed)?;
    match (args.json, args.format) {
        (false, Output::Table) => output::print(&render(&inspected)),
        _ => output::print(&to_json(&inspected)?),
    }
}

fn render(inspected: &Inspection) -> String {
    let mut parts = vec![format!("{}", inspected.file)];
    let programs = inspected.programs.iter().map(|program| {
        let hook = program.hook.clone().unwrap_or_else(|| "unknown: set it with `attach`".to_owned());
        [program.name.clone(), program.section.clone(), hook]
    });
    parts.push(table(["program", "section", "hook"], programs).to_string());
    let maps = inspected.maps.iter().map(|map| {
        let numbers = [map.key_size, map.value_size, map.max_entries].map(|number| number.to_string());
        let [key, value, entries] = numbers;
        [map.name.clone(), map.kind.clone(), key, value, entries]
    });
    parts.push(aligned(table(["map", "type", "key", "value", "entries"], maps), 2..5).to_string());
    if !inspected.constants.is_empty() {
        let constants =
            inspected.constants.iter().map(|constant| [constant.name.clone(), constant.bytes.to_string()]);
        parts.push(aligned(table(["constant", "bytes"], constants), 1..2).to_string());
    }
    parts.extend(inspected.records.iter().map(record));
    parts.extend(inspected.problems.iter().map(|problem| format!("record: {problem}")));
    parts.push(format!("template:\n\n{}", inspected.template.trim_end()));
    parts.join("\n\n")
}

fn record(record: &RecordLayout) -> String {
    let rows = record.fields.iter().map(|field| {
        let at = match field.bits {
            Some((from, width)) => format!("{}:{from}+{width}", field.at),
            None => field.at.to_string(),
        };
        let column = field.column.map_or_else(String::new, |column| format!("column {column}"));
        [at, field.path.clone(), field.of.clone(), field.shown.clone(), column]
    });
    let rows = table(["offset", "field", "type", "stored as", ""], rows);
    format!("record {} ({} bytes)\n{}", record.record, record.bytes, aligned(rows, 0..1))
}

fn table<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    table.add_rows(rows);
    table
}

fn aligned(mut table: Table, columns: std::ops::Range<usize>) -> Table {
    for column in table.column_iter_mut().skip(columns.start).take(columns.len()) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
