//! Collects what `tracing` knows of an event, its spans included, and hands over one line.
//!
//! Fields of the event win over those of its spans, inner spans over outer ones, and all of them over
//! what is known of the job, so that a line inside an attempt names the job without repeating it at
//! each call.

use super::{
    line::{Fields, Line, Style},
    scope,
    throttle::Throttle,
    writer::Writer,
};
use tracing::{
    Event, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::LookupSpan,
};

/// The layer that makes lines.
pub(super) struct Lines {
    style: Style,
    instance: String,
    writer: Writer,
    throttle: Throttle,
}

impl Lines {
    pub(super) fn new(style: Style, instance: &str, writer: Writer) -> Self {
        Self { style, instance: instance.to_owned(), writer, throttle: Throttle::default() }
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
        let Some(left_out) = self.throttle.pass(event.metadata()) else {
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
        let line = Line::now(event.metadata(), &self.instance, fields);
        self.writer.write(line.render(self.style));
    }
}
