//! The nodes of lineage that a target stands for.

use std::ffi::OsStr;

use analyzer::lineage::World;
use analyzer::{Candidates, Span, Store, Subject, Target, Which};
use jiff::tz::TimeZone;

use super::asked::{several, subject, with_labels};
use super::query::failure;
use crate::cli_common::Common;
use crate::exit::Failure;

/// A question's store and what was read of it, to find what its targets stand for.
pub(super) struct Meant<'a> {
    pub(super) common: &'a Common,
    pub(super) store: &'a Store,
    pub(super) world: &'a World,
    pub(super) span: Span,
    pub(super) zone: TimeZone,
    /// A time at which a process lived that is meant.
    pub(super) at: Option<i64>,
}

impl Meant<'_> {
    /// Returns a target with the nodes that it stands for; none if nothing is recorded of it.
    ///
    /// # Errors
    /// The text is no target, or can be several things.
    pub(super) fn nodes(&self, text: &OsStr) -> Result<(Subject, Vec<u32>), Failure> {
        let subject = subject(text)?;
        let nodes = match &subject {
            Subject::Files(target) => self.files(target)?,
            Subject::Contents(id, epoch) => self.in_epoch(self.files(&Target::Id(*id))?, Some(*epoch)),
            Subject::Node(id) => self.world.identified(id),
            Subject::Process(which, epoch) => {
                self.in_epoch(self.process(which, self.candidates(which)?)?, *epoch)
            }
            Subject::Either(target, which) => self.either(target, which)?,
        };
        Ok((subject, nodes))
    }

    fn files(&self, target: &Target) -> Result<Vec<u32>, Failure> {
        Ok(self.world.files(&with_labels(self.common, vec![target.clone()])?))
    }

    fn candidates(&self, which: &Which) -> Result<Candidates, Failure> {
        let which = Which { at: self.at, ..which.clone() };
        which.candidates(self.store, self.span, &self.zone).map_err(failure)
    }

    fn process(&self, which: &Which, found: Candidates) -> Result<Vec<u32>, Failure> {
        if found.processes.len() > 1 || found.is_cut {
            return Err(several(which, &found));
        }
        let ids = found.processes.into_iter().filter_map(|process| process.exec_id);
        Ok(ids.flat_map(|id| self.world.process(&id)).collect())
    }

    /// A file in the working folder, or a process. A name is only looked for among processes if no file has it.
    fn either(&self, target: &Target, which: &Which) -> Result<Vec<u32>, Failure> {
        let files = self.files(target)?;
        if !files.is_empty() && which.pid.is_none() && which.exec_id.is_none() {
            return Ok(files);
        }
        let found = self.candidates(which)?;
        if files.is_empty() {
            return self.process(which, found);
        }
        if found.processes.is_empty() {
            return Ok(files);
        }
        Err(Failure::failed(format!(
            "{which} can be the file {target} or a process: write the path with a slash for the file, {} for the process",
            which.exec_id.as_ref().map_or_else(|| which.to_string(), |id| format!("exec:{id}"))
        )))
    }

    /// Keeps the nodes of an epoch.
    fn in_epoch(&self, nodes: Vec<u32>, epoch: Option<u32>) -> Vec<u32> {
        let Some(epoch) = epoch else { return nodes };
        let end = format!("/{epoch}");
        nodes.into_iter().filter(|node| self.world.name(*node).id.ends_with(&end)).collect()
    }
}
