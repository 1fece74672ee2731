//! Collects what `tracing` knows of an event, its spans included, and hands over one line.
//!
//! Fields of the event win over those of its spans, inner spans over outer ones, and all of them over
//! what is known of the job, so that a line inside an attempt names the job without repeating it at
//! each call.

use super::{
    line::{Fields, Line, Style},
    scope,
    throttle::{Due, LeftOut, Throttle},
    writer::Writer,
};
use crate::telemetry::events;
use std::sync::Arc;
use tracing::{
    Event, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::LookupSpan,
};

/// How lines look, and what was left out of them: of the layer and of the thread that writes.
#[derive(Debug)]
pub(super) struct Voice {
    style: Style,
    instance: String,
    throttle: Throttle,
}

impl Voice {
    pub(super) fn new(style: Style, instance: &str) -> Arc<Self> {
        let (instance, throttle) = (instance.to_owned(), Throttle::default());
        Arc::new(Self { style, instance, throttle })
    }

    /// A line for each place and kind whose lines were left out and that hasn't told of it itself.
    pub(super) fn tell_left_out(&self, due: Due) -> Vec<String> {
        self.throttle.untold(due).into_iter().map(|left_out| self.count(left_out)).collect()
    }

    fn count(&self, left_out: LeftOut) -> String {
        let mut fields = Fields::default();
        fields.text("message", "lines that repeated too fast were left out".into());
        fields.text("event", events::LOG_THROTTLED.into());
        fields.put("log.suppressed", left_out.lines.into());
        if let Some(event) = left_out.event {
            fields.text("log.event", event);
        }
        if let Some(kind) = left_out.kind {
            fields.text("job.kind", kind.as_str().into());
        }
        Line::now(left_out.place, &self.instance, fields).render(self.style)
    }
}

/// The layer that makes lines.
pub(super) struct Lines {
    voice: Arc<Voice>,
    writer: Writer,
}

impl Lines {
    pub(super) fn new(voice: Arc<Voice>, writer: Writer) -> Self {
        Self { voice, writer }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(left_out) = self.voice.throttle.pass(event, scope::kind) else {
            self.writer.losses().suppress();
            return;
        };
        let mut fields = Fields::default();
        event.record(&mut fields);
        if left_out > 0 {
            fields.put("log.suppressed", left_out.into());
        }
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.add_missing(outer);
            }
        }
        scope::add_to(&mut fields);
        let line = Line::now(event.metadata(), &self.voice.instance, fields);
        self.writer.write(line.render(self.voice.style));
    }
}
