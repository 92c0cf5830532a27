//! An answer as events of OpenLineage: a process is a run, files and addresses are data sets.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::frame::Frame;
use super::text;
use crate::lineage::NodeKind;
use crate::lineage::answer::{Answer, AnswerEdge};

const PRODUCER: &str = "https://github.com/hitsz-ids/duetector";
const SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
const FACETS: &str = "https://openlineage.io/spec/facets/1-0-0";

/// The edges of one process.
#[derive(Default)]
struct Run<'a> {
    inputs: Vec<&'a AnswerEdge>,
    outputs: Vec<&'a AnswerEdge>,
    parent: Option<usize>,
}

pub(super) fn write(answer: &Answer, frame: &Frame, out: &mut dyn Write) -> io::Result<()> {
    let mut runs: BTreeMap<usize, Run<'_>> = BTreeMap::new();
    let is_process = |index: usize| answer.nodes[index].about.kind == NodeKind::Process;
    for index in (0..answer.nodes.len()).filter(|index| is_process(*index)) {
        runs.entry(index).or_default();
    }
    for edge in &answer.edges {
        match (is_process(edge.from), is_process(edge.to)) {
            (false, true) => runs.entry(edge.to).or_default().inputs.push(edge),
            (true, false) => runs.entry(edge.from).or_default().outputs.push(edge),
            (true, true) => runs.entry(edge.to).or_default().parent = Some(edge.from),
            (false, false) => {}
        }
    }
    let writing = Writing { answer, frame };
    for (process, run) in &runs {
        for kind in ["START", "COMPLETE"] {
            crate::render::json::object(&writing.event(*process, run, kind), out)?;
        }
    }
    Ok(())
}

struct Writing<'a> {
    answer: &'a Answer,
    frame: &'a Frame,
}

impl Writing<'_> {
    fn event(&self, process: usize, run: &Run<'_>, kind: &str) -> Value {
        let all = || run.inputs.iter().chain(&run.outputs);
        let known = |at: &i64| *at != i64::MIN && *at != i64::MAX;
        let first = all().map(|edge| edge.first).filter(known).min();
        let last = all().map(|edge| edge.last).filter(known).max();
        let at = if kind == "START" { first } else { last };
        let node = &self.answer.nodes[process];
        let at = at.or(node.arrival).or(node.departure).unwrap_or_default();
        let mut event = json!({
            "eventType": kind,
            "eventTime": text::time(at, &self.frame.zone),
            "producer": PRODUCER,
            "schemaURL": SCHEMA,
            "run": {"runId": self.run_id(process), "facets": self.run_facets(run)},
            "job": {"namespace": self.frame.host, "name": text::visible(&node.about.name)},
        });
        if kind == "COMPLETE" {
            event["inputs"] = run.inputs.iter().map(|edge| self.data_set(edge, edge.from, "input")).collect();
            event["outputs"] =
                run.outputs.iter().map(|edge| self.data_set(edge, edge.to, "output")).collect();
        }
        event
    }

    fn run_facets(&self, run: &Run<'_>) -> Value {
        let Some(parent) = run.parent else { return json!({}) };
        let name = text::visible(&self.answer.nodes[parent].about.name);
        json!({"parent": {
            "_producer": PRODUCER,
            "_schemaURL": format!("{FACETS}/ParentRunFacet.json#/$defs/ParentRunFacet"),
            "run": {"runId": self.run_id(parent)},
            "job": {"namespace": self.frame.host, "name": name},
        }})
    }

    fn data_set(&self, edge: &AnswerEdge, index: usize, side: &str) -> Value {
        let about = &self.answer.nodes[index].about;
        let (namespace, name) = match about.kind {
            NodeKind::File | NodeKind::Fifo => {
                (format!("file://{}", self.frame.host), text::visible(&about.name))
            }
            NodeKind::Address => ("tcp".to_owned(), about.id.replacen("address:", "", 1)),
            NodeKind::Process | NodeKind::Pipe | NodeKind::Socket | NodeKind::Queue => {
                (format!("ipc://{}", self.frame.host), about.id.clone())
            }
        };
        let facet = |name: &str| json!({"_producer": PRODUCER, "_schemaURL": format!("{FACETS}/{name}.json#/$defs/{name}")});
        let mut set = json!({"namespace": namespace, "name": name});
        if !about.others.is_empty() {
            let mut links = facet("SymlinksDatasetFacet");
            let link =
                |name: &String| json!({"namespace": namespace, "name": text::visible(name), "type": "FILE"});
            links["identifiers"] = about.others.iter().map(link).collect();
            set["facets"] = json!({"symlinks": links});
        }
        let Some(bytes) = edge.bytes else { return set };
        let (key, facet_key, facet_name) = if side == "input" {
            ("inputFacets", "inputStatistics", "InputStatisticsInputDatasetFacet")
        } else {
            ("outputFacets", "outputStatistics", "OutputStatisticsOutputDatasetFacet")
        };
        let mut statistics = facet(facet_name);
        statistics["size"] = bytes.into();
        set[key] = json!({facet_key: statistics});
        set
    }

    /// Returns an id that is the same whenever the same process is asked about: a name hashed into a UUID of the version for own
    /// schemes.
    fn run_id(&self, process: usize) -> String {
        use sha2::{Digest as _, Sha256};
        let mut hash = Sha256::new();
        hash.update(self.frame.host.as_bytes());
        hash.update([0]);
        hash.update(self.answer.nodes[process].about.id.as_bytes());
        let mut bytes = [0_u8; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let hex = model::text::hex(&bytes);
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}
