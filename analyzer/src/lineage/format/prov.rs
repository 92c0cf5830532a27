//! An answer as PROV-JSON of the W3C: files, channels and addresses are entities, processes are activities.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::frame::Frame;
use super::text;
use crate::lineage::answer::{Answer, AnswerEdge, AnswerNode};
use crate::lineage::{Kind, NodeKind};
use crate::render::indented;

/// Names of our own types and attributes.
const NAMESPACE: &str = "https://duetector.example/lineage#";
/// Names of nodes.
const NODES: &str = "https://duetector.example/node/";

pub(super) fn write(answer: &Answer, frame: &Frame, out: &mut dyn Write) -> io::Result<()> {
    let mut document = Document::default();
    for node in &answer.nodes {
        document.node(node, frame);
    }
    for (number, edge) in answer.edges.iter().enumerate() {
        document.edge(number, edge, answer, frame);
    }
    let prefixes = json!({"due": NAMESPACE, "node": NODES});
    let mut object = Map::from_iter([("prefix".to_owned(), prefixes)]);
    object.extend(document.parts.into_iter().map(|(name, part)| (name.to_owned(), Value::Object(part))));
    writeln!(out, "{}", indented(&object)?)
}

#[derive(Default)]
struct Document {
    parts: Vec<(&'static str, Map<String, Value>)>,
}

impl Document {
    fn add(&mut self, part: &'static str, id: String, value: Value) {
        let known = self.parts.iter_mut().find(|(name, _)| *name == part);
        let entries = match known {
            Some((_, entries)) => entries,
            None => {
                self.parts.push((part, Map::new()));
                let Some((_, entries)) = self.parts.last_mut() else { return };
                entries
            }
        };
        entries.insert(id, value);
    }

    fn node(&mut self, node: &AnswerNode, frame: &Frame) {
        let id = name(&node.about.id);
        let mut about = json!({"prov:label": text::visible(&node.about.name), "prov:type": {"$": format!("due:{}", node.about.kind.name()), "type": "prov:QUALIFIED_NAME"}});
        if let Some(at) = node.arrival.and_then(|at| text::time(at, &frame.zone)) {
            about["due:arrival"] = json!({"$": at, "type": "xsd:dateTime"});
        }
        if node.about.kind == NodeKind::Process {
            return self.add("activity", id, about);
        }
        if let Some((file, _)) = node.about.id.rsplit_once('/').filter(|_| node.about.kind == NodeKind::File)
        {
            // An epoch is a part of the file's life.
            let general = name(file);
            self.add("entity", general.clone(), json!({"prov:label": text::visible(&node.about.name)}));
            let relation = json!({"prov:specificEntity": id, "prov:generalEntity": general});
            self.add("specializationOf", format!("_:s{id}").replace("node:", ""), relation);
        }
        self.add("entity", id, about);
    }

    fn edge(&mut self, number: usize, edge: &AnswerEdge, answer: &Answer, frame: &Frame) {
        let (from, to) = (&answer.nodes[edge.from].about, &answer.nodes[edge.to].about);
        let is_process = [from, to].map(|node| node.kind == NodeKind::Process);
        let [from, to] = [from, to].map(|node| name(&node.id));
        let mut about = match is_process {
            [false, true] => json!({"prov:activity": to, "prov:entity": from}),
            [true, false] => json!({"prov:entity": to, "prov:activity": from}),
            [true, true] => json!({"prov:informed": to, "prov:informant": from}),
            [false, false] => json!({"prov:generatedEntity": to, "prov:usedEntity": from}),
        };
        let relation = match is_process {
            [false, true] => "used",
            [true, false] => "wasGeneratedBy",
            [true, true] => "wasInformedBy",
            // Only a proven copy is a derivation; what an overlay shows of its layers is another view of one file.
            [false, false] if edge.kind == Kind::Copy => "wasDerivedFrom",
            [false, false] => "alternateOf",
        };
        if relation == "alternateOf" {
            about = json!({"prov:alternate1": to, "prov:alternate2": from});
        } else {
            if let Some(bytes) = edge.bytes {
                let key = if edge.is_upper { "due:bytes_at_most" } else { "due:bytes" };
                about[key] = json!({"$": bytes.to_string(), "type": "xsd:unsignedLong"});
            }
            about["due:kind"] = edge.kind.name().into();
            about["due:via"] = edge.via.iter().cloned().collect::<Vec<_>>().join(", ").into();
            let time = |at: i64| text::time(at, &frame.zone);
            if let Some(last) = time(edge.last) {
                about["due:last"] = json!({"$": last, "type": "xsd:dateTime"});
            }
            if let Some(first) = time(edge.first).filter(|_| matches!(relation, "used" | "wasGeneratedBy")) {
                about["prov:time"] = first.into();
            }
        }
        self.add(relation, format!("_:e{number}"), about);
    }
}

/// Returns the qualified name of a node: all characters with a meaning in such names are escaped.
fn name(id: &str) -> String {
    let mut out = String::from("node:");
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_./".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(if byte == b':' { "." } else { "_" });
        }
    }
    out
}
