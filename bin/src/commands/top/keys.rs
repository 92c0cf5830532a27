//! The keys of the screen, and what each does.

use analyzer::top::{Kind, Sort};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::view::{Action, View};

/// Longest filter that can be typed, in bytes.
const LONGEST: usize = 1000;
/// Lines that a page has.
const PAGE: isize = 15;

/// Keys and what they do, as `?` lists them.
pub(super) const HELP: [(&str, &str); 12] = [
    ("f p u n", "files, processes, users, network peers"),
    ("Tab", "the next table"),
    ("s", "the next order: bytes, read, written, opens, rows"),
    ("↑ ↓ PgUp PgDn Home", "select a line, or scroll"),
    ("Enter", "ask the store about the selected line"),
    ("Esc", "go back"),
    ("/", "filter (CEL), such as uid == 1000; an empty one counts all"),
    ("space", "freeze the numbers; counting goes on"),
    ("r", "take the numbers now"),
    ("?", "this help"),
    ("q", "quit, as Ctrl-C"),
    ("numbers", "sums in the window; K is 1,024 bytes or 1,000 rows"),
];

impl View {
    /// Returns what a key makes the program do.
    pub(super) fn key(&mut self, key: KeyEvent) -> Action {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Action::Quit,
                _ => Action::None,
            };
        }
        if self.typed.is_some() {
            return self.type_filter(key.code);
        }
        self.message = None;
        match key.code {
            KeyCode::Esc if self.is_helping => self.is_helping = false,
            KeyCode::Esc | KeyCode::Backspace if self.detail.is_some() => return Action::Close,
            KeyCode::Char('q') => return Action::Quit,
            KeyCode::Char('?' | 'h') => self.is_helping = !self.is_helping,
            KeyCode::Up | KeyCode::Char('k') => self.go(-1),
            KeyCode::Down | KeyCode::Char('j') => self.go(1),
            KeyCode::PageUp => self.go(-PAGE),
            KeyCode::PageDown => self.go(PAGE),
            KeyCode::Home => self.go(isize::MIN),
            KeyCode::End => self.go(isize::MAX),
            // The others are about the table, which is covered now.
            _ if self.detail.is_some() || self.is_helping => {}
            code => return self.table_key(code),
        }
        Action::None
    }

    fn table_key(&mut self, code: KeyCode) -> Action {
        match code {
            KeyCode::Char('f') => self.show(Kind::Files),
            KeyCode::Char('p') => self.show(Kind::Processes),
            KeyCode::Char('u') => self.show(Kind::Users),
            KeyCode::Char('n') => self.show(Kind::Peers),
            KeyCode::Tab | KeyCode::Right => self.show(next(&Kind::ALL, self.kind)),
            KeyCode::Char('s') => {
                self.sort = next(&Sort::ALL, self.sort);
                Action::Take
            }
            KeyCode::Char(' ') => {
                self.is_frozen = !self.is_frozen;
                if self.is_frozen { Action::None } else { Action::Take }
            }
            KeyCode::Char('r') => Action::Take,
            KeyCode::Char('/') => {
                self.typed = Some(self.shown.filter.clone().unwrap_or_default());
                Action::None
            }
            KeyCode::Enter => self.selected_key().cloned().map_or(Action::None, Action::Ask),
            _ => Action::None,
        }
    }

    fn show(&mut self, kind: Kind) -> Action {
        (self.kind, self.selected) = (kind, 0);
        Action::Take
    }

    fn type_filter(&mut self, code: KeyCode) -> Action {
        let Some(typed) = &mut self.typed else { return Action::None };
        match code {
            KeyCode::Esc => self.typed = None,
            KeyCode::Enter => return Action::Filter(self.typed.take().unwrap_or_default()),
            KeyCode::Backspace => {
                typed.pop();
            }
            KeyCode::Char(character) if typed.len() < LONGEST => typed.push(character),
            _ => {}
        }
        Action::None
    }
}

/// Returns the one after, and after the last the first.
fn next<T: Copy + PartialEq>(all: &[T], current: T) -> T {
    let after = all.iter().position(|one| *one == current).map_or(0, |at| (at + 1) % all.len());
    all.get(after).copied().unwrap_or(current)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(view: &mut View, code: KeyCode) -> Action {
        view.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn a_filter_is_typed_corrected_and_given_up() {
        let mut view = View::new(Sort::Bytes);
        press(&mut view, KeyCode::Char('/'));
        for code in [KeyCode::Char('q'), KeyCode::Char('x'), KeyCode::Backspace, KeyCode::Char('?')] {
            assert_eq!(press(&mut view, code), Action::None);
        }
        assert_eq!(press(&mut view, KeyCode::Enter), Action::Filter("q?".to_owned()));
        press(&mut view, KeyCode::Char('/'));
        press(&mut view, KeyCode::Esc);
        assert_eq!((view.typed.clone(), press(&mut view, KeyCode::Char('q'))), (None, Action::Quit));
        press(&mut view, KeyCode::Char('/'));
        (0..2 * LONGEST).for_each(|_| assert_eq!(press(&mut view, KeyCode::Char('a')), Action::None));
        assert_eq!(press(&mut view, KeyCode::Enter), Action::Filter("a".repeat(LONGEST)));
    }

    #[test]
    fn keys_change_table_order_and_what_covers_the_table() {
        let mut view = View::new(Sort::Bytes);
        assert_eq!(press(&mut view, KeyCode::Char('n')), Action::Take);
        assert_eq!(
            (view.kind, press(&mut view, KeyCode::Tab), view.kind),
            (Kind::Peers, Action::Take, Kind::Files)
        );
        press(&mut view, KeyCode::Char('s'));
        assert_eq!(view.sort, Sort::Read);
        press(&mut view, KeyCode::Char('?'));
        press(&mut view, KeyCode::Char('u'));
        assert!(view.is_helping && view.kind == Kind::Files, "help covers the table");
        press(&mut view, KeyCode::Esc);
        assert!(!view.is_helping);
        assert_eq!(press(&mut view, KeyCode::Enter), Action::None, "no line is selected");
        let quit = view.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert_eq!(quit, Action::Quit);
    }
}
