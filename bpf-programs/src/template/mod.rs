//! Tracers from templates: a user's own eBPF program, described in a few lines of configuration.
//!
//! [`spawn`] starts a host for each under a supervisor; [`inspect()`] lists what is in an object.
//!
//! ```text
//! object file ──► btf: types ──► layout: compiled once ──┐
//!      │                                                 ▼
//!      └──────► plan ──► attach ──► buffer ──drain──► decode ──► batch ──► collector
//! ```

mod attach;
mod btf;
mod check;
mod compile;
mod config;
mod errors;
mod hook;
mod host;
mod inspect;
pub(crate) mod layout;
mod object;
mod plan;
mod reader;
mod run;
mod set;
mod validate;
mod work;

pub use check::{TemplateCheck, check};
pub use compile::{HEADER, is_source, object as compile};
pub use config::{TemplateConfig, TemplatesConfig};
pub use errors::TemplateError;
pub use host::{TemplateHost, TemplateState};
pub use inspect::{Inspection, RecordLayout, inspect};
pub use set::{TemplateHandle, Templates, spawn};
pub use validate::validate;
