//! Turns the bytes that a child writes to stdout into batches of records, and counts every irregular line by kind.

use actors::clock;
use model::{Accounts, Details, LossPoint, Moment, Record, TracerName};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::backlog;
use crate::lines::{Line, LineReader};
use crate::names::Names;
use crate::pending::Pending;
use crate::protocol::{self, Bad, Message};
use crate::wiring::Reserved;

/// Number of lines that a child wrote, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LineCounts {
    /// All lines except blank ones.
    pub lines: u64,
    /// Number of `event` messages, which are records.
    pub events: u64,
    /// Number of `init` answers.
    pub inits: u64,
    /// Number of `stopped` messages.
    pub stopped: u64,
    /// Lines that were not a message; each is skipped.
    pub bad: BadCounts,
    /// Messages that were irregular and accepted all the same.
    pub odd: OddCounts,
}

/// Number of lines that were not a message, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BadCounts {
    /// Not JSON, and not begun like an object.
    pub not_json: u64,
    /// Begun like a message but not JSON. Counts as a lost record.
    pub torn: u64,
    /// JSON, but not an object.
    pub not_object: u64,
    /// An object without `type`.
    pub no_type: u64,
    /// An unknown `type`.
    pub unknown_type: u64,
    /// An event whose payload is not an object. Counts as a lost record.
    pub bad_payload: u64,
    /// Longer than the limit. Counts as a lost record.
    pub too_long: u64,
}

/// Number of irregular messages, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OddCounts {
    /// `proto` or `version` differ from those of this agent.
    pub mismatch: u64,
    /// Repaired to be JSON: bytes that are not UTF-8, lone surrogates, `NaN`.
    pub repaired: u64,
    /// A `tracer_name` that is invalid or a kernel tracer's; the event is stored under the child's own name.
    pub name_refused: u64,
}

/// Parses the stdout of one child.
pub(crate) struct StdoutParser {
    reader: LineReader,
    sorter: Sorter,
}

struct Sorter {
    accounts: Accounts,
    names: Names,
    pending: Pending,
    counts: LineCounts,
}

impl StdoutParser {
    /// Makes a parser for lines of up to `line_limit` bytes, which adds to `counts`.
    pub(crate) fn new(
        own: TracerName,
        reserved: Reserved,
        accounts: Accounts,
        line_limit: usize,
        counts: LineCounts,
    ) -> Self {
        let pending = Pending::new(accounts.clone());
        let sorter = Sorter { accounts, names: Names::new(own, reserved), pending, counts };
        Self { reader: LineReader::new(line_limit), sorter }
    }

    /// Parses the next bytes.
    pub(crate) fn feed(&mut self, chunk: &[u8]) {
        self.reader.feed(chunk, |line| self.sorter.line(line));
    }

    /// Ends the stream: a last line without a line end counts as a line, and all batches become ready.
    pub(crate) fn finish(&mut self) {
        self.reader.finish(|line| self.sorter.line(line));
        self.sorter.pending.ripen(true);
    }

    pub(crate) fn pending(&mut self) -> &mut Pending {
        &mut self.sorter.pending
    }

    pub(crate) fn counts(&self) -> LineCounts {
        self.sorter.counts
    }
}

