//! Files that data of others can have gone to, for `uses --derived`.

use analyzer::lineage::{Ask, Bounds, NodeKind, Question, World};
use analyzer::{Evidence, Span, Store, Target};

use super::lineage::HUB;
use super::query::failure;
use crate::cli_common::Common;
use crate::exit::Failure;

/// Files that were found, with what the search may lack.
pub(super) struct Derived {
    pub(super) targets: Vec<Target>,
    evidence: Evidence,
}

impl Derived {
    /// Finds the files that data of the targets can have gone to, as `lineage --down` does without options.
    ///
    /// # Errors
    /// The store or the configuration can't be read.
    pub(super) fn of(
        common: &Common,
        store: &Store,
        targets: &[Target],
        span: Span,
    ) -> Result<Self, Failure> {
        let world = World::read(store, span).map_err(failure)?;
        let boundary = common.load()?.label.boundary().map_err(failure)?;
        let bounds =
            Bounds { hub: Some(HUB), boundary: world.boundary(&boundary, true), ..Bounds::default() };
        let question = Question { targets: world.files(targets), ask: Ask::Down, span, bounds, most: None };
        let answer = world.answer(&question).map_err(failure)?;
        let tracers: Vec<&str> = World::tracers().collect();
        let mut evidence = Evidence::of(store, span, &tracers).map_err(failure)?;
        evidence.decide(&answer.traits());
        for cut in &answer.cuts {
            evidence.add_cut(&answer.nodes[cut.node].about.id, cut.why.name(), cut.edges);
        }
        let files = answer.nodes.iter().filter(|node| !node.is_target && node.about.kind == NodeKind::File);
        let targets = files.filter_map(|file| target(&file.about.id)).collect();
        Ok(Self { targets, evidence })
    }

    /// Adds to the evidence of an answer what this search may lack.
    pub(super) fn add_to(self, evidence: &mut Evidence) {
        evidence.join(self.evidence);
    }
}

/// Returns the target that a file's node is: `file:DEV:INO:GENERATION/EPOCH`.
fn target(id: &str) -> Option<Target> {
    let identity = id.strip_prefix("file:")?.split('/').next()?;
    Target::parse(format!("id:{identity}").as_ref(), std::path::Path::new("/")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_of_a_file_is_a_target() {
        assert_eq!(
            target("file:65024:7:9/2").map(|target| target.to_string()).as_deref(),
            Some("id:65024:7:9")
        );
        assert_eq!(target("pipe:7"), None);
    }
}
