//! Rows that the store has about itself: batches that could not be sealed, and segments that were removed.

use jiff::tz::TimeZone;
use model::{Details, Extended, LOSS, Loss, LossPoint, Owner, RETENTION, TracerName, Tracking, ZonedTime};
use serde_json::{Map, Value};

/// The present moment, and the zone of local times.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Time since 1970, UTC, in nanoseconds.
    pub utc_ns: i64,
    /// Zone in which local times are stored.
    pub zone: TimeZone,
}

impl Moment {
    pub(super) fn at(&self, utc_ns: i64) -> ZonedTime {
        ZonedTime::new(utc_ns, &self.zone)
    }
}

/// A batch that could not be read when it was to be sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// File in the segment's folder that has the batch as it was.
    pub file: String,
    /// Tracer of its rows.
    pub tracer: String,
    /// Collector that wrote them.
    pub collector_id: String,
    /// Number of its rows.
    pub rows: i64,
    /// Times of the first and the last row.
    pub span: (i64, i64),
    /// The reason why it can't be read.
    pub cause: String,
}

impl Damage {
    /// Returns the row that says what is lost.
    pub(super) fn row(&self, moment: &Moment) -> Tracking {
        let loss = Loss {
            tracer: TracerName::new(&self.tracer),
            point: LossPoint::Sink,
            sink: Some("store".into()),
            cause: format!("stored rows are damaged ({}): {}", self.file, self.cause),
            owner: Owner::Unknown,
            count: self.rows.unsigned_abs(),
            from: moment.at(self.span.0),
            to: moment.at(self.span.1),
        };
        let row = Details::Loss(Box::new(loss));
        Tracking { count: Some(self.rows), ..row_of(LOSS, row, moment) }
    }
}

/// Returns the row that says that rows after the last sealed one may be missing.
pub(super) fn lost_with_the_file(tracer: &str, (from, to): (i64, i64), moment: &Moment) -> Tracking {
    let loss = Loss {
        tracer: TracerName::new(tracer),
        point: LossPoint::Sink,
        sink: Some("store".into()),
        cause: "the store's file was lost, with the rows that were not sealed".to_owned(),
        owner: Owner::Unknown,
        count: 0,
        from: moment.at(from),
        to: moment.at(to.max(from)),
    };
    row_of(LOSS, Details::Loss(Box::new(loss)), moment)
}

/// A segment that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Name of the segment.
    pub name: String,
    /// Number of its rows.
    pub rows: i64,
    /// Size of its files in bytes.
    pub bytes: u64,
    /// Times of the first and the last row.
    pub span: (i64, i64),
    /// The limit that was exceeded.
    pub cause: String,
}

impl Removed {
    /// Returns the row that says what was removed.
    pub(super) fn row(&self, moment: &Moment) -> Tracking {
        let (from, to) = (moment.at(self.span.0), moment.at(self.span.1));
        let fields: [(&str, Value); 7] = [
            ("segment", self.name.as_str().into()),
            ("cause", self.cause.as_str().into()),
            ("bytes", self.bytes.into()),
            ("from", from.wall().to_text().into()),
            ("from_time", from.to_text().into()),
            ("to", to.wall().to_text().into()),
            ("to_time", to.to_text().into()),
        ];
        let fields: Map<String, Value> =
            fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Tracking { count: Some(self.rows), ..row_of(RETENTION, Details::Fields(fields), moment) }
    }
}

fn row_of(tracer: &str, details: Details, moment: &Moment) -> Tracking {
    let now = moment.at(moment.utc_ns);
    let row = Tracking::new(TracerName::new(tracer), now.wall(), Extended::new(details));
    Tracking { time: Some(now), ..row }
}
