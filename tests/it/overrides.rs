//! What operators decide at run time: overrides of queues, pauses and drains with an end, and what daemons are told.

mod daemons;
mod functions;
