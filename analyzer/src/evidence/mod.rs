//! Evidence of what an answer may lack: gaps, blind spots, rows that were removed, damage, and what a question's bounds left out. Only what touches
//! the time and the tracers that the answer was made from is listed.

mod blind;
mod losses;
mod runs;
mod searched;
mod touch;

use jiff::tz::TimeZone;
use model::ZonedTime;
use serde::Serialize;

pub use blind::Blind;
pub use losses::{Gap, Removed};
pub(crate) use runs::Reach;
pub use searched::Searched;
pub use touch::{Asked, Traits};

use crate::span::Span;
use crate::store::{DamagedBatch, Walker};
use crate::{Error, Store};

/// Evidence of what an answer may lack.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Evidence {
    /// True if nothing is missing: all lists are empty.
    pub complete: bool,
    /// True if nothing is missing of what the tracers could see: only `blind` may have entries.
    pub lossless: bool,
    /// Records that were lost, and times in which no agent ran.
    pub gaps: Vec<Gap>,
    /// Events that tracers could not see.
    pub blind: Vec<Blind>,
    /// Rows that were removed to make room.
    pub removed: Vec<Removed>,
    /// Batches that can't be read.
    pub damaged: Vec<Damage>,
    /// Things that the question's bounds have left out.
    pub cut: Vec<Cut>,
}

/// A batch, or a row group of a segment, that can't be read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Damage {
    /// Name of the batch.
    pub batch: String,
    /// Number of its rows.
    pub rows: i64,
    /// Reason why they can't be read.
    pub cause: String,
}

/// Something that a bound left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cut {
    /// The thing at which it was.
    pub node: String,
    /// The bound that left something out.
    pub why: String,
    /// Number of things that were left out.
    pub edges: u64,
}

impl Evidence {
    /// Returns what rows of these tracers in this time may lack. Batches that were found to be damaged until now are part of it, so it is
    /// asked for after the rows were read.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn of(store: &Store, span: Span, tracers: &[&str]) -> Result<Self, Error> {
        Self::by(&Walker::new(store)?, span, tracers)
    }

    /// Returns the same by a reader that is at hand.
    pub(crate) fn by(walker: &Walker<'_>, span: Span, tracers: &[&str]) -> Result<Self, Error> {
        let mut gaps = losses::gaps(walker, span, tracers)?;
        gaps.extend(runs::gaps(walker.store(), span)?);
        gaps.sort_by_key(|gap| (gap.from, gap.to));
        let mut evidence = Self {
            gaps,
            blind: blind::spots(walker, span, tracers)?,
            removed: losses::removed(walker, span)?,
            ..Self::default()
        };
        let damaged = walker.store().damaged().into_iter();
        evidence.damaged =
            damaged.map(|DamagedBatch { name, rows, cause }| Damage { batch: name, rows, cause }).collect();
        evidence.settle();
        Ok(evidence)
    }

    /// Decides which blind spots could touch the answer.
    pub fn decide(&mut self, traits: &Traits) {
        self.blind.iter_mut().for_each(|spot| spot.decide(traits));
    }

    /// Adds events that the answer lacks because of how they were recorded.
    pub(crate) fn add_blind(&mut self, tracer: &str, what: &str) {
        self.blind.push(Blind::new(tracer, what));
        self.settle();
    }

    /// Keeps only the gaps that touch rows of these users.
    pub fn of_users(&mut self, uids: &[i64]) {
        self.gaps.retain(|gap| gap.concerns(uids));
        self.settle();
    }

    /// Adds what a bound has left out, if that is something.
    pub fn add_cut(&mut self, node: impl Into<String>, why: impl Into<String>, edges: u64) {
        if edges > 0 {
            self.cut.push(Cut { node: node.into(), why: why.into(), edges });
            self.settle();
        }
    }

    /// Adds what another part of the same answer may lack. What both lack is listed once.
    pub fn join(&mut self, other: Self) {
        add(&mut self.gaps, other.gaps);
        for spot in other.blind {
            let known =
                self.blind.iter_mut().find(|own| (&own.tracer, &own.what) == (&spot.tracer, &spot.what));
            match known {
                Some(own) => own.touches |= spot.touches,
                None => self.blind.push(spot),
            }
        }
        add(&mut self.removed, other.removed);
        add(&mut self.damaged, other.damaged);
        add(&mut self.cut, other.cut);
        self.settle();
    }

    /// Shows all times in this zone.
    pub fn in_zone(&mut self, zone: &TimeZone) {
        let show = |at: &mut ZonedTime| *at = ZonedTime::new(at.utc_ns, zone);
        self.gaps.iter_mut().flat_map(|gap| [&mut gap.from, &mut gap.to]).for_each(show);
        self.removed.iter_mut().flat_map(|part| [&mut part.from, &mut part.to]).for_each(show);
    }

    fn settle(&mut self) {
        self.lossless =
            self.gaps.is_empty() && self.removed.is_empty() && self.damaged.is_empty() && self.cut.is_empty();
        self.complete = self.lossless && self.blind.is_empty();
    }
}

/// Adds what is not there yet.
fn add<T: PartialEq>(to: &mut Vec<T>, others: Vec<T>) {
    for other in others {
        if !to.contains(&other) {
            to.push(other);
        }
    }
}
