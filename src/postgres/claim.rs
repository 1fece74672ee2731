//! Claiming, as one statement on a session of its own.

mod around;

use super::{Connector, DbError, Session, held::Held, session::ENDED};
use crate::{
    claimer::{ClaimError, ClaimRequest, ClaimSource, Look, Seen},
    job::{ClaimedJob, JobId, KindName, Lease},
    supervise::{self, WaitPoint, at},
    telemetry::events,
};
use around::Refused;
use futures::FutureExt;
use sqlx::{Row, postgres::PgRow};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Mutex, time::Instant};

/// After a claim failed in doubt its rows are looked for at once, and again after each of these pauses,
/// since a statement that was on its way or waited for a lock may still commit.
const LOOK_PAUSES: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(50)];

/// Claims from Postgres. Claimers take turns on one connection: one alone saturates the index, and
/// four at once are slower than two.
pub struct PostgresClaims {
    claiming: Mutex<Claiming>,
    held: Arc<Held>,
}

/// The session, and what it is owed.
struct Claiming {
    session: Session,
    /// One a boot id at most.
    doubts: Vec<Doubt>,
    /// Whose claim is in flight. Found there by the next one, it is a claim whose claimer was ended
    /// before it had its answer.
    in_flight: Option<i64>,
    refused: Refused,
}

/// A claim of this holder that may have committed without our learning of it.
struct Doubt {
    holder: i64,
    next_look: Instant,
    /// How many were made that found no row that somebody had locked.
    looks: usize,
}

impl PostgresClaims {
    /// A session with the planner held to the one right plan. What it claims is noted in `held`.
    pub fn new(connector: Connector, held: Arc<Held>) -> Self {
        let setup = include_str!("sql/claim_session.sql");
        let session = Session::new(connector, "claim", Some(setup));
        let (doubts, refused) = (Vec::new(), Refused::default());
        let claiming = Claiming { session, doubts, in_flight: None, refused };
        Self { claiming: Mutex::new(claiming), held }
    }
}

impl ClaimSource for PostgresClaims {
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<ClaimedJob>, ClaimError> {
        let turn = request.halt.run_until_cancelled(self.claiming.lock());
        let turn = at(WaitPoint::SessionTurn, supervise::waiting(turn)).await;
        let Some(mut turn) = turn else { return Ok(Vec::new()) };
        let claiming = &mut *turn;
        let failed = |error: DbError| ClaimError(error.into());
        claiming.release_unknown(&self.held).await.map_err(failed)?;
        claiming.in_flight = Some(request.holder);
        claiming.tell_of_doubt(&self.held);
        let began = Instant::now();
        let claimed = claiming.claim(request).await;
        claiming.in_flight = None;
        let rows = match claimed {
            Ok(rows) => rows,
            Err((error, in_doubt)) => {
                if in_doubt {
                    claiming.doubt(request.holder);
                }
                claiming.tell_of_doubt(&self.held);
                return Err(failed(error));
            }
        };
        let mut jobs = Vec::with_capacity(rows.len());
        for row in &rows {
            let job = decode_claimed_row(row, request, began);
            jobs.push(job.map_err(|error| ClaimError(error.into()))?);
        }
        self.held.note(jobs.iter().map(|job: &ClaimedJob| (job.lease.job.0, job.lease.token)));
        claiming.tell_of_doubt(&self.held);
        // UPDATE returns rows in heap order.
        jobs.sort_unstable_by_key(|job| (job.priority, job.seq));
        Ok(jobs)
    }

