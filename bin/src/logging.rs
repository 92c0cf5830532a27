//! Log lines on stderr, as text or JSON, filtered by the environment variable `DUETECTOR_LOG`.

use std::io::{self, IsTerminal as _};

use anyhow::Context as _;
use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::live::Screen;

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Plain text, one line per message
    #[default]
    Text,
    /// A JSON object per line
    Json,
}

/// Writes log lines above the live status lines, if there are any.
#[derive(Clone)]
struct ToScreen(Screen);

impl io::Write for ToScreen {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A failure to write to stderr can't be reported: the logger would report it on stderr.
        self.0.log(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for ToScreen {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Sets up logging, and logs panics: the supervisor catches them and names the actor.
pub(crate) fn init(format: LogFormat, screen: &Screen) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter("info")?)
        .with_writer(ToScreen(screen.clone()))
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    match format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    log_panics();
    Ok(())
}

/// Sets up logging as plain text to `writer`. `default` is the level if `DUETECTOR_LOG` is not set.
pub(crate) fn init_plain<W>(writer: W, default: &str) -> anyhow::Result<()>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter(default)?).with_writer(writer);
    builder.with_ansi(false).with_target(false).init();
    log_panics();
    Ok(())
}

fn filter(default: &str) -> anyhow::Result<EnvFilter> {
    match std::env::var("DUETECTOR_LOG") {
        Ok(filter) => EnvFilter::try_new(&filter).with_context(|| format!("DUETECTOR_LOG={filter}")),
        Err(_) => Ok(EnvFilter::new(default)),
    }
}

fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let message =
            text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)");
        tracing::error!(location, message, "panicked");
    }));
}
