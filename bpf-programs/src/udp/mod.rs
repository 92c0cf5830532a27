//! Tracer `udp`: flows of datagrams over IPv4 and IPv6: the first datagram in each direction, and bytes and datagrams
//! each way when the socket is gone or nothing came or went for 15 s. A flow is a socket and the address at its other
//! end. Calls that failed are told each, but for those that found nothing to do yet (`EAGAIN`).
//!
//! **Hook.** The ends of all calls that send or receive: `read` and `write` are among them, because programs use them on
//! connected sockets (Go's resolver does). Flows that are over are looked for once a second, by whoever sends or
//! receives next: UDP sockets have no hook at their end. Who receives without asking from whom, on a socket that is not
//! connected, has a flow without the other address.
//! **Kernel.** 5.15 with BTF.
//! **Cost.** A `read` or `write` of something else: four loads. A datagram: two look-ups.

use crate::programs::{Hook, Program, Tracer};
use crate::sock;
use crate::syscalls::{
    READ, READV, RECVFROM, RECVMMSG, RECVMSG, SENDMMSG, SENDMSG, SENDTO, Stage, WRITE, WRITEV,
};
use crate::wire::Kind;
use crate::{uring, uring_udp};

/// Ends of calls.
pub(crate) const EXIT: Program = Program {
    name: "udp_exit",
    hook: Hook::SyscallExits(
        Stage::Events,
        &[SENDTO, SENDMSG, SENDMMSG, RECVFROM, RECVMSG, RECVMMSG, READ, READV, WRITE, WRITEV],
    ),
    without: None,
};

/// The tracer.
pub const TRACER: Tracer = Tracer { name: "udp", kind: Kind::Udp, programs: PROGRAMS, decode: sock::decode };

/// What `dns` has, too.
pub(crate) const PROGRAMS: &[Program] = &[EXIT, uring::SUBMIT, uring_udp::COMPLETE];
