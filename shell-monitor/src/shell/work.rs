//! The loop of a shell tracer's actor: runs the command, makes records of new output, and waits for the next run.

use std::sync::{Arc, Mutex};

use actors::{Exit, LoopCtx, clock};
use model::lock::lock;
use model::{Details, LossPoint, Moment, Record};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::backlog;
use crate::command::{self, Run, Why};
use crate::control::Control;
use crate::output::{self, Format, Skip, Unit};
use crate::pending::Pending;
use crate::process::{Process, StartError};
use crate::settings::{Parse, ShellSettings};
use crate::state::ShellState;
use crate::switch::Attached;
use crate::wiring::Wiring;

/// Output of the last run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cached {
    pub(super) output: Vec<u8>,
    /// True if the output was longer and has been cut.
    pub(super) cut: bool,
    /// Exit code of the run; `None` matches any.
    pub(super) code: Option<i32>,
}

/// Cache of one tracer; it outlives the tracer's incarnations.
pub(crate) type Cache = Arc<Mutex<Option<Cached>>>;

/// State shared by the actor and its loop.
#[derive(Clone)]
pub(super) struct Work {
    pub(super) ctx: LoopCtx<ShellState>,
    pub(super) settings: Arc<ShellSettings>,
    pub(super) wiring: Wiring,
    pub(super) control: Control<ShellState>,
    pub(super) cache: Cache,
    pub(super) permits: Arc<Semaphore>,
    pub(super) format: Arc<Format>,
}

impl Work {
    pub(super) async fn run(self) -> Exit {
        while self.control.wanted().await {
            let mut attached = None;
            while !self.control.is_halted() {
                let next = clock::now() + self.settings.interval;
                if let Err(exit) = self.run_once(&mut attached).await {
                    return exit;
                }
                self.wait_until(next).await;
            }
        }
        Exit::Stopped
    }

    /// Runs the command and emits its new output; returns an error if the tracer can't go on.
    ///
    /// The tracer is attached once a program was started: until then it may be refused.
    async fn run_once(&self, attached: &mut Option<Attached>) -> Result<(), Exit> {
        let starting = self.control.switch().start();
        let Some(_permit) = self.permit().await else { return Ok(()) };
        self.ctx.update(|state| {
            state.runs += 1;
            state.running = true;
        });
        let ShellSettings { command, section, .. } = &*self.settings;
        let start = Process::start(&self.wiring.launcher, command, section, false);
        let ran = match self.ctx.progress().marking(start).await {
            Err(cause) => Err(cause),
            Ok(started) => {
                attached.get_or_insert_with(|| self.control.switch().attach());
                drop(starting);
                Ok(command::run(started, &self.settings, &self.control).await)
            }
        };
        self.ctx.update(|state| state.running = false);
        match ran {
            Err(cause) => self.not_started(&cause),
            Ok(run) => self.note(run).await,
        }
    }

    /// Waits until fewer than the maximum number of commands run; returns `None` if the tracer should stop instead.
    async fn permit(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        let permit = async {
            tokio::select! {
                // The semaphore is never closed.
                permit = self.permits.acquire() => permit.ok(),
                () = self.control.halted() => None,
            }
        };
        self.ctx.progress().marking(permit).await
    }

    /// Handles a command that could not be started. If the program is missing at the first run, the tracer is given
    /// up, because the settings are probably wrong; later it may only be missing for a while, as during an upgrade.
    fn not_started(&self, cause: &StartError) -> Result<(), Exit> {
        self.fault(cause.to_string(), |state| &mut state.not_started);
        let state = self.ctx.read();
        if cause.is_permanent() && state.not_started == state.runs {
            return Err(Exit::given_up(cause));
        }
        Ok(())
    }

    async fn note(&self, run: Run) -> Result<(), Exit> {
        if run.why == Why::Halted {
            return Ok(());
        }
        self.log_stderr(&run);
        if run.why == Why::TimedOut {
            let limit = self.settings.timeout.as_secs_f64();
            self.fault(format!("took longer than {limit:.1} s, {}", run.status), |state| {
                &mut state.timed_out
            });
            return Ok(());
        }
        if run.code != Some(0) {
            self.fault(run.status.clone(), |state| &mut state.failed);
        }
        if run.output.cut > 0 {
            let cause = format!("output longer by {} bytes than its limit", run.output.cut);
            self.fault(cause, |state| &mut state.cut);
        }
        self.emit(run).await
    }

