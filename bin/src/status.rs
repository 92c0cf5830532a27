//! What `status` tells, over the socket and on the terminal: one value for people, scripts and tests.

use actors::{ChildStatus, Phase};
use bpf_programs::tier::Tier;
use comfy_table::{CellAlignment, Table, presets};
use model::AccountSnapshot;
use model::pushdown::Split;
use serde::{Deserialize, Serialize};

use crate::reload::{ConfigStatus, Reloaded};

/// The agent at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The agent's version.
    pub(crate) version: String,
    /// Its process id.
    pub(crate) pid: u32,
    /// Its work folder.
    pub(crate) workdir: String,
    /// Under which its rows are stored.
    pub(crate) collector_id: String,
    /// Local wall time of its start.
    pub(crate) started: String,
    /// Seconds since.
    pub(crate) uptime_s: f64,
    /// Its configuration: when it was loaded, what came of the latest reload.
    #[serde(default)]
    pub(crate) config: ConfigStatus,
    /// Everything that traces, or should.
    pub(crate) tracers: Vec<TracerStatus>,
    /// Everybody, in the order in which they are stopped.
    pub(crate) actors: Vec<ActorStatus>,
}

/// Where a tracer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TracerPhase {
    /// Not settled yet.
    Starting,
    /// Records.
    Attached,
    /// Fell, and will try again.
    Restarting,
    /// Does not record, or not all that it should, and will not by itself.
    Degraded,
    /// Was turned off at run time.
    Disabled,
    /// Was stopped, or is done.
    Ended,
}

impl TracerPhase {
    /// Lower-case name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Attached => "attached",
            Self::Restarting => "restarting",
            Self::Degraded => "degraded",
            Self::Disabled => "disabled",
            Self::Ended => "ended",
        }
    }

    /// Where a tracer stands whose actor is in `phase`, and which has attached or not.
    pub(crate) fn of(phase: Phase, attached: bool) -> Self {
        match phase {
            Phase::Running if attached => Self::Attached,
            Phase::Starting | Phase::Running => Self::Starting,
            Phase::BackingOff => Self::Restarting,
            Phase::GivenUp => Self::Degraded,
            Phase::Stopped | Phase::Finished => Self::Ended,
        }
    }
}

/// One tracer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TracerStatus {
    /// Name it is stored under.
    pub(crate) tracer: String,
    /// Its configuration section: `tracer.open`.
    pub(crate) section: String,
    /// Which host: `ebpf`, `shell`, `subprocess`.
    pub(crate) kind: String,
    /// Where it stands.
    pub(crate) phase: TracerPhase,
    /// It records, be it not all that it should.
    #[serde(default)]
    pub(crate) records: bool,
    /// Its first fault, or what it records nothing of.
    pub(crate) cause: Option<String>,
    /// Its latest fault, where another.
    pub(crate) last_cause: Option<String>,
    /// How often it was built anew.
    pub(crate) restarts: u64,
    /// Its account with the store.
    #[serde(flatten)]
    pub(crate) account: AccountSnapshot,
    /// Records on their way.
    pub(crate) in_flight: i64,
    /// What its actor shows: hooks, tier, counts of its own.
    pub(crate) detail: serde_json::Value,
}

/// One actor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ActorStatus {
    /// Its name.
    pub(crate) name: String,
    /// Its group, in stop order.
    pub(crate) group: String,
    /// Its story.
    #[serde(flatten)]
    pub(crate) status: ChildStatus,
    /// What it shows of itself.
    pub(crate) state: serde_json::Value,
}

impl Status {
    /// Every tracer is attached, or its trouble is reported.
    pub(crate) fn is_settled(&self) -> bool {
        self.tracers.iter().all(|tracer| tracer.phase != TracerPhase::Starting)
    }

    /// At least one tracer records, or may again.
    pub(crate) fn traces(&self) -> bool {
        let still = [TracerPhase::Degraded, TracerPhase::Disabled];
        self.tracers.iter().any(|tracer| tracer.records || !still.contains(&tracer.phase))
    }
}

/// The status for people.
pub(crate) fn render(status: &Status) -> String {
    let mut text = format!(
        "duetector-actors {} pid {}, up {:.0} s, work folder {}, collector {}\n\n{}",
        status.version,
        status.pid,
        status.uptime_s,
        status.workdir,
        status.collector_id,
        tracer_table(&status.tracers)
    );
    text.push_str(&pin_line(&status.actors).unwrap_or_default());
    text.push_str(&host_lines(&status.actors));
    text.push_str(&config_lines(&status.config));
    text.push_str(&filter_lines(status));
    for actor in status.actors.iter().filter(|actor| actor.status.first_cause.is_some()) {
        let story = &actor.status;
        let first = story.first_cause.as_deref().unwrap_or_default();
        text.push_str(&format!(
            "\n\n{}: {:?}, restarts {}\n  first cause: {first}",
            actor.name, story.phase, story.restarts
        ));
        if let Some(last) = story.last_cause.as_deref().filter(|last| *last != first) {
            text.push_str(&format!("\n  last cause:  {last}"));
        }
    }
    text
}