    async fn look(&self, looks: &[Look]) -> Result<Vec<Seen>, ClaimError> {
        let claiming =
            &mut *at(WaitPoint::SessionTurn, supervise::waiting(self.claiming.lock())).await;
        let failed = |error: DbError| ClaimError(error.into());
        // While nobody claims, it is the looks that give back what a lost claim took.
        claiming.release_unknown(&self.held).await.map_err(failed)?;
        let Rows { looks, queues, levels, marks, kinds } = Rows::of(looks);
        let statement = sqlx::query_as::<_, (i32, i16, i64)>(include_str!("sql/look.sql"));
        let statement = statement.bind(looks).bind(queues).bind(levels).bind(marks).bind(kinds);
        let rows = claiming.session.run("look", |c| statement.fetch_all(c).boxed()).await;
        let seen = |(look, priority, seq): (i32, i16, i64)| {
            Some(Seen { look: usize::try_from(look).ok()?, priority, seq })
        };
        Ok(rows.map_err(failed)?.into_iter().filter_map(seen).collect())
    }
}

/// One row a look and level.
#[derive(Default)]
struct Rows {
    looks: Vec<i32>,
    queues: Vec<String>,
    levels: Vec<i16>,
    marks: Vec<i64>,
    kinds: Vec<String>,
}

impl Rows {
    fn of(looks: &[Look]) -> Self {
        let mut rows = Self::default();
        for (number, look) in (0..).zip(looks) {
            let kinds: Vec<_> = look.kinds.iter().map(KindName::as_str).collect();
            let kinds = kinds.join(",");
            for (level, mark) in look.probe.levels.iter().zip(&look.probe.marks) {
                rows.looks.push(number);
                rows.queues.push(look.queue.to_string());
                rows.levels.push(*level);
                rows.marks.push(*mark);
                rows.kinds.push(kinds.clone());
            }
        }
        rows
    }
}

/// Whether the statement may have committed: it was sent, and what came back isn't its refusal but
/// the end of the connection or of the server.
fn leaves_doubt(error: &DbError) -> bool {
    match (error, error.sqlstate()) {
        (DbError::Connect(_), _) => false,
        (_, None) => true,
        // The server ended it at its limit, and nothing of it is left.
        (_, Some(code)) if code == ENDED => false,
        (_, Some(code)) => ["08", "57", "58", "XX"].iter().any(|class| code.starts_with(class)),
    }
}

impl Claiming {
    /// In one statement; where that was refused, round the rows that are to blame. An error comes with
    /// whether jobs may have been taken all the same.
    async fn claim(&mut self, request: &ClaimRequest) -> Result<Vec<PgRow>, (DbError, bool)> {
        if self.refused.is_empty() || self.refused.is_full() {
            match claim(&mut self.session, request).await {
                Err(error) if error.blames_the_rows() && !self.refused.is_full() => {}
                Err(error) => {
                    let in_doubt = leaves_doubt(&error);
                    return Err((error, in_doubt));
                }
                Ok(rows) => return Ok(rows),
            }
        }
        // Of its statements those before the one that failed stand.
        let claimed = around::claim(&mut self.session, request, &mut self.refused).await;
        claimed.map_err(|error| (error, true))
    }

    fn doubt(&mut self, holder: i64) {
        self.doubts.retain(|doubt| doubt.holder != holder);
        self.doubts.push(Doubt { holder, next_look: Instant::now(), looks: 0 });
    }

    /// What is in flight or was never looked for may be more than `held` says.
    fn tell_of_doubt(&self, held: &Held) {
        let unseen = self.doubts.iter().any(|doubt| doubt.looks == 0);
        held.doubt(self.in_flight.is_some() || unseen);
    }

    /// Gives back what lost claims took. No claim is in flight meanwhile: the session is ours. A row
    /// that somebody holds is looked for again until it is let go; claims don't wait for it.
    async fn release_unknown(&mut self, held: &Held) -> Result<(), DbError> {
        if let Some(holder) = self.in_flight.take() {
            self.doubt(holder);
        }
        let due = |doubt: &Doubt| doubt.next_look <= Instant::now();
        while let Some(place) = self.doubts.iter().position(due) {
            let (ids, tokens) = held.columns();
            let statement =
                sqlx::query_as::<_, (i64, i64)>(include_str!("sql/release_unknown.sql"));
            let statement = statement.bind(self.doubts[place].holder).bind(ids).bind(tokens);
            let (released, locked) =
                self.session.run("release_unknown", |c| statement.fetch_one(c).boxed()).await?;
            if released > 0 {
                tracing::warn!(
                    event = events::CLAIM_FAILED,
                    jobs = released,
                    "a claim whose answer was lost had taken jobs; they are back in line"
                );
            }
            let doubt = &mut self.doubts[place];
            let pause = LOOK_PAUSES.get(doubt.looks);
            doubt.looks += usize::from(locked == 0);
            match pause.or(LOOK_PAUSES.last().filter(|_| locked > 0)) {
                Some(pause) => doubt.next_look = Instant::now() + *pause,
                None => drop(self.doubts.swap_remove(place)),
            }
            self.tell_of_doubt(held);
        }
        Ok(())
    }
}

