//! OpenTelemetry's words for messages (1.44), which every span of a job's way has in common.

use crate::job::QueueName;
use opentelemetry::KeyValue;
use std::{borrow::Cow, fmt};

/// What is done to messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// They are enqueued.
    Send,
    /// They are claimed.
    Receive,
    /// One is attempted.
    Process,
    /// A verdict is written.
    Settle,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Process => "process",
            Self::Settle => "settle",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a span of this is called.
pub(super) fn name(operation: Operation, queue: &QueueName) -> Cow<'static, str> {
    format!("{operation} {queue}").into()
}

/// What each says.
pub(super) fn about(operation: Operation, queue: &QueueName) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", "legwork"),
        KeyValue::new("messaging.operation.name", operation.as_str()),
        KeyValue::new("messaging.operation.type", operation.as_str()),
        KeyValue::new("messaging.destination.name", queue.to_string()),
    ]
}

/// How many there are, where it is a batch.
pub(super) fn count(jobs: impl TryInto<i64>) -> KeyValue {
    KeyValue::new("messaging.batch.message_count", jobs.try_into().unwrap_or(i64::MAX))
}
