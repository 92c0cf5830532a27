//! Texts that several formats have: times, sizes, names.

use jiff::tz::TimeZone;
use model::ZonedTime;

use crate::lineage::answer::AnswerEdge;
use crate::lineage::{Kind, NodeKind, NodeName};
use crate::quoting::quoted;
use crate::render::{escape, words};

/// Longest name in a drawing, in characters.
const NAME_LENGTH: usize = 48;

/// Returns a time as in RFC 3339; `None` for the ends of all times.
pub(super) fn time(at: i64, zone: &TimeZone) -> Option<String> {
    (at != i64::MIN && at != i64::MAX).then(|| ZonedTime::new(at, zone).to_text())
}

/// Returns a time as all answers for people have it.
pub(super) fn short_time(at: i64, zone: &TimeZone) -> String {
    if at == i64::MIN || at == i64::MAX {
        return "-".to_owned();
    }
    words::time(ZonedTime::new(at, zone))
}

/// Returns the bytes of an edge for people; empty if they are not known.
pub(super) fn bytes(edge: &AnswerEdge) -> String {
    let text = edge.bytes.map(words::bytes).unwrap_or_default();
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
    let name =
        if about.kind == NodeKind::File { quoted(&about.name).into_owned() } else { visible(&about.name) };
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
    fn names_are_short() {
        let about = |name: &str, contents| NodeName {
            id: String::new(),
            kind: NodeKind::File,
            name: name.to_owned(),
            others: Vec::new(),
            contents,
        };
        assert_eq!(shortened(&about(&"x".repeat(60), None)).chars().count(), NAME_LENGTH);
        assert_eq!(name(&about("/a\u{1b}", Some(2))), r"$'/a\x1b' (contents 2)");
        assert_eq!(xml("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
    }
}
