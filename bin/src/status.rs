//! The state of the running agent: the value that the control socket sends, and its text for people.

use actors::{ChildStatus, Phase};
use bpf_programs::Tier;
use collector::feed::FeedState;
use comfy_table::{CellAlignment, Table, presets};
use model::AccountSnapshot;
use model::pushdown::Split;
use serde::{Deserialize, Serialize};

use crate::changes::Changes;

/// The state of the agent at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The agent's version.
    pub(crate) version: String,
    /// Process id of the agent.
    pub(crate) pid: u32,
    /// Path of the work folder.
    pub(crate) workdir: String,
    /// Id of the collector, under which rows are stored.
    pub(crate) collector_id: String,
    /// Local time of the start.
    pub(crate) started: String,
    /// Seconds since the start.
    pub(crate) uptime_s: f64,
    /// Time of the configuration and result of the latest reload.
    #[serde(default)]
    pub(crate) config: ConfigStatus,
    /// Followers of the live rows, and what they got.
    #[serde(default)]
    pub(crate) live: FeedState,
    /// All tracers that run or should run.
    pub(crate) tracers: Vec<TracerStatus>,
    /// All actors, in the order in which they are stopped.
    pub(crate) actors: Vec<ActorStatus>,
}

/// The phase of a tracer's life cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TracerPhase {
    /// Has not attached or failed yet.
    Starting,
    /// Attached to all its hooks, and recording.
    Attached,
    /// Failed; the supervisor will start it again.
    Restarting,
    /// Records nothing, or not everything, and will not recover by itself.
    Degraded,
    /// Was disabled at run time.
    Disabled,
    /// Was stopped or has finished.
    Ended,
}

impl TracerPhase {
    /// Returns the name in lower case.
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

    /// Returns the phase of a tracer from its actor's phase and whether it has attached.
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

/// The state of one tracer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TracerStatus {
    /// Name that its rows are stored under.
    pub(crate) tracer: String,
    /// Section of the configuration, such as `tracer.open`.
    pub(crate) section: String,
    /// Kind of tracer: `ebpf`, `shell`, `subprocess`, `template`.
    pub(crate) kind: String,
    /// Phase of the life cycle.
    pub(crate) phase: TracerPhase,
    /// True if it records, even if not everything.
    #[serde(default)]
    pub(crate) records: bool,
    /// Cause of the first failure, or the part that it does not record.
    pub(crate) cause: Option<String>,
    /// Cause of the latest failure, if it is another.
    pub(crate) last_cause: Option<String>,
    /// Number of restarts by the supervisor.
    pub(crate) restarts: u64,
    /// Counters of its records, as far as the store is concerned.
    #[serde(flatten)]
    pub(crate) account: AccountSnapshot,
    /// Records that are on their way to the store.
    pub(crate) in_flight: i64,
    /// State of its actor: hooks, tier, its own counters.
    pub(crate) detail: serde_json::Value,
}

/// The state of one actor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ActorStatus {
    /// Name of the actor.
    pub(crate) name: String,
    /// Group of actors that are stopped together.
    pub(crate) group: String,
    /// Phase, restarts and causes of failures.
    #[serde(flatten)]
    pub(crate) status: ChildStatus,
    /// State that the actor publishes.
    pub(crate) state: serde_json::Value,
}

impl TracerStatus {
    /// True if there is nothing to say about the tracer but that it runs: it has seen no records and has no problem.
    fn is_quiet(&self) -> bool {
        self.phase == TracerPhase::Attached
            && self.cause.is_none()
            && self.account == AccountSnapshot::default()
    }
}

impl Status {
    /// True if every tracer has attached or reported why it can't.
    pub(crate) fn is_settled(&self) -> bool {
        self.tracers.iter().all(|tracer| tracer.phase != TracerPhase::Starting)
    }

