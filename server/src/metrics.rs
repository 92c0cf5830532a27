//! `/metrics`: counters of the server, and the accounts and states of the agent, as OpenMetrics.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::agent::AgentStatus;

/// Media type of the text.
pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;
type Float = Gauge<f64, AtomicU64>;

/// Counters of the server.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Family<Labels, Counter>,
    seconds: Family<Labels, Counter<f64, AtomicU64>>,
}

impl Metrics {
    /// Counts a request. `route` is a pattern and not the path, so that clients can't make new labels.
    pub(crate) fn count(&self, route: &str, status: u16, seconds: f64) {
        let route = ("route", route.to_owned());
        let labels = vec![route.clone(), ("status", status.to_string())];
        self.requests.get_or_create(&labels).inc();
        self.seconds.get_or_create(&vec![route]).inc_by(seconds);
    }

    /// Returns all metrics as text.
    pub(crate) fn text(
        &self,
        running: usize,
        agent: &Result<AgentStatus, String>,
    ) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("duetector_actors");
        registry.register("http_requests", "Requests that were answered", self.requests.clone());
        registry.register("http_seconds", "Time that answers took", self.seconds.clone());
        let questions = Gauge::<i64>::default();
        questions.set(i64::try_from(running).unwrap_or(i64::MAX));
        registry.register("questions_running", "Questions that are being answered", questions);
        let up = Gauge::<i64>::default();
        up.set(agent.is_ok().into());
        registry.register("up", "1 if the agent is running and answers", up);
        if let Ok(agent) = agent {
            add(&mut registry, agent);
        }
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// Adds the accounts and states of the agent.
fn add(registry: &mut Registry, agent: &AgentStatus) {
    let uptime = Float::default();
    uptime.set(agent.uptime_s);
    registry.register("uptime_seconds", "Time since the start of the agent", uptime);
    let info = Family::<Labels, Gauge>::default();
    info.get_or_create(&vec![("version", agent.version.clone())]).set(1);
    registry.register("build", "The version of the agent", info);
    let followers = Gauge::<i64>::default();
    followers.set(i64::try_from(agent.followers).unwrap_or(i64::MAX));
    registry.register("followers", "Followers of the live rows", followers);
    let counter = Family::<Labels, Counter>::default;
    let (seen, stored, filtered, lost, restarts) = (counter(), counter(), counter(), counter(), counter());
    let (in_flight, phase) = (Family::<Labels, Gauge>::default(), Family::<Labels, Gauge>::default());
    for tracer in &agent.tracers {
        let name = || ("tracer", tracer.name.clone());
        let account = &tracer.account;
        seen.get_or_create(&vec![name()]).inc_by(account.seen);
        stored.get_or_create(&vec![name()]).inc_by(account.stored);
        filtered.get_or_create(&vec![name()]).inc_by(account.filtered);
        let parts = account.lost;
        let parts =
            [("ring", parts.ring), ("decode", parts.decode), ("queue", parts.queue), ("sink", parts.sink)];
        for (at, count) in parts {
            lost.get_or_create(&vec![name(), ("at", at.to_owned())]).inc_by(count);
        }
        in_flight.get_or_create(&vec![name()]).set(tracer.in_flight);
        phase.get_or_create(&vec![name(), ("phase", tracer.phase.clone())]).set(1);
        restarts.get_or_create(&vec![("actor", format!("tracer.{}", tracer.name))]).inc_by(tracer.restarts);
    }
    registry.register("records_seen", "Records that the tracer made", seen);
    registry.register("records_stored", "Records that were stored", stored);
    registry.register("records_filtered", "Records that filters dropped", filtered);
    registry.register("records_lost", "Records that were lost, by the point where it happened", lost);
    registry.register("records_in_flight", "Records that are on their way to the store", in_flight);
    registry.register("tracer_phase", "1 for the phase that the tracer is in", phase);
    let actors = Family::<Labels, Gauge>::default();
    for actor in &agent.actors {
        let labels = vec![("actor", actor.name.clone()), ("phase", actor.phase.clone())];
        actors.get_or_create(&labels).set(1);
        restarts.get_or_create(&vec![("actor", actor.name.clone())]).inc_by(actor.restarts);
    }
    registry.register("actor_phase", "1 for the phase that the actor is in", actors);
    registry.register("restarts", "Restarts by the supervisor", restarts);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::TracerState;

    #[test]
    fn accounts_and_requests_are_counters() {
        let metrics = Metrics::default();
        metrics.count("/query/", 200, 0.5);
        metrics.count("/query/", 200, 0.25);
        let mut open = TracerState { name: "open".into(), phase: "attached".into(), ..Default::default() };
        (open.account.seen, open.account.lost.ring) = (7, 2);
        let agent = AgentStatus { version: "1".into(), tracers: vec![open], ..Default::default() };
        let text = metrics.text(1, &Ok(agent)).unwrap();
        for line in [
            r#"duetector_actors_http_requests_total{route="/query/",status="200"} 2"#,
            r#"duetector_actors_http_seconds_total{route="/query/"} 0.75"#,
            r#"duetector_actors_records_seen_total{tracer="open"} 7"#,
            r#"duetector_actors_records_lost_total{tracer="open",at="ring"} 2"#,
            r#"duetector_actors_tracer_phase{tracer="open",phase="attached"} 1"#,
            "duetector_actors_up 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        assert!(metrics.text(0, &Err("gone".into())).unwrap().contains("duetector_actors_up 0"));
    }
}
