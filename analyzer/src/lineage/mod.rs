//! Lineage: where data can have gone, and where they can have come from.
//!
//! ```text
//! rows ─► edge files ─► nodes, and edges in order of time ─► forward, backward, or both ─► answer ─► tree, json, dot, …
//! ```
//!
//! Data can go along an edge into the next one if the second edge's last time is not before their arrival at its beginning. Equal
//! times count as possible. `docs/LINEAGE.md` describes what nodes and edges are made of.

mod answer;
mod between;
mod boundary;
mod bounds;
mod channels;
mod copies;
mod early;
mod edge_file;
mod edges;
mod epochs;
mod facts;
mod flows;
pub mod format;
mod graph;
mod hubs;
mod inherited;
mod kinds;
mod levels;
mod life;
#[cfg(feature = "made-up")]
pub mod made_up;
mod merge;
mod names;
mod nodes;
mod pending;
mod programs;
mod progress;
mod read;
mod search;
mod seen;
mod starts;
mod sweep;
mod table;
#[cfg(test)]
mod tests;
mod traits;
mod uses;
mod world;

pub use answer::{Answer, AnswerCut, AnswerEdge, AnswerNode, Ask, Question};
pub use between::{Between, widest};
pub use bounds::{Bounds, Cut, Deadline, Why};
pub use graph::{ANY_BYTES, Direction, Edge, Edges, Graph, Kind, Node};
pub use kinds::NodeKind;
pub use search::{Reached, search};
pub use world::{NodeName, World};
