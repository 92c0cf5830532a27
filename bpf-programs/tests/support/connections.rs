//! Tracers `accept`, `close`, `bind`, and unix sockets in `connect`.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::{Context as _, ensure};
use bpf_programs::testing::Kind;
use model::{Details, Ends, Socket};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, UnixAddr, accept, bind, connect, listen,
    setsockopt, socket, sockopt,
};

use crate::support::{Kernel, decode};
use crate::{TIMES, Test};

pub const TESTS: &[Test] = &[
    ("accept_v4_and_v6", accepted),
    ("accept_failed", accept_failed),
    ("bind_and_listen", bound),
    ("bind_failed", bind_failed),
    ("unix_sockets_with_paths", || unix(false)),
    ("unix_sockets_with_abstract_names", || unix(true)),
    ("unix_sockets_failed", unix_failed),
    ("close_counts_the_bytes_written_and_read", bytes),
    ("close_of_a_connection_that_was_reset", reset),
    ("close_of_a_connection_with_unread_bytes", unread),
];

/// Returns the records of this process by the tracer of that kind.
pub fn reported(kernel: &mut Kernel, kind: Kind) -> anyhow::Result<Vec<Socket>> {
    reported_of(kernel, std::process::id(), kind)
}

/// Returns the records of a process by the tracer of that kind.
pub fn reported_of(kernel: &mut Kernel, pid: u32, kind: Kind) -> anyhow::Result<Vec<Socket>> {
    kernel.drain();
    let mut found = Vec::new();
    for bytes in kernel.of(pid, kind) {
        match decode(kind, &bytes)?.details {
            Details::Socket(socket) => found.push(*socket),
            other => anyhow::bail!("{other:?}"),
        }
    }
    Ok(found)
}

/// Returns the ends of a connection.
pub fn inet(local: SocketAddr, remote: Option<SocketAddr>) -> Ends {
    let end = |end: SocketAddr| (end.ip(), end.port());
    Ends::Inet { is_v6: local.is_ipv6(), local: end(local), remote: remote.map(end) }
}

fn accepted() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(address)?;
        let to = listener.local_addr()?;
        let before = reported(&mut kernel, Kind::Accept)?.len();
        let mut streams = Vec::new();
        for _ in 0..TIMES {
            let client = TcpStream::connect(to)?;
            streams.push((listener.accept()?.0, client));
        }
        let found = reported(&mut kernel, Kind::Accept)?.split_off(before);
        ensure!(found.len() == TIMES, "{}", found.len());
        for (accept, (server, client)) in found.iter().zip(&streams) {
            ensure!(accept.ends == inet(to, Some(client.local_addr()?)), "{accept:?}");
            let expected = (Some("accept4"), Some(i64::from(server.as_raw_fd())), 1);
            ensure!((accept.call, accept.ret, accept.kind) == expected, "{accept:?}");
        }
    }
    Ok(())
}

fn accept_failed() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let idle = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(idle.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0))?;
    for _ in 0..TIMES {
        ensure!(accept(idle.as_raw_fd()) == Err(Errno::EINVAL));
    }
    // A poll that finds no connection is not recorded.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    ensure!(listener.accept().is_err());
    let local = TcpListener::from(idle).local_addr()?;
    let found = reported(&mut kernel, Kind::Accept)?;
    ensure!(found.len() == TIMES, "{}", found.len());
    let failed = |accept: &Socket| {
        accept.ends == inet(local, None)
            && accept.ret == Some(-i64::from(libc::EINVAL))
            && accept.call == Some("accept")
    };
    ensure!(found.iter().all(failed), "{found:?}");
    Ok(())
}

fn bound() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let mut bound = Vec::new();
    for _ in 0..TIMES {
        let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0))?;
        listen(&socket, Backlog::new(77)?)?;
        let udp = std::net::UdpSocket::bind("[::1]:0")?;
        bound.push((TcpListener::from(socket), udp));
    }
    let found = reported(&mut kernel, Kind::Bind)?;
    ensure!(found.len() == 3 * TIMES, "{}", found.len());
    for (calls, (tcp, udp)) in found.chunks(3).zip(&bound) {
        let (tcp, udp) = (inet(tcp.local_addr()?, None), inet(udp.local_addr()?, None));
        let fields = |call: &Socket| (call.call, call.kind, call.protocol, call.backlog, call.ret);
        ensure!(
            fields(&calls[0]) == (Some("bind"), 1, 6, None, Some(0)) && calls[0].ends == tcp,
            "{calls:?}"
        );
        ensure!(
            fields(&calls[1]) == (Some("listen"), 1, 6, Some(77), Some(0)) && calls[1].ends == tcp,
            "{calls:?}"
        );
        ensure!(
            fields(&calls[2]) == (Some("bind"), 2, 17, None, Some(0)) && calls[2].ends == udp,
            "{calls:?}"
        );
    }
    Ok(())
}

