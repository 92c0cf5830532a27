//! The frame of every answer in JSON: the question, the time that it is about, and what the answer may lack.

use jiff::tz::TimeZone;
use model::ZonedTime;
use serde::Serialize;
use serde_json::Value;

use crate::evidence::{Evidence, Reach};
use crate::span::Span;
use crate::{Error, Store};

/// An answer with the question, the time that it is about, and what it may lack.
#[derive(Clone, Debug, Serialize)]
pub struct Envelope<T> {
    /// Name of the answer's form with its version, such as `uses/1`.
    pub schema: &'static str,
    /// The question as it was asked.
    pub query: Value,
    /// The moment up to which the store has rows: the present, or the end of the last run.
    pub as_of: ZonedTime,
    /// Beginning of the time that the question is about; `None`: that of the record.
    pub since: Option<ZonedTime>,
    /// End of the time that the question is about; `None`: `as_of`.
    pub until: Option<ZonedTime>,
    /// Evidence of what the answer may lack.
    #[serde(flatten)]
    pub evidence: Evidence,
    /// The answer itself, whose fields follow.
    #[serde(flatten)]
    pub answer: T,
}

impl<T> Envelope<T> {
    /// Makes the frame of an answer, with times in this zone.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn new(
        store: &Store,
        (schema, query, zone): (&'static str, Value, &TimeZone),
        (span, mut evidence): (Span, Evidence),
        answer: T,
    ) -> Result<Self, Error> {
        let reach = Reach::of(store)?;
        let now = i64::try_from(crate::when::now().timestamp().as_nanosecond()).unwrap_or(i64::MAX);
        let time = |at| ZonedTime::new(at, zone);
        let bound = |at: i64| (at != i64::MIN && at != i64::MAX).then(|| time(at));
        evidence.in_zone(zone);
        Ok(Self {
            schema,
            query,
            as_of: time(reach.to.unwrap_or(now)),
            since: bound(span.since),
            until: bound(span.until_as_asked()),
            evidence,
            answer,
        })
    }
}
