//! Tracers `udp` and `dns`: datagrams by every call, on real sockets over loopback.

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;

use actors::clock;
use anyhow::{Context as _, ensure};
use bpf_programs::testing::Kind;
use model::{Details, Dns, Ends, Socket, Transfer};
use nix::errno::Errno;
use nix::sys::socket::{
    MsgFlags, MultiHeaders, SockaddrIn, SockaddrStorage, recvmmsg, recvmsg, sendmmsg, sendmsg,
};

use crate::connections::reported;
use crate::support::{DEADLINE, Kernel, decode};
use crate::{TIMES, Test};

pub const TESTS: &[Test] = &[
    ("udp_flows_v4_and_v6", flows),
    ("udp_each_call", each_call),
    ("udp_failed", failed),
    ("udp_flow_that_is_idle", idle),
    ("dns_names_asked_and_answered", names),
    ("dns_each_call", dns_each_call),
    ("dns_of_any_bytes", hostile),
];

/// Returns the flows' sums, once there are `count`: each call meanwhile sweeps for ended flows.
fn sums(kernel: &mut Kernel, count: usize) -> anyhow::Result<Vec<Socket>> {
    kernel.set(|settings| settings.flow_idle_ms = 1)?;
    let poke = UdpSocket::bind("127.0.0.1:0")?;
    let end = clock::now() + DEADLINE;
    loop {
        poke.send_to(b"x", poke.local_addr()?)?;
        let ended = reported(kernel, Kind::Udp)?.into_iter().filter(|flow| flow.traffic.is_some());
        let ended: Vec<_> = ended.filter(|flow| !is_to_itself(flow)).collect();
        if ended.len() >= count {
            ensure!(ended.len() == count, "{} flows ended", ended.len());
            return Ok(ended);
        }
        ensure!(clock::now() < end, "{} flows ended, not {count}", ended.len());
    }
}

/// True for the datagrams that [`sums`] sends.
fn is_to_itself(flow: &Socket) -> bool {
    matches!(flow.ends, Ends::Inet { local, remote: Some(remote), .. } if local == remote)
}

fn inet(local: SocketAddr, remote: SocketAddr) -> Ends {
    let remote = Some((remote.ip(), remote.port()));
    Ends::Inet { is_v6: local.is_ipv6(), local: (local.ip(), local.port()), remote }
}

/// Returns bytes sent and received, datagrams sent and received.
fn traffic(flow: &Socket) -> anyhow::Result<(u64, u64, u64, u64)> {
    let found = flow.traffic.context("no sums")?;
    let (sent, received) = found.datagrams.context("no datagrams")?;
    Ok((found.bytes_sent, found.bytes_received, sent, received))
}

fn by_ends<'a>(found: &'a [Socket], ends: &Ends) -> anyhow::Result<&'a Socket> {
    found.iter().find(|flow| flow.ends == *ends).with_context(|| format!("none of {ends:?}"))
}

