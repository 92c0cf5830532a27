//! Everything that what other programs write can be put through, for fuzzers and property tests.

use model::{Accounts, SinkName};

use crate::intake::{Intake, LineCounts};
use crate::lines::{Line, LineReader};
use crate::protocol::{self, Bad, Message};
use crate::wiring::Reserved;

/// Short, so that fuzzers find lines that are longer.
const LINE_LIMIT: usize = 512;

/// Takes in `bytes` as a child's output, whole and in pieces whose sizes the first byte tells.
///
/// # Panics
/// Where a promise is broken: pieces make a difference; a line is counted twice or not at all; records are unaccounted
/// for; or a message that was understood is not when it is written out again.
pub fn exercise(bytes: &[u8]) {
    let (piece, stream) = match bytes.split_first() {
        Some((first, rest)) => (usize::from(*first) + 1, rest),
        None => (1, bytes),
    };
    let whole = take_in(std::iter::once(stream));
    let pieces = take_in(stream.chunks(piece));
    assert_eq!(whole, pieces, "pieces of {piece} bytes make a difference");
    let mut lines = LineCounts::default();
    let mut reader = LineReader::new(LINE_LIMIT);
    let mut note = |line: Line<'_>| judge(line, &mut lines);
    reader.feed(stream, &mut note);
    reader.finish(&mut note);
    assert_eq!((lines.lines, lines.events), (whole.0.lines, whole.0.events));
}

/// Counts, records that came out, records seen and lost.
fn take_in<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (LineCounts, u64, u64, u64) {
    let sink = SinkName::new("memory");
    let accounts = Accounts::new(std::slice::from_ref(&sink));
    let mut intake =
        Intake::new("it".into(), Reserved::default(), accounts.clone(), LINE_LIMIT, LineCounts::default());
    let mut records = 0;
    let mut empty = |intake: &mut Intake| {
        while let Some(batch) = intake.pending().next() {
            records += batch.records.len() as u64;
            for mut claim in batch.claim.route() {
                claim.store(batch.records.len() as u64);
            }
        }
    };
    for piece in pieces {
        intake.feed(piece);
        empty(&mut intake);
    }
    intake.finish();
    empty(&mut intake);
    let counts = intake.counts();
    let (mut seen, mut lost) = (0, 0);
    for account in accounts.all() {
        let books = account.snapshot(&sink);
        assert_eq!(books.in_flight(), 0, "{}: {books:?}", account.tracer());
        seen += books.seen;
        lost += books.lost.decode;
    }
    let (bad, told) = (counts.bad, counts.events + counts.inits + counts.stopped);
    let judged = bad.not_json + bad.torn + bad.not_object + bad.no_type + bad.unknown_type;
    assert_eq!(counts.lines, told + judged + bad.bad_payload + bad.too_long, "{counts:?}");
    assert_eq!((records, seen), (counts.events, counts.events + lost), "{counts:?}");
    (counts, records, seen, lost)
}

/// One line: what it says can be said again, and is understood alike.
fn judge(line: Line<'_>, counts: &mut LineCounts) {
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
