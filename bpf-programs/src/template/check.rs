//! What this kernel, this user and this machine allow of a template: found by trying.

use std::path::Path;

use serde::Serialize;

use super::compile;
use super::config::{HookType, TemplateConfig};
use super::errors::TemplateError;
use super::plan::Plan;
use super::reader::Loaded;

/// What one template finds here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TemplateCheck {
    /// The tier of hooks it uses: 1 trampolines, 2 tracepoints, 3 kprobes; of several kinds the last. 0 where that can't
    /// be told.
    pub tier: u8,
    /// It can run.
    pub ok: bool,
    /// What keeps it from running, or what it would have to do without.
    pub missing: Vec<String>,
    /// What to do about it, a sentence each.
    pub advice: Vec<String>,
}

/// Compiles, loads and attaches a template, and lets go of it at once.
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
