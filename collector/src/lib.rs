//! The write side: batches of records in, rows in every sink out, nothing unaccounted.
//!
//! One actor ([`Collector`]) normalises, filters, enriches and routes; one actor a sink ([`SinkActor`]) writes.
//! [`spawn`] starts them all. It knows records, never tracers.
//!
//! **Order of stopping**: sources, then [`CollectorHandle::collector`], then [`CollectorHandle::sinks`]. A sink
//! that is stopped in its turn writes what still waits, and the store then writes the run's final accounts.

mod board;
mod change;
pub mod collector;
pub mod config;
pub mod enrich;
pub mod filter;
mod loss;
pub mod normalize;
pub mod pipeline;
mod route;
pub mod sink;
mod sinks;
mod spawn;

pub use change::Prepared;
pub use collector::{Collector, CollectorState, Undecided};
pub use config::{CollectorConfig, JsonlConfig, MemoryConfig, SqliteConfig, Synchronous};
pub use filter::{FilterConfig, Filters, FiltersConfig, default_filters};
pub use pipeline::Pipeline;
pub use sink::writer::{Flush, Pace, SinkActor, SinkState};
pub use spawn::{CollectorHandle, OwnSink, SinkHandle, SpawnError, spawn, spawn_sink};

/// Makes the actor that gets it panic, with whatever it has in hand. For tests of supervision only.
#[cfg(feature = "fault-injection")]
#[derive(Clone, Copy, Debug, actix::Message)]
#[rtype(result = "()")]
pub struct InjectPanic;
