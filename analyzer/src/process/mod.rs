//! The question `process`: where a process comes from, what it did, and what came of it.

mod files;
mod info;
mod kin;
mod life;
mod which;

use jiff::tz::TimeZone;
use serde::Serialize;

pub use files::{Peer, UsedFile};
pub use info::Process;
pub use life::{Execution, IdChange, Refusal, Signal};
pub use which::{Candidates, Which};

use crate::evidence::{Asked, Evidence, Traits};
use crate::span::Span;
use crate::store::Walker;
use crate::{Error, Store};
use kin::Kin;
use life::{LISTED, Reading};

/// The tracers that an answer is made from, beside those of files.
const TRACERS: [&str; 17] = [
    "clone", "exec", "exit", "setuid", "kill", "connect", "accept", "close", "udp", "usage", "open",
    "rename", "link", "unlink", "truncate", "attr", "mkdir",
];

/// A question about one process.
#[derive(Clone, Debug)]
pub struct ProcessQuery {
    /// The process that is asked for.
    pub which: Which,
    /// Only rows of this time; its life and its kin are shown whole.
    pub span: Span,
    /// The zone in which times are shown.
    pub zone: TimeZone,
}

/// The answer about the only process that a question can mean, or why there is none.
#[derive(Debug)]
pub enum Found {
    /// No process, and what the search may lack.
    Nothing(Box<Evidence>),
    /// More than one process that can be meant.
    Several(Candidates),
    /// The answer about the only one, and what it may lack.
    One(Box<Answer>, Box<Evidence>),
}

/// The answer about a process.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Answer {
    /// The process that was found.
    pub process: Process,
    /// The programs that it executed.
    pub execs: Vec<Execution>,
    /// The ids that it took.
    pub ids: Vec<IdChange>,
    /// The processes that it comes from, the nearest first.
    pub ancestors: Vec<Process>,
    /// The processes that come from it, each after its parent.
    pub descendants: Vec<Process>,
    /// The files that it used.
    pub files: Vec<UsedFile>,
    /// The other ends that it talked to.
    pub peers: Vec<Peer>,
    /// Signals that it sent and got.
    pub signals: Vec<Signal>,
    /// Calls that the system refused.
    pub refused: Vec<Refusal>,
}

impl ProcessQuery {
    /// Answers the question, and says what the answer may lack. While an agent writes, the caller begins a moment of the store first.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn run(&self, store: &Store) -> Result<Found, Error> {
        let walker = Walker::new(store)?;
        let mut found = self.which.find(&walker, self.span, &self.zone)?;
        if found.processes.len() > 1 || found.is_cut {
            return Ok(Found::Several(found));
        }
        let Some(mut process) = found.processes.pop() else {
            return Ok(Found::Nothing(Box::new(Evidence::by(&walker, self.span, &TRACERS)?)));
        };
        let exec_id = process.exec_id.clone().unwrap_or_default();
        let kin = Kin::of(&walker, &exec_id)?;
        process.parent_exec_id = kin.ancestors.first().and_then(|parent| parent.exec_id.clone());
        let reading = Reading { walker: &walker, exec_id: &exec_id, span: self.span, zone: &self.zone };
        let ((mut files, files_cut), (mut peers, peers_cut)) = (reading.files()?, reading.peers()?);
        let mut answer = Answer {
            process,
            execs: reading.execs()?,
            ids: reading.ids()?,
            ancestors: kin.ancestors,
            descendants: kin.descendants,
            signals: reading.signals()?,
            refused: reading.refused()?,
            ..Answer::default()
        };
        let mut evidence = Evidence::by(&walker, self.span, &TRACERS)?;
        let uids = answer.uids();
        if !uids.is_empty() {
            evidence.of_users(&uids);
        }
        let more = |left: u64, listed: usize| left + listed.saturating_sub(LISTED) as u64;
        let why = "more than are listed";
        evidence.add_cut("files", why, more(files_cut, files.len()));
        evidence.add_cut("peers", why, more(peers_cut, peers.len()));
        evidence.add_cut("descendants", why, kin.left_out);
        files.truncate(LISTED);
        peers.truncate(LISTED);
        (answer.files, answer.peers) = (files, peers);
        evidence.decide(&answer.traits());
        let kin = answer.ancestors.iter_mut().chain(&mut answer.descendants);
        kin.for_each(|process| process.in_zone(&self.zone));
        Ok(Found::One(Box::new(answer), Box::new(evidence)))
    }
}

impl Answer {
    fn traits(&self) -> Traits {
        Traits {
            asked: Asked::Process,
            has_mapped: self.files.iter().any(|file| file.sums.calls_mapped > 0),
            has_executed: !self.execs.is_empty(),
            has_overlay: self.process.container_id.is_some(),
            has_sockets: !self.peers.is_empty(),
            has_signals: !self.signals.is_empty(),
            ..Traits::default()
        }
    }

    /// Returns the users that the process had: their losses may be its own.
    fn uids(&self) -> Vec<i64> {
        let ids = self.ids.iter().filter_map(|change| change.euid);
        self.process.uid.into_iter().chain(ids).collect()
    }
}
