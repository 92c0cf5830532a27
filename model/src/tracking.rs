//! The normalised row: the same shape for every tracer.

use std::sync::Arc;

use serde::Serialize;

use crate::{ExecId, Extended, Text, TracerName, WallTime};

/// One row. What it has no column for is in `extended`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tracking {
    /// Tracer it is stored under.
    pub tracer: TracerName,
    /// Process id.
    pub pid: Option<i64>,
    /// Effective user id.
    pub uid: Option<i64>,
    /// Effective group id.
    pub gid: Option<i64>,
    /// When, local wall time.
    pub dt: Option<WallTime>,
    /// Command name.
    pub comm: Option<Text>,
    /// Working folder at that moment.
    pub cwd: Option<Text>,
    /// The file, program or object it is about.
    pub fname: Option<Text>,
    /// Thread id.
    pub tid: Option<i64>,
    /// Parent's process id.
    pub ppid: Option<i64>,
    /// Process instance.
    pub exec_id: Option<ExecId>,
    /// Executable file at that moment.
    pub exe: Option<Text>,
    /// Container, if in one.
    pub container_id: Option<Arc<str>>,
    /// Result: what the call returned, negative errno on failure.
    pub ret: Option<i64>,
    /// How many happenings this row stands for, where it is not one.
    pub count: Option<i64>,
    /// The process, the one that made it, and so on, by pid: only where a filter asks for it, and not stored.
    #[serde(skip)]
    pub ancestors: Option<crate::Lineage>,
    /// Everything else, as an object.
    pub extended: Extended,
}

impl Tracking {
    /// A row of which only its tracer, its moment and its details are known.
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
