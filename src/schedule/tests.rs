//! The rules as tables: zones and their shifts, leap days, and what is made up for.

use super::{CatchUp, CronError, Due, Moment, Rule, RuleError, Zone};
use proptest::prelude::*;
use rstest::rstest;

fn rule(cron: &str, zone: &str) -> Rule {
    Rule::parse(cron, zone).unwrap_or_else(|error| panic!("{cron} in {zone}: {error}"))
}

fn at(text: &str) -> Moment {
    Moment(text.parse::<jiff::Timestamp>().unwrap_or_else(|e| panic!("{text}: {e}")).as_second())
}

#[rstest]
#[case::plain(
    "0 3 * * *",
    "UTC",
    "2026-01-01T03:00:00Z",
    "2026-01-02 03:00:00 +00:00, 2026-01-03 03:00:00 +00:00"
)]
#[case::seconds(
    "*/20 * * * * *",
    "UTC",
    "2026-01-01T00:00:05Z",
    "2026-01-01 00:00:20 +00:00, 2026-01-01 00:00:40 +00:00"
)]
#[case::leap_day(
    "0 0 29 2 *",
    "UTC",
    "2026-01-01T00:00:00Z",
    "2028-02-29 00:00:00 +00:00, 2032-02-29 00:00:00 +00:00"
)]
#[case::no_leap_year_in_2100(
    "0 0 29 2 *",
    "UTC",
    "2096-03-01T00:00:00Z",
    "2104-02-29 00:00:00 +00:00"
)]
#[case::last_of_a_month(
    "0 0 L * *",
    "UTC",
    "2027-02-01T00:00:00Z",
    "2027-02-28 00:00:00 +00:00, 2027-03-31 00:00:00 +00:00"
)]
#[case::names_of_days_and_months(
    "0 9 * JAN MON",
    "UTC",
    "2026-01-01T00:00:00Z",
    "2026-01-05 09:00:00 +00:00"
)]
#[case::both_day_and_weekday(
    "0 0 13 * +FRI",
    "UTC",
    "2026-01-01T00:00:00Z",
    "2026-02-13 00:00:00 +00:00, 2026-03-13 00:00:00 +00:00"
)]
#[case::nearest_working_day(
    "0 0 15W * *",
    "UTC",
    "2026-02-01T00:00:00Z",
    "2026-02-16 00:00:00 +00:00"
)]
#[case::second_monday("0 0 * * MON#2", "UTC", "2026-01-01T00:00:00Z", "2026-01-12 00:00:00 +00:00")]
#[case::last_friday("0 0 * * FRIL", "UTC", "2026-01-01T00:00:00Z", "2026-01-30 00:00:00 +00:00")]
#[case::every_second_hour_of_a_range(
    "0 8-12/2 * * *",
    "UTC",
    "2026-01-01T09:00:00Z",
    "2026-01-01 10:00:00 +00:00, 2026-01-01 12:00:00 +00:00, 2026-01-02 08:00:00 +00:00"
)]
#[case::day_or_weekday(
    "0 0 13 * FRI",
    "UTC",
    "2026-03-07T00:00:00Z",
    "2026-03-13 00:00:00 +00:00, 2026-03-20 00:00:00 +00:00"
)]
#[case::gap_comes_at_its_end(
    "30 2 * * *",
    "Europe/Berlin",
    "2026-03-28T12:00:00Z",
    "2026-03-29 03:00:00 +02:00, 2026-03-30 02:30:00 +02:00"
)]
#[case::gap_of_several_times_comes_once(
    "0,30 2 * * *",
    "Europe/Berlin",
    "2026-03-28T12:00:00Z",
    "2026-03-29 03:00:00 +02:00, 2026-03-30 02:00:00 +02:00"
)]
#[case::gap_of_one_of_two_hours(
    "0 2,14 * * *",
    "Europe/Berlin",
    "2026-03-29T00:00:00Z",
    "2026-03-29 03:00:00 +02:00, 2026-03-29 14:00:00 +02:00"
)]
#[case::gap_whose_end_is_named_too_comes_once(
    "0 2,3 * * *",
    "Europe/Berlin",
    "2026-03-29T00:00:00Z",
    "2026-03-29 03:00:00 +02:00, 2026-03-30 02:00:00 +02:00"
)]
#[case::gap_asked_a_second_before(
    "30 2 * * *",
    "Europe/Berlin",
    "2026-03-29T00:59:59Z",
    "2026-03-29 03:00:00 +02:00"
)]
#[case::gap_asked_at_its_end(
    "30 2 * * *",
    "Europe/Berlin",
    "2026-03-29T01:00:00Z",
    "2026-03-30 02:30:00 +02:00"
)]
#[case::gap_passes_for_any_hour(
    "30 * * * *",
    "Europe/Berlin",
    "2026-03-29T00:00:00Z",
    "2026-03-29 01:30:00 +01:00, 2026-03-29 03:30:00 +02:00"
)]
#[case::overlap_comes_first_time(
    "30 2 * * *",
    "Europe/Berlin",
    "2026-10-24T12:00:00Z",
    "2026-10-25 02:30:00 +02:00, 2026-10-26 02:30:00 +01:00"
)]
#[case::overlap_asked_between(
    "30 2 * * *",
    "Europe/Berlin",
    "2026-10-25T01:10:00Z",
    "2026-10-26 02:30:00 +01:00"
)]
#[case::overlap_asked_at_the_shift(
    "0 2 * * *",
    "Europe/Berlin",
    "2026-10-25T00:59:59Z",
    "2026-10-26 02:00:00 +01:00"
)]
#[case::overlap_ends_with_a_named_hour(
    "0 3 * * *",
    "Europe/Berlin",
    "2026-10-25T01:30:00Z",
    "2026-10-25 03:00:00 +01:00"
)]
#[case::overlap_comes_twice_for_any_hour(
    "30 * * * *",
    "Europe/Berlin",
    "2026-10-25T00:00:00Z",
    "2026-10-25 02:30:00 +02:00, 2026-10-25 02:30:00 +01:00, 2026-10-25 03:30:00 +01:00"
)]
#[case::new_york_gap(
    "30 2 * * *",
    "America/New_York",
    "2026-03-08T05:00:00Z",
    "2026-03-08 03:00:00 -04:00"
)]
#[case::new_york_overlap(
    "30 1 * * *",
    "America/New_York",
    "2026-11-01T04:00:00Z",
    "2026-11-01 01:30:00 -04:00, 2026-11-02 01:30:00 -05:00"
)]
#[case::half_an_hour_gap(
    "15 2 * * *",
    "Australia/Lord_Howe",
    "2026-10-03T12:00:00Z",
    "2026-10-04 02:30:00 +11:00, 2026-10-05 02:15:00 +11:00"
)]
#[case::half_an_hour_overlap(
    "45 1 * * *",
    "Australia/Lord_Howe",
    "2026-04-04T12:00:00Z",
    "2026-04-05 01:45:00 +11:00, 2026-04-06 01:45:00 +10:30"
)]
#[case::half_an_hour_any_hour(
    "45 * * * *",
    "Australia/Lord_Howe",
    "2026-04-04T14:00:00Z",
    "2026-04-05 01:45:00 +11:00, 2026-04-05 01:45:00 +10:30, 2026-04-05 02:45:00 +10:30"
)]
#[case::quarter_of_an_hour_off(
    "0 9 * * *",
    "Asia/Kathmandu",
    "2026-01-01T00:00:00Z",
    "2026-01-01 09:00:00 +05:45"
)]
#[case::gap_at_midnight(
    "0 0 * * *",
    "Africa/Cairo",
    "2026-04-23T12:00:00Z",
    "2026-04-24 01:00:00 +03:00, 2026-04-25 00:00:00 +03:00"
)]
#[case::gap_of_two_hours(
    "30 1 * * *",
    "Antarctica/Troll",
    "2026-03-28T12:00:00Z",
    "2026-03-29 03:00:00 +02:00"
)]
#[case::a_whole_day_is_left_out(
    "0 12 * * *",
    "Pacific/Apia",
    "2011-12-29T23:00:00Z",
    "2011-12-31 00:00:00 +14:00, 2011-12-31 12:00:00 +14:00"
)]
#[case::every_five_minutes_through_a_gap(
    "*/5 * * * *",
    "Europe/London",
    "2026-03-29T00:54:00Z",
    "2026-03-29 00:55:00 +00:00, 2026-03-29 02:00:00 +01:00"
)]
fn the_next_instants_follow_the_rule(
    #[case] cron: &str,
    #[case] zone: &str,
    #[case] after: &str,
    #[case] expected: &str,
) {
    let rule = rule(cron, zone);
    let count = expected.split(", ").count();
    let next = rule.next(at(after), count);
    let shown: Vec<_> = next.iter().map(|at| rule.zone().shown(*at)).collect();
    assert_eq!(shown.join(", "), expected);
}

