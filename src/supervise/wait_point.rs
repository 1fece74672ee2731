//! Where a task can wait: the catalogue that `/debug/tasks` speaks in, and docs/tasks.md explains.

/// Declares the places with their names.
macro_rules! places {
    ($($(#[doc = $meaning:literal])+ $place:ident = $name:literal,)+) => {
        /// What somebody waits for. Each is explained in docs/tasks.md.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum WaitPoint { $($(#[doc = $meaning])+ $place,)+ }

        impl WaitPoint {
            /// Every one, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$place,)+];

            /// Its name, as people see it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$place => $name,)+ }
            }
        }
    };
}

places! {
    /// Nothing that has a name: it runs, or was never polled, or waits where nobody told.
    Unnamed = "unnamed",
    /// Its next life, after it failed.
    Restart = "task.restart",
    /// A free slot of its queue.
    Slot = "slot",
    /// Who this daemon is: it isn't registered with the database at the moment.
    Lease = "lease",
    /// A wake-up, or its own next poll.
    ClaimRest = "claim.rest",
    /// A wake-up, or the lookout's call: it has nothing to do.
    ClaimCall = "claim.call",
    /// The end: it was told to claim nothing more.
    ClaimHalted = "claim.halted",
    /// The next look for all claimers that have nothing to do.
    LookoutPause = "lookout.pause",
    /// Room in the channel that it gives to.
    ChannelSend = "channel.send",
    /// What comes by the channel that it takes from.
    ChannelReceive = "channel.receive",
    /// A permit of a rate limit.
    Limiter = "limiter",
    /// A job.
    WorkerIdle = "worker.idle",
    /// Whatever the handler waits for, where the handler is the program's own.
    Handler = "handler",
    /// The time that the job says, in a `sleep` kind.
    Sleep = "sleep",
    /// The thread that starts programs, and the program's first breath.
    ChildStart = "child.start",
    /// The end of a program.
    Child = "child",
    /// The end of a program that was told to stop.
    ChildStop = "child.stop",
    /// A connection to the receiver, and room on it for the request.
    HttpSend = "http.send",
    /// The head of the receiver's answer.
    HttpResponse = "http.response",
    /// The rest of the receiver's answer.
    HttpBody = "http.body",
    /// A call back of the receiver, which has taken the job.
    HttpCallback = "http.callback",
    /// What the client library waits for: the other side of a connection, its next request, or a request's end.
    HttpClient = "http.client",
    /// One of `database.sql_connections`.
    SqlPlace = "sql.place",
    /// A function of the database.
    SqlFunction = "sql.function",
    /// The answer to an attempt's COMMIT.
    SqlCommit = "sql.commit",
    /// What became of a COMMIT that nobody answered.
    SqlDoubt = "sql.doubt",
    /// Its turn at a session that several tasks share.
    SessionTurn = "session.turn",
    /// A connection to the database.
    Connect = "database.connect",
    /// The answer to a claim, or to a look.
    ClaimQuery = "claim.query",
    /// The answer to a flush of verdicts.
    FlushQuery = "flush.query",
    /// The answer to a statement of maintenance that is short.
    MaintenanceQuery = "maintenance.query",
    /// The answer to a statement of maintenance that scans or counts.
    SurveyQuery = "survey.query",
    /// The answer to a registration or a renewal.
    LeaseQuery = "lease.query",
    /// The answer to a statement beside an attempt of an sql kind.
    AsideQuery = "aside.query",
    /// The answer to a statement of a session without a place of its own.
    OtherQuery = "other.query",
    /// A notification of the database.
    ListenerNotice = "listener.notice",
    /// The time for another try of what failed.
    RetryPause = "retry.pause",
    /// The time of its next round, or somebody who wakes it.
    RoundPause = "round.pause",
    /// A wake from the heartbeat's thread.
    Pulse = "pulse",
    /// Ended spans.
    Exporter = "exporter",
    /// The collector's answer.
    ExporterSend = "exporter.send",
    /// Connections to the admin port; requests are answered meanwhile.
    AdminAccept = "admin.accept",
    /// What comes of a reload that somebody asked the admin port for.
    Reload = "reload",
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_place_has_its_number_and_a_name_of_its_own() {
        let numbers = WaitPoint::ALL.iter().map(|place| *place as usize);
        assert_eq!(numbers.collect::<Vec<_>>(), (0..WaitPoint::ALL.len()).collect::<Vec<_>>());
        let names: BTreeSet<_> = WaitPoint::ALL.iter().map(|place| place.as_str()).collect();
        assert_eq!(names.len(), WaitPoint::ALL.len());
    }
}
