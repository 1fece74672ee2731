//! Runs one attempt: the handler, its deadline, its cancellation and the boundary for its panics.
//!
//! What a handler is stands here, where it is called; the handlers themselves live in `handlers`.
//! The executor decides nothing about the job: it says how the attempt ended, and `job::rule` says
//! what becomes of it.

mod attempt;
mod callback;
mod context;
mod handler;
mod into;

pub use attempt::execute;
pub use callback::{Callbacks, Decision, Door, Forged, Heard, Unheard, Word};
pub use context::{AttemptLimits, Context, Progress, Stop, StopOrder, Stopped};
pub use handler::{Handler, HandlerError, HandlerFuture, Registry, TypedHandler};
pub use into::{IntoHandler, OfAttempt, OfFunction, OfPayload};