#[rstest]
#[case::few("* * * *", "it has 4 fields")]
#[case::many("* * * * * * *", "it has 7 fields")]
#[case::empty("", "it has 0 fields")]
#[case::nickname("@daily", "it has 1 fields")]
#[case::minute("60 * * * *", "its minute \"60\"")]
#[case::hour("0 24 * * *", "its hour \"24\"")]
#[case::day("0 0 32 * *", "its day of the month \"32\"")]
#[case::month("0 0 1 13 *", "its month \"13\"")]
#[case::weekday("0 0 * * 8", "its weekday \"8\"")]
#[case::second("61 0 0 * * *", "its second \"61\"")]
#[case::backwards("0 5-3 * * *", "its hour \"5-3\"")]
#[case::step_of_nothing("*/0 * * * *", "its minute \"*/0\"")]
#[case::word("0 noon * * *", "its hour \"noon\"")]
#[case::never("0 0 30 2 *", "it never fires")]
#[case::never_either("0 0 31 2,4,6,9,11 *", "it never fires")]
fn what_is_no_pattern_is_told_by_its_field(#[case] cron: &str, #[case] says: &str) {
    let error = Rule::parse(cron, "UTC").expect_err(cron).to_string();
    assert!(error.starts_with(says), "{cron}: {error}");
}