async fn claim(session: &mut Session, request: &ClaimRequest) -> Result<Vec<PgRow>, DbError> {
    let request = request.clone();
    session
        .run("claim", move |connection| {
            async move {
                let kinds: Vec<&str> = request.kinds.iter().map(KindName::as_str).collect();
                sqlx::query(include_str!("sql/claim.sql"))
                    .bind(request.holder)
                    .bind(request.queue.as_str())
                    .bind(&request.probe.levels)
                    .bind(&request.probe.marks)
                    .bind(kinds)
                    .bind(i64::from(request.most))
                    .bind(request.in_turn)
                    .fetch_all(connection)
                    .await
            }
            .boxed()
        })
        .await
}

/// What a row has of its own: priority, charged attempts, rescues, snoozes, the limit of attempts, whether
/// somebody wants it stopped, the limit of an attempt, how long until it expires, and how long it was due.
type Own = (i16, i16, i16, i16, Option<i16>, bool, Option<f64>, Option<f64>, f64);

/// The job in a row of the claim's statement, which was sent then. Public for the benchmark of it.
///
/// Types are those of the statement, so they aren't compared again for each value of each row.
pub fn decode_claimed_row(
    row: &PgRow,
    request: &ClaimRequest,
    began: Instant,
) -> Result<ClaimedJob, sqlx::Error> {
    let (job, token) = (row.try_get_unchecked(1)?, row.try_get_unchecked(3)?);
    let lease = Lease { job: JobId(job), token, holder: request.holder };
    let kind = known_kind(row.try_get_unchecked(4)?, request)?;
    let payload: String = row.try_get_unchecked(5)?;
    let enqueued_for = seconds(row.try_get_unchecked(7)?);
    let job = ClaimedJob {
        place: row.try_get_unchecked(0)?,
        seq: row.try_get_unchecked(2)?,
        metadata: row.try_get_unchecked(6)?,
        enqueued_for,
        waited: enqueued_for,
        claim_began: Some(began.into_std()),
        ..ClaimedJob::new(lease, request.queue.clone(), kind, payload)
    };
    let own: Option<Own> = row.try_get_unchecked(8)?;
    Ok(match own {
        Some(own) => with_its_own(job, own),
        None => job,
    })
}

fn with_its_own(job: ClaimedJob, own: Own) -> ClaimedJob {
    let (priority, charged, rescues, snoozes, most, cancel_requested, timeout, left, waited) = own;
    let small = |count: i16| u16::try_from(count).unwrap_or(0);
    ClaimedJob {
        priority,
        charged: small(charged),
        rescues: small(rescues),
        snoozes: small(snoozes),
        max_attempts: most.and_then(|most| u16::try_from(most).ok()),
        cancel_requested,
        timeout: timeout.map(seconds),
        expired: left.is_some_and(|left| left < 0.0),
        expires_in: left.map(seconds),
        waited: seconds(waited),
        ..job
    }
}

/// The name that the request holds already, instead of another copy for each job.
fn known_kind(kind: &str, request: &ClaimRequest) -> Result<KindName, sqlx::Error> {
    let known = request.kinds.iter().find(|known| known.as_str() == kind);
    known.cloned().ok_or_else(|| sqlx::Error::Decode(format!("unasked kind {kind:?}").into()))
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::ZERO)
}
