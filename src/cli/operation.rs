//! `legwork operation`: changes of many jobs at once, whoever began them: how far one is, and its end.

use super::{Context, job::left_alone, reason, table::sheet};
use crate::postgres::operations::{BulkOperation, OperationState};
use clap::Subcommand;

/// `legwork operation …`
#[derive(Debug, Subcommand)]
pub(super) enum OperationCommand {
    /// Show how far an operation is
    Show {
        /// The operation, as whoever began it was told
        #[arg(value_parser = id)]
        id: i64,
    },
    /// End an operation after the batch that is under way; what is done stays done
    Cancel {
        /// The operation
        #[arg(value_parser = id)]
        id: i64,
        /// Why, for the audit
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: Option<String>,
    },
}

fn id(text: &str) -> Result<i64, String> {
    let id = text.parse().ok().filter(|id| *id > 0);
    id.ok_or_else(|| "an operation's id is a number above 0, as whoever began it was told".into())
}

pub(super) async fn run(command: OperationCommand, context: &Context) -> anyhow::Result<()> {
    let mut place = context.place().await?;
    match command {
        OperationCommand::Show { id } => {
            let found = place.show_operation(id).await?;
            context.output.show(&found, text)
        }
        OperationCommand::Cancel { id, reason } => {
            let asker = Context::asker("operation cancel", reason);
            let ended = place.cancel_bulk(id, &asker).await?;
            context.output.show_done(&ended, text);
            Ok(())
        }
    }
}

fn text(operation: &BulkOperation) -> String {
    let BulkOperation { id, action, filter, for_seconds, state, looked_at, changed, .. } =
        operation;
    let facts = sheet([
        ("id", Some(id.to_string())),
        ("action", Some(action.as_str().to_owned())),
        ("filter", Some(filter.to_string())),
        ("for", for_seconds.map(|seconds| format!("{seconds} s"))),
        ("state", Some(word(*state).to_owned())),
        ("begun", Some(operation.begun_at.clone())),
        ("ended", operation.ended_at.clone()),
        ("looked at", Some(looked_at.to_string())),
        ("changed", Some(changed.to_string())),
        ("error", operation.error.clone()),
    ]);
    match left_alone(operation) {
        None => facts,
        Some(left) => format!("{facts}\n{left}"),
    }
}

fn word(state: OperationState) -> &'static str {
    match state {
        OperationState::Running => "running",
        OperationState::Done => "done",
        OperationState::Cancelled => "cancelled",
        OperationState::Failed => "failed",
    }
}
