//! Parses arbitrary output of other programs, for fuzzers and property tests.

use model::{Accounts, SinkName};

use crate::lines::{Line, LineReader};
use crate::protocol::{self, Bad, Message};
use crate::stdout_parser::{LineCounts, StdoutParser};
use crate::wiring::Reserved;

/// Line limit in bytes; short, so that fuzzers find longer lines.
const LINE_LIMIT: usize = 512;

/// Parses `bytes` as a child's output, whole and in pieces of a size that the first byte determines.
///
/// # Panics
/// A documented property does not hold: the pieces make a difference; a line is counted twice or not at all; records
/// are unaccounted for; or an accepted message is refused when it is written out again.
pub fn fuzz_target(bytes: &[u8]) {
    let (piece, stream) = match bytes.split_first() {
        Some((first, rest)) => (usize::from(*first) + 1, rest),
        None => (1, bytes),
    };
    let whole = parse_all(std::iter::once(stream));
    let pieces = parse_all(stream.chunks(piece));
    assert_eq!(whole, pieces, "pieces of {piece} bytes make a difference");
    let mut lines = LineCounts::default();
    let mut reader = LineReader::new(LINE_LIMIT);
    let mut note = |line: Line<'_>| check_line(line, &mut lines);
    reader.feed(stream, &mut note);
    reader.finish(&mut note);
    assert_eq!((lines.lines, lines.events), (whole.0.lines, whole.0.events));
}

/// Returns the counts, and the number of records produced, seen and lost.
fn parse_all<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (LineCounts, u64, u64, u64) {
    let sink = SinkName::new("memory");
    let accounts = Accounts::new(std::slice::from_ref(&sink));
    let mut parser = StdoutParser::new(
        "it".into(),
        Reserved::default(),
        accounts.clone(),
        LINE_LIMIT,
        LineCounts::default(),
    );
    let mut records = 0;
    let mut drain = |parser: &mut StdoutParser| {
        while let Some(batch) = parser.pending().next() {
            records += batch.records.len() as u64;
            for mut claim in batch.claim.route() {
                claim.store(batch.records.len() as u64);
            }
        }
    };
    for piece in pieces {
        parser.feed(piece);
        drain(&mut parser);
    }
    parser.finish();
    drain(&mut parser);
    let counts = parser.counts();
    let (mut seen, mut lost) = (0, 0);
    for account in accounts.all() {
        let snapshot = account.snapshot(&sink);
        assert_eq!(snapshot.in_flight(), 0, "{}: {snapshot:?}", account.tracer());
        seen += snapshot.seen;
        lost += snapshot.lost.decode;
    }
    let (bad, messages) = (counts.bad, counts.events + counts.inits + counts.stopped);
    let invalid = bad.not_json + bad.torn + bad.not_object + bad.no_type + bad.unknown_type;
    assert_eq!(counts.lines, messages + invalid + bad.bad_payload + bad.too_long, "{counts:?}");
    assert_eq!((records, seen), (counts.events, counts.events + lost), "{counts:?}");
    (counts, records, seen, lost)
}

/// Checks that a message that was accepted is accepted with the same content when it is written out again.
fn check_line(line: Line<'_>, counts: &mut LineCounts) {
    let Line::Whole(bytes) = line else {
        counts.lines += 1;
        return;
    };
    match protocol::parse(bytes) {
        Err(Bad::Blank) => {}
        Err(_) => counts.lines += 1,
        Ok((message, _)) => {
            counts.lines += 1;
            if let Message::Event(payload) = message {
                counts.events += 1;
                let again = serde_json::json!({
                    "proto": "duetector", "version": "0.1.0", "type": "event", "payload": payload,
                });
                let again = protocol::parse(again.to_string().as_bytes()).map(|(message, _)| message);
                assert_eq!(again, Ok(Message::Event(payload)));
            }
        }
    }
}
