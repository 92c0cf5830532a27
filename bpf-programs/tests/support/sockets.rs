//! Tests of tracer `connect`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::ensure;
use bpf_programs::testing::Kind;
use model::{Details, Ends, Socket};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, socket};

use crate::support::{Kernel, decode};
use crate::{TIMES, Test};

pub const TESTS: &[Test] = &[
    ("connect_v4_and_v6", both),
    ("connect_refused", refused),
    ("connect_without_waiting", nonblocking),
    ("connect_without_waiting_refused", nonblocking_refused),
    ("connect_closed_before_decided", abandoned),
    ("connect_of_other_sockets_is_not_recorded", others),
];

fn own() -> u32 {
    std::process::id()
}

/// Returns the connects of this process to `port`.
fn to_port(kernel: &mut Kernel, port: u16) -> anyhow::Result<Vec<Socket>> {
    kernel.drain();
    let mut found = Vec::new();
    for bytes in kernel.of(own(), Kind::Connect) {
        if let Details::Socket(connect) = decode(Kind::Connect, &bytes)?.details
            && matches!(connect.ends, Ends::Inet { remote: Some((_, to)), .. } if to == port)
        {
            found.push(*connect);
        }
    }
    Ok(found)
}

fn check(connect: &Socket, from: Option<SocketAddr>, to: SocketAddr, ret: i64) -> anyhow::Result<()> {
    let Ends::Inet { is_v6, local, remote } = connect.ends else { anyhow::bail!("{connect:?}") };
    // An IPv4 address of an IPv6 socket is shown as one of IPv4.
    ensure!(remote == Some((to.ip().to_canonical(), to.port())) && is_v6 == to.is_ipv6(), "{connect:?} {to}");
    if let Some(from) = from {
        ensure!(local == (from.ip().to_canonical(), from.port()), "{connect:?} {from}");
    }
    ensure!(connect.ret == Some(ret), "{connect:?}");
    Ok(())
}

fn both() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(address)?;
        let to = listener.local_addr()?;
        let mut streams = Vec::new();
        for _ in 0..TIMES {
            streams.push(TcpStream::connect(to)?);
        }
        let found = to_port(&mut kernel, to.port())?;
        ensure!(found.len() == TIMES, "{}", found.len());
        for (connect, stream) in found.iter().zip(&streams) {
            check(connect, Some(stream.local_addr()?), to, 0)?;
            ensure!(connect.nonblocking == Some(false));
        }
    }
    Ok(())
}

/// Returns a port on which nothing listens.
fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn refused() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let to = free_port()?;
    for _ in 0..TIMES {
        ensure!(TcpStream::connect(to).is_err());
    }
    let found = to_port(&mut kernel, to.port())?;
    ensure!(found.len() == TIMES, "{}", found.len());
    found.iter().try_for_each(|connect| check(connect, None, to, -i64::from(libc::ECONNREFUSED)))
}

fn start(to: SocketAddr) -> anyhow::Result<(OwnedFd, Result<(), Errno>)> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
    let result = again(&socket, to);
    Ok((socket, result))
}

fn again(socket: &OwnedFd, to: SocketAddr) -> Result<(), Errno> {
    match to {
        SocketAddr::V4(to) => nix::sys::socket::connect(socket.as_raw_fd(), &SockaddrIn::from(to)),
        SocketAddr::V6(to) => nix::sys::socket::connect(socket.as_raw_fd(), &SockaddrIn6::from(to)),
    }
}

/// Connects without waiting, also with an IPv4 address written as IPv6.
fn nonblocking() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let listener6 = TcpListener::bind("[::1]:0")?;
    let mapped = "::ffff:127.0.0.1".parse::<Ipv6Addr>()?;
    let targets = [
        listener.local_addr()?,
        listener6.local_addr()?,
        SocketAddrV6::new(mapped, listener.local_addr()?.port(), 0, 0).into(),
    ];
    for to in targets {
        let before = to_port(&mut kernel, to.port())?.len();
        let mut from = Vec::new();
        let mut sockets = Vec::new();
        for _ in 0..TIMES {
            let (socket, result) = start(to)?;
            ensure!(result == Err(Errno::EINPROGRESS), "{result:?}");
            // Asking for the outcome is not another connection.
            ensure!(again(&socket, to).is_ok());
            let stream = TcpStream::from(socket);
            from.push(stream.local_addr()?);
            sockets.push(stream);
        }
        let found = to_port(&mut kernel, to.port())?.split_off(before);
        ensure!(found.len() == TIMES, "{}", found.len());
        for (connect, from) in found.iter().zip(from) {
            check(connect, Some(from), to, 0)?;
            ensure!(connect.nonblocking == Some(true), "{connect:?}");
        }
    }
    Ok(())
}

fn nonblocking_refused() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let to = free_port()?;
    for _ in 0..TIMES {
        drop(start(to)?);
    }
    let found = to_port(&mut kernel, to.port())?;
    ensure!(found.len() == TIMES, "{}", found.len());
    for connect in &found {
        check(connect, None, to, -i64::from(libc::ECONNREFUSED))?;
        ensure!(connect.nonblocking == Some(true), "{connect:?}");
    }
    Ok(())
}

/// A full queue of connections that are not accepted: the next one stays undecided until its socket is closed.
fn abandoned() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    nix::sys::socket::bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0))?;
    nix::sys::socket::listen(&socket, nix::sys::socket::Backlog::new(0)?)?;
    let listener = TcpListener::from(socket);
    let to = listener.local_addr()?;
    let mut waiting = Vec::new();
    // One connection fits into the queue; the ones after it are not answered.
    for _ in 0..TIMES + 1 {
        waiting.push(start(to)?.0);
    }
    let decided = to_port(&mut kernel, to.port())?.len();
    ensure!(decided < TIMES, "{decided} connected at once");
    let open = waiting.len() - decided;
    drop(waiting);
    let found = to_port(&mut kernel, to.port())?;
    let aborted = found.iter().filter(|connect| connect.ret == Some(-i64::from(libc::ECONNABORTED))).count();
    ensure!(aborted == open, "{aborted} of {open}: {found:?}");
    Ok(())
}

/// UDP sockets, and files that are no sockets.
fn others() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let before = kernel.count(Kind::Connect)?.seen;
    let udp = std::net::UdpSocket::bind("127.0.0.1:0")?;
    udp.connect(SocketAddrV4::new([127, 0, 0, 1].into(), 9))?;
    let file = std::fs::File::open("/dev/null")?;
    let to = SockaddrIn::new(127, 0, 0, 1, 9);
    ensure!(nix::sys::socket::connect(file.as_raw_fd(), &to) == Err(Errno::ENOTSOCK));
    ensure!(nix::sys::socket::connect(9999, &to) == Err(Errno::EBADF));
    let found = to_port(&mut kernel, 9)?;
    ensure!(found.is_empty(), "{found:?} {before}");
    ensure!(matches!("127.0.0.1".parse::<IpAddr>(), Ok(IpAddr::V4(_))));
    Ok(())
}
