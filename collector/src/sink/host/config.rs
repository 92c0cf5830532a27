//! Settings of the sink to the host. They come from the `child` command and not from the configuration.

use super::pipe::HostPipe;

/// Settings of the sink to the host.
pub struct HostConfig {
    /// The pipe to the host.
    pub pipe: HostPipe,
    /// Prefix of each event's `tracer_name`.
    pub prefix: String,
}
