//! Log lines on stderr, as text or JSON, filtered by the environment variable `DUETECTOR_LOG`.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::Context as _;
use clap::ValueEnum;
use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::live::Screen;

/// Environment variable with the levels that are logged.
const LEVELS: &str = "DUETECTOR_LOG";

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Plain text, one line per message
    #[default]
    Text,
    /// A JSON object per line
    Json,
}

/// While the agent starts, keeps lines about single tracers out of the log; the summary of the start (`startup`) reports
/// them together. Nothing is kept out if `DUETECTOR_LOG` sets what is logged.
#[derive(Clone, Default)]
pub(crate) struct HeldBack(Arc<AtomicBool>);

impl HeldBack {
    /// Lets all lines through from now on.
    pub(crate) fn end(&self) {
        self.0.store(false, Relaxed);
    }

    /// True for a line of a supervisor or a kernel tracer that names one tracer. Lines with a count report losses, which
    /// the summary does not mention.
    fn holds(&self, line: &Metadata<'_>) -> bool {
        let has = |field| line.fields().field(field).is_some();
        let from = |part| line.target().starts_with(part);
        self.0.load(Relaxed)
            && (from("actors") || from("bpf_programs"))
            && (has("tracer") || has("child"))
            && !has("count")
    }
}

/// Writes log lines above the live status lines, if there are any.
struct ToScreen {
    screen: Screen,
    held_back: HeldBack,
}

/// The writer of one log line; `None` for a line that is not written.
struct Line(Option<Screen>);

impl io::Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A failure to write to stderr can't be reported: the logger would report it on stderr.
        if let Some(screen) = &self.0 {
            screen.log(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for ToScreen {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(Some(self.screen.clone()))
    }

    fn make_writer_for(&self, line: &Metadata<'_>) -> Line {
        if self.held_back.holds(line) { Line(None) } else { self.make_writer() }
    }
}

/// Sets up logging, and logs panics: the supervisor catches them and names the actor. The caller ends what is held back
/// when the start has been reported.
pub(crate) fn init(format: LogFormat, screen: &Screen) -> anyhow::Result<HeldBack> {
    let held_back = HeldBack(Arc::new(AtomicBool::new(std::env::var_os(LEVELS).is_none())));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter("info")?)
        .with_writer(ToScreen { screen: screen.clone(), held_back: held_back.clone() })
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    match format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    log_panics();
    Ok(held_back)
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
    match std::env::var(LEVELS) {
        Ok(filter) => EnvFilter::try_new(&filter).with_context(|| format!("{LEVELS}={filter}")),
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
