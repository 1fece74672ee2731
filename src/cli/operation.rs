//! `legwork operation`: changes of many jobs at once, whoever began them: which there are, how far one is, and its end.

use super::{
    Context,
    job::left_alone,
    moment::relative,
    reason,
    table::{Table, sheet},
};
use crate::postgres::operations::{BulkOperation, OPERATIONS_MAX, OperationPage, OperationState};
use clap::Subcommand;

/// `legwork operation …`
#[derive(Debug, Subcommand)]
pub(super) enum OperationCommand {
    /// List operations, newest first, and how far each is; they are kept for 90 days after their end
    List {
        /// Only those in this state: running, done, cancelled or failed
        #[arg(long, value_name = "STATE", value_parser = OperationState::named)]
        state: Option<OperationState>,
        /// Most operations on the page
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(OPERATIONS_MAX)))]
        limit: u32,
        /// Continue behind this operation: the last one of the page before
        #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
        after: Option<i64>,
    },
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
        OperationCommand::List { state, limit, after } => {
            let page = place.list_operations(state, after, limit).await?;
            context.output.show_page(&page, page.next, table)
        }
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

fn table(page: &OperationPage) -> String {
    if page.operations.is_empty() {
        return "no operations".into();
    }
    let mut table = Table::new()
        .number("ID")
        .text("BEGUN", 8)
        .text("ACTION", 8)
        .text("STATE", 9)
        .number("LOOKED AT")
        .number("CHANGED")
        .text("FILTER", 60);
    for operation in &page.operations {
        table.row([
            operation.id.to_string(),
            relative(&operation.begun_at, &page.now),
            operation.action.as_str().to_owned(),
            operation.state.as_str().to_owned(),
            operation.looked_at.to_string(),
            operation.changed.to_string(),
            operation.filter.to_string(),
        ]);
    }
    table.render()
}

fn text(operation: &BulkOperation) -> String {
    let BulkOperation { id, action, filter, for_seconds, state, looked_at, changed, .. } =
        operation;
    let facts = sheet([
        ("id", Some(id.to_string())),
        ("action", Some(action.as_str().to_owned())),
        ("filter", Some(filter.to_string())),
        ("for", for_seconds.map(|seconds| format!("{seconds} s"))),
        ("state", Some(state.as_str().to_owned())),
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
