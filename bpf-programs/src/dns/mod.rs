//! Tracer `dns`: names that are asked for, and what is answered, from the datagrams to and from port 53.
//!
//! **Hook.** That of `udp`: its program has the datagram's bytes in the caller's memory when the call ends. Another thread
//! may have changed them by then, as with anything that a call is given. Names that are asked for by other ways (TCP,
//! TLS, a resolver's own socket) are not seen here.
//! **Kernel.** 5.15 with BTF.
//! **Cost.** As `udp`, and a copy of the datagram, of which the first 4096 bytes are kept.

mod message;

use model::{Details, Dns, Moment, Record};

use crate::programs::Tracer;
use crate::wire::{Kind, SockRecord, TEXT_CUT, TEXT_UNREADABLE, WireError, view};
use crate::{sock, udp};

pub use message::exercise;

/// The tracer.
pub const TRACER: Tracer = Tracer { name: "dns", kind: Kind::Dns, programs: udp::PROGRAMS, decode };

/// Bytes to a record.
///
/// # Errors
/// They are no such record.
pub fn decode(bytes: &[u8]) -> Result<Record, WireError> {
    let (raw, mut texts) = view::<SockRecord>(bytes, &[Kind::Dns])?;
    let datagram = texts.take(raw.name)?;
    texts.take(raw.base)?;
    texts.end()?;
    let mut message = message::parse(datagram.bytes);
    if let Some(message) = &mut message
        && datagram.is(TEXT_CUT | TEXT_UNREADABLE)
    {
        message.incomplete = true;
    }
    Ok(Record {
        at: Moment::Boot(raw.header.at()),
        identity: Some(raw.header.identity()),
        details: Details::Dns(Box::new(Dns {
            call: sock::call_name(raw.call)?,
            ends: sock::inet(&raw)?,
            direction: sock::direction(&raw),
            ret: raw.ret.into(),
            message,
        })),
    })
}
