//! Turns definitions into handles, and handles into Prometheus' text.
//!
//! The exporter's recorder is owned here instead of installed for the process. Labels are checked
//! against the definition when a handle is made, so that a family can't have two label sets.

use super::catalogue::{CATALOGUE, Definition, Shape};
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use std::fmt::{self, Write};

static METADATA: Metadata<'_> = Metadata::new("legwork", Level::INFO, Some("legwork"));

pub(super) struct Registry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Registry {
    pub(super) fn new() -> Self {
        let builder = CATALOGUE.iter().fold(PrometheusBuilder::new(), with_buckets);
        let recorder = builder.build_recorder();
        for metric in CATALOGUE {
            let (name, help) = (metric.name.into(), metric.help.into());
            match metric.shape {
                Shape::Counter => recorder.describe_counter(name, None, help),
                Shape::Gauge => recorder.describe_gauge(name, None, help),
                Shape::Histogram(_) => recorder.describe_histogram(name, None, help),
            }
        }
        Self { handle: recorder.handle(), recorder }
    }

    pub(super) fn counter(&self, metric: &Definition, labels: &[&str]) -> Counter {
        debug_assert_eq!(metric.shape, Shape::Counter, "{}", metric.name);
        self.recorder.register_counter(&key(metric, labels), &METADATA)
    }

    pub(super) fn gauge(&self, metric: &Definition, labels: &[&str]) -> Gauge {
        debug_assert_eq!(metric.shape, Shape::Gauge, "{}", metric.name);
        self.recorder.register_gauge(&key(metric, labels), &METADATA)
    }

    pub(super) fn histogram(&self, metric: &Definition, labels: &[&str]) -> Histogram {
        debug_assert!(matches!(metric.shape, Shape::Histogram(_)), "{}", metric.name);
        self.recorder.register_histogram(&key(metric, labels), &METADATA)
    }

    pub(super) fn render(&self) -> String {
        self.handle.render()
    }

    pub(super) fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn with_buckets(builder: PrometheusBuilder, metric: &Definition) -> PrometheusBuilder {
    let Shape::Histogram(bounds) = metric.shape else { return builder };
    builder
        .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds)
        .expect("the catalogue's buckets aren't empty: a test looks at each")
}

fn key(metric: &Definition, values: &[&str]) -> Key {
    debug_assert_eq!(metric.labels.len(), values.len(), "labels of {}", metric.name);
    let labels = metric.labels.iter().zip(values);
    let labels = labels.map(|(name, value)| Label::new(*name, (*value).to_owned()));
    Key::from_parts(metric.name, labels.collect::<Vec<_>>())
}

/// Appends a figure that is read at the scrape. The exporter's counters are whole numbers and
/// can't carry CPU seconds, so these few lines are written here.
pub(super) fn append(text: &mut String, metric: &Definition, value: f64) {
    let (name, shape) = (metric.name, metric.shape.as_str());
    let written = write!(
        text,
        "# HELP {name} {help}\n# TYPE {name} {shape}\n{name} {value}\n\n",
        help = metric.help,
    );
    debug_assert!(written.is_ok(), "writing to a String can't fail");
}
