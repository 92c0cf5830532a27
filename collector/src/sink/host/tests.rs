//! The sink against hosts of both kinds, each at the other end of a real pipe.

use std::io::{BufRead as _, BufReader, Read as _};
use std::sync::mpsc;
use std::time::Duration;

use actors::clock;
use model::{Clocks, Details, Moment, Record};
use serde_json::{Map, Value};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn routed(numbers: std::ops::Range<u32>, filler: usize) -> Routed {
    let row = |number: u32| {
        let fields =
            Map::from_iter([("number".into(), number.into()), ("filler".into(), "x".repeat(filler).into())]);
        let record =
            Record { at: Moment::Wall(WallTime(0)), identity: None, details: Details::Fields(fields) };
        crate::normalize::row(&"t".into(), record, &Clocks::default()).unwrap()
    };
    Routed { claim: None, rows: numbers.map(row).collect(), bytes: 0 }
}

fn number(line: &str) -> u64 {
    let event: Value = serde_json::from_str(line).unwrap();
    event["payload"]["number"].as_u64().unwrap()
}

/// Writes the rows from a thread of its own, and returns the sink's result through a channel.
fn write(pipe: &HostPipe, rows: Routed) -> mpsc::Receiver<Result<Vec<Rejected>, SinkError>> {
    let (result, results) = mpsc::channel();
    let mut sink = Host::new(pipe.clone(), "");
    std::thread::spawn(move || drop(result.send(sink.write(&[rows], &[]))));
    results
}

#[test]
fn a_host_that_always_reads_gets_all_at_once() {
    let (reader, writer) = std::io::pipe().unwrap();
    let pipe = HostPipe::new(writer.into(), HostReads::Always).unwrap();
    let results = write(&pipe, routed(0..5000, 100));
    let lines = BufReader::new(reader).lines().take(5000);
    let numbers: Vec<u64> = lines.map(|line| number(&line.unwrap())).collect();
    assert_eq!(numbers, (0..5000).collect::<Vec<_>>());
    assert_eq!(results.recv_timeout(SECOND).unwrap().unwrap(), []);
}

/// Reads as Python duetector does: one line, and more lines only while the pipe is not empty.
fn poll(reader: &mut BufReader<std::io::PipeReader>, numbers: &mut Vec<u64>) {
    let waits = |reader: &BufReader<std::io::PipeReader>| {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(reader.get_ref(), PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 10_000_000 })).unwrap() > 0
    };
    let mut line = String::new();
    while waits(reader) {
        line.clear();
        reader.read_line(&mut line).unwrap();
        numbers.push(number(&line));
    }
}

#[test]
fn no_line_is_overlooked_by_a_host_that_reads_ahead() {
    let (reader, writer) = std::io::pipe().unwrap();
    let pipe = HostPipe::new(writer.into(), HostReads::AtPolls { most_a_second: 0 }).unwrap();
    let mut reader = BufReader::with_capacity(8192, reader);
    let mut numbers = Vec::new();
    // Short lines, many of which would fit into the pipe, and lines longer than the pipe.
    for (from, filler) in [(0, 10), (100, 6000)] {
        let results = write(&pipe, routed(from..from + 100, filler));
        let answer = loop {
            pipe.polled();
            poll(&mut reader, &mut numbers);
            assert!(reader.buffer().is_empty(), "read ahead and overlooked");
            if let Ok(answer) = results.try_recv() {
                break answer;
            }
        };
        assert_eq!(answer.unwrap(), []);
    }
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
}

#[test]
fn nothing_is_written_before_the_first_poll() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let pipe = HostPipe::new(writer.into(), HostReads::AtPolls { most_a_second: 0 }).unwrap();
    assert!(pipe.say(b"first\n", SECOND));
    let mut first = [0; 6];
    reader.read_exact(&mut first).unwrap();
    let results = write(&pipe, routed(0..1, 0));
    assert!(results.recv_timeout(Duration::from_millis(50)).is_err());
    assert_eq!(rustix::io::ioctl_fionread(&reader).unwrap(), 0);
    pipe.polled();
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    assert_eq!(number(&line), 0);
    assert_eq!(results.recv_timeout(SECOND).unwrap().unwrap(), []);
}

#[test]
fn rows_that_a_host_leaves_unread_at_the_end_count_as_lost() {
    let (reader, writer) = std::io::pipe().unwrap();
    let pipe = HostPipe::new(writer.into(), HostReads::AtPolls { most_a_second: 0 }).unwrap();
    let results = write(&pipe, routed(0..1000, 100));
    let mut lines = BufReader::new(reader).lines();
    pipe.polled();
    let received = lines.by_ref().take(50).map(|line| number(&line.unwrap())).collect::<Vec<_>>();
    assert_eq!(received, (0..50).collect::<Vec<_>>());
    pipe.end_by(clock::now() + SECOND);
    let rejected = results.recv_timeout(5 * SECOND).unwrap().unwrap();
    assert_eq!((rejected.len(), rejected[0].rows), (1, 950));
    drop(lines);
}

#[test]
fn a_host_that_reads_to_the_end_gets_all() {
    let (reader, writer) = std::io::pipe().unwrap();
    let pipe = HostPipe::new(writer.into(), HostReads::AtPolls { most_a_second: 0 }).unwrap();
    pipe.end_by(clock::now() + 20 * SECOND);
    let results = write(&pipe, routed(0..1000, 100));
    let lines = BufReader::new(reader).lines().take(1000);
    assert_eq!(lines.map(|line| number(&line.unwrap())).collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
    assert_eq!(results.recv_timeout(5 * SECOND).unwrap().unwrap(), []);
}

#[test]
fn a_closed_pipe_is_reported_as_a_host_that_is_gone() {
    let (reader, writer) = std::io::pipe().unwrap();
    let pipe = HostPipe::new(writer.into(), HostReads::AtPolls { most_a_second: 0 }).unwrap();
    drop(reader);
    pipe.polled();
    let error = write(&pipe, routed(0..3, 0)).recv_timeout(5 * SECOND).unwrap().unwrap_err();
    assert_eq!(error.to_string(), "writing to the parent program: the parent program is gone");
    assert!(!pipe.say(b"x\n", SECOND));
}

#[test]
fn a_line_that_is_too_long_is_refused() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let pipe = HostPipe::new(writer.into(), HostReads::Always).unwrap();
    let mut rows = routed(0..1, 0).rows.to_vec();
    rows.extend(routed(1..2, LONGEST_LINE).rows.to_vec());
    let rows = Routed { claim: None, rows: rows.into(), bytes: 0 };
    let rejected = Host::new(pipe, "").write(&[rows], &[]).unwrap();
    assert_eq!((rejected[0].rows, rejected.len()), (1, 1));
}
