//! One job as one row of COPY's text format.
//!
//! Text rather than binary: about equally fast, it needs no binary form of jsonb, arrays and
//! intervals, and a row that the server refuses can be read in its log. Every byte that has a meaning
//! in COPY or in an array literal is escaped here; nothing a producer writes can end a field.

use super::NewJob;
use crate::postgres::moment::timestamp_text;
use std::time::Duration;

/// Appends the row, in the order of the columns of `copy_jobs.sql`.
///
/// COPY has no word for "the default", so the defaults that aren't null stand here as well; a test
/// holds them to the table's.
pub fn row(job: &NewJob, out: &mut Vec<u8>) {
    text(job.kind.as_str(), out);
    field(Some(job.payload.as_deref().unwrap_or("{}")), out);
    field(Some(job.queue.as_ref().map_or("default", |queue| queue.as_str())), out);
    field(Some(&job.run_at.map_or_else(|| "now".to_owned(), timestamp_text)), out);
    field(Some(&job.priority.unwrap_or(0).to_string()), out);
    field(job.max_attempts.map(|limit| limit.to_string()).as_deref(), out);
    field(job.unique_key.as_deref(), out);
    field(job.timeout.map(interval_text).as_deref(), out);
    field(job.expires_at.map(timestamp_text).as_deref(), out);
    field(array(&job.tags).as_deref(), out);
    field(job.metadata.as_deref(), out);
    out.push(b'\n');
}

/// A tab and the value, or the two characters that stand for null.
fn field(value: Option<&str>, out: &mut Vec<u8>) {
    out.push(b'\t');
    match value {
        Some(value) => text(value, out),
        None => out.extend_from_slice(br"\N"),
    }
}

fn text(value: &str, out: &mut Vec<u8>) {
    for byte in value.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(br"\\"),
            b'\t' => out.extend_from_slice(br"\t"),
            b'\n' => out.extend_from_slice(br"\n"),
            b'\r' => out.extend_from_slice(br"\r"),
            byte => out.push(byte),
        }
    }
}

pub(in crate::postgres) fn interval_text(time: Duration) -> String {
    format!("{} microseconds", time.as_micros())
}

/// An array literal; null where there are no tags, as a bare INSERT leaves it.
fn array(tags: &[String]) -> Option<String> {
    if tags.is_empty() {
        return None;
    }
    let mut literal = String::from("{");
    for (index, tag) in tags.iter().enumerate() {
        literal.push_str(if index == 0 { "\"" } else { ",\"" });
        for c in tag.chars() {
            if matches!(c, '"' | '\\') {
                literal.push('\\');
            }
            literal.push(c);
        }
        literal.push('"');
    }
    literal.push('}');
    Some(literal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::KindName;

    fn encoded(change: impl FnOnce(&mut NewJob)) -> String {
        let mut job = NewJob::new(KindName::new("k").unwrap());
        change(&mut job);
        let mut out = Vec::new();
        row(&job, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_job_of_nothing_but_a_kind_carries_every_default() {
        let nulls = "\\N\t\\N\t\\N\t\\N\t\\N\t\\N\n";
        assert_eq!(encoded(|_| ()), format!("k\t{{}}\tdefault\tnow\t0\t{nulls}"));
    }

    #[test]
    fn nothing_in_a_value_can_end_its_field_its_row_or_the_copy() {
        let hostile = "a\tb\nc\rd\\.\\N";
        let row = encoded(|job| job.unique_key = Some(hostile.into()));
        assert_eq!(row.matches('\t').count(), 10);
        assert_eq!(row.matches('\n').count(), 1);
        assert!(row.contains(r"a\tb\nc\rd\\.\\N"));
    }

    #[test]
    fn tags_are_quoted_for_the_array_and_then_for_copy() {
        let row = encoded(|job| job.tags = vec!["a,b".into(), "q\"\\".into(), String::new()]);
        assert!(row.contains(r#"{"a,b","q\\"\\\\",""}"#), "{row}");
    }

    #[test]
    fn instants_are_sent_in_utc() {
        let at = time::macros::datetime!(2026-03-01 01:02:03.5 +02:00);
        let row = encoded(|job| job.run_at = Some(at));
        assert!(row.contains("\t2026-02-28 23:02:03.500000+00\t"), "{row}");
    }
}
