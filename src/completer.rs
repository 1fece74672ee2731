//! Writes verdicts in batches: the only way in which an attempt of ours ends.
//!
//! Each flush is a few single statements, fenced by (job, token, holder); what the fence refuses
//! is a late result and is counted, never an error. Success is reported after its commit. A row
//! that poisons a batch is found by halving and delays nobody else by more than a flush; one that
//! can't be written now waits aside.

mod aside;
mod batch;
mod doubt;
mod flush;
mod parts;
mod settled;

use batch::Part;
pub use batch::{Back, Batch, Failure, Final};
pub use flush::{Completer, Links, OutcomeSink, SinkError};
pub use settled::{Settled, Verdicts, milliseconds, verdict_channel};