#[test]
fn a_pattern_has_its_length_and_a_zone_its_name() {
    let long = format!("{} * * * *", vec!["1"; 200].join(","));
    assert_eq!(Rule::parse(&long, "UTC"), Err(RuleError::Cron(CronError::TooLong)));
    let unknown = Rule::parse("* * * * *", "Europe/Berlim").expect_err("no zone");
    assert_eq!(unknown.to_string(), "there is no time zone \"Europe/Berlim\"");
    assert_eq!(rule("0  3 * *  *", "europe/berlin").text(), "0 3 * * * Europe/Berlin");
    assert!(Zone::names().iter().any(|name| name == "Asia/Tokyo"));
}

fn due(cron: &str, catch_up: CatchUp, done: &str, now: &str) -> Option<(Vec<String>, usize)> {
    let due = rule(cron, "UTC").due(catch_up, at(done), at(now));
    due.map(|due| {
        (due.fire.iter().map(|at| at.to_string()[11..19].to_owned()).collect(), due.missed)
    })
}

#[rstest]
#[case::nothing_yet(CatchUp::All, "00:00:00", "00:59:59", None)]
#[case::on_the_second(CatchUp::None, "00:00:00", "01:00:00", Some((&["01:00:00"][..], 0)))]
#[case::a_minute_late_is_on_time(CatchUp::None, "00:00:00", "01:01:00", Some((&["01:00:00"][..], 0)))]
#[case::later_is_missed(CatchUp::None, "00:00:00", "01:01:01", Some((&[][..], 1)))]
#[case::none_of_three(CatchUp::None, "00:00:00", "03:30:00", Some((&[][..], 3)))]
#[case::none_but_the_one_on_time(CatchUp::None, "00:00:00", "03:00:30", Some((&["03:00:00"][..], 2)))]
#[case::the_last_of_three(CatchUp::Last, "00:00:00", "03:30:00", Some((&["03:00:00"][..], 2)))]
#[case::all_three(CatchUp::All, "00:00:00", "03:30:00", Some((&["01:00:00", "02:00:00", "03:00:00"][..], 0)))]
#[case::done_already(CatchUp::All, "03:00:00", "03:30:00", None)]
#[case::a_clock_that_was_set_back(CatchUp::All, "04:00:00", "03:00:00", None)]
fn what_passed_is_made_up_for_as_catch_up_says(
    #[case] catch_up: CatchUp,
    #[case] done: &str,
    #[case] now: &str,
    #[case] expected: Option<(&[&str], usize)>,
) {
    let day = |time: &str| format!("2026-05-05T{time}Z");
    let found = due("0 * * * *", catch_up, &day(done), &day(now));
    let expected =
        expected.map(|(fire, missed)| (fire.iter().map(|t| (*t).to_owned()).collect(), missed));
    assert_eq!(found, expected);
}

