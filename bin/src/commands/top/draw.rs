//! Draws the screen.

use analyzer::render::Names;
use analyzer::top::Kind;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Table, TableState, Wrap};

use super::keys::HELP;
use super::view::{Detail, Shown, View};
use super::words::{HEADS, conservation, name, numbers, rates};

/// Widths of the columns of numbers.
const WIDTHS: [u16; 6] = [6, 7, 6, 6, 5, 6];

/// Draws the whole screen, and an answer or the help above it.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View, names: &Names) {
    let areas = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(1),
    ]);
    let [title, law, tracers, tabs, body, foot] = areas.areas(frame.area());
    frame.render_widget(headline(view), title);
    frame.render_widget(law_line(&view.shown), law);
    frame.render_widget(Paragraph::new(rates(&view.shown.rates)).wrap(Wrap { trim: true }), tracers);
    frame.render_widget(tab_line(view), tabs);
    table(frame, view, names, body);
    frame.render_widget(foot_line(view), foot);
    if let Some(detail) = &view.detail {
        cover(frame, detail, body);
    }
    if view.is_helping {
        help(frame);
    }
}

fn headline(view: &View) -> Line<'_> {
    let shown = &view.shown;
    let mut parts = vec![
        Span::from("duetector-actors top").bold(),
        Span::from(format!("  {}  last {} s, by {}", shown.machine, shown.window, view.sort.as_str())),
    ];
    if let Some(filter) = &shown.filter {
        parts.push(Span::from(format!("  where {filter}")).cyan());
    }
    if view.is_frozen {
        parts.push(Span::from("  frozen").yellow().bold());
    }
    Line::from(parts)
}

/// Returns the line that says whether everything seen is accounted for.
fn law_line(shown: &Shown) -> Line<'_> {
    let lost_now = shown.rates.iter().any(|rate| rate.lost > 0);
    let color = match (shown.conservation.lost, lost_now) {
        (_, true) => Color::Red,
        (0, _) => Color::Green,
        _ => Color::Yellow,
    };
    let mut text = conservation(&shown.conservation);
    for (count, what) in
        [(shown.left_out, "left out here"), (shown.undecided, "without an answer of the filter")]
    {
        if count > 0 {
            text.push_str(&format!("; {count} rows {what}"));
        }
    }
    Line::styled(text, color)
}

fn tab_line(view: &View) -> Line<'_> {
    let mut parts = Vec::new();
    for kind in Kind::ALL {
        let text = format!(" {} {} ", kind.as_str(), view.shown.keys[kind.index()]);
        let style = if kind == view.kind { Style::new().reversed().bold() } else { Style::new() };
        parts.extend([Span::styled(text, style), Span::from(" ")]);
    }
    if view.shown.others > 0 {
        parts.push(Span::from(format!("too many for a line each: {} rows", view.shown.others)).yellow());
    }
    Line::from(parts)
}

fn table(frame: &mut Frame<'_>, view: &View, names: &Names, area: Rect) {
    let right = |text: String| Cell::from(Line::from(text).right_aligned());
    let heads = HEADS.iter().map(|head| right((*head).to_owned()));
    let header = Row::new(heads.chain([Cell::from("")])).style(Modifier::UNDERLINED);
    // Names are looked up only for lines in sight.
    let height = usize::from(area.height);
    let first = view.selected.saturating_sub(height.saturating_sub(2));
    let lines = view.shown.lines.iter().skip(first).take(height);
    let room =
        usize::from(area.width).saturating_sub(WIDTHS.iter().map(|width| usize::from(width + 1)).sum());
    let rows = lines.map(|line| {
        let cells = numbers(&line.sums).into_iter().map(right);
        Row::new(cells.chain([Cell::from(end_of(&name(line, names), room))]))
    });
    let widths = WIDTHS.map(Constraint::Length).into_iter().chain([Constraint::Min(10)]);
    let table = Table::new(rows, widths).header(header).row_highlight_style(Modifier::REVERSED);
    let mut state = TableState::new().with_selected(view.selected - first);
    frame.render_stateful_widget(table, area, &mut state);
}

/// Returns a name that has room: the end of a longer one, because that is what tells paths apart.
fn end_of(name: &str, room: usize) -> String {
    let count = name.chars().count();
    if count <= room {
        return name.to_owned();
    }
    let end = name.chars().skip(count - room.saturating_sub(1));
    ['…'].into_iter().chain(end).collect()
}

fn foot_line(view: &View) -> Line<'_> {
    if let Some(typed) = &view.typed {
        return Line::from(format!("where {typed}▏  (Enter uses it, Esc gives up)")).cyan();
    }
    if let Some(message) = &view.message {
        return Line::from(message.as_str()).red();
    }
    if let Some(gone) = &view.shown.gone {
        return Line::from(format!("waiting for an agent: {gone}")).red().bold();
    }
    if view.detail.is_some() {
        return Line::from("↑ ↓ scroll   Esc back   q quit").dim();
    }
    Line::from("f p u n tables   s order   / filter   space freeze   Enter ask   ? help   q quit").dim()
}

fn cover(frame: &mut Frame<'_>, detail: &Detail, area: Rect) {
    let state = if detail.is_running { " (reading the store …)" } else { "" };
    let block = Block::bordered().title(format!(" {}{state} ", detail.title));
    let lines = detail.lines.iter().skip(detail.scroll).map(|line| Line::from(line.as_str()));
    let lines: Vec<_> = lines.take(usize::from(area.height)).collect();
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(block).wrap(Wrap { trim: false }), area);
}

fn help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let height = (HELP.len() as u16 + 2).min(area.height);
    let area = Rect { y: (area.height - height) / 2, height, ..area };
    let lines: Vec<_> = HELP
        .iter()
        .map(|(keys, what)| Line::from(vec![Span::from(format!(" {keys:<20}")).bold(), Span::from(*what)]))
        .collect();
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" keys ")), area);
}