/// The first datagram of each flow in each direction, and the sums when its socket is gone.
fn flows() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    // No sweep until the first datagrams are checked: it would end the flows of sockets that are closed by then.
    kernel.set(|settings| settings.flow_idle_ms = u32::MAX)?;
    let mut expected = Vec::new();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        for i in 0..TIMES {
            let (server, client) = (UdpSocket::bind(address)?, UdpSocket::bind(address)?);
            let (to, from) = (server.local_addr()?, client.local_addr()?);
            client.connect(to)?;
            for _ in 0..=i {
                client.send(&[7; 100])?;
                ensure!(server.recv_from(&mut [0; 200])? == (100, from));
            }
            server.send_to(&[8; 33], from)?;
            ensure!(client.recv(&mut [0; 200])? == 33);
            expected.push((inet(from, to), inet(to, from), i as u64 + 1));
        }
    }
    let firsts = reported(&mut kernel, Kind::Udp)?;
    ensure!(firsts.len() == 4 * expected.len(), "{}", firsts.len());
    let sums = sums(&mut kernel, 2 * expected.len())?;
    for (there, back, count) in expected {
        for (ends, call, direction, bytes) in [
            (&there, "sendto", Transfer::Sent, 100),
            (&back, "recvfrom", Transfer::Received, 100),
            (&back, "sendto", Transfer::Sent, 33),
            (&there, "recvfrom", Transfer::Received, 33),
        ] {
            let found: Vec<_> = firsts
                .iter()
                .filter(|first| first.ends == *ends && first.direction == Some(direction))
                .collect();
            ensure!(found.len() == 1, "{found:?}");
            let first = (found[0].call, found[0].ret, found[0].kind);
            ensure!(first == (Some(call), Some(bytes), 2), "{found:?}");
        }
        ensure!(traffic(by_ends(&sums, &there)?)? == (100 * count, 33, count, 1), "{count}");
        ensure!(traffic(by_ends(&sums, &back)?)? == (33, 100 * count, 1, count), "{count}");
    }
    Ok(())
}

/// Every call that sends and every one that receives, 23 times each, in one flow; peeking is not counted.
fn each_call() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let (server, client) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    let (to, from) = (server.local_addr()?, client.local_addr()?);
    let name = SockaddrIn::from(match to {
        SocketAddr::V4(to) => to,
        SocketAddr::V6(_) => anyhow::bail!("{to}"),
    });
    client.connect(to)?;
    server.connect(from)?;
    for _ in 0..TIMES {
        client.send(&[1; 1])?;
        client.send_to(&[1; 2], to)?;
        nix::unistd::write(&client, &[1; 4])?;
        nix::sys::uio::writev(&client, &[IoSlice::new(&[1; 3]), IoSlice::new(&[1; 5])])?;
        sendmsg::<()>(client.as_raw_fd(), &[IoSlice::new(&[1; 16])], &[], MsgFlags::empty(), None)?;
        sendmsg(client.as_raw_fd(), &[IoSlice::new(&[1; 32])], &[], MsgFlags::empty(), Some(&name))?;
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(2, None);
        let many = [[IoSlice::new(&[1; 64])], [IoSlice::new(&[1; 128])]];
        let sent: Vec<_> =
            sendmmsg(client.as_raw_fd(), &mut headers, &many, [Some(name), None], [], MsgFlags::empty())?
                .map(|message| message.bytes)
                .collect();
        ensure!(sent.len() == 2, "{sent:?}");
        let mut room = [0; 300];
        ensure!(server.peek(&mut room)? == 1);
        ensure!(server.recv(&mut room)? == 1);
        ensure!(server.recv_from(&mut room)? == (2, from));
        ensure!(nix::unistd::read(&server, &mut room)? == 4);
        ensure!(nix::sys::uio::readv(&server, &mut [IoSliceMut::new(&mut room)])? == 8);
        for bytes in [16, 32] {
            let mut into = [IoSliceMut::new(&mut room)];
            let message = recvmsg::<SockaddrIn>(server.as_raw_fd(), &mut into, None, MsgFlags::empty())?;
            ensure!(message.bytes == bytes, "{}", message.bytes);
        }
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(2, None);
        let (mut one, mut other) = ([0; 300], [0; 300]);
        let mut into = [[IoSliceMut::new(&mut one)], [IoSliceMut::new(&mut other)]];
        let flags = MsgFlags::empty();
        let got: Vec<_> = recvmmsg(server.as_raw_fd(), &mut headers, into.iter_mut(), flags, None)?
            .map(|message| message.bytes)
            .collect();
        ensure!(got == [64, 128], "{got:?}");
    }
    drop((server, client));
    let sums = sums(&mut kernel, 2)?;
    let (bytes, count) = (255 * TIMES as u64, 8 * TIMES as u64);
    ensure!(traffic(by_ends(&sums, &inet(from, to))?)? == (bytes, 0, count, 0), "{sums:?}");
    ensure!(traffic(by_ends(&sums, &inet(to, from))?)? == (0, bytes, 0, count), "{sums:?}");
    Ok(())
}

