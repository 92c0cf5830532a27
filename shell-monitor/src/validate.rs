//! Validates this crate's settings, and reports all problems at once.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Period, Problem, TracerName};
use regex::Regex;

use crate::config::{
    Config, ParseConfig, ShellConfig, ShellTemplate, SubprocessConfig, SubprocessTemplate, UnameConfig,
};
use crate::names::check_name;
use crate::user::Identity;

/// Shortest interval; shorter ones would only use up processor time.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
/// Smallest line limit in bytes; with less an ordinary event would not fit.
const SMALLEST_LINE_LIMIT: usize = 1024;

impl ShellConfig {
    /// Returns the problems of this section; `prefix` is its key.
    pub fn validate(&self, prefix: &str) -> Vec<Problem> {
        let mut problems = Problems::new(prefix);
        problems.period("interval", self.interval.0);
        problems.period("timeout", self.timeout.0);
        problems.check("output_limit", self.output_limit.0 == 0, "expected at least 1 byte");
        problems.check("max_running", self.max_running == 0, "expected at least 1");
        problems.found
    }
}

impl UnameConfig {
    /// Returns the problems of this section; `prefix` is its key.
    pub fn validate(&self, prefix: &str) -> Vec<Problem> {
        let mut problems = Problems::new(prefix);
        problems.name("name", &self.name);
        problems.comm(&self.comm);
        problems.period("interval", self.interval.0);
        problems.found
    }
}

impl SubprocessConfig {
    /// Returns the problems of this section; `prefix` is its key.
    pub fn validate(&self, prefix: &str) -> Vec<Problem> {
        let mut problems = Problems::new(prefix);
        problems.period("poll_interval", self.poll_interval.0);
        problems.line_limit(self.line_limit.0);
        problems.found
    }
}

impl ShellTemplate {
    fn validate(&self, prefix: &str, key: &str) -> Vec<Problem> {
        let mut problems = Problems::new(prefix);
        problems.name("name", self.name.as_deref().unwrap_or(key));
        problems.comm(&self.comm);
        problems.env(&self.env);
        problems.user(self.user.as_deref());
        problems.parse(self);
        let limit = self.output_limit.is_some_and(|limit| limit.0 == 0);
        problems.check("output_limit", limit, "expected at least 1 byte");
        for (name, period) in [("interval", self.interval), ("timeout", self.timeout)] {
            if let Some(period) = period {
                problems.period(name, period.0);
            }
        }
        problems.found
    }
}

impl SubprocessTemplate {
    fn validate(&self, prefix: &str, key: &str, host: &SubprocessConfig) -> Vec<Problem> {
        let mut problems = Problems::new(prefix);
        problems.name("name", self.name.as_deref().unwrap_or(key));
        problems.comm(&self.comm);
        problems.env(&self.env);
        problems.user(self.user.as_deref());
        if let Some(period) = self.poll_interval {
            problems.period("poll_interval", period.0);
        }
        if let Some(Period(heartbeat)) = self.heartbeat {
            // A child that writes only when it is polled needs time for that.
            let poll = self.poll_interval.unwrap_or(host.poll_interval);
            let least = Period(poll.0 * 2);
            let message = format!("expected at least {least}, twice the poll interval");
            problems.check("heartbeat", heartbeat < least.0, &message);
        }
        if let Some(limit) = self.line_limit {
            problems.line_limit(limit.0);
        }
        problems.found
    }
}

impl Config {
    /// Returns all problems. Keys begin at the root of the configuration.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = self.shell.validate("shell");
        problems.extend(self.uname.validate("tracer.uname"));
        problems.extend(self.subprocess.validate("subprocess"));
        for (key, template) in &self.template.sh {
            problems.extend(template.validate(&format!("tracer.template.sh.{key}"), key));
        }
        for (key, template) in &self.template.sp {
            problems.extend(template.validate(&format!("tracer.template.sp.{key}"), key, &self.subprocess));
        }
        problems.extend(self.same_names());
        problems
    }

    /// Reports tracers with the same name, which could not be told apart in the store or in status.
    fn same_names(&self) -> Vec<Problem> {
        let shells = self.shells().into_iter().map(|shell| (shell.name, shell.section));
        let children = self.subprocesses().into_iter().map(|child| (child.name, child.section));
        let mut taken: BTreeMap<TracerName, String> = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, section) in shells.chain(children) {
            if let Some(first) = taken.get(&name) {
                let message = format!("tracer name \"{name}\" is already that of {first}");
                problems.push(Problem::new(format!("{section}.name"), message));
            } else {
                taken.insert(name, section);
            }
        }
        problems
    }
}

struct Problems<'a> {
    prefix: &'a str,
    found: Vec<Problem>,
}

impl<'a> Problems<'a> {
    fn new(prefix: &'a str) -> Self {
        Self { prefix, found: Vec::new() }
    }

    fn check(&mut self, key: &str, wrong: bool, message: &str) {
        if wrong {
            self.found.push(Problem::new(format!("{}.{key}", self.prefix), message));
        }
    }

    fn period(&mut self, key: &str, period: Duration) {
        self.check(key, period < SHORTEST_INTERVAL, "expected at least 10ms");
    }

