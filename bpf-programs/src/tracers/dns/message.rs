//! Decodes messages of the domain name system (RFC 1035), which any process may have made up.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::DnsMessage;
use simple_dns::rdata::RData;
use simple_dns::{Name, Packet, PacketFlag, QTYPE, Question, TYPE};

const HEADER: usize = 12;
/// Offset in the header of the numbers of records other than questions.
const RECORDS_AT: usize = 6;
/// Limit of questions; real messages have a single one.
const MAX_QUESTIONS: usize = 16;
const MAX_ADDRESSES: usize = 64;

/// Decodes a datagram; `None` if it is no message. If its answers can't be read, only the questions are
/// returned.
pub(super) fn parse(datagram: &[u8]) -> Option<DnsMessage> {
    let code = *datagram.get(3)? & 0xf;
    if let Ok(packet) = Packet::parse(datagram) {
        return Some(message(&packet, code));
    }
    let mut questions = datagram.to_vec();
    questions.get_mut(RECORDS_AT..HEADER)?.fill(0);
    let mut message = message(&Packet::parse(&questions).ok()?, code);
    message.incomplete = true;
    Some(message)
}

fn message(packet: &Packet<'_>, code: u8) -> DnsMessage {
    let questions = &packet.questions[..packet.questions.len().min(MAX_QUESTIONS)];
    let joined =
        |shown: fn(&Question<'_>) -> String| questions.iter().map(shown).collect::<Vec<_>>().join(" ");
    let addresses = packet.answers.iter().filter_map(|answer| match &answer.rdata {
        RData::A(found) => Some(IpAddr::from(Ipv4Addr::from(found.address))),
        RData::AAAA(found) => Some(IpAddr::from(Ipv6Addr::from(found.address))),
        _ => None,
    });
    DnsMessage {
        id: packet.id(),
        name: joined(|question| name_text(&question.qname)),
        query_type: joined(|question| type_text(question.qtype)),
        code: packet.has_flags(PacketFlag::RESPONSE).then(|| code_text(code)),
        addresses: addresses.take(MAX_ADDRESSES).collect(),
        incomplete: packet.has_flags(PacketFlag::TRUNCATION) || packet.questions.len() > MAX_QUESTIONS,
    }
}

/// Writes a name as zone files do, without the last dot: dots and backslashes within a label are escaped, bytes
/// that are not printable ASCII are written as numbers.
fn name_text(name: &Name<'_>) -> String {
    let mut text = String::new();
    for label in name.as_bytes() {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in label {
            match byte {
                b'.' | b'\\' => text.extend(['\\', char::from(*byte)]),
                b'!'..=b'~' => text.push(char::from(*byte)),
                // Writing into a String cannot fail.
                _ => write!(text, "\\{byte:03}").unwrap_or_default(),
            }
        }
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}

/// Writes a type's name, or for an unknown type the form of RFC 3597.
fn type_text(query: QTYPE) -> String {
    match query {
        QTYPE::TYPE(TYPE::Unknown(number)) => format!("TYPE{number}"),
        QTYPE::TYPE(named) => format!("{named:?}"),
        other => format!("{other:?}"),
    }
}

/// Returns the name of a response code, as IANA lists it.
fn code_text(code: u8) -> &'static str {
    const CODES: [&str; 16] = [
        "NOERROR",
        "FORMERR",
        "SERVFAIL",
        "NXDOMAIN",
        "NOTIMP",
        "REFUSED",
        "YXDOMAIN",
        "YXRRSET",
        "NXRRSET",
        "NOTAUTH",
        "NOTZONE",
        "DSOTYPENI",
        "12",
        "13",
        "14",
        "15",
    ];
    CODES[usize::from(code & 0xf)]
}

/// The fuzz target: decodes any bytes and checks the result.
///
/// # Panics
/// The result is longer than the datagram allows, or is not plain text.
pub(crate) fn fuzz_target(datagram: &[u8]) {
    let Some(message) = parse(datagram) else { return };
    assert!(datagram.len() >= HEADER, "a message without a header");
    assert!(message.name.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{:?}", message.name);
    // At most four characters for each byte, and 255 bytes for each name.
    assert!(message.name.len() <= MAX_QUESTIONS * 255 * 4, "{} characters", message.name.len());
    assert!(message.addresses.len() <= MAX_ADDRESSES);
    if message.code.is_none() {
        assert_eq!(datagram[2] & 0x80, 0, "an answer without a code");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &[u8]) -> Vec<u8> {
        [&[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], name, &[0, 28, 0, 1]].concat()
    }

    #[test]
    fn a_question() {
        let found = parse(&query(b"\x07example\x03org\0")).unwrap();
        assert_eq!(
            (found.id, found.name.as_str(), found.query_type.as_str()),
            (0x1234, "example.org", "AAAA")
        );
        assert_eq!((found.code, found.incomplete), (None, false));
    }

    #[test]
    fn names_of_any_bytes() {
        assert_eq!(parse(&query(b"\x05a.b\\\xff\x01 \0")).unwrap().name, r"a\.b\\\255.\032");
        assert_eq!(parse(&query(b"\0")).unwrap().name, ".");
    }

    #[test]
    fn an_answer_and_one_that_is_cut() {
        let mut answer = query(b"\x01x\0");
        answer[2] |= 0x80;
        answer[3] = 3;
        answer[7] = 2;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 1, 2, 3]);
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 1, 2, 4]);
        let whole = parse(&answer).unwrap();
        assert_eq!((whole.code, whole.addresses.len()), (Some("NXDOMAIN"), 2));
        assert_eq!(whole.addresses[1].to_string(), "10.1.2.4");
        let cut = parse(&answer[..answer.len() - 1]).unwrap();
        assert!(cut.incomplete && cut.name == "x", "{cut:?}");
    }

    #[test]
    fn what_is_none() {
        assert!(parse(b"").is_none());
        assert!(parse(&[0; 11]).is_none());
        assert!(parse(&query(b"\xc0\x0c")).is_none(), "a name that is its own end");
    }
}
