//! Finds everything that is wrong with templates' sections.

use std::collections::BTreeMap;
use std::time::Duration;

use model::Problem;
use model::units::Size;
use serde_json::Value;

use super::config::{HookConfig, HookType, TemplateConfig, TemplatesConfig};
use crate::config::{TABLE_PART, is_table_part};

/// Limit of `poll_timeout_ms`: a longer wait would count as a stall.
const LONGEST_POLL: Duration = Duration::from_secs(10);
/// Ring sizes that the kernel accepts and that can hold a record.
const BUFFERS: (Size, Size) = (Size(4 << 10), Size(1 << 30));
/// Limits of `frequency`; the kernel's own limit is higher.
const FREQUENCIES: std::ops::RangeInclusive<u64> = 1..=10_000;

/// Returns everything that is wrong with the sections, which are found below `prefix` (`tracer.template.bpf`).
pub fn validate(templates: &TemplatesConfig, prefix: &str) -> Vec<Problem> {
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    let mut problems = Vec::new();
    for (section, config) in templates {
        let mut found = Found { prefix: format!("{prefix}.{section}"), problems: &mut problems };
        found.template(section, config);
        if !config.disabled
            && let Some(other) = taken.insert(config.stored_as(section).to_string(), section)
        {
            found.add(
                "name",
                format!("\"{}\" is also the name of template {other}", config.stored_as(section)),
            );
        }
    }
    problems
}

struct Found<'a> {
    prefix: String,
    problems: &'a mut Vec<Problem>,
}

impl Found<'_> {
    fn add(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(format!("{}.{key}", self.prefix), message));
    }

    fn template(&mut self, section: &str, config: &TemplateConfig) {
        if !config.program.ends_with(".o") && !config.program.ends_with(".c") {
            self.add("program", "expected an object (.bpf.o) or its source (.bpf.c)");
        }
        let name = config.stored_as(section);
        if !is_table_part(name.as_str()) {
            self.add("name", format!("{:?} is not a tracer name, expected {TABLE_PART}", name.as_str()));
        }
        if let Some(timeout) = config.poll_timeout_ms
            && !(1..=LONGEST_POLL.as_millis() as u64).contains(&timeout)
        {
            let longest = LONGEST_POLL.as_millis();
            self.add("poll_timeout_ms", format!("{timeout} is out of range, expected 1 to {longest}"));
        }
        if let Some(size) = config.buffer
            && !(BUFFERS.0..=BUFFERS.1).contains(&size)
        {
            let (least, most) = BUFFERS;
            self.add("buffer", format!("{size} is out of range, expected {least} to {most}"));
        }
        for (constant, value) in &config.constants {
            if !is_constant(value) {
                self.add(
                    &format!("constants.{constant}"),
                    "expected a whole number, true, false, text or a list of numbers",
                );
            }
        }
        if !config.cflags.is_empty() && !config.program.ends_with(".c") {
            self.add("cflags", "an object is not compiled: leave this out, or name its source in `program`");
        }
        for (index, hook) in config.attach.iter().enumerate() {
            self.hook(&format!("attach[{index}]"), hook);
        }
    }

    fn hook(&mut self, key: &str, hook: &HookConfig) {
        let (needs, may): (&[&str], &[&str]) = match hook.kind {
            HookType::Tracepoint => (&["category", "name"], &[]),
            HookType::RawTracepoint | HookType::BtfTracepoint => (&["name"], &[]),
            HookType::Kprobe | HookType::Kretprobe | HookType::Fentry | HookType::Fexit | HookType::Lsm => {
                (&["function"], &[])
            }
            HookType::Uprobe | HookType::Uretprobe => (&["path"], &["function", "offset", "pid"]),
            HookType::PerfEvent => (&["frequency"], &[]),
        };
        let kind = hook.kind;
        for (name, given) in given(hook) {
            let key = format!("{key}.{name}");
            match (given, needs.contains(&name), may.contains(&name)) {
                (false, true, _) => self.add(&key, format!("missing: a {kind} needs it")),
                (true, false, false) => {
                    let known = [needs, may].concat().join(", ");
                    self.add(&key, format!("a {kind} has no such key, only {known}, program, optional"));
                }
                _ => {}
            }
        }
        let user = matches!(kind, HookType::Uprobe | HookType::Uretprobe);
        if user && hook.function.is_empty() == hook.offset.is_none() {
            self.add(key, format!("a {kind} needs either function or offset"));
        }
        if hook.function.0.iter().chain(&hook.name.0).any(|name| name.is_empty() || name.contains('\0')) {
            self.add(key, "expected names that are not empty");
        }
        // Both become parts of a path in tracefs.
        let is_path = |part: &String| part.contains('/') || part.starts_with('.');
        if kind == HookType::Tracepoint && hook.category.iter().chain(&hook.name.0).any(is_path) {
            self.add(key, "expected category and name without \"/\"");
        }
        if let Some(frequency) = hook.frequency
            && !FREQUENCIES.contains(&frequency)
        {
            let (least, most) = (FREQUENCIES.start(), FREQUENCIES.end());
            self.add(
                &format!("{key}.frequency"),
                format!("{frequency} is out of range, expected {least} to {most}"),
            );
        }
    }
}