    fn line_limit(&mut self, limit: u64) {
        self.check("line_limit", limit < SMALLEST_LINE_LIMIT as u64, "expected at least 1KiB");
    }

    fn name(&mut self, key: &str, name: &str) {
        if let Err(cause) = check_name(name) {
            self.check(key, true, &cause.to_string());
        }
    }

    fn comm(&mut self, comm: &[String]) {
        let empty = comm.first().is_none_or(String::is_empty);
        self.check("comm", empty, "expected a program and its arguments, such as [\"uname\", \"-a\"]");
        let nul = comm.iter().any(|arg| arg.contains('\0'));
        self.check("comm", nul, "expected arguments without NUL characters");
    }

    fn user(&mut self, user: Option<&str>) {
        if let Some(Err(cause)) = user.map(Identity::check) {
            self.check("user", true, &cause.to_string());
        }
    }

    fn parse(&mut self, template: &ShellTemplate) {
        if template.parse != Some(ParseConfig::Regex) {
            let message = "expected only with parse = \"regex\"";
            self.check("pattern", template.pattern.is_some(), message);
            return self.check("numbers", !template.numbers.is_empty(), message);
        }
        let Some(pattern) = &template.pattern else {
            return self.check("pattern", true, "expected a pattern, such as \"^(?<user>\\\\S+)\"");
        };
        let groups = match Regex::new(pattern) {
            Ok(pattern) => pattern.capture_names().flatten().map(str::to_owned).collect::<Vec<_>>(),
            Err(cause) => return self.check("pattern", true, &format!("no regular expression: {cause}")),
        };
        self.check("pattern", groups.is_empty(), "expected at least one named group, (?<name>…)");
        for number in template.numbers.iter().filter(|number| !groups.contains(number)) {
            self.check("numbers", true, &format!("the pattern has no group {number:?}"));
        }
    }

    fn env(&mut self, env: &BTreeMap<String, String>) {
        let bad = |(key, value): (&String, &String)| {
            key.is_empty() || key.contains(['=', '\0']) || value.contains('\0')
        };
        self.check("env", env.iter().any(bad), "expected names without \"=\" and no NUL characters");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TemplateConfig;

    fn problems(template: &str) -> Vec<String> {
        let template: TemplateConfig = toml::from_str(template).unwrap();
        let config = Config { template, ..Config::default() };
        config.validate().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn defaults_and_a_plain_template_are_right() {
        assert_eq!(problems("sh.date = { comm = [\"date\"] }"), Vec::<String>::new());
    }

    #[test]
    fn parsing_and_users_are_checked_whole() {
        let found = problems(
            "sh.a = { comm = [\"a\"], parse = \"regex\" }\n\
             sh.b = { comm = [\"b\"], parse = \"regex\", pattern = \"(\" }\n\
             sh.c = { comm = [\"c\"], parse = \"regex\", pattern = \"(a)\", numbers = [\"x\"] }\n\
             sh.d = { comm = [\"d\"], pattern = \"(?<a>b)\", numbers = [\"a\"] }\n\
             sh.e = { comm = [\"e\"], user = \"no-such-user\", output_limit = 0 }\n\
             sp.f = { comm = [\"f\"], user = \"no-such-user:0\", heartbeat = \"900ms\" }",
        );
        let found: Vec<_> = found.iter().map(|problem| problem.lines().next().unwrap_or_default()).collect();
        let unknown = "expected the name of a user, or a number with a group (\"1000:1000\")";
        assert_eq!(
            found,
            [
                "tracer.template.sh.a.pattern: expected a pattern, such as \"^(?<user>\\\\S+)\"",
                "tracer.template.sh.b.pattern: no regular expression: regex parse error:",
                "tracer.template.sh.c.pattern: expected at least one named group, (?<name>…)",
                "tracer.template.sh.c.numbers: the pattern has no group \"x\"",
                "tracer.template.sh.d.pattern: expected only with parse = \"regex\"",
                "tracer.template.sh.d.numbers: expected only with parse = \"regex\"",
                &format!("tracer.template.sh.e.user: no user \"no-such-user\" on this system: {unknown}"),
                "tracer.template.sh.e.output_limit: expected at least 1 byte",
                &format!("tracer.template.sp.f.user: no user \"no-such-user:0\" on this system: {unknown}"),
                "tracer.template.sp.f.heartbeat: expected at least 1s, twice the poll interval",
            ]
        );
    }

    #[test]
    fn every_problem_is_reported_with_its_key() {
        let found = problems(
            "sh.uname = { comm = [\"uname\"], interval = \"1ms\" }\n\
             sp.\"a@b\" = { comm = [], env = { \"A=B\" = \"c\" }, line_limit = 10 }",
        );
        assert_eq!(
            found,
            [
                "tracer.template.sh.uname.interval: expected at least 10ms",
                "tracer.template.sp.a@b.name: expected a name without \":\", \"@\" or control characters",
                "tracer.template.sp.a@b.comm: expected a program and its arguments, such as [\"uname\", \"-a\"]",
                "tracer.template.sp.a@b.env: expected names without \"=\" and no NUL characters",
                "tracer.template.sp.a@b.line_limit: expected at least 1KiB",
                "tracer.template.sh.uname.name: tracer name \"uname\" is already that of tracer.uname",
            ]
        );
    }
}
