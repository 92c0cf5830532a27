//! An answer as one JSON object.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::frame::Frame;
use super::text;
use crate::lineage::answer::{Answer, AnswerEdge, AnswerNode};
use crate::render::indented;

pub(super) fn write(answer: &Answer, frame: &Frame, out: &mut dyn Write) -> io::Result<()> {
    let mut object = frame.envelope.clone();
    let id = |index: usize| answer.nodes[index].about.id.as_str();
    if answer.is_between {
        let widest = answer.widest.filter(|bytes| *bytes != crate::lineage::ANY_BYTES);
        object.insert("reached".to_owned(), answer.widest.is_some().into());
        object.insert("widest_bytes".to_owned(), widest.into());
    }
    object.insert("nodes".to_owned(), answer.nodes.iter().map(|node| node_object(node, frame)).collect());
    let edge = |edge: &AnswerEdge| edge_object(edge, frame, [id(edge.from), id(edge.to)]);
    object.insert("edges".to_owned(), answer.edges.iter().map(edge).collect());
    writeln!(out, "{}", indented(&object)?)
}

fn node_object(node: &AnswerNode, frame: &Frame) -> Value {
    let about = &node.about;
    let time = |at: Option<i64>| at.and_then(|at| text::time(at, &frame.zone));
    let mut object = Map::new();
    object.insert("id".to_owned(), about.id.clone().into());
    object.insert("kind".to_owned(), about.kind.name().into());
    object.insert("name".to_owned(), about.name.clone().into());
    if !about.others.is_empty() {
        object.insert("other_names".to_owned(), about.others.clone().into());
    }
    object.insert("arrival".to_owned(), time(node.arrival).into());
    object.insert("departure".to_owned(), time(node.departure).into());
    object.insert("target".to_owned(), node.is_target.into());
    Value::Object(object)
}

fn edge_object(edge: &AnswerEdge, frame: &Frame, [from, to]: [&str; 2]) -> Value {
    json!({
        "from": from,
        "to": to,
        "first": text::time(edge.first, &frame.zone),
        "last": text::time(edge.last, &frame.zone),
        "bytes": edge.bytes,
        "at_most": edge.is_upper,
        "via": edge.via,
        "kind": edge.kind.name(),
    })
}
