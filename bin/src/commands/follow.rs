//! `query --follow`: prints rows as the agent stores them.
//!
//! The order makes `--since` exact. The agent is followed first; then the store is read, at one moment. What was stored before
//! that moment is printed from there, and left out when the agent sends it, which its id tells: what the agent sends was stored
//! after the following began, or at least has an id.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;

use analyzer::query::Undecided;
use analyzer::render::{Format, LiveRows};
use analyzer::{Live, Query, Store};
use store::carry::Carried;

use super::interrupt::{self, Interrupted};
use super::query::{QueryArgs, complain_of_undecided, damage, failure, stdout, warn_of_unknown_tracers};
use crate::cli_common::Common;
use crate::exit::{Failure, Outcome};
use crate::output;
use crate::read::{FollowError, Following, Message, Request};

/// Prints the rows that match, until the agent stops, or `limit` rows are printed, or the user has enough.
pub(crate) fn run(common: &Common, args: &QueryArgs) -> Outcome {
    let query = args.query(common)?;
    let (format, output) = (args.format, stdout(args.numeric));
    if format == Format::Json {
        let why = "--follow has no end, and json is one array: use --format jsonl, one object a line";
        return Err(Failure::Usage(anyhow::anyhow!(why)));
    }
    args.selection.warn();
    let request = Request::Follow { tracers: query.tracers.clone(), recent: query.since.is_some() };
    let mut following = Following::begin(&common.workdir()?, &request)?;
    let interrupted = interrupt::watch(following.handle().map_err(FollowError::Broken)?)?;
    let live = Live::new(&following.begun.collector_id).map_err(failure)?;
    let mut follower = Follower {
        left: (query.limit > 0).then_some(query.limit),
        query: Query { any_field: true, ..query },
        rows: LiveRows::new(format, output),
        out: io::stdout().lock(),
        known: HashMap::new(),
        output: following.begun.output,
        undecided: None,
        left_out: 0,
        is_damaged: false,
    };
    let printed =
        follower.stored(&following).and_then(|()| follower.live(&mut following, live, &interrupted));
    if let Some(undecided) = follower.undecided {
        complain_of_undecided(undecided);
    }
    match printed {
        // A reader that has closed the pipe has enough.
        Err(_) if interrupted.is_set() => {}
        Err(Stop::Closed) => {}
        Err(Stop::Failed(failure)) => return Err(failure),
        Ok(()) => {}
    }
    // Each was reported at its place.
    if follower.left_out > 0 || follower.is_damaged { Err(Failure::No) } else { Ok(()) }
}

/// Why printing ends before the agent does.
enum Stop {
    /// Nobody reads the output any more.
    Closed,
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(cause: E) -> Self {
        Self::Failed(cause.into())
    }
}

struct Follower<W> {
    query: Query,
    /// Number of rows that may still be printed, if that is limited.
    left: Option<u64>,
    rows: LiveRows,
    out: W,
    /// The newest ids of rows that were printed from the store, or did not match there.
    known: HashMap<String, i64>,
    /// The output that these ids are of.
    output: u64,
    undecided: Option<Undecided>,
    left_out: u64,
    /// Whether rows of the store could not be read.
    is_damaged: bool,
}

impl<W: Write> Follower<W> {
    /// Prints what is stored, if that was asked for. Warns of names that the store does not know.
    fn stored(&mut self, following: &Following) -> Result<(), Stop> {
        let Some(path) = following.begun.store.as_ref().map(PathBuf::from) else { return Ok(()) };
        let store = match Store::open(&path) {
            Ok(store) => store,
            // Rows come all the same, and the names of a store that can't be read are not known.
            Err(_) if self.query.since.is_none() => return Ok(()),
            Err(error) => return Err(failure(error).into()),
        };
        warn_of_unknown_tracers(&store, &self.query)?;
        self.check(&store)?;
        if self.query.since.is_none() {
            return Ok(());
        }
        store.begin_snapshot().map_err(failure)?;
        self.known = store.newest_ids(&following.begun.collector_id).map_err(failure)?;
        self.print(&store)?;
        store.end_snapshot().map_err(failure)?;
        if let Err(damaged) = damage(&store) {
            output::complain(&format!("error: {}", damaged.words()));
            self.is_damaged = true;
        }
        Ok(())
    }

    /// Warns of a field that no row in the store has.
    fn check(&self, store: &Store) -> Result<(), Stop> {
        let strict = Query { any_field: false, ..self.query.clone() };
        match store.query(&strict) {
            Err(unknown @ analyzer::Error::UnknownColumn { .. }) => {
                output::complain(&format!("warning: {unknown}: no stored row has it so far"));
                Ok(())
            }
            Err(wrong) => Err(failure(wrong).into()),
            Ok(_) => Ok(()),
        }
    }

    /// Prints what the agent sends.
    fn live(
        &mut self,
        following: &mut Following,
        mut live: Live,
        interrupted: &Interrupted,
    ) -> Result<(), Stop> {
        // Shows the header, and what is wrong with the query.
        self.print(live.store())?;
        let (mut bytes, mut held) = (Vec::new(), Vec::new());
        while self.left != Some(0) {
            match following.next(&mut bytes) {
                Ok(Message::Rows(carried)) => held.push((carried, std::mem::take(&mut bytes))),
                Ok(Message::Stored { output }) => {
                    for (carried, bytes) in held.drain(..) {
                        live.put(&self.unknown(carried, output), &bytes).map_err(failure)?;
                    }
                    self.print(live.store())?;
                    live.clear().map_err(failure)?;
                }
                Ok(Message::LeftOut(count)) => {
                    self.left_out += count;
                    let why = "because this reader was too slow, or the store refused some of a batch";
                    output::complain(&format!("{count} rows were left out, {why}"));
                }
                Ok(Message::End(_)) => {
                    output::complain("the agent has stopped");
                    return Ok(());
                }
                Err(_) if interrupted.is_set() => return Ok(()),
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(())
    }

    /// Returns a batch without rows if the rows were read from the store.
    fn unknown(&self, carried: Carried, output: u64) -> Carried {
        let last_id = carried.first_id + carried.rows - 1;
        let is_known =
            output == self.output && self.known.get(&carried.tracer).is_some_and(|id| last_id <= *id);
        Carried { rows: if is_known { 0 } else { carried.rows }, ..carried }
    }

    fn print(&mut self, store: &Store) -> Result<(), Stop> {
        self.query.limit = self.left.unwrap_or(0);
        let mut answer = store.query(&self.query).map_err(failure)?;
        let printed = self.rows.write(&mut answer, &mut self.out);
        if let Some(Undecided { rows, first }) = answer.undecided() {
            let before = self.undecided.unwrap_or(Undecided { rows: 0, first });
            self.undecided = Some(Undecided { rows: before.rows + rows, ..before });
        }
        match printed {
            Ok(count) => {
                self.left = self.left.map(|left| left.saturating_sub(count));
                Ok(())
            }
            Err(error) if error.is_broken_pipe() => Err(Stop::Closed),
            Err(error) => Err(Failure::Failed(error.into()).into()),
        }
    }
}
