//! Keys by which rows about sockets are joined: inode of the socket and of its peer, and network namespace.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};

use anyhow::{Context as _, ensure};
use bpf_programs::testing::Kind;
use model::{Details, Direction, Ends, Socket, SocketIds};

use crate::connections::reported;
use crate::ledger::flush_both_buffers;
use crate::support::{Kernel, decode};
use crate::usage;
use crate::{TIMES, Test};

pub const TESTS: &[Test] = &[
    ("socket_ids_of_tcp", tcp),
    ("socket_ids_of_udp_and_dns", udp),
    ("socket_ids_of_unix_sockets_and_pairs", unix),
    ("socket_ids_of_a_client_closed_before_accept", closed),
    ("socket_addresses_that_are_mapped", mapped),
];

fn own() -> u32 {
    std::process::id()
}

/// Returns the inode number of a socket, as the kernel shows it.
fn ino(socket: &impl AsFd) -> anyhow::Result<u64> {
    Ok(nix::sys::stat::fstat(socket)?.st_ino)
}

fn ids(ino: u64, peer_ino: Option<u64>) -> anyhow::Result<SocketIds> {
    let net_ns = std::fs::metadata("/proc/thread-self/ns/net")?.ino();
    Ok(SocketIds { ino: Some(ino), peer_ino, net_ns: Some(u32::try_from(net_ns)?) })
}

fn check(found: &[Socket], expected: &[SocketIds]) -> anyhow::Result<()> {
    let found: Vec<_> = found.iter().map(|socket| socket.ids).collect();
    ensure!(found.len() == expected.len(), "{} records, not {}: {found:?}", found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        ensure!(found == expected, "{found:?} is not {expected:?}");
    }
    Ok(())
}

/// Checks the keys of the rows of `usage` about these sockets, which each wrote and read.
fn check_usage(kernel: &mut Kernel, expected: &[SocketIds]) -> anyhow::Result<()> {
    flush_both_buffers(kernel)?;
    let found = usage::reported(kernel, own())?;
    for ids in expected {
        for direction in [Direction::Read, Direction::Written] {
            let is_it = |usage: &&model::Usage| {
                usage.direction == direction && usage.file.is_some_and(|file| Some(file.ino) == ids.ino)
            };
            let of: Vec<_> = found.iter().filter(is_it).map(|usage| usage.socket).collect();
            ensure!(of == [Some(*ids)], "{of:?} is not {ids:?} {direction:?}");
        }
    }
    Ok(())
}

fn exchange(
    mut one: impl std::io::Read + std::io::Write,
    mut other: impl std::io::Read + std::io::Write,
) -> anyhow::Result<()> {
    let mut room = [0; 9];
    one.write_all(b"there")?;
    ensure!(other.read(&mut room)? == 5);
    other.write_all(b"back")?;
    ensure!(one.read(&mut room)? == 4);
    Ok(())
}

fn tcp() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let (mut binds, mut connects, mut accepts) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        exchange(&client, &server)?;
        binds.extend([ids(ino(&listener)?, None)?; 2]);
        connects.push(ids(ino(&client)?, None)?);
        accepts.push(ids(ino(&server)?, None)?);
    }
    check(&reported(&mut kernel, Kind::Bind)?, &binds)?;
    check(&reported(&mut kernel, Kind::Connect)?, &connects)?;
    check(&reported(&mut kernel, Kind::Accept)?, &accepts)?;
    kernel.wait_for(own(), Kind::Close, 2 * TIMES)?;
    let ended = reported(&mut kernel, Kind::Close)?;
    for (accepted, expected) in [(false, &connects), (true, &accepts)] {
        let ended = ended.iter().filter(|end| end.accepted == Some(accepted)).cloned().collect::<Vec<_>>();
        check(&ended, expected)?;
    }
    check_usage(&mut kernel, &[connects, accepts].concat())
}

