//! Checks what this kernel, user and machine allow a template to do, by trying it.

use std::path::Path;

use serde::Serialize;

use super::compile;
use super::config::{HookType, TemplateConfig};
use super::errors::TemplateError;
use super::plan::Plan;
use super::reader::Loaded;

/// The result for one template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TemplateCheck {
    /// The tier of its hooks: 1 functions, 2 tracepoints, 3 kprobes; the last one if there are several kinds;
    /// 0 if unknown.
    pub tier: u8,
    /// The template can run.
    pub ok: bool,
    /// Reasons why it can't run, or what it would run without.
    pub missing: Vec<String>,
    /// Possible remedies, a sentence each.
    pub advice: Vec<String>,
}

/// Compiles, loads and attaches a template, and releases it at once.
pub async fn check(config: &TemplateConfig) -> TemplateCheck {
    let mut check = TemplateCheck::default();
    match try_all(config, &mut check).await {
        Ok(without) => {
            check.ok = true;
            check.missing = without;
        }
        Err(cause) => {
            check.advice = cause.advice();
            check.missing.push(cause.to_string());
        }
    }
    check
}

async fn try_all(config: &TemplateConfig, check: &mut TemplateCheck) -> Result<Vec<String>, TemplateError> {
    let path = Path::new(&config.program);
    let plan = Plan::new(config, path, compile::object(path, &config.cflags).await?)?;
    check.tier = plan.hooks.iter().map(|(hook, _)| tier(hook.kind())).max().unwrap_or_default();
    let (_, attached) = Loaded::load(&plan)?;
    Ok(attached.without)
}

fn tier(kind: HookType) -> u8 {
    match kind {
        HookType::Fentry | HookType::Fexit | HookType::Lsm => 1,
        HookType::Tracepoint | HookType::RawTracepoint | HookType::BtfTracepoint => 2,
        HookType::Kprobe | HookType::Kretprobe => 3,
        HookType::Uprobe | HookType::Uretprobe | HookType::PerfEvent => 3,
    }
}
