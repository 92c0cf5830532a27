//! Tracer `udp`: flows of datagrams over IPv4 and IPv6 (UDP, UDP-Lite, raw IP, ICMP), of unix sockets (syslog, `sd_notify`) and
//! of packet sockets. A flow is a socket and the address at its other end.
//! The first datagram in each direction is recorded, and the sums of bytes and datagrams each way when the
//! socket is gone or the flow was idle for 15 s. Failed calls are recorded each, except those that found
//! nothing to do yet (`EAGAIN`). The messages of SCTP's sockets are recorded in the same way.
//!
//! **Hook.** The ends of all calls that send or receive, `read` and `write` included, because programs use them
//! on connected sockets (Go's resolver does). With tier `function`, datagrams are recorded by the protocols' own
//! functions, which have the kernel's copy of the address. UDP sockets have no hook at their end: ended flows are found by a
//! sweep once a second, which the next call that sends or receives makes. A program that receives on an
//! unconnected socket without asking for the sender has a flow without the other address, except with tier `function`, where
//! UDP's packets have it. When the tracer stops, a task iterator, read by the agent, ends all flows.
//! **Kernel.** 5.15 with BTF.
//! **Cost.** Four loads for a `read` or `write` of something else; two map lookups for a datagram.

use crate::programs::{ByFunction, Function, Hook, Program, Tracer, at_function};
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

/// The programs at functions that send datagrams of UDP, which `dns` shares. Calls that no function records are recorded when
/// they end.
const SENDING: &[Program] = &[
    at_function!("udp_sendto", entry of ["__sys_sendto"], ()),
    at_function!("udp_sendmsg_call", entry of ["__sys_sendmsg"], ()),
    at_function!("udp_sendmmsg", entry of ["__sys_sendmmsg"], ()),
    at_function!("udp_write", entry of ["sock_write_iter"], ("written_iocb" = "iocb")),
    at_function!(
        "udp_packet",
        entry of ["udp_send_skb"],
        ("packet_skb" = "skb", "packet_flow" = "fl4")
    ),
    at_function!(
        "udp_packet6",
        entry of ["udp_v6_send_skb"],
        ("packet6_skb" = "skb", "packet6_flow" = "fl6")
    ),
    at_function!("udp_sent", exit of ["udp_sendmsg"], ("sent_sk" = "sk", "sent_msg" = "msg") -> "sent_ret"),
    at_function!("udp_sent6", exit of ["udpv6_sendmsg"], ("sent6_sk" = "sk", "sent6_msg" = "msg") -> "sent6_ret"),
];

/// The programs at functions that send other datagrams.
const SENDING_OTHERS: &[Program] = &[
    at_function!("udp_raw", exit of ["raw_sendmsg"], ("udp_raw_sk" = "sk", "udp_raw_msg" = "msg") -> "udp_raw_ret"),
    at_function!(
        "udp_raw6",
        exit of ["rawv6_sendmsg"],
        ("udp_raw6_sk" = "sk", "udp_raw6_msg" = "msg") -> "udp_raw6_ret"
    ),
    at_function!(
        "udp_ping",
        exit of ["ping_v4_sendmsg"],
        ("udp_ping_sk" = "sk", "udp_ping_msg" = "msg") -> "udp_ping_ret"
    ),
    at_function!(
        "udp_ping6",
        exit of ["ping_v6_sendmsg"],
        ("udp_ping6_sk" = "sk", "udp_ping6_msg" = "msg") -> "udp_ping6_ret"
    ),
    at_function!(
        "udp_unix",
        exit of ["unix_dgram_sendmsg"],
        ("udp_unix_sock" = "sock", "udp_unix_msg" = "msg") -> "udp_unix_ret"
    ),
    at_function!(
        "udp_frame",
        exit of ["packet_sendmsg"],
        ("udp_frame_sock" = "sock", "udp_frame_msg" = "msg") -> "udp_frame_ret"
    ),
];

/// The program where packets of UDP are taken from their queue, which `dns` shares.
const RECEIVING: &[Program] = &[at_function!(
    "udp_taken",
    entry of ["skb_consume_udp"],
    ("taken_sk" = "sk", "taken_skb" = "skb", "taken_len" = "len")
)];

/// The programs at functions that receive other datagrams.
const RECEIVING_OTHERS: &[Program] = &[
    at_function!(
        "udp_raw_taken",
        exit of ["raw_recvmsg"],
        ("udp_raw_taken_sk" = "sk", "udp_raw_taken_msg" = "msg") -> "udp_raw_taken_ret"
    ),
    at_function!(
        "udp_raw6_taken",
        exit of ["rawv6_recvmsg"],
        ("udp_raw6_taken_sk" = "sk", "udp_raw6_taken_msg" = "msg") -> "udp_raw6_taken_ret"
    ),
    at_function!(
        "udp_ping_taken",
        exit of ["ping_recvmsg"],
        ("udp_ping_taken_sk" = "sk", "udp_ping_taken_msg" = "msg") -> "udp_ping_taken_ret"
    ),
    at_function!(
        "udp_unix_taken",
        exit of ["unix_dgram_recvmsg"],
        ("udp_unix_taken_sock" = "sock", "udp_unix_taken_msg" = "msg") -> "udp_unix_taken_ret"
    ),
    at_function!(
        "udp_frame_taken",
        exit of ["packet_recvmsg"],
        ("udp_frame_taken_sock" = "sock", "udp_frame_taken_msg" = "msg") -> "udp_frame_taken_ret"
    ),
];

/// The programs at functions for tracer `udp`.
pub(crate) const BY_FUNCTION: ByFunction = ByFunction { kind: Kind::Udp, calls: &[], programs: SENDING };
/// The same programs for tracer `dns`.
pub(crate) const QUESTIONS: ByFunction = ByFunction { kind: Kind::Dns, calls: &[], programs: SENDING };
/// The same for datagrams of other families and protocols.
pub(crate) const OTHERS: ByFunction = ByFunction { kind: Kind::Udp, calls: &[], programs: SENDING_OTHERS };
/// The programs where tracer `udp` sees packets of UDP that are received.
pub(crate) const RECEIVED: ByFunction = ByFunction { kind: Kind::Udp, calls: &[], programs: RECEIVING };
/// The same programs for tracer `dns`.
pub(crate) const ANSWERS: ByFunction = ByFunction { kind: Kind::Dns, calls: &[], programs: RECEIVING };
/// The same for datagrams of other families and protocols.
pub(crate) const RECEIVED_OTHERS: ByFunction =
    ByFunction { kind: Kind::Udp, calls: &[], programs: RECEIVING_OTHERS };
