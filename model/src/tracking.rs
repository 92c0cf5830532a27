//! Normalised rows, with the same columns for every tracer.

use std::sync::Arc;

use serde::Serialize;

use crate::{ExecId, Extended, Text, TracerName, WallTime};

/// A row. Data without a column of its own is in `extended`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tracking {
    /// Tracer that the row is stored under.
    pub tracer: TracerName,
    /// Id of the process.
    pub pid: Option<i64>,
    /// Effective user id.
    pub uid: Option<i64>,
    /// Effective group id.
    pub gid: Option<i64>,
    /// Time of the event, local wall time.
    pub dt: Option<WallTime>,
    /// Command name of the thread.
    pub comm: Option<Text>,
    /// Working folder at that moment.
    pub cwd: Option<Text>,
    /// The file, program or object that the event is about.
    pub fname: Option<Text>,
    /// Id of the thread.
    pub tid: Option<i64>,
    /// Process id of the parent.
    pub ppid: Option<i64>,
    /// Identity of the process instance.
    pub exec_id: Option<ExecId>,
    /// Executable file at that moment.
    pub exe: Option<Text>,
    /// Id of the container, if the process is in one.
    pub container_id: Option<Arc<str>>,
    /// Result of the call, negative errno on failure.
    pub ret: Option<i64>,
    /// Number of events that the row stands for, if it is not one.
    pub count: Option<i64>,
    /// Pids of the process and its ancestors, nearest first; set only if a filter needs it, and not stored.
    #[serde(skip)]
    pub ancestors: Option<crate::Lineage>,
    /// Everything else, as an object.
    pub extended: Extended,
}

impl Tracking {
    /// Creates a row with only a tracer, a time and details.
    pub fn new(tracer: TracerName, dt: WallTime, extended: Extended) -> Self {
        Self {
            tracer,
            pid: None,
            uid: None,
            gid: None,
            dt: Some(dt),
            comm: None,
            cwd: None,
            fname: None,
            tid: None,
            ppid: None,
            exec_id: None,
            exe: None,
            container_id: None,
            ret: None,
            count: None,
            ancestors: None,
            extended,
        }
    }
}
