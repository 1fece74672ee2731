//! Writes families as a page: Prometheus' text format, or `OpenMetrics` where a scraper asks for it.
//!
//! They differ in three things: `OpenMetrics` names a counter's family without `_total`, takes exemplars, and
//! says where the page ends. Bounds are written alike (`le="1.0"`), lest a histogram be another one to a
//! scraper that changes over. Prometheus asks for `OpenMetrics` once it stores exemplars.

use super::{
    catalogue::{Definition, Shape},
    series::{Distribution, Exemplar, Series},
};
use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter, Write},
};

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// `OpenMetrics` 1.0.0, with exemplars.
    OpenMetrics,
}

impl Format {
    /// What stands in `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What an `Accept` asks for: `OpenMetrics` only by name, and where text isn't liked better.
    pub fn asked_for(accept: &str) -> Self {
        let liking = |wanted: &str, version: &str| {
            let ranges = accept.split(',').map(|range| {
                let mut parts = range.split(';').map(str::trim);
                (parts.next().unwrap_or_default(), parts)
            });
            let of_type = ranges.filter(|(kind, _)| kind.eq_ignore_ascii_case(wanted));
            let weights = of_type.filter_map(|(_, parameters)| {
                let mut weight = 1.0;
                for (name, value) in parameters.filter_map(|it| it.split_once('=')) {
                    match name.trim() {
                        "q" => weight = value.trim().parse().ok()?,
                        "version" if value.trim() != version => return None,
                        _ => {}
                    }
                }
                Some(weight)
            });
            weights.fold(0.0, f64::max)
        };
        let open = liking("application/openmetrics-text", "1.0.0");
        if open > 0.0 && open >= liking("text/plain", "0.0.4") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }
}

/// A page under way.
pub(super) struct Page {
    text: String,
    format: Format,
}

impl Page {
    pub(super) fn new(format: Format) -> Self {
        Self { text: String::with_capacity(64 * 1024), format }
    }

    /// A family with all of its series.
    pub(super) fn family(&mut self, metric: &Definition, series: &BTreeMap<Vec<String>, Series>) {
        let name = match (self.format, metric.shape) {
            (Format::OpenMetrics, Shape::Counter) => metric.name.trim_end_matches("_total"),
            _ => metric.name,
        };
        self.line(format_args!("# HELP {name} {}", metric.help));
        self.line(format_args!("# TYPE {name} {}", metric.shape.as_str()));
        let bounds = bounds(metric.shape);
        for (values, series) in series {
            let labels = Labels { keys: metric.labels, values };
            match series {
                Series::Count(count) => {
                    self.line(format_args!("{}{labels} {}", metric.name, count.value()));
                }
                Series::Level(level) => {
                    self.line(format_args!("{}{labels} {}", metric.name, Number(level.value())));
                }
                Series::Distribution(spread) => {
                    self.distribution((metric.name, &bounds), labels, spread);
                }
            }
        }
    }

    /// Most of a page are buckets, so that what stands in each is written once and copied: of a series its labels, of a
    /// family its bounds.
    fn distribution(
        &mut self,
        (name, bounds): (&str, &[String]),
        labels: Labels<'_>,
        spread: &Distribution,
    ) {
        let comma = if labels.keys.is_empty() { "" } else { "," };
        let start = format!("{name}_bucket{{{}{comma}le=\"", Inner(labels));
        let mut count = 0;
        for ((_, below, exemplar), bound) in spread.buckets().zip(bounds) {
            self.text.push_str(&start);
            self.text.push_str(bound);
            match exemplar.filter(|_| self.format == Format::OpenMetrics) {
                None => self.line(format_args!("{below}")),
                seen => self.line(format_args!("{below}{}", Seen(seen))),
            }
            count = below;
        }
        let labels = labels.to_string();
        self.line(format_args!("{name}_sum{labels} {}", Number(spread.sum())));
        self.line(format_args!("{name}_count{labels} {count}"));
    }

    pub(super) fn end(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        let written = writeln!(self.text, "{line}");
        debug_assert!(written.is_ok(), "writing to a String can't fail");
    }
}

/// What stands in each bucket behind the labels of its series, the last one's included.
fn bounds(shape: Shape) -> Vec<String> {
    let Shape::Histogram(bounds) = shape else { return Vec::new() };
    let bounds = bounds.iter().copied().chain([f64::INFINITY]);
    bounds.map(|bound| format!("{}\"}} ", Bound(bound))).collect()
}

/// `{queue="q",kind="k"}`, or nothing.
#[derive(Clone, Copy)]
struct Labels<'a> {
    keys: &'static [&'static str],
    values: &'a [String],
}

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.keys.is_empty() { Ok(()) } else { write!(f, "{{{}}}", Inner(*self)) }
    }
}

/// The same without the braces.
struct Inner<'a>(Labels<'a>);

impl Display for Inner<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (at, (key, value)) in self.0.keys.iter().zip(self.0.values).enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{key}=\"{}\"", Quoted(value))?;
        }
        Ok(())
    }
}

/// A label's value: names are harmless, but a receiver's host is what a file says.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(['\\', '"', '\n']) {
            let plain = part.trim_end_matches(['\\', '"', '\n']);
            f.write_str(plain)?;
            match &part[plain.len()..] {
                "\n" => f.write_str("\\n")?,
                "" => {}
                sign => write!(f, "\\{sign}")?,
            }
        }
        Ok(())
    }
}

/// A bucket's bound, which always has a point.
struct Bound(f64);

impl Display for Bound {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_infinite() { f.write_str("+Inf") } else { write!(f, "{:?}", self.0) }
    }
}

struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            number => number.fmt(f),
        }
    }
}

/// What stands behind a bucket.
struct Seen(Option<Exemplar>);

impl Display for Seen {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(Exemplar { trace, value, at }) = self.0 else { return Ok(()) };
        let (trace_id, span_id) = (trace.trace_id, trace.span_id);
        write!(f, " # {{trace_id=\"{trace_id}\",span_id=\"{span_id}\"}} {value} {at:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::nobody_says("", Format::Text)]
    #[case::a_browser("text/html,application/xhtml+xml,*/*;q=0.8", Format::Text)]
    #[case::prometheus_2_42(
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
         text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        Format::OpenMetrics
    )]
    #[case::prometheus_3(
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
         application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
         text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        Format::OpenMetrics
    )]
    #[case::only_the_old_one("application/openmetrics-text;version=0.0.1", Format::Text)]
    #[case::refused("application/openmetrics-text;q=0, text/plain;q=0", Format::Text)]
    #[case::text_is_liked_better(
        "application/openmetrics-text; version=1.0.0; q=0.2, text/plain; version=0.0.4; q=0.3",
        Format::Text
    )]
    #[case::no_number("application/openmetrics-text;q=much", Format::Text)]
    fn a_scraper_gets_the_format_that_it_asks_for(#[case] accept: &str, #[case] format: Format) {
        assert_eq!(Format::asked_for(accept), format);
    }

    #[test]
    fn a_label_stays_inside_its_quotes() {
        assert_eq!(Quoted("a\"b\\c\nd").to_string(), "a\\\"b\\\\c\\nd");
    }
}
