//! What each setting of duetector's is here: its own section of knowledge, as a table. The first line that fits counts.

use super::shape::Shape;

/// What becomes of a setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    /// It is these, in that shape. What `*` stood for stands there too.
    Is(&'static [&'static str], Shape),
    /// It says what is so here in any case, if it says this. Else there is nothing like it, because of that.
    SoIf(So, &'static str),
    /// There is nothing like it, because of that.
    Nothing(&'static str),
}

/// What a setting must say to be so here in any case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum So {
    /// True or false.
    Truth(bool),
    /// This text.
    Text(&'static str),
    /// The same as another setting, which is this when nobody says.
    As(&'static str, &'static str),
}

use Rule::{Is, Nothing, SoIf};
use Shape::{Any, Millis, Seconds, Store, Text, Truth, Whole, Words};

/// Where duetector stores when nobody says.
pub(super) const URL: &str = "sqlite:///duetector-dbcollector.sqlite3";
/// How its tables' names begin when nobody says.
const PREFIX: &str = "duetector_tracking";

const EXTENSION: Rule =
    SoIf(So::Truth(false), "extensions in Python can't be loaded: run them as subprocess tracers");
const WORKERS: Rule = Nothing("there are no pools of threads: each tracer and sink is an actor of its own");
const AUTO_INIT: Rule = SoIf(So::Truth(true), "tracers start with the agent: disable those that should not");
const LAST_CALL: Rule = SoIf(So::Truth(true), "what has happened up to the end is always stored");
const POLL_TIMEOUT: Rule =
    Nothing("the kernel's rings are looked at without waiting, every `ebpf.look_interval`");
const ATTRIBUTE: &str = "an attribute that nothing reads";
const EXTRA_FIELDS: &str = "what injectors add is under other names here: exclude_container_id, exclude_exe";
const SQLALCHEMY: &str = "a setting of SQLAlchemy's, which is not used here";
const OTLP: &str = "there is no OTLP exporter: `collector.jsonl` writes rows that one can ship";
const JAEGER: &str = "rows are read from the store, not from Jaeger";
const PREFIX_WHY: &str = "every table begins with duetector_tracking: rows under another name are not found";
const ONE_STORE: &str = "brief and query read the file that `collector.sqlite.path` names";

/// Every setting there is in duetector, and what is like it.
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
        SoIf(So::Text("do_sys_openat2"), "opens are recorded at the system calls' own tracepoints"),
    ),
    ("tracer.opentracer.poll_timeout", POLL_TIMEOUT),
    ("tracer.clonetracer.disabled", Is(&["tracer.clone.disabled"], Truth)),
    (
        "tracer.clonetracer.attach_event",
        SoIf(
            So::Text("__x64_sys_clone"),
            "processes are recorded where the kernel makes them, whatever was called",
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
    ("collector.dbcollector.db.table_prefix", SoIf(So::Text(PREFIX), PREFIX_WHY)),
    ("collector.dbcollector.db.engine.url", Is(&["collector.sqlite.path"], Store)),
    ("collector.dbcollector.db.**", Nothing(SQLALCHEMY)),
    ("collector.dequecollector.disabled", Is(&["collector.memory.disabled"], Truth)),
    ("collector.dequecollector.maxlen", Is(&["collector.memory.maxlen"], Whole)),
    (
        "collector.dequecollector.statis_id",
        SoIf(So::As("collector.dbcollector.statis_id", ""), "all sinks share one id, `collector.id`"),
    ),
    ("collector.dequecollector.backend_args.*", WORKERS),
    ("collector.otelcollector.disabled", SoIf(So::Truth(true), OTLP)),
    ("collector.otelcollector.**", Nothing(OTLP)),
    ("analyzer.disabled", SoIf(So::Truth(false), "brief and query are always there")),
    ("analyzer.include_extension", EXTENSION),
    ("analyzer.dbanalyzer.disabled", SoIf(So::Truth(false), "brief and query are always there")),
    ("analyzer.dbanalyzer.db.table_prefix", SoIf(So::Text(PREFIX), PREFIX_WHY)),
    (
        "analyzer.dbanalyzer.db.engine.url",
        SoIf(So::As("collector.dbcollector.db.engine.url", URL), ONE_STORE),
    ),
    ("analyzer.dbanalyzer.db.**", Nothing(SQLALCHEMY)),
    ("analyzer.jaegeranalyzer.disabled", SoIf(So::Truth(true), JAEGER)),
    ("analyzer.jaegeranalyzer.**", Nothing(JAEGER)),
    (
        "injector.disabled",
        SoIf(So::Truth(false), "cgroup, namespaces and container come from the kernel with each record"),
    ),
    ("injector.include_extension", EXTENSION),
    (
        "injector.dockerinjector.disabled",
        SoIf(So::Truth(false), "a container's id costs nothing: it comes from the process's cgroup"),
    ),
    (
        "injector.k8sinjector.disabled",
        SoIf(So::Truth(true), "pods are not looked up: rows have the container's id, `container_id`"),
    ),
    ("monitor.bcc.disabled", Is(&["ebpf.disabled"], Truth)),
    ("monitor.bcc.auto_init", AUTO_INIT),
    ("monitor.bcc.continue_on_exception", Is(&["ebpf.strict"], Shape::Untruth)),
    ("monitor.bcc.backend_args.*", WORKERS),
    ("monitor.bcc.poller.interval_ms", Is(&["ebpf.look_interval"], Millis { least: 1, most: 60_000 })),
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
    ("monitor.subprocess.pool_size", Nothing("children are read as they write, at full speed")),
    (
        "monitor.subprocess.bufsize",
        Nothing("children are read as they write; `subprocess.line_limit` bounds a line"),
    ),
    ("monitor.subprocess.backend_args.*", WORKERS),
    (
        "monitor.subprocess.poller.interval_ms",
        Is(&["subprocess.poll_interval"], Millis { least: 10, most: u64::MAX }),
    ),
    ("monitor.subprocess.poller.call_when_shutdown", LAST_CALL),
    ("server.token", SoIf(So::Text(""), "there is no server: brief and query read the store themselves")),
];

/// Sections that a setting of their own can switch off, and whether they are off when nobody says. What is in one that
/// is off asks for nothing.
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

/// Why a setting that is in no line of the table is dropped.
pub(super) const UNKNOWN: &str = "no setting of duetector's that is known here";

/// What the key is, and what its `*` stood for.
pub(super) fn find(key: &[String]) -> Option<(Rule, Vec<String>)> {
    RULES.iter().find_map(|(pattern, rule)| Some((*rule, fits(pattern, key)?)))
}

/// What `*` (the rest of a part) and `**` (all parts that follow, at least one) stand for, if the key is such a one.
fn fits(pattern: &str, key: &[String]) -> Option<Vec<String>> {
    let mut stood_for = Vec::new();
    let mut parts = key.iter();
    for pattern in pattern.split('.') {
        if pattern == "**" {
            let rest: Vec<String> = parts.by_ref().cloned().collect();
            stood_for.extend(rest.iter().cloned());
            return (!rest.is_empty()).then_some(stood_for);
        }
        let part = parts.next()?;
        match pattern.strip_suffix('*') {
            Some(start) => {
                stood_for.push(part.strip_prefix(start).filter(|rest| !rest.is_empty())?.to_owned())
            }
            None if pattern != part => return None,
            None => {}
        }
    }
    parts.next().is_none().then_some(stood_for)
}

/// The key that a pattern is with these in place of its stars.
pub(super) fn fill(pattern: &str, stood_for: &[String]) -> Vec<String> {
    let mut stood_for = stood_for.iter();
    let mut key = Vec::new();
    for pattern in pattern.split('.') {
        if pattern == "**" {
            key.extend(stood_for.by_ref().cloned());
        } else if let Some(start) = pattern.strip_suffix('*') {
            key.push(format!("{start}{}", stood_for.next().map_or("", String::as_str)));
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
    fn stars_stand_for_parts() {
        assert_eq!(fits("a.b_*.c", &key("a.b_x.c")), Some(vec!["x".to_owned()]));
        assert_eq!(fits("a.b_*", &key("a.b_")), None);
        assert_eq!(fits("a.**", &key("a")), None);
        assert_eq!(fits("a.*.**", &key("a.b.c.d")), Some(key("b.c.d")));
        assert_eq!(fits("a", &key("a.b")), None);
        assert_eq!(fill("x.*.y.**", &key("b.c.d")), key("x.b.y.c.d"));
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let rule = |text: &str| find(&key(text)).map(|(rule, _)| rule);
        assert_eq!(rule("filter.patternfilter.exclude_inspector__docker"), Some(Nothing(EXTRA_FIELDS)));
        assert_eq!(rule("filter.patternfilter.exclude_uid"), Some(Is(&["filter.pattern.exclude_*"], Any)));
        assert_eq!(rule("tracer.template.sh.x.interval"), Some(Nothing(ATTRIBUTE)));
        assert_eq!(rule("tracer.mine.disabled"), None);
    }
}
