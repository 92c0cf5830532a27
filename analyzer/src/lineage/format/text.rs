//! Texts that several formats have: times, sizes, names.

use jiff::tz::TimeZone;
use model::ZonedTime;

use crate::lineage::answer::AnswerEdge;
use crate::lineage::{Kind, NodeName};
use crate::render::escape;

/// Longest name in a drawing, in characters.
const NAME_LENGTH: usize = 48;

/// Returns a time as in RFC 3339; `None` for the ends of all times.
pub(super) fn time(at: i64, zone: &TimeZone) -> Option<String> {
    (at != i64::MIN && at != i64::MAX).then(|| ZonedTime::new(at, zone).to_text())
}

/// Returns a time to the millisecond, without the zone.
pub(super) fn short_time(at: i64, zone: &TimeZone) -> String {
    if at == i64::MIN || at == i64::MAX {
        return "-".to_owned();
    }
    let text = ZonedTime::new(at, zone).to_local_text();
    text.get(..23).unwrap_or(&text).to_owned()
}

/// Returns a number of bytes for people.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut amount, mut unit) = (bytes as f64 / 1024.0, 0);
    while amount >= 1023.95 && unit + 1 < UNITS.len() {
        (amount, unit) = (amount / 1024.0, unit + 1);
    }
    format!("{amount:.1} {}", UNITS[unit])
}

/// Returns the bytes of an edge for people; empty if they are not known.
pub(super) fn bytes(edge: &AnswerEdge) -> String {
    let text = edge.bytes.map(size).unwrap_or_default();
    if edge.is_upper && !text.is_empty() { format!("≤ {text}") } else { text }
}

/// Returns the calls of an edge, or the name of its kind.
pub(super) fn ways(edge: &AnswerEdge) -> String {
    if edge.via.is_empty() {
        return edge.kind.name().to_owned();
    }
    let all = edge.via.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    if edge.kind == Kind::Copy { format!("copied by {all}") } else { all }
}

/// Returns the label of an edge in a drawing.
pub(super) fn label(edge: &AnswerEdge) -> String {
    if edge.kind == Kind::Exec {
        // The bytes are a limit that nobody reaches.
        return if edge.is_upper { "exec (arguments and environment)" } else { "exec" }.to_owned();
    }
    let parts = [bytes(edge), ways(edge)];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    visible(&parts.join(" · "))
}

/// Returns a name that does nothing to a terminal or a drawing.
pub(super) fn visible(name: &str) -> String {
    escape::visible(name).into_owned()
}

/// Returns the name of a node; of a file whose contents were thrown away, also which contents the node stands for.
pub(super) fn name(about: &NodeName) -> String {
    let name = visible(&about.name);
    about.contents.map_or_else(|| name.clone(), |number| format!("{name} (contents {number})"))
}

/// Returns a name that is short enough for a drawing: of a long one, the end.
pub(super) fn shortened(about: &NodeName) -> String {
    let name = name(about);
    let length = name.chars().count();
    if length <= NAME_LENGTH {
        return name;
    }
    let kept: String = name.chars().skip(length + 1 - NAME_LENGTH).collect();
    format!("…{kept}")
}

/// Returns a text in XML.
pub(super) fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_names_are_short() {
        let sizes = [0, 1023, 1024, 1536, 1_048_575, 1 << 20, u64::MAX];
        let texts = sizes.map(size);
        assert_eq!(texts, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.0 MiB", "16.0 EiB"]);
        let about = |name: &str, contents| NodeName {
            id: String::new(),
            kind: crate::lineage::NodeKind::File,
            name: name.to_owned(),
            others: Vec::new(),
            contents,
        };
        assert_eq!(shortened(&about(&"x".repeat(60), None)).chars().count(), NAME_LENGTH);
        assert_eq!(name(&about("/a\u{1b}", Some(2))), "/a\\x1b (contents 2)");
        assert_eq!(xml("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
    }
}
