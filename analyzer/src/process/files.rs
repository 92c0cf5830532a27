//! The files and peers of a process, with bytes.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::life::Reading;
use crate::Error;
use crate::file_id::FileId;
use crate::identities::{TRACERS, id_of};
use crate::store::Walk;
use crate::target::path_of;
use crate::uses::{Sums, UsageColumns};

/// Number of files and of peers that are kept apart.
const KEPT: usize = 100_000;

/// A file that a process used.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct UsedFile {
    /// Identity of the file; `None` if rows have only its name.
    pub file_id: Option<FileId>,
    /// Path of the file, the last one.
    pub path: Option<String>,
    /// Sums of what the process did to it.
    #[serde(flatten)]
    pub sums: Sums,
}

/// Another end that a process talked to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Peer {
    /// Address of the other end, or path of a unix socket.
    pub address: String,
    /// Port of the other end.
    pub port: Option<i64>,
    /// `connect`, `accept` or `udp`.
    pub via: &'static str,
    /// Protocol, or type of the address.
    pub family: Option<String>,
    /// Number of connections, or of flows of datagrams.
    pub connections: u64,
    /// Number of attempts that failed.
    pub failed: u64,
    /// Bytes that were sent.
    pub bytes_sent: u64,
    /// Bytes that were received.
    pub bytes_received: u64,
}

impl Reading<'_> {
    /// Returns the files, those with most bytes first, and the number of rows about those that are not listed.
    pub(super) fn files(&self) -> Result<(Vec<UsedFile>, u64), Error> {
        let (mut files, mut index) =
            (Vec::<UsedFile>::new(), HashMap::<(Option<FileId>, String), usize>::new());
        let (selection, mut left_out) = (self.select("exec_id"), 0);
        for tracer in TRACERS {
            let columns = UsageColumns::of(tracer);
            self.walker.walk(
                Walk { tracer, columns: columns.names(), selection: &selection },
                &mut |chunk| {
                    for row in
                        (0..chunk.len()).filter(|row| columns.exec_id(chunk, *row) == Some(self.exec_id))
                    {
                        let path = columns.path(chunk, row);
                        let id = id_of(chunk, row, columns.id());
                        let key = (
                            id,
                            if id.is_none() { path.unwrap_or_default().to_owned() } else { String::new() },
                        );
                        let found = index.get(&key).copied();
                        if found.is_none() && files.len() >= KEPT {
                            left_out += 1;
                            continue;
                        }
                        let at = found.unwrap_or_else(|| {
                            files.push(UsedFile { file_id: id, ..UsedFile::default() });
                            index.insert(key, files.len() - 1);
                            files.len() - 1
                        });
                        let file = &mut files[at];
                        if let Some(path) =
                            path.map(path_of).filter(|path| file.path.as_deref() != Some(path))
                        {
                            file.path = Some(path.to_owned());
                        }
                        file.sums.add(tracer, chunk, row);
                    }
                },
            )?;
        }
        files.iter_mut().for_each(|file| file.sums.in_zone(self.zone));
        files.sort_by_key(|file| (std::cmp::Reverse(file.sums.weight()), file.sums.first));
        Ok((files, left_out))
    }

    /// Returns the peers, those with most bytes first.
    pub(super) fn peers(&self) -> Result<(Vec<Peer>, u64), Error> {
        let columns = [
            "exec_id",
            "daddr",
            "dport",
            "sun_path",
            "family",
            "protocol",
            "ret",
            "bytes_sent",
            "bytes_received",
            "accepted",
        ];
        let (selection, mut left_out) = (self.select("exec_id"), 0);
        let mut peers: BTreeMap<(String, Option<i64>, &'static str), Peer> = BTreeMap::new();
        let tracers = [("connect", "connect"), ("accept", "accept"), ("close", "connect"), ("udp", "udp")];
        for (tracer, via) in tracers {
            self.walker.walk(Walk { tracer, columns: &columns, selection: &selection }, &mut |chunk| {
                for row in (0..chunk.len()).filter(|row| chunk.text(*row, 0) == Some(self.exec_id)) {
                    let text = |column| chunk.text(row, column).map(str::to_owned);
                    let is_accepted = tracer == "close" && chunk.int(row, 9) == Some(1);
                    let via = if is_accepted { "accept" } else { via };
                    let address = text(1).or_else(|| text(3)).unwrap_or_default();
                    // Each connection that a server accepts has another port.
                    let port = chunk.int(row, 2).filter(|_| via != "accept");
                    let key = (address.clone(), port, via);
                    if !peers.contains_key(&key) && peers.len() >= KEPT {
                        left_out += 1;
                        continue;
                    }
                    let empty = || Peer {
                        address,
                        port,
                        via,
                        family: text(5).or_else(|| text(4)),
                        ..Peer::default()
                    };
                    let peer = peers.entry(key).or_insert_with(empty);
                    // EINPROGRESS and its like end in a row of their own.
                    let is_failed = chunk.int(row, 6).is_some_and(|ret| ret < 0);
                    peer.failed += u64::from(is_failed);
                    peer.connections += u64::from(!is_failed && tracer != "close");
                    peer.bytes_sent += chunk.uint(row, 7).unwrap_or_default();
                    peer.bytes_received += chunk.uint(row, 8).unwrap_or_default();
                }
            })?;
        }
        let mut peers: Vec<Peer> = peers.into_values().collect();
        peers.sort_by_key(|peer| std::cmp::Reverse(peer.bytes_sent.saturating_add(peer.bytes_received)));
        Ok((peers, left_out))
    }
}
