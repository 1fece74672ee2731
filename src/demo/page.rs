//! The page that a terminal shows of a demo: what a frame has, over several lines, with what it was like
//! in the last half minute.
//!
//! It draws nothing: it gives lines, none wider and no more of them than there is room for. Where there is
//! little room the frame's one line is what remains.

use super::Frame;
use std::collections::VecDeque;

/// Narrower or lower than this, one line serves better.
const COLUMNS_MIN: usize = 60;
const ROWS_MIN: usize = 10;
/// Rates that are remembered: half a minute of looks.
const RATES: usize = 60;
/// Queues that have a line; further ones are counted together.
const QUEUES_SHOWN: usize = 6;
/// The longest bar, in characters.
const BAR: usize = 30;
const SHADES: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Page {
    rates: VecDeque<f64>,
}

impl Page {
    /// The lines for a frame, for a terminal of this size. The last column stays free: a character there
    /// makes some terminals begin a new line.
    pub fn lines(&mut self, frame: &Frame, columns: usize, rows: usize) -> Vec<String> {
        self.rates.push_back(frame.rate);
        if self.rates.len() > RATES {
            self.rates.pop_front();
        }
        let columns = columns.saturating_sub(1);
        if columns < COLUMNS_MIN || rows < ROWS_MIN {
            return vec![frame.fitted(columns)];
        }
        let mut lines = vec![self.header(frame), String::new()];
        lines.extend(states(frame));
        lines.push(String::new());
        lines.extend(queues(frame));
        lines.push(String::new());
        lines.extend(running(frame, columns));
        // The prompt's line stays free as well.
        lines.truncate(rows - 1);
        lines.into_iter().map(|line| line.chars().take(columns).collect()).collect()
    }

    /// Time, rate, and how the rate was.
    fn header(&self, frame: &Frame) -> String {
        let most = self.rates.iter().copied().fold(1.0, f64::max);
        let shade = |rate: &f64| {
            let share = (rate / most).clamp(0.0, 1.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and 7"
            )]
            let at = (share * 7.0).round() as usize;
            SHADES[at.min(SHADES.len() - 1)]
        };
        let shades: String = self.rates.iter().map(shade).collect();
        let (seconds, rate) = (frame.elapsed.as_secs_f64(), frame.rate);
        format!("{seconds:>6.1} s {rate:>6.0} finished/s  {shades}")
    }
}

/// The states and their counts, in two lines.
fn states(frame: &Frame) -> [String; 2] {
    let width = |name: &str| name.len().max(6) + 1;
    let names = frame.states.iter().map(|(name, _)| format!("{name:>0$}", width(name)));
    let counts = frame.states.iter().map(|(name, count)| format!("{count:>0$}", width(name)));
    [names.collect(), counts.collect()]
}

/// A line for each queue, the fullest first, with a bar of what is unfinished in it.
fn queues(frame: &Frame) -> Vec<String> {
    let mut queues: Vec<_> = frame.queues.iter().collect();
    queues.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let most = queues.first().map_or(1, |(_, jobs)| **jobs).max(1);
    let line = |(name, jobs): &(&String, &usize)| {
        let bar = "█".repeat((**jobs * BAR).div_ceil(most).min(BAR));
        let name: String = name.chars().take(20).collect();
        format!("  {name:<20} {jobs:>7}  {bar}")
    };
    let mut lines: Vec<_> = queues.iter().take(QUEUES_SHOWN).map(line).collect();
    let others = queues.iter().skip(QUEUES_SHOWN);
    if others.len() > 0 {
        let jobs: usize = others.clone().map(|(_, jobs)| **jobs).sum();
        lines.push(format!("  {:<20} {jobs:>7}", format!("{} more", others.len())));
    }
    lines
}

/// What runs, as much of it as two lines hold.
fn running(frame: &Frame, columns: usize) -> Vec<String> {
    const LINES: usize = 2;
    let mut lines = vec![format!("  running {}", frame.running.len())];
    let mut line = String::from(" ");
    for (kind, id) in &frame.running {
        let job = format!(" {kind}#{id}");
        if line.chars().count() + job.chars().count() > columns {
            lines.push(std::mem::replace(&mut line, String::from(" ")));
            if lines.len() > LINES {
                return lines;
            }
        }
        line.push_str(&job);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::time::Duration;

    fn frame(queues: usize, running: i64) -> Frame {
        let states = crate::job::State::ALL.map(|state| (state.as_str(), 12_345)).into();
        Frame {
            states,
            queues: (0..queues).map(|n| (format!("queue-{n}"), n * 10)).collect(),
            running: (0..running).map(|n| ("some_kind".to_owned(), 1000 + n)).collect(),
            finished: 5,
            rate: 407.4,
            elapsed: Duration::from_millis(12_500),
        }
    }

    #[rstest]
    #[case::wide_and_high(200, 60)]
    #[case::usual(80, 24)]
    #[case::least(61, 10)]
    #[case::low(80, 9)]
    #[case::narrow(40, 24)]
    #[case::one_column(1, 24)]
    #[case::nothing(0, 0)]
    fn a_page_has_no_more_lines_and_columns_than_there_are(
        #[case] columns: usize,
        #[case] rows: usize,
    ) {
        let mut page = Page::default();
        for _ in 0..100 {
            let lines = page.lines(&frame(20, 100), columns, rows);
            assert!(lines.len() <= rows.saturating_sub(1).max(1), "{lines:#?}");
            assert!(lines.iter().all(|line| line.chars().count() < columns.max(1)), "{lines:#?}");
        }
    }

    #[test]
    fn a_page_tells_rate_states_queues_and_what_runs() {
        let mut page = Page::default();
        let mut small = frame(2, 3);
        small.rate = 0.0;
        page.lines(&small, 80, 24);
        let lines = page.lines(&frame(2, 3), 80, 24);
        let expected = [
            "  12.5 s    407 finished/s  ▁█",
            "",
            " scheduled available running retryable completed cancelled discarded",
            "     12345     12345   12345     12345     12345     12345     12345",
            "",
            "  queue-1                   10  ██████████████████████████████",
            "  queue-0                    0  ",
            "",
            "  running 3",
            "  some_kind#1000 some_kind#1001 some_kind#1002",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn many_queues_are_counted_together() {
        let lines = Page::default().lines(&frame(9, 0), 80, 24);
        assert!(
            lines.iter().any(|line| line.trim_end() == "  3 more                    30"),
            "{lines:#?}"
        );
    }
}