fn udp() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    kernel.set(|settings| settings.flow_idle_ms = u32::MAX)?;
    let mut expected = Vec::new();
    for _ in 0..TIMES {
        let client = UdpSocket::bind("127.0.0.1:0")?;
        client.send_to(b"hello", "127.0.0.1:9")?;
        client.send_to(b"no question", "127.0.0.1:53")?;
        expected.push(ids(ino(&client)?, None)?);
    }
    let twice: Vec<_> = expected.iter().flat_map(|ids| [*ids; 2]).collect();
    // A flow ends when a later socket has its address in memory.
    let mut flows = reported(&mut kernel, Kind::Udp)?;
    flows.retain(|flow| flow.traffic.is_none());
    check(&flows, &twice)?;
    let mut asked = Vec::new();
    for bytes in kernel.of(own(), Kind::Dns) {
        let Details::Dns(dns) = decode(Kind::Dns, &bytes)?.details else { anyhow::bail!("no dns") };
        asked.push(dns.ids);
    }
    ensure!(asked == expected, "{asked:?} is not {expected:?}");
    Ok(())
}

/// The peer is known once it is accepted, and at once for a pair and for a datagram socket.
fn unix() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let (mut connects, mut accepts, mut used) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..TIMES {
        let address = SocketAddr::from_abstract_name(format!("ids {} {i}", own()))?;
        let listener = UnixListener::bind_addr(&address)?;
        let client = UnixStream::connect_addr(&address)?;
        let (server, _) = listener.accept()?;
        exchange(&client, &server)?;
        connects.push(ids(ino(&client)?, None)?);
        accepts.push(ids(ino(&server)?, Some(ino(&client)?))?);
        let (one, other) = UnixStream::pair()?;
        exchange(&one, &other)?;
        let pair = [ino(&one)?, ino(&other)?];
        used.extend([ids(pair[0], Some(pair[1]))?, ids(pair[1], Some(pair[0]))?]);
        used.extend([ids(ino(&client)?, Some(ino(&server)?))?, accepts[i]]);
    }
    check(&reported(&mut kernel, Kind::Connect)?, &connects)?;
    check(&reported(&mut kernel, Kind::Accept)?, &accepts)?;
    check_usage(&mut kernel, &used)?;
    let before = reported(&mut kernel, Kind::Connect)?.len();
    let address = SocketAddr::from_abstract_name(format!("ids {}", own()))?;
    let (receiver, sender) = (UnixDatagram::bind_addr(&address)?, UnixDatagram::unbound()?);
    sender.connect_addr(&address)?;
    let found = reported(&mut kernel, Kind::Connect)?.split_off(before);
    check(&found, &[ids(ino(&sender)?, Some(ino(&receiver)?))?])
}

/// A client that has sent something and is closed before its connection is accepted is still named by the accepted socket's row.
fn closed() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let address = SocketAddr::from_abstract_name(format!("closed {}", own()))?;
    let listener = UnixListener::bind_addr(&address)?;
    let mut accepts = Vec::new();
    for _ in 0..TIMES {
        let client = UnixStream::connect_addr(&address)?;
        (&client).write_all(b"there")?;
        let peer = ino(&client)?;
        drop(client);
        accepts.push(ids(ino(&listener.accept()?.0)?, Some(peer))?);
    }
    check(&reported(&mut kernel, Kind::Accept)?, &accepts)
}

/// IPv4 over an IPv6 socket: the addresses are those of IPv4, the family is that of the socket.
fn mapped() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let listener = TcpListener::bind("[::]:0")?;
    let port = listener.local_addr()?.port();
    for _ in 0..TIMES {
        let _client = TcpStream::connect(("127.0.0.1", port))?;
        listener.accept()?;
        let sender = UdpSocket::bind("[::]:0")?;
        sender.send_to(b"x", "[::ffff:127.0.0.1]:9")?;
    }
    let here = [127, 0, 0, 1].into();
    let accepts = reported(&mut kernel, Kind::Accept)?;
    ensure!(accepts.len() == TIMES, "{accepts:?}");
    for accept in &accepts {
        let Ends::Inet { is_v6, local, remote } = accept.ends else { anyhow::bail!("{accept:?}") };
        let remote = remote.context("no remote end")?;
        ensure!(is_v6 && local == (here, port) && remote.0 == here, "{accept:?}");
    }
    let flows = reported(&mut kernel, Kind::Udp)?;
    let sent: Vec<_> = flows.iter().filter(|flow| flow.traffic.is_none()).collect();
    ensure!(sent.len() == TIMES, "{sent:?}");
    for flow in sent {
        let Ends::Inet { is_v6, remote, .. } = flow.ends else { anyhow::bail!("{flow:?}") };
        ensure!(is_v6 && remote == Some((here, 9)), "{flow:?}");
    }
    Ok(())
}