/// Each failed attempt is recorded.
fn failed() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let long = vec![0; 70_000];
    for _ in 0..TIMES {
        let refused = client.send_to(&long, to).map_err(|cause| cause.raw_os_error());
        ensure!(refused == Err(Some(libc::EMSGSIZE)), "{refused:?}");
    }
    client.set_nonblocking(true)?;
    ensure!(client.recv_from(&mut [0; 9]).is_err(), "something came");
    let found = reported(&mut kernel, Kind::Udp)?;
    ensure!(found.len() == TIMES, "{}", found.len());
    let is_so = |flow: &Socket| {
        flow.ends == inet(client.local_addr().expect("bound"), to)
            && flow.ret == Some(-i64::from(libc::EMSGSIZE))
            && (flow.direction, flow.traffic) == (Some(Transfer::Sent), None)
    };
    ensure!(found.iter().all(is_so), "{found:?}");
    Ok(())
}

/// A flow ends when it is idle, though its socket stays; a later datagram begins another flow.
fn idle() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    for round in 1..=3 {
        kernel.set(|_| {})?;
        client.send_to(&[1; 10], to)?;
        client.send_to(&[1; 10], to)?;
        let sums = sums(&mut kernel, round)?;
        let own = inet(client.local_addr()?, to);
        ensure!(sums.iter().all(|flow| flow.ends == own), "{sums:?}");
        let all: anyhow::Result<Vec<_>> = sums.iter().map(traffic).collect();
        ensure!(all?.iter().all(|sums| *sums == (20, 0, 2, 0)), "{sums:?}");
    }
    Ok(())
}

/// Binds a server to port 53 of a loopback address that nothing else uses.
fn server() -> anyhow::Result<UdpSocket> {
    let own = std::process::id().to_be_bytes();
    let mut refused = None;
    for last in 1..=250 {
        match UdpSocket::bind((Ipv4Addr::new(127, own[2], own[3], last), 53)) {
            Ok(server) => return Ok(server),
            Err(cause) => refused = Some(cause),
        }
    }
    Err(refused.context("no address")?.into())
}

fn query(id: u16, name: &str, kind: u8) -> Vec<u8> {
    let mut query = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend([0, 0, kind, 0, 1]);
    query
}

fn dns(kernel: &mut Kernel) -> anyhow::Result<Vec<Dns>> {
    kernel.drain();
    let mut found = Vec::new();
    for bytes in kernel.of(std::process::id(), Kind::Dns) {
        match decode(Kind::Dns, &bytes)?.details {
            Details::Dns(dns) => found.push(*dns),
            other => anyhow::bail!("{other:?}"),
        }
    }
    Ok(found)
}

fn names() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let server = server()?;
    let to = server.local_addr()?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.connect(to)?;
    let ends = inet(client.local_addr()?, to);
    for i in 0..TIMES as u16 {
        client.send(&query(i, &format!("host{i}.example.org"), 1))?;
        let mut room = [0; 512];
        let (length, from) = server.recv_from(&mut room)?;
        let mut answer = room[..length].to_vec();
        answer[2] |= 0x80;
        if i % 2 == 0 {
            answer[7] = 1;
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, i as u8]);
        } else {
            answer[3] |= 3;
        }
        server.send_to(&answer, from)?;
        client.recv(&mut room)?;
    }
    let found = dns(&mut kernel)?;
    // The server's own datagrams go to and come from another port.
    ensure!(found.len() == 2 * TIMES, "{}", found.len());
    for (i, pair) in found.chunks(2).enumerate() {
        let name = format!("host{i}.example.org");
        for dns in pair {
            let message = dns.message.as_ref().context("no message")?;
            ensure!(dns.ends == ends && !message.incomplete && dns.ret > 0, "{dns:?}");
            ensure!((message.id, message.name.as_str()) == (i as u16, name.as_str()), "{dns:?}");
            ensure!(message.query_type == "A", "{dns:?}");
        }
        let fields = |dns: &Dns| {
            let message = dns.message.clone().expect("seen above");
            (dns.direction, dns.call, message.code, message.addresses)
        };
        ensure!(fields(&pair[0]) == (Transfer::Sent, "sendto", None, vec![]), "{pair:?}");
        let (code, addresses) = match i % 2 {
            0 => ("NOERROR", vec![IpAddr::from([10, 0, 0, i as u8])]),
            _ => ("NXDOMAIN", vec![]),
        };
        ensure!(fields(&pair[1]) == (Transfer::Received, "recvfrom", Some(code), addresses), "{pair:?}");
    }
    Ok(())
}

