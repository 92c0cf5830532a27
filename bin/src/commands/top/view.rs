//! The state of the screen: what is shown, and what keys change.

use analyzer::top::{Busy, Counter, Key, Kind, Sort};

use super::accounts::{Accounts, Conservation, Rate};

/// Most lines of a table that can be reached by scrolling.
pub(super) const LINES: usize = 500;

/// The table that is shown, its numbers, and what covers it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) kind: Kind,
    pub(super) sort: Sort,
    /// Numbers stay as they are, although counting goes on.
    pub(super) is_frozen: bool,
    pub(super) is_helping: bool,
    /// The filter that is being typed.
    pub(super) typed: Option<String>,
    /// The latest error, for example with the filter.
    pub(super) message: Option<String>,
    pub(super) selected: usize,
    pub(super) detail: Option<Detail>,
    pub(super) shown: Shown,
}

/// The numbers that are shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    pub(super) machine: String,
    pub(super) window: u64,
    pub(super) filter: Option<String>,
    pub(super) conservation: Conservation,
    pub(super) rates: Vec<Rate>,
    pub(super) lines: Vec<Busy>,
    /// Number of keys in each table.
    pub(super) keys: [usize; 4],
    /// Rows of keys that had no room in the table that is shown.
    pub(super) others: u64,
    pub(super) left_out: u64,
    pub(super) undecided: u64,
    /// Why no agent is followed at the moment.
    pub(super) gone: Option<String>,
}

/// The answer to a question about the selected line.
#[derive(Debug)]
pub(super) struct Detail {
    pub(super) title: String,
    pub(super) lines: Vec<String>,
    pub(super) scroll: usize,
    pub(super) is_running: bool,
}

/// An action that a key asks the program for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    None,
    Quit,
    /// Take the numbers anew: another table or order.
    Take,
    /// Compile this filter and use it; an empty one is none.
    Filter(String),
    /// Ask about the selected line.
    Ask(Key),
    /// Ask no longer.
    Close,
}

impl View {
    pub(super) fn new(sort: Sort) -> Self {
        Self {
            kind: Kind::Files,
            sort,
            is_frozen: false,
            is_helping: false,
            typed: None,
            message: None,
            selected: 0,
            detail: None,
            shown: Shown::default(),
        }
    }

    /// Takes the numbers that are to be shown.
    pub(super) fn take(&mut self, counter: &Counter, accounts: &Accounts) {
        let window = counter.window(self.kind);
        let followed = self.selected_key().cloned();
        self.shown.window = window.seconds();
        self.shown.filter = counter.filter().map(|filter| filter.text().to_owned());
        self.shown.conservation = accounts.conservation();
        self.shown.rates = accounts.rates();
        self.shown.lines = window.busiest(self.sort, LINES);
        self.shown.keys = Kind::ALL.map(|kind| counter.window(kind).len());
        self.shown.others = window.others().rows;
        self.shown.undecided = counter.undecided();
        // The selection stays with its line, unless it is the first: that one is for whoever is busiest.
        let at = |key: &Key| self.shown.lines.iter().position(|line| line.key == *key);
        if self.selected > 0 {
            self.selected = followed.as_ref().and_then(at).unwrap_or(self.selected);
        }
        self.selected = self.selected.min(self.shown.lines.len().saturating_sub(1));
    }

    /// Returns the key of the selected line.
    pub(super) fn selected_key(&self) -> Option<&Key> {
        self.shown.lines.get(self.selected).map(|line| &line.key)
    }

    /// Moves the selection, or scrolls what covers the table.
    pub(super) fn go(&mut self, lines: isize) {
        match &mut self.detail {
            Some(detail) => {
                let last = detail.lines.len().saturating_sub(1);
                detail.scroll = detail.scroll.saturating_add_signed(lines).min(last);
            }
            None => {
                let last = self.shown.lines.len().saturating_sub(1);
                self.selected = self.selected.saturating_add_signed(lines).min(last);
            }
        }
    }
}
