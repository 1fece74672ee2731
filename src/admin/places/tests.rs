//! Who leaves and whose turn comes, by a clock that stands still.

use super::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::{advance, timeout},
};

const SOMEBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const NEIGHBOUR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

/// One after the other, a second apart.
async fn taken(places: &Places, peers: &[IpAddr]) -> Vec<Arc<Place>> {
    let mut taken = Vec::new();
    for peer in peers {
        taken.push(places.take(*peer));
        advance(Duration::from_secs(1)).await;
    }
    taken
}

/// Which of them leave, from first to last, when all have to that may.
fn leaving(mut taken: Vec<(usize, Arc<Place>)>) -> Vec<usize> {
    let mut order = Vec::new();
    loop {
        let there: Vec<_> = taken.iter().map(|(_, place)| Arc::clone(place)).collect();
        let Some(first) = first_to_leave(&there, Instant::now()) else { return order };
        let at = taken.iter().position(|(_, place)| Arc::ptr_eq(place, &first)).unwrap();
        order.push(taken.remove(at).0);
    }
}

fn numbered(taken: &[Arc<Place>]) -> Vec<(usize, Arc<Place>)> {
    taken.iter().cloned().enumerate().collect()
}

#[tokio::test(start_paused = true)]
async fn who_is_longest_without_a_head_leaves_first_and_who_is_answered_stays() {
    let places = Places::default();
    let all = taken(&places, &[SOMEBODY; 5]).await;
    for place in &all[..3] {
        place.asked();
    }
    all[1].answered(false);
    all[2].answered(true);
    assert_eq!(leaving(numbered(&all)), [3, 4, 2], "a route has one, another is written");
    advance(TAKEN_WITHIN).await;
    assert_eq!(leaving(numbered(&all)), [3, 4, 1, 2], "it had time to take its answer");
}

#[tokio::test(start_paused = true)]
async fn an_address_with_many_places_gives_its_own_up() {
    let places = Places::default();
    let all = taken(&places, &[NEIGHBOUR, SOMEBODY, SOMEBODY, SOMEBODY]).await;
    assert_eq!(leaving(numbered(&all)), [1, 2, 0, 3]);
}

#[tokio::test(start_paused = true)]
async fn beside_requests_that_are_answered_others_are_let_in_up_to_a_bound() {
    let places = Places::default();
    let mut all = taken(&places, &[SOMEBODY; PLACES_MAX]).await;
    assert_eq!(places.admit(Instant::now()), Err(UNDISTURBED));
    assert!(all[0].is_leaving(), "it sends its head since long");
    assert!(all[1..].iter().all(|place| !place.is_leaving()));
    drop(all.remove(0));
    for place in &all {
        place.asked();
    }
    while places.admit(Instant::now()).is_ok() {
        all.push(places.take(SOMEBODY));
        all.last().unwrap().asked();
    }
    assert_eq!(all.len(), PLACES_MAX + BESIDE_MAX);
    assert!(all.iter().all(|place| !place.is_leaving()));
    drop(all.remove(0));
    assert_eq!(places.admit(Instant::now()), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_a_second_for_its_turn_and_who_takes_no_answer_leaves_for_it() {
    let places = Places::default();
    let mut all = taken(&places, &[SOMEBODY; TURNS]).await;
    for place in &all {
        place.asked();
        assert!(place.comes_in_turn(false).await);
    }
    let (next, began) = (places.take(NEIGHBOUR), Instant::now());
    next.asked();
    assert!(!next.comes_in_turn(false).await);
    assert!(began.elapsed() >= TURN_WITHIN);
    assert!(all.iter().all(|place| !place.is_leaving()), "routes have them");

    all[5].answered(false);
    all[5].lock().stalled = Some(Instant::now() - STALLED_AFTER);
    let (waiting, leave) = (next.comes_in_turn(false), all[5].leave());
    let left = async {
        leave.cancelled().await;
        drop(all.remove(5));
    };
    assert!(tokio::join!(waiting, left).0);
    assert!(all.iter().all(|place| !place.is_leaving()));
}

#[tokio::test(start_paused = true)]
async fn whose_body_is_waited_for_may_leave_until_it_is_there() {
    let places = Places::default();
    let all = taken(&places, &[SOMEBODY; 3]).await;
    for place in &all {
        place.asked();
        place.gathers();
    }
    all[0].asked();
    assert_eq!(leaving(numbered(&all)), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn of_long_bodies_half_of_the_turns_are_taken_at_most() {
    let places = Places::default();
    let long = taken(&places, &[SOMEBODY; LONG_BODIES + 1]).await;
    for place in &long[1..] {
        place.asked();
        assert!(place.comes_in_turn(true).await);
    }
    assert!(!long[0].comes_in_turn(true).await);
    let short = taken(&places, &[NEIGHBOUR; TURNS - LONG_BODIES]).await;
    for place in &short {
        assert!(place.comes_in_turn(false).await);
    }
    assert!(!long[0].comes_in_turn(false).await, "that were all");
}

#[tokio::test]
async fn a_client_that_takes_its_answer_slowly_is_answered_for_a_second() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let place = Places::default().take(peer.ip());
    let before = Instant::now();
    place.asked();
    place.answered(false);
    let may_leave = |after| place.lock().may_leave(before + after);
    let mut watched = Watched { stream, place: Arc::clone(&place) };
    let much = vec![0; 1 << 20];
    let full = async {
        while place.lock().stalled.is_none() {
            tokio::task::yield_now().await;
        }
    };
    let writing = async { while watched.write_all(&much).await.is_ok() {} };
    let filled = async {
        tokio::select! { () = writing => {}, () = full => {} }
    };
    timeout(Duration::from_secs(20), filled).await.expect("a client that reads nothing stalls it");
    assert!(!may_leave(Duration::ZERO));
    let later = place.lock().stalled.unwrap() + STALLED_AFTER;
    assert!(place.lock().may_leave(later), "it took nothing for too long");
    let mut taken = vec![0; 1 << 16];
    let reading = async { while client.read(&mut taken).await.is_ok() {} };
    let again = watched.write_all(b"more");
    tokio::select! { () = reading => {}, written = again => written.unwrap() }
    assert!(place.lock().stalled.is_none(), "all that was written is on its way");
}
