//! Tracer `udp`: flows of datagrams over IPv4 and IPv6 (UDP, UDP-Lite, raw IP, ICMP), of unix sockets (syslog, `sd_notify`) and
//! of packet sockets. A flow is a socket and the address at its other end.
//! The first datagram in each direction is recorded, and the sums of bytes and datagrams each way when the
//! socket is gone or the flow was idle for 15 s. Failed calls are recorded each, except those that found
//! nothing to do yet (`EAGAIN`).
//!
//! **Hook.** The ends of all calls that send or receive, `read` and `write` included, because programs use them
//! on connected sockets (Go's resolver does). UDP sockets have no hook at their end: ended flows are found by a
//! sweep once a second, which the next call that sends or receives makes. A program that receives on an
//! unconnected socket without asking for the sender has a flow without the other address. When the tracer stops, a
//! task iterator, read by the agent, ends all flows.
//! **Kernel.** 5.15 with BTF.
//! **Cost.** Four loads for a `read` or `write` of something else; two map lookups for a datagram.

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{
    READ, READV, RECVFROM, RECVMMSG, RECVMSG, SENDMMSG, SENDMSG, SENDTO, Stage, WRITE, WRITEV,
};
use crate::tracers::sock;
use crate::tracers::{uring, uring_udp, uring_unposted};
use crate::wire::Kind;

/// The program at the ends of calls.
pub(crate) const EXIT: Program = Program {
    name: "udp_exit",
    hook: Hook::SyscallExits(
        Stage::Events,
        &[SENDTO, SENDMSG, SENDMMSG, RECVFROM, RECVMSG, RECVMMSG, READ, READV, WRITE, WRITEV],
    ),
    without: None,
};

/// The program that ends all flows.
pub(crate) const SWEEP: Program = Program { name: "udp_sweep", hook: Hook::TaskIterator, without: None };

pub(crate) const TRACER: Tracer =
    Tracer { name: "udp", kind: Kind::Udp, programs: PROGRAMS, decode: sock::decode };

/// The programs, which `dns` shares.
pub(crate) const PROGRAMS: &[Program] = &[
    EXIT,
    uring::SUBMIT,
    uring_udp::COMPLETE,
    uring_unposted::ENTERED,
    uring_unposted::WORKED,
    uring_unposted::OVERFLOW,
    uring_unposted::ENDED,
];