/// An address that is taken, recorded as requested.
fn bind_failed() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let taken = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let _keeps = TcpListener::bind(taken)?;
    let before = reported(&mut kernel, Kind::Bind)?.len();
    let loser = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    for _ in 0..TIMES {
        ensure!(
            bind(loser.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, taken.port())) == Err(Errno::EADDRINUSE)
        );
    }
    let found = reported(&mut kernel, Kind::Bind)?.split_off(before);
    ensure!(found.len() == TIMES, "{}", found.len());
    let failed =
        |bind: &Socket| bind.ends == inet(taken, None) && bind.ret == Some(-i64::from(libc::EADDRINUSE));
    ensure!(found.iter().all(failed), "{found:?}");
    Ok(())
}

/// Checks all fields of a unix socket: its file, its name, the process at the other end.
fn check_unix(socket: &Socket, path: Option<&Path>, name: &str, peer: Option<u32>) -> anyhow::Result<()> {
    let Ends::Unix { path: found, path_incomplete, name: found_name, peer_pid } = &socket.ends else {
        anyhow::bail!("{socket:?}")
    };
    let path = path.map(|path| path.as_os_str().as_encoded_bytes());
    ensure!(found.as_ref().map(model::Text::as_bytes) == path && !path_incomplete, "{socket:?}");
    ensure!(found_name.to_str() == name && *peer_pid == peer, "{socket:?}");
    Ok(())
}

fn unix(is_abstract: bool) -> anyhow::Result<()> {
    use std::os::linux::net::SocketAddrExt as _;
    let folder = tempfile::tempdir()?;
    let mut kernel = Kernel::start()?;
    let own = std::process::id();
    for i in 0..TIMES {
        let path = folder.path().join(format!("s{i}"));
        let name = path.to_str().context("path")?;
        let address = if is_abstract {
            std::os::unix::net::SocketAddr::from_abstract_name(name)?
        } else {
            std::os::unix::net::SocketAddr::from_pathname(&path)?
        };
        let shown = if is_abstract { format!("@{name}") } else { name.to_owned() };
        let path = (!is_abstract).then_some(path.as_path());
        let listener = UnixListener::bind_addr(&address)?;
        let _client = UnixStream::connect_addr(&address)?;
        let (server, _) = listener.accept()?;
        let binds = reported(&mut kernel, Kind::Bind)?;
        ensure!(binds.len() == 2 * (i + 1), "{}", binds.len());
        let calls: Vec<_> = binds[2 * i..].iter().map(|bind| (bind.call, bind.ret)).collect();
        ensure!(calls == [(Some("bind"), Some(0)), (Some("listen"), Some(0))], "{calls:?}");
        for bind in &binds[2 * i..] {
            check_unix(bind, path, &shown, None)?;
        }
        let connects = reported(&mut kernel, Kind::Connect)?;
        ensure!(connects.len() == i + 1 && connects[i].ret == Some(0), "{connects:?}");
        check_unix(&connects[i], path, &shown, Some(own))?;
        let accepts = reported(&mut kernel, Kind::Accept)?;
        let fd = i64::from(server.as_raw_fd());
        ensure!(accepts.len() == i + 1 && accepts[i].ret == Some(fd), "{accepts:?}");
        check_unix(&accepts[i], path, &shown, Some(own))?;
    }
    Ok(())
}

/// Names as requested, made absolute.
fn unix_failed() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let here = std::env::current_dir()?;
    let any = || -> nix::Result<OwnedFd> {
        socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
    };
    for _ in 0..TIMES {
        let to = UnixAddr::new("no/such.sock")?;
        ensure!(connect(any()?.as_raw_fd(), &to) == Err(Errno::ENOENT));
        ensure!(bind(any()?.as_raw_fd(), &UnixAddr::new("/dev/null")?) == Err(Errno::EADDRINUSE));
        let nobody = UnixAddr::new_abstract(b"nobody here")?;
        ensure!(connect(any()?.as_raw_fd(), &nobody) == Err(Errno::ECONNREFUSED));
        ensure!(accept(any()?.as_raw_fd()) == Err(Errno::EINVAL));
    }
    let connects = reported(&mut kernel, Kind::Connect)?;
    ensure!(connects.len() == 2 * TIMES, "{}", connects.len());
    for connect in connects.chunks(2) {
        let errors = [connect[0].ret, connect[1].ret];
        ensure!(errors == [Some(-2), Some(-111)], "{errors:?}");
        check_unix(&connect[0], Some(&here.join("no/such.sock")), "no/such.sock", None)?;
        check_unix(&connect[1], None, "@nobody here", None)?;
    }
    let binds = reported(&mut kernel, Kind::Bind)?;
    ensure!(binds.len() == TIMES && binds.iter().all(|bind| bind.ret == Some(-98)), "{binds:?}");
    binds.iter().try_for_each(|bind| check_unix(bind, Some(Path::new("/dev/null")), "/dev/null", None))?;
    let accepts = reported(&mut kernel, Kind::Accept)?;
    ensure!(accepts.len() == TIMES && accepts.iter().all(|accept| accept.ret == Some(-22)), "{accepts:?}");
    Ok(())
}

