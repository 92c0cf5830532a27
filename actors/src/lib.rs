//! The actor toolkit of the other crates: supervision with typed exits, bounded outboxes, batches, one clock.
//!
//! This crate knows nothing of kernels, SQL or tracers, and its tests need no root.
//!
//! ```
//! use actix::{Actor, Context, Handler, Message, System};
//! use actors::{Exit, ActorCtx, Shutdown, Spec, Supervisor};
//!
//! /// Adds up the numbers it is sent.
//! struct Counter {
//!     ctx: ActorCtx<u64>,
//! }
//!
//! struct Count(u64);
//!
//! impl Message for Count {
//!     type Result = u64;
//! }
//!
//! impl Actor for Counter {
//!     type Context = Context<Self>;
//! }
//! impl Handler<Count> for Counter {
//!     type Result = u64;
//!     fn handle(&mut self, Count(by): Count, _: &mut Self::Context) -> u64 {
//!         self.ctx.update(|total| *total += by);
//!         self.ctx.read()
//!     }
//! }
//! impl Handler<Shutdown> for Counter {
//!     type Result = ();
//!     fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
//!         self.ctx.end(Exit::Stopped);
//!     }
//! }
//!
//! System::new().block_on(async {
//!     let counter = Supervisor::new().spawn(Spec::new("counter"), |ctx| Counter { ctx });
//!     assert_eq!(counter.ask(Count(3)).await.unwrap(), 3);
//!     assert_eq!(counter.stop().await.exits.stopped, 1);
//!     assert_eq!(counter.state(), 3);
//! });
//! ```

pub mod actor_loop;
pub mod backoff;
pub mod batcher;
pub mod child;
pub mod child_set;
pub mod clock;
mod driver;
pub mod exit;
pub mod outbox;
pub mod progress;
pub mod stage;
pub mod supervisor;
#[cfg(feature = "testkit")]
pub mod testkit;

#[cfg(feature = "fault-injection")]
pub use actor_loop::InjectPanic;
pub use actor_loop::{ActorLoop, LoopActor, LoopCtx, LoopRef};
pub use backoff::Backoff;
pub use batcher::{Batcher, Limits};
pub use child::{ActorCtx, AnyChild, AskError, Child, ChildRef, ChildStatus, Phase, Shutdown, State};
pub use child_set::{ChildKind, ChildSet, Member, Prepared, Step};
pub use exit::{Exit, ExitCounts};
pub use outbox::{Closed, Outbox, WhenFull};
pub use progress::{Progress, Zone};
pub use stage::Stage;
pub use supervisor::{Placement, RestartPolicy, Spec, Supervisor};