/// Returns the keys that depend on a hook's type, and whether each is given.
fn given(hook: &HookConfig) -> [(&'static str, bool); 7] {
    [
        ("category", hook.category.is_some()),
        ("name", !hook.name.is_empty()),
        ("function", !hook.function.is_empty()),
        ("path", hook.path.is_some()),
        ("offset", hook.offset.is_some()),
        ("pid", hook.pid.is_some()),
        ("frequency", hook.frequency.is_some()),
    ]
}

fn is_constant(value: &Value) -> bool {
    let whole = |value: &Value| value.is_i64() || value.is_u64();
    match value {
        Value::Array(items) => items.iter().all(whole),
        other => whole(other) || other.is_boolean() || other.is_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let templates: TemplatesConfig = serde_json::from_str(text).unwrap();
        validate(&templates, "t").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_template_may_be_one_line() {
        assert_eq!(problems(r#"{"a": {"program": "a.bpf.c"}}"#), Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_reported_with_its_key() {
        let found = problems(
            r#"{"a@b": {"program": "a", "poll_timeout_ms": 0, "buffer": 1, "constants": {"x": 1.5}, "cflags": ["-g"]},
                "h": {"program": "h.bpf.o", "attach": [
                    {"type": "tracepoint", "name": "x"},
                    {"type": "kprobe", "name": "y"},
                    {"type": "uprobe", "path": "/x", "function": "f", "offset": 3},
                    {"type": "perf_event", "frequency": 0}]},
                "i": {"program": "i.bpf.o", "name": "h"}}"#,
        );
        let expected = [
            "t.a@b.program: expected an object (.bpf.o) or its source (.bpf.c)",
            "t.a@b.name: \"a@b\" is not a tracer name, expected 1 to 64 letters, digits, '_', '-' or '.'",
            "t.a@b.poll_timeout_ms: 0 is out of range, expected 1 to 10000",
            "t.a@b.buffer: 1B is out of range, expected 4KiB to 1GiB",
            "t.a@b.constants.x: expected a whole number, true, false, text or a list of numbers",
            "t.a@b.cflags: an object is not compiled: leave this out, or name its source in `program`",
            "t.h.attach[0].category: missing: a tracepoint needs it",
            "t.h.attach[1].name: a kprobe has no such key, only function, program, optional",
            "t.h.attach[1].function: missing: a kprobe needs it",
            "t.h.attach[2]: a uprobe needs either function or offset",
            "t.h.attach[3].frequency: 0 is out of range, expected 1 to 10000",
            "t.i.name: \"h\" is also the name of template h",
        ];
        assert_eq!(found, expected);
    }
}
