//! Tracers from templates: a user's own BPF object, described in a few lines of configuration.

pub mod btf;
pub mod layout;
