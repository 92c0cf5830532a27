//! Texts that all drawings have.

use crate::lineage::answer::AnswerCut;

/// Returns the text about edges that were not followed.
pub(super) fn cut(cut: &AnswerCut) -> String {
    format!("✂ {} edges ({})", cut.edges, cut.why.name())
}