/// Two names in one call, a name in pieces, one by `write`; and one that could not be sent.
fn dns_each_call() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let server = server()?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.connect(server.local_addr()?)?;
    let [first, second, third, fourth] =
        ["a.one", "b.two", "c.three", "d.four"].map(|name| query(7, name, 28));
    let nobody = UdpSocket::bind("127.0.0.1:0")?;
    for _ in 0..TIMES {
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(2, None);
        let many = [[IoSlice::new(&first)], [IoSlice::new(&second)]];
        let sent =
            sendmmsg(client.as_raw_fd(), &mut headers, &many, [None, None], [], MsgFlags::empty())?.count();
        ensure!(sent == 2, "{sent}");
        let (head, tail) = third.split_at(14);
        let pieces = [IoSlice::new(head), IoSlice::new(tail)];
        sendmsg::<()>(client.as_raw_fd(), &pieces, &[], MsgFlags::empty(), None)?;
        nix::unistd::write(&client, &fourth)?;
        let to = SockaddrIn::new(255, 255, 255, 255, 53);
        let pieces = [IoSlice::new(&fourth)];
        let refused = sendmsg(nobody.as_raw_fd(), &pieces, &[], MsgFlags::empty(), Some(&to));
        ensure!(refused == Err(Errno::EACCES), "{refused:?}");
        for _ in 0..4 {
            server.recv(&mut [0; 512])?;
        }
    }
    let found = dns(&mut kernel)?;
    ensure!(found.len() == 5 * TIMES, "{}", found.len());
    let expected = [
        ("sendmmsg", "a.one"),
        ("sendmmsg", "b.two"),
        ("sendmsg", "c.three"),
        ("write", "d.four"),
        ("sendmsg", "d.four"),
    ];
    for (i, dns) in found.iter().enumerate() {
        let message = dns.message.as_ref().context("no message")?;
        ensure!((dns.call, message.name.as_str()) == expected[i % 5], "{dns:?}");
        ensure!(message.query_type == "AAAA" && !message.incomplete, "{dns:?}");
        ensure!((dns.ret < 0) == (i % 5 == 4), "{dns:?}");
    }
    Ok(())
}

/// Datagrams that are no messages or longer than the limit are marked as such.
fn hostile() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let server = server()?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    let mut long = query(1, "long.name", 16);
    long.resize(20_000, 0xff);
    for i in 0..TIMES {
        client.send_to(&vec![0xc0; i], server.local_addr()?)?;
        client.send_to(&long, server.local_addr()?)?;
    }
    let found = dns(&mut kernel)?;
    ensure!(found.len() == 2 * TIMES, "{}", found.len());
    for (i, pair) in found.chunks(2).enumerate() {
        ensure!(pair[0].message.is_none() && pair[0].ret == i as i64, "{:?}", pair[0]);
        let message = pair[1].message.as_ref().context("no message")?;
        ensure!(message.name == "long.name" && message.incomplete && pair[1].ret == 20_000, "{message:?}");
    }
    Ok(())
}
