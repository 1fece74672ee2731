//! Everything that speaks SQL: sessions, statements, migrations.
//!
//! One statement a file under `postgres/sql`, its comment saying the intent, the index and the
//! planner's reason. The rooms that need the database say so by a trait of their own; here the
//! traits meet Postgres. No statement is assembled from strings, but for the name of an sql
//! kind's function.

/// The driver whose connections the library takes.
pub use ::sqlx;

mod apart;
mod bench;
mod claim;
mod connect;
pub mod enqueue;
mod function;
mod held;
mod lease;
mod link;
mod listen;
pub mod migrate;
mod moment;
mod observe;
pub mod operations;
mod place;
mod pooler;
pub mod producer;
mod refusal;
pub mod roles;
mod session;
mod settle;
mod transaction;
mod upkeep;
mod watch;

pub use bench::BenchSession;
pub use claim::{PostgresClaims, decode_claimed_row};
pub use connect::{ConnectError, Connector};
pub use function::{Abandoned, Call, CallError, Functions, STOP_GRACE};
pub use held::Held;
pub use lease::{Identity, Load, PostgresLease, QueueLoad, WaitingRoom};
pub use listen::{LISTEN_STEP_MAX, Listener, Notice};
pub use moment::{NoMoment, moment};
pub use observe::{ObservedCount, ObservedJob, Observer};
pub use refusal::{BAD_VALUE, Refusal, Words};
pub use session::{DbError, Session};
pub use settle::{PostgresOutcomes, failures_as_text};
pub use upkeep::{
    Decided, Hold, LEFT_FOR, Looked, NextDue, PROMOTED_AT_ONCE, Promoted, QueueCount, RunTime,
    ScheduleRow, Step, Stepped, Upkeep, WaitingCount, Wanted, decided,
};
pub use watch::Watch;