#[test]
fn a_year_of_seconds_is_made_up_for_by_a_hundred_at_most() {
    let rule = rule("* * * * * *", "Europe/Berlin");
    let (done, now) = (at("2025-05-05T00:00:00Z"), at("2026-05-05T00:00:00Z"));
    let Due { fire, missed, last } = rule.due(CatchUp::All, done, now).expect("much is due");
    assert_eq!((fire.len(), missed, last), (super::CATCH_UP_MAX, super::MISSED_COUNTED, now));
    assert_eq!(fire.first(), Some(&Moment(now.0 - 99)));
    let one = rule.due(CatchUp::Last, done, now).expect("one is due");
    assert_eq!(one.fire, [now]);
}

/// Zones with every sort of shift.
const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Antarctica/Troll",
    "Asia/Kathmandu",
    "America/Santiago",
];

fn field(most: u32, least: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        (2..=most).prop_map(|step| format!("*/{step}")),
        (least..=most).prop_map(|value| value.to_string()),
        (least..=most, least..=most).prop_map(|(a, b)| format!("{},{}", a.min(b), a.max(b))),
    ]
}

fn crons() -> impl Strategy<Value = String> {
    (field(59, 0), field(59, 0), field(23, 0), field(28, 1), field(12, 1), field(6, 0))
        .prop_map(|(s, m, h, day, month, weekday)| format!("{s} {m} {h} {day} {month} {weekday}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn instants_strictly_rise_and_none_is_past(
        cron in crons(),
        zone in prop::sample::select(&ZONES[..]),
        from in 1_700_000_000_i64..2_000_000_000,
    ) {
        let rule = rule(&cron, zone);
        let mut before = Moment(from);
        for next in rule.next(before, 50) {
            prop_assert!(next > before, "{cron} in {zone}: {next} after {before}");
            before = next;
        }
    }

    #[test]
    fn whatever_second_one_asks_at_the_next_instant_is_the_same(
        cron in crons(),
        zone in prop::sample::select(&ZONES[..]),
        from in 1_700_000_000_i64..2_000_000_000,
        share in 0.0_f64..1.0,
    ) {
        let rule = rule(&cron, zone);
        if let Some(next) = rule.next_after(Moment(from)) {
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a share")]
            let between = from + ((next.0 - 1 - from) as f64 * share) as i64;
            prop_assert_eq!(rule.next_after(Moment(between)), Some(next));
            prop_assert_eq!(rule.last_until(Moment(from), next), Some(next));
        }
    }

    #[test]
    fn no_text_is_too_odd_for_a_pattern(text in "[-0-9*/,LW#?+@A-Za-z ]{0,40}") {
        Rule::parse(&text, "UTC").ok();
    }
}

#[rstest]
#[case::before_all_years(f64::NEG_INFINITY)]
#[case::after_all_years(f64::INFINITY)]
#[case::no_number(f64::NAN)]
#[case::far(-1e300)]
fn a_row_that_stands_beyond_all_years_is_reckoned_with(#[case] seconds: f64) {
    let (then, now) = (Moment::of(seconds), Moment(1_800_000_000));
    let rule = rule("* * * * *", "UTC");
    for catch_up in [CatchUp::Last, CatchUp::All] {
        let due = rule.due(catch_up, then, now);
        assert!(due.is_none_or(|due| due.last <= now), "{then}");
    }
    assert!(then.0.checked_sub(now.0).is_some());
}
