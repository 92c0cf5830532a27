//! The columns that sums are made from, and their indexes.

/// The columns of groups; those that are not needed are not read.
pub(super) const EXEC_ID: usize = 0;
pub(super) const PID: usize = 1;
pub(super) const COMM: usize = 2;
pub(super) const UID: usize = 3;
pub(super) const EXE: usize = 4;
pub(super) const CONTAINER: usize = 5;
pub(super) const CONTAINER_NAME: usize = 6;
/// Number of these columns.
pub(super) const COUNT: usize = 7;

/// The columns that all tracers have here, after those of the group.
const COMMON: [&str; 9] = [
    "time",
    "fname",
    "dev",
    "ino",
    "generation",
    "replaced_dev",
    "replaced_ino",
    "replaced_generation",
    "ret",
];
/// Indexes of these columns.
pub(super) const TIME: usize = COUNT;
pub(super) const FNAME: usize = COUNT + 1;
pub(super) const ID: usize = COUNT + 2;
pub(super) const REPLACED: usize = COUNT + 5;
pub(super) const RET: usize = COUNT + 8;
/// Index of the first column that depends on the tracer.
pub(super) const OWN: usize = COUNT + COMMON.len();

/// The columns of `usage`, at [`OWN`].
const USAGE: [&str; 9] = [
    "bytes_read",
    "calls_read",
    "bytes_written",
    "calls_written",
    "bytes_mapped",
    "calls_mapped",
    "first_time",
    "last_time",
    "via",
];
/// The columns of other tracers, at [`OWN`].
const OTHERS: [&str; 3] = ["errno", "flags", "new_path"];
/// Index of the second path of a call.
pub(super) const NEW_PATH: usize = OWN + 2;
/// The tracers whose rows have two paths.
pub(super) const TWO_NAMES: [&str; 2] = ["rename", "link"];

/// Returns the columns of a tracer, after those of the group.
pub(super) fn of_tracer(tracer: &str) -> impl Iterator<Item = &'static str> {
    let own: &[&str] = if tracer == "usage" { &USAGE } else { &OTHERS };
    COMMON.into_iter().chain(own.iter().copied())
}
