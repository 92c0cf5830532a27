//! Stages of processing, and the fields that a row has in each.

/// Stage of processing, which determines the fields that a row has. Each filter decides as early as it can, so that
/// dropped rows need not be enriched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The row has the record's own fields.
    Normalized,
    /// The row also has the fields that enrichment adds.
    Enriched,
}

/// Field name in expressions for [`model::Tracking::ancestors`].
pub(crate) const ANCESTORS: &str = "ancestors";

/// Fields that enrichment adds.
pub(crate) const ENRICHED: [&str; 15] = [
    ANCESTORS,
    "cwd",
    "exe",
    "container_id",
    "cwd_bytes",
    "exe_bytes",
    "cgroup",
    "container_runtime",
    "container_name",
    "container_image",
    "container_claimed",
    "pod_uid",
    "target_exec_id",
    "target_ns_pid",
    "target_pid",
];
