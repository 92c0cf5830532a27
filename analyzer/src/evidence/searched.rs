//! The time that a question was about, within the record.

use jiff::tz::TimeZone;
use model::ZonedTime;

use super::runs::Reach;
use crate::span::Span;
use crate::{Error, Store};

/// The time that was searched for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Searched {
    /// The first moment; `None`: there is no record.
    pub from: Option<ZonedTime>,
    /// The last moment.
    pub to: Option<ZonedTime>,
    /// Whether the record goes on before or after this time.
    pub is_part: bool,
}

impl Searched {
    /// Returns the part of the record that is in a stretch of time.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn of(store: &Store, span: Span, zone: &TimeZone) -> Result<Self, Error> {
        let Reach { from, to } = Reach::of(store)?;
        let time = |at: i64| ZonedTime::new(at, zone);
        let is_part = from.is_some_and(|from| from < span.since) || to.is_some_and(|to| to > span.until);
        Ok(Self {
            from: from.map(|from| time(from.max(span.since))),
            to: to.map(|to| time(to.min(span.until))),
            is_part,
        })
    }
}