    /// True if at least one tracer records, or may record after a restart.
    pub(crate) fn traces(&self) -> bool {
        let still = [TracerPhase::Degraded, TracerPhase::Disabled];
        self.tracers.iter().any(|tracer| tracer.records || !still.contains(&tracer.phase))
    }
}

/// The parts of the text that are shown in full.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Detail {
    /// All tracers, also those that have nothing to show.
    pub(crate) all: bool,
    /// The conditions of each filter.
    pub(crate) filters: bool,
}

/// Returns the text of `status`.
pub(crate) fn render(status: &Status, detail: Detail) -> String {
    let (shown, left_out): (Vec<_>, Vec<_>) =
        status.tracers.iter().partition(|tracer| detail.all || !tracer.is_quiet());
    let mut text = format!(
        "duetector-actors {} pid {}, up {:.0} s, work folder {}, collector {}\n\n{}",
        status.version,
        status.pid,
        status.uptime_s,
        status.workdir,
        status.collector_id,
        tracer_table(shown)
    );
    text.push_str(&left_out_line(&left_out));
    text.push_str(&pin_line(&status.actors).unwrap_or_default());
    text.push_str(&host_lines(&status.actors));
    text.push_str(&output_lines(&status.actors));
    let sealers = status.actors.iter().filter(|actor| actor.name == "sealer");
    text.extend(sealers.map(|actor| crate::sealer::lines(&actor.state)));
    text.push_str(&live_line(&status.live).unwrap_or_default());
    text.push_str(&config_lines(&status.config));
    text.push_str(&filter_lines(status, detail.filters));
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

/// Returns a line that counts the tracers that are not listed; nothing if there are none.
fn left_out_line(tracers: &[&TracerStatus]) -> String {
    match tracers.len() {
        0 => String::new(),
        1 => "\n\n1 more tracer runs and has seen nothing yet; `status --all` lists it too".to_owned(),
        count => {
            format!("\n\n{count} more tracers run and have seen nothing yet; `status --all` lists them too")
        }
    }
}

/// Returns a line for each sink whose output was taken away while the agent ran, or is damaged.
fn output_lines(actors: &[ActorStatus]) -> String {
    let line = |actor: &ActorStatus| {
        let count = |key: &str| actor.state.get(key).and_then(serde_json::Value::as_u64).unwrap_or_default();
        let (reopened, lost) = (count("reopened"), count("lost_with_output"));
        let cause = actor.state.get("last_reopened")?.as_str()?;
        let name = &actor.name;
        Some(format!(
            "\n\n{name}: output opened again (number {reopened}): {cause}\n  rows lost with outputs: {lost}"
        ))
    };
    let damage = |actor: &ActorStatus| {
        let damage = actor.state.get("damage")?.as_str()?;
        let advice = "stop the agent, move the file away, and start it again";
        Some(format!("\n\n{}: the file is damaged: {damage}\n  {advice}", actor.name))
    };
    actors.iter().filter_map(line).chain(actors.iter().filter_map(damage)).collect()
}

/// Returns the line about those who follow, if somebody does or lacks rows.
fn live_line(live: &FeedState) -> Option<String> {
    let FeedState { followers, rows, left_out, .. } = live;
    let is_shown = *followers > 0 || *left_out > 0;
    is_shown.then(|| format!("\n\nlive rows: {followers} followers, {rows} rows sent, {left_out} left out"))
}

/// Returns the result of the latest reload; nothing before the first one.
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

/// Returns the state of pinned rings, which outlive the agent; `None` if `ebpf.pin` is not set.
fn pin_line(actors: &[ActorStatus]) -> Option<String> {
    let pin = actors.iter().find_map(|actor| actor.state.get("pin").filter(|pin| !pin.is_null()))?;
    let word = |key: &str| pin[key].as_str();
    let mut line = match (word("folder"), word("problem")) {
        (_, Some(problem)) => format!("\n\nnot pinned: {problem}"),
        (Some(folder), _) if pin["adopted"] == true => {
            format!("\n\npinned in {folder}, resumed from the previous run")
        }
        (Some(folder), _) => format!("\n\npinned in {folder}"),
        _ => "\n\nnot pinned".to_owned(),
    };
    if let Some(gap) = word("gap") {
        line.push_str(&format!("\nevents are missing, {gap}"));
    }
    if let Some(note) = word("note") {
        line.push_str(&format!(" ({note})"));
    }
    if let Some(refused) = word("refused") {
        line.push_str(&format!("; what the previous run had pinned could not be resumed: {refused}"));
    }
    Some(line)
}

/// Returns what rows of all kernel tracers may lack, and why preferred hooks are not used.
fn host_lines(actors: &[ActorStatus]) -> String {
    let hosts = || actors.iter().filter(|actor| actor.name == "ebpf");
    let lists = hosts().filter_map(|actor| actor.state.get("without")?.as_array());
    let lines = lists.flatten().filter_map(|line| line.as_str());
    let lines = lines.map(|line| format!("\n\nebpf: degraded, the process table is without {line}"));
    let passed_over = hosts().filter_map(|actor| actor.state.get("passed_over")?.as_str());
    let passed_over = passed_over.map(|why| format!("\n\nebpf: preferred hooks are not used: {why}"));
    lines.chain(passed_over).collect()
}

/// Returns the number of records that each filter dropped, in the kernel and in the collector, and the number of records
/// for which its expression had no result. With `full`, the conditions that are tested in each as well.
fn filter_lines(status: &Status, full: bool) -> String {
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
    let short = !full && !splits.is_empty();
    for (index, Split { filter, kernel: pushed, collector: left }) in splits.into_iter().enumerate() {
        let (dropped, rest) = (count(&mut kernel, &filter), count(&mut collector, &filter));
        let gap = if full || index == 0 { "\n\n" } else { "\n" };
        text.push_str(&format!("{gap}filter {filter}: {} filtered", dropped + rest));
        if !full {
            text.push_str(&format!(" ({dropped} in the kernel, {rest} in the collector)"));
            continue;
        }
        let pushed = if pushed.is_empty() { "nothing".to_owned() } else { pushed.join("; ") };
        let left = left.unwrap_or_else(|| "nothing more".to_owned());
        text.push_str(&format!("\n  in the kernel:    {dropped}: {pushed}"));
        text.push_str(&format!("\n  in the collector: {rest}: {left}"));
    }
    if short {
        text.push_str("\n  (`status --filters` shows their conditions)");
    }
    // Filters that a reload has removed, and all filters if no kernel tracer runs.
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

/// Returns the tier of the tracer's hooks, `-` if it has none.
fn tier(tracer: &TracerStatus) -> String {
    let number = tracer.detail["tier"].as_u64().and_then(|number| u8::try_from(number).ok());
    number.and_then(Tier::of_number).map_or_else(|| "-".to_owned(), |tier| tier.to_string())
}

/// Returns a table with a row for each tracer.
pub(crate) fn tracer_table<'a>(tracers: impl IntoIterator<Item = &'a TracerStatus>) -> Table {
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
        let mut row = vec![tracer.tracer.clone(), tracer.kind.clone(), tier(tracer)];
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

/// The `config` object of `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConfigStatus {
    /// Local time at which the configuration in force was loaded.
    pub(crate) loaded: String,
    /// 1 at the start, increased by 1 with each reload that was applied.
    pub(crate) generation: u64,
    /// The latest reload, if there was one.
    pub(crate) last_reload: Option<LastReload>,
}

/// A reload and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastReload {
    /// Local time at which it ended.
    pub(crate) at: String,
    /// Applied or refused.
    #[serde(flatten)]
    pub(crate) result: Reloaded,
}

/// The result of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(crate) enum Reloaded {
    /// The new configuration is in force.
    Applied {
        /// Tracers, sinks and settings that were added, removed or changed.
        changes: Changes,
    },
    /// The new configuration has problems: nothing changed.
    Refused {
        /// All problems, one a line.
        problems: String,
    },
}
