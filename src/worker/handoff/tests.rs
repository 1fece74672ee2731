//! The hand-off by hand, and under loom in every order of events.

#[cfg(not(legwork_loom))]
mod by_hand {
    use super::super::*;
    use futures::FutureExt;
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        task::Wake,
    };

    /// Counts how often it woke.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn a_burst_summons_one_worker_and_each_arrival_the_next() {
        let handoff = Handoff::new(2);
        assert_eq!(handoff.put([1, 2, 3]), Summons::StartWorker);
        assert_eq!(handoff.put([4]), Summons::Nobody, "one is on the way");
        let first = handoff.take(true).now_or_never().flatten();
        assert_eq!(first, Some((1, Summons::StartWorker)), "it came, and more is waiting");
        let second = handoff.take(true).now_or_never().flatten();
        assert_eq!(second, Some((2, Summons::Nobody)), "two workers are all there may be");
        assert_eq!(handoff.census().jobs, 2);
    }

    #[test]
    fn a_closed_one_gives_out_what_it_holds_and_then_ends() {
        let handoff = Handoff::new(1);
        let _started = handoff.put([1]);
        handoff.close();
        assert!(handoff.take(true).now_or_never().flatten().is_some());
        assert_eq!(handoff.take(false).now_or_never(), Some(None));
    }

    #[test]
    fn workers_that_are_too_many_end_once_there_is_no_job_for_them() {
        let handoff = Handoff::new(3);
        let _started = handoff.put([1, 2, 3]);
        for job in 1..=3 {
            let taken = handoff.take(true).now_or_never().flatten();
            assert_eq!(taken.map(|(taken, _)| taken), Some(job));
        }
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let mut asleep = [handoff.take(false), handoff.take(false)].map(Box::pin);
        assert!(asleep.iter_mut().all(|take| take.as_mut().poll(&mut context).is_pending()));
        assert_eq!(handoff.resize(1), Summons::Nobody);
        assert_eq!(
            (woken.0.load(SeqCst), handoff.census().workers),
            (2, 3),
            "they are woken, and look"
        );
        for mut take in asleep {
            assert_eq!(take.as_mut().poll(&mut context), Poll::Ready(None));
        }
        assert_eq!(handoff.census(), Census { workers: 1, idle: 0, jobs: 0 });
        // Who is left goes on: also with what came for more.
        assert_eq!(handoff.put([4]), Summons::Nobody, "the one there is runs");
        assert_eq!(handoff.take(false).now_or_never(), Some(Some((4, Summons::Nobody))));
        let mut stays = Box::pin(handoff.take(false));
        assert!(stays.as_mut().poll(&mut context).is_pending());
        assert_eq!(handoff.put([5]), Summons::Woken);
        assert!(stays.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn one_too_many_that_was_summoned_leaves_no_job_behind() {
        let handoff = Handoff::new(2);
        let _started = handoff.put([1]);
        assert!(handoff.take(true).now_or_never().flatten().is_some());
        let mut context = Context::from_waker(Waker::noop());
        let mut asleep = Box::pin(handoff.take(false));
        assert!(asleep.as_mut().poll(&mut context).is_pending());
        assert_eq!(handoff.put([2]), Summons::Woken);
        let _nobody = handoff.resize(0);
        assert_eq!(asleep.as_mut().poll(&mut context), Poll::Ready(Some((2, Summons::Nobody))));
        assert_eq!(handoff.take(false).now_or_never(), Some(None), "behind it, it ends");
        assert_eq!(handoff.census().workers, 0);
        assert_eq!(handoff.resize(1), Summons::Nobody);
        assert_eq!(handoff.put([3]), Summons::StartWorker, "there may be one again");
    }

    #[test]
    fn a_worker_that_goes_away_passes_its_summons_on() {
        let handoff: Handoff<i32> = Handoff::new(2);
        let mut context = Context::from_waker(Waker::noop());
        let mut asleep = Box::pin(handoff.take(false));
        let mut also_asleep = Box::pin(handoff.take(false));
        assert!(asleep.as_mut().poll(&mut context).is_pending());
        assert!(also_asleep.as_mut().poll(&mut context).is_pending());
        let _nobody = handoff.put([7]);
        drop(also_asleep);
        assert_eq!(asleep.as_mut().poll(&mut context), Poll::Ready(Some((7, Summons::Nobody))));
    }
}

#[cfg(legwork_loom)]
mod loom_models {
    use super::super::*;
    use loom::{future::block_on, sync::Arc, thread};

    /// Runs a worker until the hand-off ends; gives what it took.
    fn worker(handoff: &Arc<Handoff<u32>>, summoned: bool) -> thread::JoinHandle<u32> {
        let handoff = Arc::clone(handoff);
        thread::spawn(move || {
            let (mut taken, mut summoned) = (0, summoned);
            let mut started = Vec::new();
            while let Some((job, summons)) = block_on(handoff.take(std::mem::take(&mut summoned))) {
                taken += job;
                if summons == Summons::StartWorker {
                    started.push(worker(&handoff, true));
                }
            }
            taken + started.into_iter().map(|w| w.join().expect("a worker")).sum::<u32>()
        })
    }

    #[test]
    fn loom_every_job_is_taken_exactly_once_whatever_the_order() {
        loom::model(|| {
            let handoff = Arc::new(Handoff::new(2));
            let mut workers = Vec::new();
            for jobs in [vec![1, 2], vec![4]] {
                if handoff.put(jobs) == Summons::StartWorker {
                    workers.push(worker(&handoff, true));
                }
            }
            handoff.close();
            let taken: u32 = workers.into_iter().map(|w| w.join().expect("a worker")).sum();
            assert_eq!(taken, 7);
        });
    }

    #[test]
    fn loom_a_worker_that_is_too_many_leaves_no_job_behind() {
        loom::model(|| {
            let handoff = Arc::new(Handoff::new(2));
            assert_eq!(handoff.put([1]), Summons::StartWorker);
            let first = worker(&handoff, true);
            let shrinks = {
                let handoff = Arc::clone(&handoff);
                thread::spawn(move || handoff.resize(1))
            };
            let more = handoff.put([4]);
            let started = (more == Summons::StartWorker).then(|| worker(&handoff, true));
            assert_ne!(shrinks.join().expect("it is done"), Summons::StartWorker);
            while handoff.census().jobs > 0 {
                thread::yield_now();
            }
            handoff.close();
            let workers = [Some(first), started].into_iter().flatten();
            let taken: u32 = workers.map(|w| w.join().expect("a worker")).sum();
            assert_eq!((taken, handoff.census().workers), (5, 0));
        });
    }

    #[test]
    fn loom_a_sleeping_worker_never_misses_a_job() {
        loom::model(|| {
            let handoff = Arc::new(Handoff::new(1));
            assert_eq!(handoff.put([1]), Summons::StartWorker);
            let only = worker(&handoff, true);
            // It may be asleep, awake or between the two; the job has to be taken all the same.
            assert_ne!(handoff.put([2]), Summons::StartWorker);
            while handoff.census().jobs > 0 {
                thread::yield_now();
            }
            handoff.close();
            assert_eq!(only.join().expect("a worker"), 3);
        });
    }
}
