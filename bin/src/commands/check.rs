//! `check`: tests for each tracer whether this kernel and this user allow it, and says what to do if not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bpf_programs::template::{self, TemplatesConfig};
use bpf_programs::{Checks, Tier};
use serde::Serialize;

use crate::assemble::{self, Configured};
use crate::cli_common::Common;
use crate::config::Config;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, to_json};
use crate::subsystem::TracerKind;

/// The result of the check of one tracer.
#[derive(Debug, Serialize)]
struct Finding {
    tracer: String,
    kind: TracerKind,
    /// Kind of hooks of a kernel tracer: 1 functions, 2 tracepoints, 3 kprobes.
    tier: Option<u8>,
    disabled: bool,
    ok: bool,
    missing: Vec<String>,
    /// Events that hooks of that kind can't observe.
    unseen: Vec<String>,
    advice: Vec<String>,
}

/// Checks every tracer of the configuration. Exit code 0 if all enabled tracers can run in full, 3 if none can run, else 1.
pub(crate) fn run(common: &Common, format: Output) -> Outcome {
    let config = common.load_trusted_and_warn()?.config;
    let findings = findings(&config);
    match format {
        Output::Json => output::print(&to_json(&findings)?)?,
        Output::Table => output::print(&render(&findings))?,
    }
    let mut enabled = findings.iter().filter(|finding| !finding.disabled).peekable();
    if enabled.peek().is_none() || enabled.clone().all(|finding| !finding.ok) {
        return Err(Failure::NothingTraced(anyhow::anyhow!(
            "no enabled tracer can run on this machine as this user"
        )));
    }
    // A template lists the hooks it can do without, so a missing one is no degradation.
    let is_whole = |finding: &Finding| finding.missing.is_empty() || finding.kind == TracerKind::Template;
    if enabled.all(|finding| finding.ok && is_whole(finding)) { Ok(()) } else { Err(Failure::No) }
}

fn findings(config: &Config) -> Vec<Finding> {
    let kernel = bpf_programs::check(&config.ebpf);
    let templates = config.bpf_templates();
    let check = |tracer: Configured| match kernel.tracers.iter().find(|check| check.tracer == tracer.name) {
        Some(check) if tracer.kind == TracerKind::Ebpf => Finding {
            tracer: tracer.name,
            kind: tracer.kind,
            tier: Some(check.tier),
            disabled: tracer.disabled,
            ok: check.ok,
            missing: check.missing.clone(),
            unseen: check.unseen.clone(),
            advice: check.advice.clone(),
        },
        _ if tracer.kind == TracerKind::Template => check_template(tracer, &templates),
        _ => check_program(tracer),
    };
    let mut findings: Vec<Finding> = assemble::configured(config).into_iter().map(check).collect();
    if !kernel.table.is_empty() || kernel.passed_over.is_some() {
        findings.push(check_host(kernel, config.ebpf.disabled));
    }
    findings
}

/// Reports under the name of their host what all kernel tracers share: gaps, and hooks that are preferred but refused.
fn check_host(checks: Checks, disabled: bool) -> Finding {
    let allow = |why| format!("let the agent use the hooks that it prefers: {why}");
    Finding {
        tracer: "ebpf".to_owned(),
        kind: TracerKind::Host,
        tier: None,
        disabled,
        ok: true,
        missing: checks.table,
        unseen: Vec::new(),
        advice: checks.passed_over.map(allow).into_iter().collect(),
    }
}

/// Checks an eBPF template by compiling, loading and attaching it; it is detached at once.
fn check_template(tracer: Configured, templates: &TemplatesConfig) -> Finding {
    let config = templates.get(&tracer.name);
    let check = config.map(|config| actix::System::new().block_on(template::check(config)));
    // A disabled template is not loaded: that would run a program which the user does not want to run.
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

/// Checks whether the program of a shell or subprocess tracer exists and may be executed.
fn check_program(tracer: Configured) -> Finding {
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
        finding.missing.push(format!("the program {program:?} does not exist or may not be executed"));
        finding.advice.push("install the program, or set its full path in `comm`".to_owned());
    }
    finding
}

/// Searches a program in PATH as `execvp` does.
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

/// Lists the events that can't be observed, each once, with the tracers concerned.
fn unseen(findings: &[Finding]) -> String {
    let mut gaps: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
    for finding in findings.iter().filter(|finding| !finding.disabled) {
        finding.unseen.iter().for_each(|line| gaps.entry(line).or_default().push(&finding.tracer));
    }
    let kernel =
        findings.iter().filter(|finding| !finding.disabled && finding.kind == TracerKind::Ebpf).count();
    let names = |tracers: &[&str]| match tracers.len() {
        count if count > 1 && count == kernel => "all kernel tracers".to_owned(),
        _ => tracers.join(", "),
    };
    let lines = gaps.iter().map(|(line, tracers)| format!("\n- {line} ({})", names(tracers)));
    if gaps.is_empty() { String::new() } else { format!("\n\nnot recorded:{}", lines.collect::<String>()) }
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
            (false, true) if finding.kind == TracerKind::Template => {
                format!("ok, without {}", finding.missing.join("; "))
            }
            (false, true) => format!("degraded, without {}", finding.missing.join("; ")),
            (false, false) => format!("can't run: {}", finding.missing.join("; ")),
        };
        let tier = finding.tier.and_then(Tier::of_number);
        let tier = tier.map_or_else(|| "-".to_owned(), |tier| tier.to_string());
        table.add_row([finding.tracer.as_str(), finding.kind.as_str(), &tier, &verdict]);
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
