//! What is said of a daemon that ended otherwise than it should: what failed, what was cut short and what is left.
//!
//! Only that is named which happened, and with its number: whoever is on call goes by this line first. Which jobs are left
//! stands in the log; those that were cut short are back in line.

use crate::daemon::Ended;

/// A daemon that couldn't go on, or that ended and left something behind.
#[derive(Debug, thiserror::Error)]
#[error("{}", how(.0))]
pub(in crate::cli) struct Unclean(pub(in crate::cli) Ended);

fn how(ended: &Ended) -> String {
    let failed = ended.failed.as_ref();
    let failed = failed.map(|task| format!("task {task} failed again and again"));
    let cut_short = match ended.cut_short {
        0 => None,
        1 => Some("told to stop at once, the daemon cut 1 running job short".to_owned()),
        jobs => Some(format!("told to stop at once, the daemon cut {jobs} running jobs short")),
    };
    let left = match ended.orphans.len() {
        0 => None,
        1 => Some("1 job is left with a lease that runs out".to_owned()),
        jobs => Some(format!("{jobs} jobs are left with leases that run out")),
    };
    let in_doubt = ended.in_doubt;
    let in_doubt = in_doubt.then(|| "a claim had no answer; what it took is rescued".to_owned());
    let happened: Vec<_> = [failed, cut_short, left, in_doubt].into_iter().flatten().collect();
    format!("{}; the log says more", happened.join(", and "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobId;
    use rstest::rstest;

    #[rstest]
    #[case::cut_short(&[], (1, false), None, "told to stop at once, the daemon cut 1 running job short")]
    #[case::left(&[7], (0, false), None, "1 job is left with a lease that runs out")]
    #[case::both(
        &[7, 8, 9],
        (2, false),
        None,
        "told to stop at once, the daemon cut 2 running jobs short, and 3 jobs are left with leases that run out"
    )]
    #[case::in_doubt(&[], (0, true), None, "a claim had no answer; what it took is rescued")]
    #[case::failed(&[], (0, false), Some("stats"), "task stats failed again and again")]
    #[case::failed_and_left(
        &[7, 8],
        (0, false),
        Some("stats"),
        "task stats failed again and again, and 2 jobs are left with leases that run out"
    )]
    fn what_happened_is_named_with_its_number_and_nothing_else(
        #[case] orphans: &[i64],
        #[case] (cut_short, in_doubt): (usize, bool),
        #[case] failed: Option<&str>,
        #[case] said: &str,
    ) {
        let mut ended = Ended::default();
        ended.orphans = orphans.iter().copied().map(JobId).collect();
        (ended.cut_short, ended.in_doubt) = (cut_short, in_doubt);
        ended.failed = failed.map(str::to_owned);
        assert_eq!(Unclean(ended).to_string(), format!("{said}; the log says more"));
    }
}
