//! The write side: takes batches of records, writes rows to every sink, and accounts for each record.
//!
//! One actor ([`Collector`]) normalises, filters, enriches and routes records; one actor per sink ([`SinkActor`])
//! writes rows. [`spawn()`] starts them all. This crate knows records and rows, but no tracers.
//!
//! **Order of stopping**: first the sources, then [`CollectorHandle::collector`], then [`CollectorHandle::sinks`]. A
//! sink that is stopped in this order writes what is still queued, and the store then writes the run's final
//! accounts.

mod change;
mod checks;
pub mod collector;
pub mod config;
pub mod enrich;
pub mod filter;
mod live_routing;
mod loss;
pub mod normalize;
pub mod pipeline;
mod route;
mod shorten;
pub mod sink;
mod sinks;
mod spawn;

pub use collector::{Collector, CollectorState, Undecided};
pub use config::{CollectorConfig, SinkConfig};
pub use filter::{FilterConfig, Filters, FiltersConfig, default_filters};
pub use pipeline::Pipeline;
pub use sink::database::Synchronous;
pub use sink::gate::Gate;
pub use sink::kind::{CarriedOver, Pace, SinkSpec};
pub use sink::writer::{Flush, SinkActor, SinkState};
pub use sinks::{SinkHandle, spawn_sink};
pub use spawn::{CollectorHandle, SpawnError, spawn};
