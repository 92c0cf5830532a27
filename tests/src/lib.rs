//! The harness of the end-to-end tests: the real binary, the real kernel, a folder of its own for each agent.
//!
//! [`Setup`] starts an agent and waits until it is ready; [`Agent::finish`] stops it and checks its accounts;
//! [`Store`] asks what was recorded, through the same commands a person uses. Nothing here knows how the
//! agent is built inside.

pub mod agent;
pub mod binary;
pub mod catalog;
pub mod cgroups;
pub mod dice;
pub mod duetector;
pub mod follower;
pub mod http;
pub mod numbered;
pub mod rows;
pub mod scratch;
pub mod screen;
pub mod served;
pub mod store;
pub mod suite;
pub mod template;
pub mod wait;
pub mod workload;

pub use agent::{Agent, Ended, Setup};
pub use cgroups::Cgroups;
pub use dice::Dice;
pub use follower::{Followed, Follower};
pub use numbered::Crowd;
pub use scratch::Scratch;
pub use screen::Screen;
pub use store::{Account, Store};
pub use wait::{slowdown, until, within};