/// Nothing, before the first reload.
fn config_lines(config: &ConfigStatus) -> String {
    let Some(last) = &config.last_reload else { return String::new() };
    let result = match &last.result {
        Reloaded::Applied { changes } => changes.to_string(),
        Reloaded::Refused { problems } => format!("refused, nothing changed: {problems}"),
    };
    let (loaded, generation, at) = (&config.loaded, config.generation, &last.at);
    let result = result.replace('\n', "\n  ");
    format!("\n\nconfiguration loaded {loaded}, generation {generation}\n  reload at {at}: {result}")
}

/// How it stands with rings that outlive the agent, if they are wanted.
fn pin_line(actors: &[ActorStatus]) -> Option<String> {
    let pin = actors.iter().find_map(|actor| actor.state.get("pin").filter(|pin| !pin.is_null()))?;
    let word = |key: &str| pin[key].as_str();
    let mut line = match (word("folder"), word("problem")) {
        (_, Some(problem)) => format!("\n\nnot pinned: {problem}"),
        (Some(folder), _) if pin["adopted"] == true => {
            format!("\n\npinned in {folder}, gone on with from the run before")
        }
        (Some(folder), _) => format!("\n\npinned in {folder}"),
        _ => "\n\nnot pinned".to_owned(),
    };
    if let Some(refused) = word("refused") {
        line.push_str(&format!("; what was there before could not be gone on with: {refused}"));
    }
    Some(line)
}

/// What rows of all kernel tracers may lack.
fn host_lines(actors: &[ActorStatus]) -> String {
    let lists = actors
        .iter()
        .filter(|actor| actor.name == "ebpf")
        .filter_map(|actor| actor.state.get("without")?.as_array());
    let lines = lists.flatten().filter_map(|line| line.as_str());
    let lines = lines.map(|line| format!("\n\nebpf: degraded, the process table is without {line}"));
    lines.collect()
}

/// What each filter dropped, where, and what its expression had no answer for.
fn filter_lines(status: &Status) -> String {
    let part = |owner: &str, name: &str| -> serde_json::Map<String, serde_json::Value> {
        let actor = status.actors.iter().find(|actor| actor.state.get(owner).is_some());
        let part = actor.and_then(|actor| actor.state.get(name)?.as_object());
        part.cloned().unwrap_or_default()
    };
    let (mut kernel, mut collector) = (part("splits", "filtered"), part("undecided", "filtered"));
    let count = |part: &mut serde_json::Map<_, _>, name: &str| {
        part.remove(name).and_then(|count| count.as_u64()).unwrap_or_default()
    };
    let splits = status.actors.iter().find_map(|actor| actor.state.get("splits"));
    let splits: Vec<Split> =
        splits.and_then(|splits| serde_json::from_value(splits.clone()).ok()).unwrap_or_default();
    let mut text = String::new();
    for Split { filter, kernel: pushed, collector: left } in splits {
        let (dropped, rest) = (count(&mut kernel, &filter), count(&mut collector, &filter));
        let pushed = if pushed.is_empty() { "nothing".to_owned() } else { pushed.join("; ") };
        let left = left.unwrap_or_else(|| "nothing more".to_owned());
        text.push_str(&format!("\n\nfilter {filter}: {} filtered", dropped + rest));
        text.push_str(&format!("\n  in the kernel:    {dropped}: {pushed}"));
        text.push_str(&format!("\n  in the collector: {rest}: {left}"));
    }
    // Of filters that are no more, or where no kernel tracer runs.
    let others: Vec<String> =
        kernel.iter().chain(&collector).map(|(filter, count)| format!("{filter} {count}")).collect();
    if !others.is_empty() {
        text.push_str(&format!("\n\nfiltered: {}", others.join(", ")));
    }
    for (filter, undecided) in part("undecided", "undecided") {
        let cause = undecided["first_cause"].as_str().unwrap_or_default();
        let rows = &undecided["rows"];
        text.push_str(&format!("\n\nfilter {filter} has no answer for {rows} rows, which are kept: {cause}"));
    }
    text
}

/// The kind of hooks it uses, if it uses any.
fn tier(tracer: &TracerStatus) -> &'static str {
    let number = tracer.detail["tier"].as_u64().and_then(|number| u8::try_from(number).ok());
    number.and_then(Tier::of_number).map_or("-", Tier::name)
}

/// One row a tracer.
pub(crate) fn tracer_table(tracers: &[TracerStatus]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "tracer", "kind", "tier", "state", "seen", "stored", "filtered", "lost", "ring", "decode", "queue",
        "sink", "cause",
    ]);
    for tracer in tracers {
        let account = &tracer.account;
        let lost = &account.lost;
        let numbers = [
            account.seen,
            account.stored,
            account.filtered,
            lost.total(),
            lost.ring,
            lost.decode,
            lost.queue,
            lost.sink,
        ];
        let mut row = vec![tracer.tracer.clone(), tracer.kind.clone(), tier(tracer).to_owned()];
        row.push(tracer.phase.as_str().to_owned());
        row.extend(numbers.map(|number| number.to_string()));
        row.push(tracer.cause.clone().unwrap_or_default());
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(4).take(8) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
