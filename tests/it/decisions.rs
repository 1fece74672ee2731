//! The eleven tests that keep a hollow version out.
//!
//! A version that looks right and isn't passes the tests of its parts. These hold the whole to what it
//! promises, and each was seen to fail with the thing taken away that it is for. Where a test fits the
//! room that it is about, it stands there; this table says which is which, and a test holds it to that.
//!
//! | no. | what | tests |
//! |--:|---|---|
//! | 1 | `bench drain` starts the shipped pipeline over the configured noop kind; it shares no SQL with the product but the INSERT | `decisions::bench::a_drain_runs_the_shipped_pipeline_and_shares_no_sql_with_it_but_the_way_in` |
//! | 2 | a transaction held open while 20,000 other jobs are claimed commits; its job runs within the sweep bound | `decisions::late::a_job_that_commits_behind_twenty_thousand_claimed_ones_runs_within_the_sweep_bound` |
//! | 3 | token n finishing after the same daemon claimed n + 1 changes nothing, for every verdict | `pipeline::fences::a_verdict_under_an_older_token_changes_nothing` |
//! | 4 | with every worker thread blocked for 3 × ttl the leases are kept; with the heartbeat black-holed handlers end before another daemon starts them | `process::lease::leases_are_kept_while_every_worker_thread_is_blocked_for_three_times_the_lease`, `process::lease::a_daemon_that_cannot_renew_stops_its_handlers_before_another_starts_their_jobs` |
//! | 5 | golden plans hold after churn under a held snapshot; blocks per job ≤ 3 × the unpinned | `decisions::churn::plans_hold_after_churn_under_a_held_snapshot_at_three_times_the_blocks_at_most`, `plans::every_statement_reads_as_it_should_whatever_the_statistics_say` |
//! | 6 | every key, column, header and flag of the reference has a test that observes its effect | `decisions::observed::every_configuration_key_has_a_test_that_observes_it`, `decisions::observed::every_column_that_a_producer_may_write_has_a_test_that_observes_it`, `decisions::observed::every_variable_of_programs_and_every_header_has_a_test_that_observes_it`, `decisions::observed::every_flag_has_a_test_that_observes_it` |
//! | 7 | a shutdown with a hung handler of every type, a black-holed database and a full completer at once | `decisions::shutdown::the_end_is_bounded_and_names_its_orphans_whatever_hangs_at_once`, `decisions::shutdown::every_handler_of_the_reference_hangs_here_or_cannot` |
//! | 8 | a row that fails each batch statement delays no other row by more than one flush | `decisions::poison::a_row_that_fails_every_statement_delays_no_other_by_more_than_its_flush`, `decisions::poison::a_dropped_partition_delays_its_flush_by_the_making_of_it`, `pipeline::faults::a_row_that_the_database_refuses_delays_no_other` |
//! | 9 | the demo's summary is computed after the daemon has stopped; one wrong outcome makes the exit code 1 | `decisions::demo::a_wrong_outcome_that_only_the_rows_know_of_makes_the_demo_fail` |
//! | 10 | with 100 k jobs of a kind limited to 1/s ahead, an unlimited kind of the queue keeps ≥ 90 % of its rate | `pipeline::limits::a_limited_backlog_ahead_costs_an_unlimited_kind_at_most_a_tenth_of_its_rate` |
//! | 11 | privileges, domains and the trigger with nothing but `legwork_enqueue`, through COPY, many rows, ON CONFLICT and RETURNING | `decisions::producer::every_domain_refuses_what_it_should_by_every_way_in`, `decisions::producer::every_domain_takes_what_is_legal_by_every_way_in`, `decisions::producer::a_producer_is_kept_from_every_other_column_by_every_way_in`, `decisions::producer::each_statement_of_a_producer_rings_once_by_every_way_in` |

mod bench;
mod churn;
mod demo;
mod faults;
mod late;
mod observed;
mod poison;
mod producer;
mod shutdown;
pub(crate) mod sources;

#[test]
fn each_of_the_eleven_names_tests_that_exist() {
    let rows = include_str!("decisions.rs").lines().filter_map(|line| line.strip_prefix("//! | "));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split(" | ").collect()).collect();
    let tests = sources::tests();
    for (number, row) in (1..).zip(rows.iter().skip(1)) {
        assert_eq!(row[0].parse(), Ok(number), "{row:?}");
        let named: Vec<_> = row[2].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{row:?}");
        for test in named {
            assert!(tests.contains_key(test), "{number}: there is no test {test}");
        }
    }
    assert_eq!(rows.len(), 1 + 11, "{rows:?}");
}
