//! duetector's subprocess protocol 0.1.0: the exact bytes of the messages to a child, and the messages accepted from
//! it. Sent messages are strict; in received ones only `type` and, in events, `payload` matter.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::repair;
use crate::settings::SubprocessSettings;

const PROTO: &str = "duetector";
const VERSION: &str = "0.1.0";

/// Message that polls a child for events.
pub const EVENT: &[u8] =
    b"{\"proto\":\"duetector\",\"version\":\"0.1.0\",\"type\":\"event\",\"payload\":{}}\n";
/// Message that asks a child to end.
pub const STOP: &[u8] = b"{\"proto\":\"duetector\",\"version\":\"0.1.0\",\"type\":\"stop\",\"payload\":{}}\n";

/// Returns the first message to a child.
pub fn init(settings: &SubprocessSettings) -> Vec<u8> {
    #[derive(Serialize)]
    struct Init<'a> {
        proto: &'static str,
        version: &'static str,
        r#type: &'static str,
        payload: Payload<'a>,
    }
    #[derive(Serialize)]
    struct Payload<'a> {
        poll_time: f64,
        kill_timeout: u64,
        config: &'a Map<String, Value>,
    }
    let payload = Payload {
        poll_time: settings.poll_time.as_secs_f64(),
        kill_timeout: settings.kill_timeout.as_millis().div_ceil(1000) as u64,
        config: &settings.config,
    };
    let message = Init { proto: PROTO, version: VERSION, r#type: "init", payload };
    // Maps with text keys and finite numbers always serialise.
    let mut line = serde_json::to_vec(&message).unwrap_or_default();
    line.push(b'\n');
    line
}

/// A message from a child.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// The child is ready.
    Init,
    /// An event: one record, flat or nested.
    Event(Map<String, Value>),
    /// The child is about to exit.
    Stopped,
}

/// Irregularities of a message that was accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities {
    /// `proto` or `version` differ from those of this agent.
    pub mismatch: bool,
    /// The line contained bytes that are not UTF-8, lone surrogates, or numbers that JSON does not have.
    pub repaired: bool,
}

/// Reasons why a line is not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Only white space. Not counted.
    Blank,
    /// Not JSON, and not begun like an object.
    NotJson,
    /// Begun like a message but not JSON: most likely torn.
    Torn,
    /// JSON, but not an object.
    NotObject,
    /// An object without `type`.
    NoType,
    /// An unknown `type`.
    UnknownType,
    /// An event whose `payload` is not an object.
    BadPayload,
}

impl Bad {
    /// Returns whether the line was, as far as can be known, a record.
    pub fn cost_a_record(self) -> bool {
        matches!(self, Self::Torn | Self::BadPayload)
    }
}

/// A message of the usual form, which is deserialized in one step.
#[derive(Deserialize)]
struct Usual<'a> {
    proto: Option<&'a str>,
    version: Option<&'a str>,
    r#type: &'a str,
    #[serde(default)]
    payload: Map<String, Value>,
}

/// Parses a line.
///
/// # Errors
/// The reason why the line is not a message.
pub fn parse(line: &[u8]) -> Result<(Message, Oddities), Bad> {
    if let Ok(text) = std::str::from_utf8(line)
        && let Ok(usual) = serde_json::from_str::<Usual<'_>>(text)
    {
        let mismatch = usual.proto != Some(PROTO) || usual.version != Some(VERSION);
        let message = match usual.r#type {
            "event" => Message::Event(usual.payload),
            other => other_than_event(other)?,
        };
        return Ok((message, Oddities { mismatch, repaired: false }));
    }
    parse_unusual(line)
}

fn other_than_event(kind: &str) -> Result<Message, Bad> {
    match kind {
        "init" => Ok(Message::Init),
        "stopped" => Ok(Message::Stopped),
        _ => Err(Bad::UnknownType),
    }
}