/// Returns the ends of both sides' connections, once there are `count`.
fn ends(kernel: &mut Kernel, count: usize) -> anyhow::Result<Vec<Socket>> {
    kernel.wait_for(std::process::id(), Kind::Close, count)?;
    let found = reported(kernel, Kind::Close)?;
    ensure!(found.len() == count, "{}", found.len());
    Ok(found)
}

/// Returns the bytes that one side sent and received.
fn sums(found: &[Socket], local: SocketAddr, remote: SocketAddr) -> anyhow::Result<(u64, u64, &Socket)> {
    let of: Vec<_> = found.iter().filter(|close| close.ends == inet(local, Some(remote))).collect();
    ensure!(of.len() == 1, "{of:?} of {local} {remote}");
    let traffic = of[0].traffic.context("no traffic")?;
    Ok((traffic.bytes_sent, traffic.bytes_received, of[0]))
}

/// Both families; each side closes first once, and with or without the other's end being read.
fn bytes() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let mut expected = Vec::new();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(address)?;
        for i in 0..TIMES {
            let mut client = TcpStream::connect(listener.local_addr()?)?;
            let (mut server, from) = listener.accept()?;
            let (there, back) = (i * 997, if i % 2 == 0 { i * 3 + 1 } else { 0 });
            client.write_all(&vec![1; there])?;
            server.read_exact(&mut vec![0; there])?;
            server.write_all(&vec![2; back])?;
            client.read_exact(&mut vec![0; back])?;
            match i % 4 {
                0 => {
                    client.shutdown(Shutdown::Write)?;
                    ensure!(server.read(&mut [0; 9])? == 0, "more than was sent");
                    drop(server);
                    ensure!(client.read(&mut [0; 9])? == 0, "more than was sent");
                }
                1 => {
                    drop(client);
                    ensure!(server.read(&mut [0; 9])? == 0, "more than was sent");
                }
                2 => drop(server),
                _ => {}
            }
            expected.push((listener.local_addr()?, from, there as u64, back as u64));
        }
    }
    let found = ends(&mut kernel, 2 * expected.len())?;
    for (server, client, there, back) in expected {
        let (sent, received, close) = sums(&found, client, server)?;
        ensure!((sent, received, close.accepted) == (there, back, Some(false)), "{close:?} {there} {back}");
        let (sent, received, close) = sums(&found, server, client)?;
        ensure!((sent, received, close.accepted) == (back, there, Some(true)), "{close:?} {there} {back}");
    }
    Ok(())
}

fn reset() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut clients = Vec::new();
    for _ in 0..TIMES {
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        client.write_all(b"seven b")?;
        setsockopt(&server, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
        clients.push(client.local_addr()?);
        drop(server);
        drop(client);
    }
    let found = ends(&mut kernel, 2 * TIMES)?;
    for client in clients {
        let (sent, received, close) = sums(&found, client, listener.local_addr()?)?;
        ensure!((sent, received, close.ret) == (7, 0, Some(-i64::from(libc::ECONNRESET))), "{close:?}");
        let (sent, received, close) = sums(&found, listener.local_addr()?, client)?;
        ensure!((sent, received, close.ret) == (0, 0, Some(0)), "{close:?}");
    }
    Ok(())
}

/// Bytes that arrived and were not read do not count as received.
fn unread() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut expected = Vec::new();
    for i in 0..TIMES {
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        client.write_all(&[1; 1000])?;
        let (mut server, from) = listener.accept()?;
        server.read_exact(&mut vec![0; i])?;
        drop(server);
        expected.push((from, i as u64));
    }
    let found = ends(&mut kernel, 2 * TIMES)?;
    for (client, read) in expected {
        let (sent, received, close) = sums(&found, listener.local_addr()?, client)?;
        ensure!((sent, received) == (0, read), "{close:?}");
        let (sent, received, close) = sums(&found, client, listener.local_addr()?)?;
        ensure!((sent, received) == (1000, 0), "{close:?}");
    }
    Ok(())
}
