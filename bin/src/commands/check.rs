//! `check`: what this kernel and this user allow, per tracer, and what to do about the rest.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bpf_programs::checks;
use bpf_programs::template::{self, TemplatesConfig};
use serde::Serialize;

use crate::assemble::{self, Configured};
use crate::cli::Output;
use crate::cli_common::Common;
use crate::commands::control::to_json;
use crate::config::Config;
use crate::exit::{Failure, Outcome};
use crate::output;
use crate::part::TEMPLATE;

/// What one tracer finds here.
#[derive(Debug, Serialize)]
struct Finding {
    tracer: String,
    kind: &'static str,
    /// Tier of hooks: 1 trampolines, 2 tracepoints, 3 kprobes; none for other kinds.
    tier: Option<u8>,
    disabled: bool,
    ok: bool,
    missing: Vec<String>,
    advice: Vec<String>,
}

/// Checks every tracer the configuration knows. Exit 0 if all that are enabled can run, 3 if none can, else 1.
pub(crate) fn run(common: &Common, format: Output) -> Outcome {
    let config = common.load_aloud()?.config;
    let findings = findings(&config);
    match format {
        Output::Json => output::print(&to_json(&findings)?)?,
        Output::Table => output::print(&render(&findings))?,
    }
    let mut enabled = findings.iter().filter(|finding| !finding.disabled).peekable();
    if enabled.peek().is_none() || enabled.clone().all(|finding| !finding.ok) {
        return Err(Failure::NothingTraced(anyhow::anyhow!("no tracer can run here")));
    }
    if enabled.all(|finding| finding.ok) { Ok(()) } else { Err(Failure::No) }
}

fn findings(config: &Config) -> Vec<Finding> {
    let kernel = checks::check();
    let templates = config.bpf_templates();
    let judge = |tracer: Configured| match kernel.iter().find(|check| check.tracer == tracer.name) {
        Some(check) if tracer.kind == crate::part::EBPF => Finding {
            tracer: tracer.name,
            kind: tracer.kind,
            tier: Some(check.tier),
            disabled: tracer.disabled,
            ok: check.ok,
            missing: check.missing.clone(),
            advice: check.advice.clone(),
        },
        _ if tracer.kind == TEMPLATE => judge_template(tracer, &templates),
        _ => judge_program(tracer),
    };
    assemble::configured(config).into_iter().map(judge).collect()
}

/// An eBPF template: compiled, loaded and attached, and let go at once.
fn judge_template(tracer: Configured, templates: &TemplatesConfig) -> Finding {
    let config = templates.get(&tracer.name);
    let check = config.map(|config| actix::System::new().block_on(template::check::check(config)));
    // One that is disabled is not tried: to load somebody's program is more than to look.
    let check = check.unwrap_or_default();
    Finding {
        tracer: tracer.name,
        kind: tracer.kind,
        tier: Some(check.tier).filter(|tier| *tier > 0),
        disabled: tracer.disabled,
        ok: check.ok,
        missing: check.missing,
        advice: check.advice,
    }
}

/// A tracer that is another program: is the program there?
fn judge_program(tracer: Configured) -> Finding {
    let program = tracer.hooks.first().cloned().unwrap_or_default();
    let ok = find_program(&program).is_some();
    let mut finding = Finding {
        tracer: tracer.name,
        kind: tracer.kind,
        tier: None,
        disabled: tracer.disabled,
        ok,
        missing: Vec::new(),
        advice: Vec::new(),
    };
    if !ok {
        finding.missing.push(format!("the program {program:?} is not found, or may not be run"));
        finding.advice.push("install it, or give its full path in `comm`".to_owned());
    }
    finding
}

/// Looks a program up as `execvp` does.
fn find_program(program: &str) -> Option<PathBuf> {
    let runs = |path: &Path| {
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| runs(path));
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| runs(path))
}

fn render(findings: &[Finding]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["tracer", "kind", "tier", "verdict"]);
    let mut advice: Vec<&String> = Vec::new();
    for finding in findings {
        let verdict = match (finding.disabled, finding.ok) {
            (true, _) => "disabled".to_owned(),
            (false, true) if finding.missing.is_empty() => "ok".to_owned(),
            (false, true) => format!("ok, without {}", finding.missing.join("; ")),
            (false, false) => finding.missing.join("; "),
        };
        let tier = finding.tier.map_or_else(|| "-".to_owned(), |tier| tier.to_string());
        table.add_row([finding.tracer.as_str(), finding.kind, &tier, &verdict]);
        let new: Vec<_> =
            finding.advice.iter().filter(|line| !finding.disabled && !advice.contains(line)).collect();
        advice.extend(new);
    }
    let mut text = table.to_string();
    if !advice.is_empty() {
        text.push_str("\n\nwhat to do:");
        for line in advice {
            text.push_str(&format!("\n- {line}"));
        }
    }
    text
}
