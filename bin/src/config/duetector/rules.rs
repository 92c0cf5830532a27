//! The table of all settings of duetector's and their equivalents here. The first matching line counts.

use super::shape::Shape;

/// Says how a setting is translated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    /// Becomes these settings, converted to that shape. A `*` is replaced by the text it matched.
    Is(&'static [&'static str], Shape),
    /// Has no equivalent, for this reason. A setting with the expected value asks for nothing, and is dropped silently.
    NothingUnless(Expected, &'static str),
    /// Has no equivalent, for this reason.
    Nothing(&'static str),
}

/// The value of a setting that describes what the agent does anyway.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Expected {
    /// This truth value.
    Truth(bool),
    /// Exactly this text.
    Text(&'static str),
    /// The value of another setting; the second text is that setting's default.
    As(&'static str, &'static str),
}

use Rule::{Is, Nothing, NothingUnless};
use Shape::{Any, Millis, Seconds, Store, Text, Truth, Whole, Words};

/// Duetector's default store.
pub(super) const URL: &str = "sqlite:///duetector-dbcollector.sqlite3";
/// Duetector's default prefix of tables' names.
const PREFIX: &str = "duetector_tracking";

const EXTENSION: Rule = NothingUnless(
    Expected::Truth(false),
    "extensions in Python can't be loaded: run them as subprocess tracers",
);
const WORKERS: Rule = Nothing("there are no pools of threads: each tracer and sink is an actor of its own");
const AUTO_INIT: Rule =
    NothingUnless(Expected::Truth(true), "tracers start with the agent: disable those that should not run");
const LAST_CALL: Rule =
    NothingUnless(Expected::Truth(true), "everything recorded before the stop is always stored");
const POLL_TIMEOUT: Rule =
    Nothing("the kernel's rings are polled without waiting, every `ebpf.poll_interval`");
const ATTRIBUTE: &str = "an attribute that is never read";
const EXTRA_FIELDS: &str =
    "the fields that injectors add have other names here: exclude_container_id, exclude_exe";
const SQLALCHEMY: &str = "a setting of SQLAlchemy, which is not used here";
const OTLP: &str = "there is no OTLP exporter: `collector.jsonl` writes rows that other programs can export";
const JAEGER: &str = "rows are read from the store, not from Jaeger";
const PREFIX_WHY: &str = "every table begins with duetector_tracking: rows under another name are not found";
const ONE_STORE: &str = "brief and query read the file that `collector.sqlite.path` names";

/// All settings of duetector, with their equivalents.
pub(super) const RULES: &[(&str, Rule)] = &[
    ("filter.disabled", Is(&["filter.pattern.disabled"], Truth)),
    ("filter.include_extension", EXTENSION),
    ("filter.patternfilter.disabled", Is(&["filter.pattern.disabled"], Truth)),
    ("filter.patternfilter.ignore_current_pid", Is(&["filter.pattern.ignore_current_pid"], Truth)),
    (
        "filter.patternfilter.enable_customize_exclude",
        Is(&["filter.pattern.enable_customize_exclude"], Truth),
    ),
    ("filter.patternfilter.exclude_inspector__*", Nothing(EXTRA_FIELDS)),
    ("filter.patternfilter.re_exclude_inspector__*", Nothing(EXTRA_FIELDS)),
    ("filter.patternfilter.exclude_*", Is(&["filter.pattern.exclude_*"], Any)),
    ("filter.patternfilter.re_exclude_*", Is(&["filter.pattern.re_exclude_*"], Any)),
    (
        "tracer.disabled",
        Is(
            &[
                "tracer.open.disabled",
                "tracer.clone.disabled",
                "tracer.connect.disabled",
                "tracer.uname.disabled",
                "tracer.template.disabled",
            ],
            Truth,
        ),
    ),
    ("tracer.include_extension", EXTENSION),
    ("tracer.opentracer.disabled", Is(&["tracer.open.disabled"], Truth)),
    (
        "tracer.opentracer.attach_event",
        NothingUnless(
            Expected::Text("do_sys_openat2"),
            "opens are recorded at the system calls' own tracepoints",
        ),
    ),
    ("tracer.opentracer.poll_timeout", POLL_TIMEOUT),
    ("tracer.clonetracer.disabled", Is(&["tracer.clone.disabled"], Truth)),
    (
        "tracer.clonetracer.attach_event",
        NothingUnless(
            Expected::Text("__x64_sys_clone"),
            "processes are recorded where the kernel creates them, whichever system call was used",
        ),
    ),
    ("tracer.clonetracer.poll_timeout", POLL_TIMEOUT),
    ("tracer.tcpconnecttracer.disabled", Is(&["tracer.connect.disabled"], Truth)),
    ("tracer.tcpconnecttracer.poll_timeout", POLL_TIMEOUT),
    ("tracer.unametracer.disabled", Is(&["tracer.uname.disabled"], Truth)),
    ("tracer.unametracer.enable_cache", Is(&["tracer.uname.enable_cache"], Truth)),
    ("tracer.template.disabled", Is(&["tracer.template.disabled"], Truth)),
    ("tracer.template.sh.*.comm", Is(&["tracer.template.sh.*.comm"], Words)),
    ("tracer.template.sh.*.name", Is(&["tracer.template.sh.*.name"], Text)),
    ("tracer.template.sh.*.disabled", Is(&["tracer.template.sh.*.disabled"], Truth)),
    ("tracer.template.sh.*.config.disabled", Is(&["tracer.template.sh.*.disabled"], Truth)),
    ("tracer.template.sh.*.config.enable_cache", Is(&["tracer.template.sh.*.enable_cache"], Truth)),
    ("tracer.template.sh.**", Nothing(ATTRIBUTE)),
    ("tracer.template.sp.*.comm", Is(&["tracer.template.sp.*.comm"], Words)),
    ("tracer.template.sp.*.name", Is(&["tracer.template.sp.*.name"], Text)),
    ("tracer.template.sp.*.disabled", Is(&["tracer.template.sp.*.disabled"], Truth)),
    ("tracer.template.sp.*.preserve_env", Is(&["tracer.template.sp.*.preserve_env"], Truth)),
    ("tracer.template.sp.*.config.disabled", Is(&["tracer.template.sp.*.disabled"], Truth)),
    ("tracer.template.sp.*.config.**", Is(&["tracer.template.sp.*.config.**"], Any)),
    ("tracer.template.sp.**", Nothing(ATTRIBUTE)),
    ("collector.disabled", Is(&["collector.sqlite.disabled", "collector.memory.disabled"], Truth)),
    ("collector.include_extension", EXTENSION),
    ("collector.dbcollector.disabled", Is(&["collector.sqlite.disabled"], Truth)),
    ("collector.dbcollector.statis_id", Is(&["collector.id"], Text)),
    ("collector.dbcollector.backend_args.*", WORKERS),
    ("collector.dbcollector.db.table_prefix", NothingUnless(Expected::Text(PREFIX), PREFIX_WHY)),
    ("collector.dbcollector.db.engine.url", Is(&["collector.sqlite.path"], Store)),
    ("collector.dbcollector.db.**", Nothing(SQLALCHEMY)),
    ("collector.dequecollector.disabled", Is(&["collector.memory.disabled"], Truth)),
    ("collector.dequecollector.maxlen", Is(&["collector.memory.maxlen"], Whole)),
    (
        "collector.dequecollector.statis_id",
        NothingUnless(
            Expected::As("collector.dbcollector.statis_id", ""),
            "all sinks share one id, `collector.id`",
        ),
    ),
    ("collector.dequecollector.backend_args.*", WORKERS),
    ("collector.otelcollector.disabled", NothingUnless(Expected::Truth(true), OTLP)),
    ("collector.otelcollector.**", Nothing(OTLP)),
    ("analyzer.disabled", NothingUnless(Expected::Truth(false), "brief and query are always there")),
    ("analyzer.include_extension", EXTENSION),
    (
        "analyzer.dbanalyzer.disabled",
        NothingUnless(Expected::Truth(false), "brief and query are always there"),
    ),
    ("analyzer.dbanalyzer.db.table_prefix", NothingUnless(Expected::Text(PREFIX), PREFIX_WHY)),
    (
        "analyzer.dbanalyzer.db.engine.url",
        NothingUnless(Expected::As("collector.dbcollector.db.engine.url", URL), ONE_STORE),
    ),
    ("analyzer.dbanalyzer.db.**", Nothing(SQLALCHEMY)),
    ("analyzer.jaegeranalyzer.disabled", NothingUnless(Expected::Truth(true), JAEGER)),
    ("analyzer.jaegeranalyzer.**", Nothing(JAEGER)),
    (
        "injector.disabled",
        NothingUnless(
            Expected::Truth(false),
            "cgroup, namespaces and container come from the kernel with each record",
        ),
    ),
    ("injector.include_extension", EXTENSION),
    (
        "injector.dockerinjector.disabled",
        NothingUnless(
            Expected::Truth(false),
            "the container's id is always recorded: it comes from the process's cgroup",
        ),
    ),
    (
        "injector.k8sinjector.disabled",
        NothingUnless(
            Expected::Truth(true),
            "pods are not looked up: rows have the container's id, `container_id`",
        ),
    ),
    ("monitor.bcc.disabled", Is(&["ebpf.disabled"], Truth)),
    ("monitor.bcc.auto_init", AUTO_INIT),
    ("monitor.bcc.continue_on_exception", Is(&["ebpf.strict"], Shape::Untruth)),
    ("monitor.bcc.backend_args.*", WORKERS),
    ("monitor.bcc.poller.interval_ms", Is(&["ebpf.poll_interval"], Millis { least: 1, most: 60_000 })),
    ("monitor.bcc.poller.call_when_shutdown", LAST_CALL),
    ("monitor.sh.disabled", Is(&["shell.disabled"], Truth)),
    ("monitor.sh.auto_init", AUTO_INIT),
    ("monitor.sh.timeout", Is(&["shell.timeout"], Seconds { least_ms: 10 })),
    ("monitor.sh.backend_args.*", WORKERS),
    (
        "monitor.sh.poller.interval_ms",
        Is(&["shell.interval", "tracer.uname.interval"], Millis { least: 10, most: u64::MAX }),
    ),
    ("monitor.sh.poller.call_when_shutdown", LAST_CALL),
    ("monitor.subprocess.disabled", Is(&["subprocess.disabled"], Truth)),
    ("monitor.subprocess.auto_init", AUTO_INIT),
    ("monitor.subprocess.timeout", Is(&["subprocess.poll_time"], Seconds { least_ms: 0 })),
    ("monitor.subprocess.kill_timeout", Is(&["subprocess.kill_timeout"], Seconds { least_ms: 0 })),
    ("monitor.subprocess.restart_times", Is(&["subprocess.restart_times"], Whole)),
    ("monitor.subprocess.pool_size", Nothing("the output of children is read as soon as they write it")),
    (
        "monitor.subprocess.bufsize",
        Nothing(
            "the output of children is read as soon as they write it; `subprocess.line_limit` bounds a line",
        ),
    ),
    ("monitor.subprocess.backend_args.*", WORKERS),
    (
        "monitor.subprocess.poller.interval_ms",
        Is(&["subprocess.poll_interval"], Millis { least: 10, most: u64::MAX }),
    ),
    ("monitor.subprocess.poller.call_when_shutdown", LAST_CALL),
    (
        "server.token",
        NothingUnless(
            Expected::Text(""),
            "`serve` makes a token of its own, and reads others only from files or as hashes",
        ),
    ),
];

/// Sections with a `disabled` setting, and duetector's default for it. Settings in a disabled section ask for nothing.
pub(super) const SWITCHES: &[(&str, bool)] = &[
    ("filter", false),
    ("filter.patternfilter", false),
    ("tracer", false),
    ("tracer.opentracer", false),
    ("tracer.clonetracer", false),
    ("tracer.tcpconnecttracer", false),
    ("tracer.unametracer", false),
    ("tracer.template", false),
    ("collector", false),
    ("collector.dbcollector", false),
    ("collector.dequecollector", true),
    ("collector.otelcollector", true),
    ("analyzer", false),
    ("analyzer.dbanalyzer", false),
    ("analyzer.jaegeranalyzer", true),
    ("injector", false),
    ("injector.k8sinjector", false),
    ("injector.dockerinjector", false),
    ("monitor.bcc", false),
    ("monitor.sh", false),
    ("monitor.subprocess", false),
];

/// The reason for dropping a setting that no line of the table matches.
pub(super) const UNKNOWN: &str = "not a known setting of duetector";

/// Returns the rule for a key, and the texts that its stars matched.
pub(super) fn find(key: &[String]) -> Option<(Rule, Vec<String>)> {
    RULES.iter().find_map(|(pattern, rule)| Some((*rule, matches(pattern, key)?)))
}

/// Returns the texts that `*` (the rest of a part) and `**` (all parts that follow, at least one) match, or `None` if
/// the key does not match the pattern.
fn matches(pattern: &str, key: &[String]) -> Option<Vec<String>> {
    let mut matched = Vec::new();
    let mut parts = key.iter();
    for pattern in pattern.split('.') {
        if pattern == "**" {
            let rest: Vec<String> = parts.by_ref().cloned().collect();
            matched.extend(rest.iter().cloned());
            return (!rest.is_empty()).then_some(matched);
        }
        let part = parts.next()?;
        match pattern.strip_suffix('*') {
            Some(start) => matched.push(part.strip_prefix(start).filter(|rest| !rest.is_empty())?.to_owned()),
            None if pattern != part => return None,
            None => {}
        }
    }
    parts.next().is_none().then_some(matched)
}

/// Returns the pattern as a key, with its stars replaced by these texts.
pub(super) fn fill(pattern: &str, matched: &[String]) -> Vec<String> {
    let mut matched = matched.iter();
    let mut key = Vec::new();
    for pattern in pattern.split('.') {
        if pattern == "**" {
            key.extend(matched.by_ref().cloned());
        } else if let Some(start) = pattern.strip_suffix('*') {
            key.push(format!("{start}{}", matched.next().map_or("", String::as_str)));
        } else {
            key.push(pattern.to_owned());
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn stars_match_parts() {
        assert_eq!(matches("a.b_*.c", &key("a.b_x.c")), Some(vec!["x".to_owned()]));
        assert_eq!(matches("a.b_*", &key("a.b_")), None);
        assert_eq!(matches("a.**", &key("a")), None);
        assert_eq!(matches("a.*.**", &key("a.b.c.d")), Some(key("b.c.d")));
        assert_eq!(matches("a", &key("a.b")), None);
        assert_eq!(fill("x.*.y.**", &key("b.c.d")), key("x.b.y.c.d"));
    }

    #[test]
    fn the_first_matching_line_counts() {
        let rule = |text: &str| find(&key(text)).map(|(rule, _)| rule);
        assert_eq!(rule("filter.patternfilter.exclude_inspector__docker"), Some(Nothing(EXTRA_FIELDS)));
        assert_eq!(rule("filter.patternfilter.exclude_uid"), Some(Is(&["filter.pattern.exclude_*"], Any)));
        assert_eq!(rule("tracer.template.sh.x.interval"), Some(Nothing(ATTRIBUTE)));
        assert_eq!(rule("tracer.mine.disabled"), None);
    }
}
