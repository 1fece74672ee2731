//! Turns definitions into handles, and handles into a page.
//!
//! Labels are checked against the definition when a handle is made, so that a family can't have two label
//! sets. Nothing is recorded for the process: two daemons in one count apart (ADR 0026).

use super::{
    catalogue::{CATALOGUE, Definition, Shape},
    job::Pairs,
    page::{Format, Page},
    series::{Distribution, Level, Series},
};
use metrics::{Counter, Gauge, GaugeFn, Histogram};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

type Families = HashMap<&'static str, BTreeMap<Vec<String>, Series>>;

/// Every series by its family's name and the values of its labels. Invariant: a family's series have its
/// shape and its labels. Locked to make a handle and while a page is written, never to count.
#[derive(Debug, Default)]
pub(super) struct Registry {
    families: Mutex<Families>,
    /// Those of a queue and a kind, of which there may be too many.
    pub(super) pairs: Pairs,
}

impl Registry {
    pub(super) fn counter(&self, metric: &Definition, labels: &[&str]) -> Counter {
        match self.series(metric, labels) {
            Series::Count(count) => Counter::from_arc(count),
            _ => misshapen(metric, Counter::noop()),
        }
    }

    pub(super) fn gauge(&self, metric: &Definition, labels: &[&str]) -> Gauge {
        match self.series(metric, labels) {
            Series::Level(level) => Gauge::from_arc(level),
            _ => misshapen(metric, Gauge::noop()),
        }
    }

    pub(super) fn histogram(&self, metric: &Definition, labels: &[&str]) -> Histogram {
        match self.series(metric, labels) {
            Series::Distribution(spread) => Histogram::from_arc(spread),
            _ => misshapen(metric, Histogram::noop()),
        }
    }

    /// A histogram whose values may come with a trace.
    pub(super) fn with_exemplars(&self, metric: &Definition, labels: &[&str]) -> Arc<Distribution> {
        match self.series(metric, labels) {
            Series::Distribution(spread) => spread,
            _ => misshapen(metric, Arc::new(Distribution::new(&[]))),
        }
    }

    /// A figure without labels that is read at the scrape; where it can't be read it is left out.
    pub(super) fn figure(&self, metric: &'static Definition, value: Option<f64>) {
        debug_assert!(metric.labels.is_empty(), "{} has labels", metric.name);
        let mut families = self.lock();
        let family = families.entry(metric.name).or_default();
        family.clear();
        if let Some(value) = value {
            let level = Level::default();
            level.set(value);
            family.insert(Vec::new(), Series::Level(Arc::new(level)));
        }
    }

    /// Drops the series with this value of a label of which nobody has a handle; says whether others are left.
    pub(super) fn forget(&self, label: &str, value: &str) -> bool {
        let (mut families, mut left) = (self.lock(), false);
        for metric in CATALOGUE {
            let place = metric.labels.iter().position(|name| *name == label);
            let family = families.get_mut(metric.name);
            let (Some(place), Some(family)) = (place, family) else { continue };
            family.retain(|labels, series| labels[place] != value || series.is_held());
            left |= family.keys().any(|labels| labels[place] == value);
        }
        left
    }

    /// The page, in the catalogue's order.
    pub(super) fn render(&self, format: Format) -> String {
        let families = self.lock();
        let mut page = Page::new(format);
        for metric in CATALOGUE {
            if let Some(series) = families.get(metric.name).filter(|series| !series.is_empty()) {
                page.family(metric, series);
            }
        }
        page.end()
    }

    fn series(&self, metric: &Definition, labels: &[&str]) -> Series {
        debug_assert_eq!(metric.labels.len(), labels.len(), "labels of {}", metric.name);
        let labels = labels.iter().map(|value| (*value).to_owned()).collect();
        let mut families = self.lock();
        let family = families.entry(metric.name).or_default();
        family.entry(labels).or_insert_with(|| Series::new(metric.shape)).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Families> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mistake of ours that a test finds: what is counted here goes nowhere.
fn misshapen<T>(metric: &Definition, nowhere: T) -> T {
    let Definition { name, shape, .. } = metric;
    debug_assert!(false, "{name} is a {}", Shape::as_str(*shape));
    nowhere
}
