//! Rows as users write them, well-meant or not, from the INSERT to the end of the job.
//!
//! | | row | tests |
//! |---|---|---|
//! | H1 | NULLs, missing columns | `schema::a_hostile_row_is_refused_…`, [`a_null_is_refused_…`](a_null_is_refused_wherever_a_column_needs_a_value) |
//! | H2 | payloads about and beyond 1 MiB, and bombs | `schema::a_hostile_row_…`, `schema::an_odd_but_legal_row_…`, [`payloads::three_hundred_megabytes_…`](payloads), `traps::rows::trap_4_…` |
//! | H3 | depth, keys, duplicates, numbers that no type holds | [`payloads`], `cli::file::hostile_payloads_…`, `traps::rows::trap_4_…` |
//! | H4 | NUL and lone surrogates | `schema::a_hostile_row_…`, [`payloads::what_a_handler_says_…`](payloads), `job::outcome` |
//! | H5 | array, string, number, null | `schema::an_odd_but_legal_row_…`, [`payloads`] |
//! | H6 | moments at and beyond the calendar | `schema::a_hostile_row_…`, `traps::rows::trap_2_…`, `pipeline::claims::a_run_at_…` |
//! | H7 | priorities and attempts out of range | `schema::a_hostile_row_…` |
//! | H8 | kinds and queues nobody serves, or nobody could | `schema::a_hostile_row_…`, `pipeline::requests::what_nobody_serves_…`, `pipeline::faults::ten_thousand_kinds_…` |
//! | H9 | lease and attempt columns set by a producer, or by the owner | `roles::each_role_may_do_…`, [`edits::columns_that_the_owner_presets_…`](edits) |
//! | H10 | backlogs of one instant, crowds in the future | [`crowds`], `plans` |
//! | H11 | unique keys | `schema::a_unique_key_…`, `pipeline::requests::a_unique_key_…`, `roles::a_producer_with_nothing_…` |
//! | H12 | a commit long after its INSERT | `pipeline::claims::a_job_that_commits_behind_…` |
//! | H13 | savepoints, two-phase commits, ON CONFLICT, COPY, triggers of the user | `schema::a_job_exists_when_…`, [`transactions`], `roles::a_producer_with_nothing_…`, `traps::rows::trap_5_…` |
//! | H14 | a running job that somebody edits | [`edits::a_running_job_that_somebody_edits_…`](edits) |

mod crowds;
mod edits;
mod payloads;
mod transactions;

use crate::statements::{end, refused, session_as};
use crate::support;

#[test]
fn a_null_is_refused_wherever_a_column_needs_a_value() {
    support::run(async |db| {
        let mut producer = session_as(&db, "legwork_enqueue").await;
        for column in ["payload", "queue", "priority", "run_at"] {
            let insert = format!("INSERT INTO legwork.job (kind, {column}) VALUES ('k', NULL)");
            let refusal = refused(&mut producer, &insert).await;
            assert_eq!(refusal.code, "23502", "{column}: {refusal:?}");
            assert!(refusal.message.contains(&format!("\"{column}\"")), "{refusal:?}");
        }
        end(producer).await;
    });
}
