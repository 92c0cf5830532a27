//! The nouns every crate shares: what a tracer emits ([`Record`]), the row it becomes ([`Tracking`]), what
//! carries records between actors ([`Batch`]), who answers for them ([`Account`], [`Claim`]) and what is
//! known of the processes behind them ([`ProcessTable`]).
//!
//! Nothing here does I/O, waits, or reads a clock.

pub mod account;
pub mod batch;
pub mod books;
pub mod changes;
pub mod details;
#[cfg(feature = "expression")]
pub mod expression;
pub mod extended;
pub mod fields;
pub mod ids;
pub mod problem;
pub mod process;
pub mod record;
pub mod schema;
pub mod text;
pub mod time;
pub mod track;
pub mod tracking;
pub mod units;

pub use account::{Account, Accounts, Claim, Pinned, SinkAccount, SinkClaim};
pub use batch::{Batch, Routed};
pub use books::{AccountSnapshot, Gap, Lost, Place};
pub use changes::{Changes, changed_keys};
pub use details::{Clone, Connect, Details, Exec, Exit, Loss, Open};
pub use extended::Extended;
pub use ids::{ExecId, SinkId, SinkName, TracerName};
pub use problem::Problem;
pub use process::{ProcessInfo, ProcessTable};
pub use record::{Identity, Moment, Record};
pub use text::Text;
pub use time::{BootClock, BootNs, WallTime};
pub use track::{Checkpoint, Point, Remembered, Settled, Stretch};
pub use tracking::Tracking;
pub use units::{Period, Size};
