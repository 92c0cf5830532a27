//! The loop of the screen: news, keys, drawing.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use actors::clock;
use analyzer::query::Where;
use analyzer::render::Names;
use analyzer::top::{Counter, Key};
use anyhow::Context as _;
use expression::Expression;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use super::accounts::Accounts;
use super::args::{TopArgs, to_filter};
use super::ask::Asking;
use super::draw::draw;
use super::feed::{Feed, News};
use super::view::{Action, Detail, View};
use crate::cli_common::Common;
use crate::commands::interrupt::{self, Interrupted};
use crate::exit::{Failure, Outcome};

/// Longest time that a key waits.
const WAIT: Duration = Duration::from_millis(250);
/// Most messages that are taken before keys are looked at again.
const AT_ONCE: usize = 1024;

/// Shows the screen until the user has enough.
pub(super) fn run(common: &Common, args: &TopArgs, filter: Option<Expression>) -> Outcome {
    let workdir = common.workdir()?;
    let feed = Feed::begin(&workdir, filter.is_some())?;
    let (mine, watched) = UnixStream::pair().context("listening for signals")?;
    let interrupted = interrupt::watch(watched)?;
    let mut screen = Screen {
        feed,
        counter: Counter::new(args.window, filter),
        accounts: Accounts::new(args.window),
        view: View::new(args.sort.sort()),
        asking: None,
        names: Names::new(false),
        workdir,
        common,
        began: clock::now(),
        _connection: mine,
    };
    // Restores the terminal at a panic, too.
    let mut terminal = ratatui::try_init().context("preparing the terminal")?;
    let shown = screen.show(&mut terminal, &interrupted);
    ratatui::try_restore().context("restoring the terminal")?;
    shown.map_err(|cause| Failure::Failed(anyhow::Error::new(cause).context("drawing on the terminal")))
}

struct Screen<'a> {
    common: &'a Common,
    feed: Feed,
    counter: Counter,
    accounts: Accounts,
    view: View,
    asking: Option<Asking>,
    names: Names,
    workdir: PathBuf,
    began: clock::Instant,
    /// The other end of what signals end.
    _connection: UnixStream,
}

impl Screen<'_> {
    fn show(&mut self, terminal: &mut DefaultTerminal, interrupted: &Interrupted) -> std::io::Result<()> {
        let mut drawn = None;
        while !interrupted.is_set() {
            let mut is_due = self.take_news();
            let second = self.began.elapsed().as_secs();
            if drawn != Some(second) {
                self.counter.advance(second);
                if !self.view.is_frozen {
                    self.view.take(&self.counter, &self.accounts);
                }
                is_due = true;
            }
            while event::poll(if is_due { Duration::ZERO } else { WAIT })? {
                is_due = true;
                if let Event::Key(key) = event::read()?
                    && key.kind != KeyEventKind::Release
                    && !self.act(key)
                {
                    return Ok(());
                }
            }
            if is_due {
                drawn = Some(second);
                terminal.draw(|frame| draw(frame, &self.view, &self.names))?;
            }
        }
        Ok(())
    }

    /// Counts what has come; returns whether something has to be shown at once.
    fn take_news(&mut self) -> bool {
        let second = self.began.elapsed().as_secs();
        for news in self.feed.news.try_iter().take(AT_ONCE) {
            match news {
                News::Rows { tracer, rows } => self.counter.add(&tracer, &rows),
                News::LeftOut(count) => self.view.shown.left_out += count,
                News::Gone(why) => self.view.shown.gone = Some(why),
                News::Status(status) => {
                    self.view.shown.machine = status.collector_id.clone();
                    self.view.shown.gone = None;
                    self.accounts.add(second, &status);
                }
            }
        }
        let Some(lines) = self.asking.as_ref().and_then(|asking| asking.answer.try_recv().ok()) else {
            return false;
        };
        if let Some(detail) = &mut self.view.detail {
            (detail.lines, detail.is_running) = (lines, false);
        }
        true
    }

    /// Does what a key says; returns false to end.
    fn act(&mut self, key: event::KeyEvent) -> bool {
        match self.view.key(key) {
            Action::None => {}
            Action::Quit => return false,
            Action::Take => self.view.take(&self.counter, &self.accounts),
            Action::Filter(text) => self.filter(&text),
            Action::Ask(key) => self.ask(&key),
            Action::Close => (self.view.detail, self.asking) = (None, None),
        }
        true
    }

    fn filter(&mut self, text: &str) {
        let parsed = match text.trim() {
            "" => Ok(None),
            text => self.parse(text).map(Some),
        };
        match parsed {
            Ok(parsed) => {
                let (filter, warning) = parsed.unzip();
                self.feed.read_all(filter.is_some());
                self.counter = Counter::new(self.counter.seconds(), filter);
                self.counter.advance(self.began.elapsed().as_secs());
                self.view.take(&self.counter, &self.accounts);
                self.view.message = warning.flatten();
            }
            // The first line says what is wrong, the others where.
            Err(error) => self.view.message = error.lines().next().map(str::to_owned),
        }
    }

    fn parse(&self, text: &str) -> Result<(Expression, Option<String>), String> {
        to_filter(self.common, text.parse::<Where>()?).map_err(|failure| failure.words())
    }

    fn ask(&mut self, key: &Key) {
        self.asking = None;
        if matches!(key, Key::Path(path) if path.starts_with('…')) {
            self.view.message = Some("the name is too long to ask about".to_owned());
            return;
        }
        match Asking::begin(key, self.counter.seconds(), &self.workdir) {
            Ok((title, asking)) => {
                self.view.detail = Some(Detail { title, lines: Vec::new(), scroll: 0, is_running: true });
                self.asking = Some(asking);
            }
            Err(cause) => self.view.message = Some(format!("starting the command: {cause}")),
        }
    }
}