fn parse_unusual(line: &[u8]) -> Result<(Message, Oddities), Bad> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Err(Bad::Blank);
    }
    let (value, repaired) =
        repair::read_value(line).ok_or(if line.starts_with(b"{") { Bad::Torn } else { Bad::NotJson })?;
    let Value::Object(mut object) = value else { return Err(Bad::NotObject) };
    let mismatch = object.get("proto").and_then(Value::as_str) != Some(PROTO)
        || object.get("version").and_then(Value::as_str) != Some(VERSION);
    let message = match object.get("type") {
        None => return Err(Bad::NoType),
        Some(Value::String(kind)) if kind == "event" => match object.remove("payload") {
            None => Message::Event(Map::new()),
            Some(Value::Object(payload)) if repaired => Message::Event(repair::restore(payload)),
            Some(Value::Object(payload)) => Message::Event(payload),
            Some(_) => return Err(Bad::BadPayload),
        },
        Some(Value::String(kind)) => other_than_event(kind)?,
        Some(_) => return Err(Bad::UnknownType),
    };
    Ok((message, Oddities { mismatch, repaired }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;

    #[test]
    fn init_is_exact() {
        let template = toml::from_str("sp.it = { comm = [\"prog\"], config = { depth = 3 } }").unwrap();
        let config = Config { template, ..Config::default() };
        let mut settings = config.subprocesses().remove(0);
        assert_eq!(
            String::from_utf8(init(&settings)).unwrap(),
            "{\"proto\":\"duetector\",\"version\":\"0.1.0\",\"type\":\"init\",\"payload\":{\"poll_time\":0.01,\
             \"kill_timeout\":5,\"config\":{\"disabled\":false,\"depth\":3}}}\n"
        );
        settings.kill_timeout = Duration::from_millis(1500);
        assert!(String::from_utf8(init(&settings)).unwrap().contains("\"kill_timeout\":2,"));
    }

    fn event(line: &[u8]) -> String {
        match parse(line) {
            Ok((Message::Event(payload), _)) => serde_json::to_string(&payload).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn events_are_understood_by_type_alone() {
        assert_eq!(event(br#"{"type":"event","payload":{"a":1,"b":{"c":[2]}}}"#), r#"{"a":1,"b":{"c":[2]}}"#);
        assert_eq!(
            event(br#" {"payload":{"a-b":1,"class":2},"proto":7,"type":"event"} "#),
            r#"{"a-b":1,"class":2}"#
        );
        assert_eq!(event(br#"{"type":"event"}"#), "{}");
        assert_eq!(event(br#"{"type":"x","type":"event"}"#), "{}");
        let usual = br#"{"proto":"duetector","version":"0.1.0","type":"event","payload":{}}"#;
        assert_eq!(parse(usual).unwrap().1, Oddities::default());
        let other = br#"{"proto":"duetector","version":"0.2.0","type":"init","payload":null}"#;
        assert_eq!(parse(other), Ok((Message::Init, Oddities { mismatch: true, repaired: false })));
        assert_eq!(parse(br#"{"type":"stopped"}"#).unwrap().0, Message::Stopped);
    }

    #[test]
    fn text_that_json_forbids_and_python_writes_is_accepted() {
        assert_eq!(
            event(b"{\"type\":\"event\",\"payload\":{\"fname\":\"/a\xff\",\"x\":NaN,\"y\":-Infinity}}"),
            r#"{"fname":"/a\\xff","fname_bytes":"2f61ff","x":null,"y":null}"#
        );
        assert_eq!(
            event(br#"{"type":"event","payload":{"fname":"/a\udcff","in":[{"k":"\ud800"}]}}"#),
            r#"{"fname":"/a\\xff","fname_bytes":"2f61ff","in":[{"k":"�"}]}"#
        );
    }

    #[test]
    fn bad_lines_by_kind() {
        let kinds: [(&[u8], Bad); 11] = [
            (b"", Bad::Blank),
            (b" \t", Bad::Blank),
            (b"garbage", Bad::NotJson),
            (b"\xff\xfe", Bad::NotJson),
            (br#"{"type":"event","payl"#, Bad::Torn),
            (b"12", Bad::NotObject),
            (b"[{}]", Bad::NotObject),
            (b"{}", Bad::NoType),
            (br#"{"type":"even"}"#, Bad::UnknownType),
            (br#"{"type":1}"#, Bad::UnknownType),
            (br#"{"type":"event","payload":null}"#, Bad::BadPayload),
        ];
        for (line, kind) in kinds {
            assert_eq!(parse(line), Err(kind), "{}", String::from_utf8_lossy(line));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_classified_and_none_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }

        #[test]
        fn any_bytes_in_a_field_are_restored_exactly(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            // As Python writes a file's name: characters that JSON must escape are escaped, bytes that are not UTF-8
            // are written unchanged.
            let mut line = b"{\"type\":\"event\",\"payload\":{\"fname\":\"".to_vec();
            for &byte in &bytes {
                match byte {
                    0..0x20 | b'"' | b'\\' => line.extend(format!("\\u{byte:04x}").bytes()),
                    _ => line.push(byte),
                }
            }
            line.extend_from_slice(b"\"}}");
            let Ok((Message::Event(payload), _)) = parse(&line) else { panic!("no event") };
            let text = model::Text::from_bytes(&bytes);
            prop_assert_eq!(payload["fname"].as_str(), Some(&*text.to_str()));
            prop_assert_eq!(payload.get("fname_bytes").and_then(Value::as_str).map(str::to_owned), text.raw_hex());
        }
    }
}
