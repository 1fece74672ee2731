//! What a program says on descriptor 3: one JSON object a line, with `progress`, `result` or
//! `retry_after`.
//!
//! A line that isn't that is counted and otherwise ignored: a program that writes nonsense there
//! is still judged by its exit code.

use super::output::READ_BYTES;
use crate::{executor::Context, job::JobResult};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, time::Duration};
use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver};

/// Longest progress text that is shown, in bytes.
const PROGRESS_MAX_BYTES: usize = 1024;

/// What was said, the last word counting.
#[derive(Debug)]
pub(super) struct Said {
    line: Vec<u8>,
    line_max_bytes: usize,
    too_long: bool,
    /// The result, where one was said.
    pub(super) result: Option<JobResult>,
    /// How long to wait, where it was said.
    pub(super) retry_after: Option<Duration>,
    /// Lines that made no sense.
    pub(super) malformed: u64,
}

impl Said {
    /// Nothing yet. Lines above the limit make no sense.
    pub(super) fn of_lines_up_to(line_max_bytes: usize) -> Self {
        let (line, too_long) = (Vec::new(), false);
        Self { line, line_max_bytes, too_long, result: None, retry_after: None, malformed: 0 }
    }

    /// Reads until the last writer is gone.
    pub(super) async fn read(&mut self, mut pipe: Receiver, context: &Context) {
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
            self.push(&buffer[..read], context);
        }
        self.end_line(context);
    }

    fn push(&mut self, bytes: &[u8], context: &Context) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            self.too_long |= self.line.len() + text.len() > self.line_max_bytes;
            if !self.too_long {
                self.line.extend_from_slice(text);
            }
            if ends {
                self.end_line(context);
            }
        }
    }

    fn end_line(&mut self, context: &Context) {
        let line = std::mem::take(&mut self.line);
        let too_long = std::mem::take(&mut self.too_long);
        let blank = line.iter().all(u8::is_ascii_whitespace);
        if too_long || !(blank || self.hear(&line, context)) {
            self.malformed += 1;
        }
    }

    /// Takes one line; says whether it made sense.
    fn hear(&mut self, line: &[u8], context: &Context) -> bool {
        // Raw values: nothing deep is parsed here, so nothing deep can exhaust the stack.
        let Ok(said) = serde_json::from_slice::<BTreeMap<String, Box<RawValue>>>(line) else {
            return false;
        };
        let mut sense = !said.is_empty();
        for (key, value) in &said {
            sense &= match key.as_str() {
                "progress" => progress(value).map(|text| context.report_progress(text)).is_some(),
                "result" => replace(&mut self.result, JobResult::new(value.get().to_owned())),
                "retry_after" => replace(&mut self.retry_after, delay(value)),
                _ => false,
            };
        }
        sense
    }
}

fn replace<T>(place: &mut Option<T>, said: Option<T>) -> bool {
    let some = said.is_some();
    if some {
        *place = said;
    }
    some
}

/// Text as it is, anything else as JSON.
fn progress(value: &RawValue) -> Option<String> {
    let mut text = match serde_json::from_str::<String>(value.get()) {
        Ok(text) => text,
        Err(_) if value.get().starts_with('"') => return None,
        Err(_) => value.get().to_owned(),
    };
    text.truncate(text.floor_char_boundary(PROGRESS_MAX_BYTES));
    Some(text)
}

/// `"10m"`, `"1h 30m"`, or seconds as a number.
fn delay(value: &RawValue) -> Option<Duration> {
    if let Ok(seconds) = serde_json::from_str::<f64>(value.get()) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let text = serde_json::from_str::<String>(value.get()).ok()?;
    humantime::parse_duration(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn raw(json: &str) -> Box<RawValue> {
        serde_json::from_str(json).expect("JSON")
    }

    #[rstest]
    #[case::text(r#""10m""#, Some(600_000))]
    #[case::compound(r#""1h 30m""#, Some(5_400_000))]
    #[case::seconds("90", Some(90_000))]
    #[case::fraction("0.25", Some(250))]
    #[case::none_at_all("0", Some(0))]
    #[case::negative("-1", None)]
    #[case::nonsense(r#""soon""#, None)]
    #[case::null("null", None)]
    #[case::beyond_any_clock("1e300", None)]
    #[case::object("{}", None)]
    fn a_delay_is_text_with_a_unit_or_seconds(#[case] json: &str, #[case] millis: Option<u64>) {
        assert_eq!(delay(&raw(json)), millis.map(Duration::from_millis));
    }

    #[rstest]
    #[case::text(r#""half way""#, "half way")]
    #[case::number("0.5", "0.5")]
    #[case::object(r#"{"done": 3}"#, r#"{"done": 3}"#)]
    fn progress_is_text_or_json(#[case] json: &str, #[case] shown: &str) {
        assert_eq!(progress(&raw(json)).as_deref(), Some(shown));
    }

    #[test]
    fn long_progress_is_cut_between_characters() {
        let text = progress(&raw(&format!("\"{}\"", "ä".repeat(5000)))).expect("text");
        assert_eq!(text.len(), PROGRESS_MAX_BYTES);
    }
}
