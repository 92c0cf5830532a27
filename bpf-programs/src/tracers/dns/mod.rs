//! Tracer `dns`: names that programs resolve, and the answers, from the datagrams to and from port 53.
//!
//! **Hook.** Those of `udp`: the datagram is read in the caller's memory when the call ends. As with any argument, another
//! thread may have changed it by then. With tier `function`, questions are read in the packets that are sent. Names that are
//! resolved in other ways (TCP, TLS, a resolver's own socket) are not seen here.
//! **Kernel.** 5.15 with BTF.
//! **Cost.** That of `udp`, and a copy of the datagram's first 4096 bytes.

mod message;

use model::{Details, Dns, Moment, Record};

use crate::programs::Tracer;
use crate::tracers::{sock, udp};
use crate::wire::{Family, Kind, SockRecord, TEXT_CUT, TEXT_UNREADABLE, WireError, view};

pub(crate) use message::fuzz_target;

pub(crate) const TRACER: Tracer = Tracer { name: "dns", kind: Kind::Dns, programs: udp::PROGRAMS, decode };

/// Decodes a record.
///
/// # Errors
/// The bytes are not such a record.
pub(crate) fn decode(bytes: &[u8]) -> Result<Record, WireError> {
    let (raw, mut texts) = view::<SockRecord>(bytes, Family::Dns)?;
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
            ids: sock::ids(&raw.ids),
            ends: sock::inet(&raw)?,
            direction: sock::direction(&raw),
            ret: raw.ret.into(),
            message,
        })),
    })
}
