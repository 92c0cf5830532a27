//! The types that all crates share: the record a tracer emits ([`Record`]), the row it becomes ([`Tracking`]), the
//! batches that carry records between actors ([`Batch`]), the accounts that count what became of them ([`Account`],
//! [`Claim`]) and the table of the processes behind them ([`ProcessTable`]).
//!
//! Code in this crate does no I/O, never waits, and reads no clock.

pub mod account;
pub mod batch;
pub mod cgroup;
pub mod changes;
pub mod clocks;
pub mod container;
pub mod details;
pub mod extended;
pub mod fields;
pub mod file;
pub mod ids;
pub mod lock;
pub mod losses;
pub mod offsets;
pub mod problem;
pub mod process;
pub mod pushdown;
pub mod record;
pub mod schema;
pub mod snapshot;
pub mod system_files;
pub mod text;
pub mod time;
pub mod trusted;
pub mod units;
pub mod zoned;

pub use account::{Account, Accounts, Claim, Pinned, SinkAccount, SinkClaim};
pub use batch::{Batch, Routed};
pub use cgroup::Cgroup;
pub use changes::{Change, Subject, What, changed_keys};
pub use clocks::{Clocks, SetBack};
pub use details::{
    Act, ActField, Clone, Details, Direction, Dns, DnsMessage, Ends, Exec, Exit, FileHandle, FlagSet, Fs,
    FsArg, Interpreter, Mapped, Open, OtherPath, Socket, SocketIds, Traffic, Transfer, Usage,
};
pub use extended::{Container, Extended};
pub use file::{File, Layer, RealFile};
pub use ids::{ExecId, LOSS, MANIFEST, RETENTION, Role, SinkId, SinkName, TracerName};
pub use losses::{Gap, Loss, Losses, Owner};
pub use offsets::{Checkpoint, KilledRun, OffsetRange, Outcomes, Remembered, RingCheckpoint};
pub use problem::Problem;
pub use process::{Lineage, ProcessInfo, ProcessTable, TableSize};
pub use pushdown::Pushdown;
pub use record::{CgroupId, Identity, Moment, Record};
pub use schema::Tracking;
pub use snapshot::{
    AccountSnapshot, CROWDED, ENDED, LossPoint, Lost, OVER_BUDGET, SAMPLED, SKIPPED, STALE, own_cause,
};
pub use system_files::SystemFiles;
pub use text::Text;
pub use time::{BootClock, BootNs, WallTime};
pub use units::{Period, Size};
pub use zoned::{LocalTimes, ZonedTime};