impl Sorter {
    fn line(&mut self, line: Line<'_>) {
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong(length) => {
                self.counts.lines += 1;
                self.counts.bad.too_long += 1;
                tracing::warn!(tracer = %self.names.own(), length, "line too long, skipped");
                return self.lose("line too long");
            }
        };
        match protocol::parse(bytes) {
            Err(Bad::Blank) => {}
            Err(bad) => self.bad(bad, bytes),
            Ok((message, odd)) => {
                self.counts.lines += 1;
                self.counts.odd.mismatch += u64::from(odd.mismatch);
                self.counts.odd.repaired += u64::from(odd.repaired);
                self.message(message);
            }
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Init => self.counts.inits += 1,
            Message::Stopped => self.counts.stopped += 1,
            Message::Event(payload) => self.event(payload),
        }
    }

    /// The payload is passed on unchanged; the collector turns its pid, time and similar fields into columns.
    fn event(&mut self, payload: Map<String, Value>) {
        self.counts.events += 1;
        let asked = payload.get("tracer_name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let given = asked.map(|asked| self.names.effective(asked));
        self.counts.odd.name_refused += u64::from(given == Some(None));
        let tracer = given.flatten().unwrap_or_else(|| self.names.own().clone());
        let (now, weight) = (clock::boot_ns(), backlog::weight(&payload));
        let record = Record { at: Moment::Boot(now), identity: None, details: Details::Fields(payload) };
        self.pending.push(&tracer, record, weight, now);
    }

    fn bad(&mut self, bad: Bad, line: &[u8]) {
        self.counts.lines += 1;
        let counts = &mut self.counts.bad;
        let counter = match bad {
            Bad::Blank => return,
            Bad::NotJson => &mut counts.not_json,
            Bad::Torn => &mut counts.torn,
            Bad::NotObject => &mut counts.not_object,
            Bad::NoType => &mut counts.no_type,
            Bad::UnknownType => &mut counts.unknown_type,
            Bad::BadPayload => &mut counts.bad_payload,
        };
        *counter += 1;
        // Only the first line of a kind is logged, so that a child that writes nothing else can't fill the log.
        if *counter == 1 {
            let start = crate::stderr::printable(&line[..line.len().min(200)]);
            tracing::warn!(tracer = %self.names.own(), kind = ?bad, line = start, "line is not a message, skipped");
        }
        if bad.cost_a_record() {
            self.lose(if bad == Bad::Torn { "line torn" } else { "payload is no object" });
        }
    }

    /// Counts a record that could not be read as lost, under the child's own name.
    fn lose(&mut self, cause: &str) {
        let (account, now) = (self.accounts.of(self.names.own()), clock::boot_ns());
        account.add_seen(1);
        account.lose(LossPoint::Decode, 1, (now, now), cause);
    }
}

#[cfg(test)]
mod tests {
    use model::{AccountSnapshot, Lost, SinkName};

    use super::*;

    /// Returns the counts and the child's own account after these bytes.
    fn parsed(bytes: &[u8]) -> (LineCounts, AccountSnapshot) {
        let sink = SinkName::new("memory");
        let accounts = Accounts::new(std::slice::from_ref(&sink));
        let mut parser = StdoutParser::new(
            "it".into(),
            Reserved::default(),
            accounts.clone(),
            1024,
            LineCounts::default(),
        );
        for chunk in bytes.chunks(7) {
            parser.feed(chunk);
        }
        parser.finish();
        let counts = parser.counts();
        let mut batches = Vec::new();
        while let Some(batch) = parser.pending().next() {
            batches.push(batch);
        }
        (counts, accounts.of(&"it".into()).snapshot(&sink))
    }

    #[test]
    fn each_line_is_counted_once_and_lost_records_are_accounted_for() {
        let long = format!("{{\"type\":\"event\",\"payload\":{{\"a\":\"{}\"}}}}\n", "x".repeat(2000));
        let lines = [
            "garbage\n\n{\"type\":\"event\",\"pay\r\n",
            "{\"type\":\"event\",\"payload\":null}\r7\n{}\n{\"type\":\"x\"}\n",
            &long,
            "{\"type\":\"init\"}\n{\"type\":\"event\",\"payload\":{\"a\":1}}\n{\"type\":\"event\"}\n{\"type\":\"stopped\"}",
        ];
        let (counts, account) = parsed(lines.concat().as_bytes());
        let bad = BadCounts {
            not_json: 1,
            torn: 1,
            not_object: 1,
            no_type: 1,
            unknown_type: 1,
            bad_payload: 1,
            too_long: 1,
        };
        let odd = OddCounts { mismatch: 4, ..OddCounts::default() };
        assert_eq!(counts, LineCounts { lines: 11, events: 2, inits: 1, stopped: 1, bad, odd });
        assert_eq!((account.seen, account.lost), (5, Lost { decode: 3, ..Lost::default() }));
    }
}