    /// Makes records of new output, sends them, and remembers the output.
    async fn emit(&self, run: Run) -> Result<(), Exit> {
        let mut pending = self.records(&run);
        // From here on the batches' claims count the records as stored or lost, so they must not be made again.
        let Run { output, code, .. } = run;
        *lock(&self.cache) = Some(Cached { output: output.bytes, cut: output.cut > 0, code });
        while let Some(batch) = pending.next() {
            let count = batch.records.len() as u64;
            if self.ctx.progress().marking(self.wiring.outbox.send(batch)).await.is_err() {
                return Err(Exit::given_up("the collector takes no records any more"));
            }
            self.ctx.update(|state| state.emitted += count);
        }
        // The next run waits until sinks have written what takes much memory.
        while !pending.has_room() {
            tokio::select! {
                () = self.ctx.progress().marking(clock::sleep(backlog::INTERVAL)) => {}
                () = self.control.halted() => break,
            }
        }
        Ok(())
    }

    fn records(&self, run: &Run) -> Pending {
        let mut pending = Pending::new(self.wiring.accounts.clone());
        let units = self.new_units(run);
        if units.is_empty() && self.settings.enable_cache {
            self.ctx.update(|state| state.unchanged += 1);
        }
        let now = clock::boot_ns();
        let (mut bad, mut unmatched) = (0, 0);
        for unit in units {
            match self.format.record(&unit) {
                Ok(mut fields) => {
                    if self.settings.parse == Parse::Text {
                        self.note_irregularities(run, &mut fields);
                    }
                    let weight = backlog::weight(&fields);
                    let record =
                        Record { at: Moment::Boot(now), identity: None, details: Details::Fields(fields) };
                    pending.push(&self.settings.name, record, weight, now);
                }
                Err(Skip::Unmatched) => unmatched += 1,
                Err(Skip::NotJson | Skip::NotObject) => bad += 1,
            }
        }
        pending.ripen(true);
        self.ctx.update(|state| state.unmatched += unmatched);
        if bad > 0 {
            let cause = format!("{bad} lines or elements are not JSON objects");
            self.lose(bad, cause, |state| &mut state.bad_lines);
        }
        if run.output.cut > 0 && self.settings.parse != Parse::Text {
            self.lose(run.output.cut_lines, "output longer than its limit".to_owned(), |state| {
                &mut state.cut_lines
            });
        }
        pending
    }

    /// Returns the output that the previous run did not have; all of it if the cache is disabled.
    fn new_units<'a>(&self, run: &'a Run) -> Vec<Unit<'a>> {
        let cut = run.output.cut > 0;
        let units = self.format.units(&run.output.bytes, cut);
        let cache = lock(&self.cache);
        let Some(before) = cache.as_ref().filter(|_| self.settings.enable_cache) else { return units };
        let same_code = before.code.is_none() || before.code == run.code;
        if self.settings.parse == Parse::Text && !same_code {
            return units;
        }
        output::only_new(units, &self.format.units(&before.output, before.cut))
    }

    /// Adds what else is known about the text of a run: bytes cut, and how the command failed.
    fn note_irregularities(&self, run: &Run, fields: &mut Map<String, Value>) {
        if fields.contains_key("output_bytes") {
            self.fault("output is not UTF-8".to_owned(), |state| &mut state.not_utf8);
        }
        if run.output.cut > 0 {
            fields.insert("output_cut".to_owned(), run.output.cut.into());
        }
        if run.code != Some(0) {
            fields.insert("exit".to_owned(), run.status.as_str().into());
        }
    }

    /// Counts records that could not be made as lost.
    fn lose(&self, count: u64, cause: String, counter: impl FnOnce(&mut ShellState) -> &mut u64) {
        let (account, now) = (self.wiring.accounts.of(&self.settings.name), clock::boot_ns());
        account.add_seen(count);
        account.lose(LossPoint::Decode, count, (now, now), &cause);
        self.count_fault(count, cause, counter);
    }

    async fn wait_until(&self, next: clock::Instant) {
        let waited = async {
            tokio::select! {
                () = self.control.halted() => {}
                () = clock::sleep(next.saturating_duration_since(clock::now())) => {}
            }
        };
        self.ctx.progress().marking(waited).await;
    }

    fn fault(&self, cause: String, counter: impl FnOnce(&mut ShellState) -> &mut u64) {
        self.count_fault(1, cause, counter);
    }

    /// Counts a fault, and logs it unless it is the same as the last one: a command may fail in every run.
    fn count_fault(&self, count: u64, cause: String, counter: impl FnOnce(&mut ShellState) -> &mut u64) {
        if self.ctx.read().last_fault.as_ref() != Some(&cause) {
            tracing::warn!(tracer = %self.settings.name, cause, "command failed");
        }
        self.ctx.update(|state| {
            *counter(state) += count;
            state.last_fault = Some(cause);
        });
    }

    fn log_stderr(&self, run: &Run) {
        if !run.stderr.bytes.is_empty() {
            let text = crate::stderr::printable(&run.stderr.bytes);
            tracing::info!(tracer = %self.settings.name, text, cut = run.stderr.cut, "command wrote to stderr");
        }
    }
}
