//! Each flow of bytes from one file through a channel to another file can be followed by the keys in the rows alone: from the
//! first file to the process that read it, to the channel, to the process at the other end, and to the second file.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use serde_json::Value;
use tests::workload::python;
use tests::{Setup, Store, suite};

const UID: u32 = 9958;
const FLOWS: &str = concat!(include_str!("../../python/generator.py"), include_str!("flows.py"));
const WAYS: usize = 11;
const TRACERS: [&str; 5] = ["usage", "connect", "accept", "close", "udp"];

suite! {
    threads: 1;
    every_byte_is_joined_from_file_to_file: [Kernel, Python, Uring]
}

fn every_byte_is_joined_from_file_to_file() {
    // One row for all that a process did with a file.
    let setup = Setup::new().set("ebpf.uids", &format!("[{UID}]")).set("ebpf.usage_interval", "\"1h\"");
    let agent = setup.only(&TRACERS).start();
    let folder = agent.scratch().folder("flows");
    let output = python(UID, &folder, FLOWS, &[]);
    let agent = agent.finish();
    let rows = Rows::read(agent.store());
    let flows: Vec<Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    assert_eq!(flows.len(), WAYS);
    for flow in &flows {
        let bytes = flow["bytes"].as_u64().unwrap();
        let target = rows.follow(flow["source"].as_str().unwrap(), bytes);
        let contents = |name: &str| std::fs::read(flow[name].as_str().unwrap()).unwrap();
        assert!(contents("source") == contents("target"), "{flow}");
        assert_eq!(target.as_deref(), Ok(flow["target"].as_str().unwrap()), "{flow}");
    }
}

/// The rows of the flows' processes.
struct Rows {
    usage: Vec<Value>,
    /// Ends of connections, and of datagrams that were sent or received.
    ends: Vec<Value>,
}

impl Rows {
    fn read(store: &Store) -> Self {
        let of = |tracer: &str| store.query(tracer, &[&format!("uid={UID}")]);
        Self { usage: of("usage"), ends: ["connect", "accept", "udp"].into_iter().flat_map(of).collect() }
    }

    /// Follows bytes from a file through two processes; returns the path of the file that they end in.
    fn follow(&self, source: &str, bytes: u64) -> Result<String, String> {
        let readers = self.uses("bytes_read", bytes).filter(|row| row["fname"] == source);
        let [reader] = readers.collect::<Vec<_>>()[..] else { return Err(format!("readers of {source}")) };
        let writes = self.of(reader, "bytes_written", bytes);
        let maps =
            self.of_process(reader).filter(|row| row["extended"]["bytes_mapped"].as_u64() == Some(bytes));
        let channels: Vec<_> = writes.chain(maps).collect();
        let [channel] = channels[..] else { return Err(format!("channels of {reader}: {channels:#?}")) };
        let others: Vec<_> = self.usage.iter().filter(|row| self.is_other_end(channel, row, bytes)).collect();
        let [other] = others[..] else { return Err(format!("other ends of {channel}: {others:#?}")) };
        let written: Vec<_> = self.of(other, "bytes_written", bytes).collect();
        let [target] = written[..] else { return Err(format!("files that {other} writes: {written:#?}")) };
        Ok(target["fname"].as_str().unwrap().to_owned())
    }

    fn uses(&self, direction: &str, bytes: u64) -> impl Iterator<Item = &Value> {
        self.usage.iter().filter(move |row| row["extended"][direction].as_u64() == Some(bytes))
    }

    fn of_process(&self, of: &Value) -> impl Iterator<Item = &Value> {
        self.usage.iter().filter(move |row| exec_id(row) == exec_id(of))
    }

    fn of(&self, of: &Value, direction: &str, bytes: u64) -> impl Iterator<Item = &Value> {
        self.uses(direction, bytes).filter(move |row| exec_id(row) == exec_id(of))
    }

    /// Returns whether the second row is about the other end of the first one's channel: the same file, the peer of a socket,
    /// or the socket at the same addresses the other way round.
    fn is_other_end(&self, channel: &Value, row: &Value, bytes: u64) -> bool {
        let (one, other) = (&channel["extended"], &row["extended"]);
        if exec_id(channel) == exec_id(row) {
            return false;
        }
        let Some(sock_ino) = one["sock_ino"].as_u64() else {
            let direction = if one["bytes_mapped"].is_null() { "bytes_read" } else { "bytes_mapped" };
            let key = |extended: &Value| ["dev", "ino", "generation"].map(|name| extended[name].as_u64());
            return key(one) == key(other) && other[direction].as_u64() == Some(bytes);
        };
        if other["bytes_read"].as_u64() != Some(bytes) {
            return false;
        }
        let Some(other_ino) = other["sock_ino"].as_u64() else { return false };
        // One side suffices: the peer of a socket that is closed has no number any more.
        other["peer_ino"].as_u64() == Some(sock_ino)
            || one["peer_ino"].as_u64() == Some(other_ino)
            || self.accepted(other_ino, sock_ino)
            || self.addresses_match(sock_ino, other_ino)
    }

    /// Returns whether the first socket was accepted as the other end of the second one.
    fn accepted(&self, sock_ino: u64, peer_ino: u64) -> bool {
        let is = |row: &&Value, name: &str, ino: u64| row["extended"][name].as_u64() == Some(ino);
        self.ends.iter().any(|row| is(&row, "sock_ino", sock_ino) && is(&row, "peer_ino", peer_ino))
    }

    /// Returns whether the two sockets have the same addresses, the other way round. One that receives datagrams without asking
    /// for their sender has only its own address.
    fn addresses_match(&self, sock_ino: u64, other_ino: u64) -> bool {
        let of =
            |ino: u64| self.ends.iter().filter(move |row| row["extended"]["sock_ino"].as_u64() == Some(ino));
        let end = |row: &Value, address: &str, port: &str| {
            let end = [address, port].map(|name| row["extended"][name].clone());
            (!end[1].is_null()).then_some(end)
        };
        let local = |row: &Value| end(row, "saddr", "sport");
        let remote = |row: &Value| end(row, "daddr", "dport");
        let is_sent_to = |from: &Value, to: &Value| remote(from).is_some() && remote(from) == local(to);
        let comes_from = |from: &Value, to: &Value| remote(to).is_none_or(|end| Some(end) == local(from));
        of(sock_ino).any(|one| of(other_ino).any(|other| is_sent_to(one, other) && comes_from(one, other)))
    }
}

fn exec_id(row: &Value) -> Option<&str> {
    row["exec_id"].as_str().or_else(|| row["extended"]["exec_id"].as_str())
}
