//! `check`: what this kernel and this user allow, per tracer, and what to do about the rest.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bpf_programs::checks;
use bpf_programs::template::{self, TemplatesConfig};
use bpf_programs::tier::Tier;
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
    /// What hooks of that tier can't see.
    unseen: Vec<String>,
    advice: Vec<String>,
}

/// Checks every tracer the configuration knows. Exit 0 if all that are enabled can run whole, 3 if none can, else 1.
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
    // What a template lacks it was told to do without.
    let is_whole = |finding: &Finding| finding.missing.is_empty() || finding.kind == TEMPLATE;
    if enabled.all(|finding| finding.ok && is_whole(finding)) { Ok(()) } else { Err(Failure::No) }
}

fn findings(config: &Config) -> Vec<Finding> {
    let kernel = checks::check(&config.ebpf);
    let templates = config.bpf_templates();
    let judge = |tracer: Configured| match kernel.tracers.iter().find(|check| check.tracer == tracer.name) {
        Some(check) if tracer.kind == crate::part::EBPF => Finding {
            tracer: tracer.name,
            kind: tracer.kind,
            tier: Some(check.tier),
            disabled: tracer.disabled,
            ok: check.ok,
            missing: check.missing.clone(),
            unseen: check.unseen.clone(),
            advice: check.advice.clone(),
        },
        _ if tracer.kind == TEMPLATE => judge_template(tracer, &templates),
        _ => judge_program(tracer),
    };
    let mut findings: Vec<Finding> = assemble::configured(config).into_iter().map(judge).collect();
    if !kernel.table.is_empty() {
        findings.push(judge_host(kernel.table, config.ebpf.disabled));
    }
    findings
}

/// What all kernel tracers do without: told under the name of their host, when there is something.
fn judge_host(missing: Vec<String>, disabled: bool) -> Finding {
    Finding {
        tracer: "ebpf".to_owned(),
        kind: "host",
        tier: None,
        disabled,
        ok: true,
        missing,
        unseen: Vec::new(),
        advice: Vec::new(),
    }
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
        unseen: Vec::new(),
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
        unseen: Vec::new(),
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

/// What can't be seen, each once, with the tracers it is true of.
fn unseen(findings: &[Finding]) -> String {
    let mut told: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
    for finding in findings.iter().filter(|finding| !finding.disabled) {
        finding.unseen.iter().for_each(|line| told.entry(line).or_default().push(&finding.tracer));
    }
    let lines = told.iter().map(|(line, tracers)| format!("\n- {line} ({})", tracers.join(", ")));
    if told.is_empty() { String::new() } else { format!("\n\nnot seen:{}", lines.collect::<String>()) }
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
            (false, true) if finding.kind == TEMPLATE => {
                format!("ok, without {}", finding.missing.join("; "))
            }
            (false, true) => format!("degraded, without {}", finding.missing.join("; ")),
            (false, false) => finding.missing.join("; "),
        };
        let tier = finding.tier.and_then(Tier::of_number).map_or("-", Tier::name);
        table.add_row([finding.tracer.as_str(), finding.kind, tier, &verdict]);
        let new: Vec<_> =
            finding.advice.iter().filter(|line| !finding.disabled && !advice.contains(line)).collect();
        advice.extend(new);
    }
    let mut text = table.to_string();
    text.push_str(&unseen(findings));
    if !advice.is_empty() {
        text.push_str("\n\nwhat to do:");
        for line in advice {
            text.push_str(&format!("\n- {line}"));
        }
    }
    text
}
