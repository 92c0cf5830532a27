//! Tests of the stream of stored rows.

use model::{Details, Extended, Role, TracerName, WallTime};

use super::*;

fn sink() -> SinkId {
    SinkId { name: "store".into(), role: Role::Store, generation: 1 }
}

fn batch(tracer: &str, count: usize) -> Routed {
    let row = Tracking::new(
        TracerName::new(tracer),
        WallTime(0),
        Extended::new(Details::Fields(serde_json::Map::new())),
    );
    Routed { claim: None, rows: vec![row; count].into(), bytes: 0 }
}

fn next(subscription: &mut Subscription) -> Option<Event> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(subscription.next())
}

/// The parts of rows that were stored together: tracer, number of rows, first id.
fn parts(event: Option<Event>) -> Vec<(String, usize, i64)> {
    let Some(Event::Stored(stored)) = event else { panic!("no rows: {event:?}") };
    let part = |part: &Part| (part.rows()[0].tracer.as_str().to_owned(), part.rows().len(), part.first_id);
    stored.parts.iter().map(part).collect()
}

#[test]
fn rows_have_the_ids_that_the_sink_gave_them() {
    let feed = Feed::default();
    assert!(!feed.is_followed());
    let mut all = feed.follow(Vec::new(), Some(&sink()), || None);
    let mut some = feed.follow(vec!["exec".to_owned()], Some(&sink()), || None);
    assert!(feed.is_followed());
    let batches = [batch("open", 2), batch("Exec", 1), batch("open", 3)];
    feed.publish(&sink(), &batches, &[], |tracer| Some(if tracer == "open" { 105 } else { 7 }));
    let expected = [("open", 2, 101), ("Exec", 1, 7), ("open", 3, 103)];
    assert_eq!(parts(next(&mut all)), expected.map(|(tracer, count, id)| (tracer.to_owned(), count, id)));
    assert_eq!(parts(next(&mut some)), [("Exec".to_owned(), 1, 7)]);
    feed.close();
    assert!(next(&mut all).is_none() && next(&mut some).is_none());
    drop((all, some));
    assert_eq!(feed.state(), FeedState { followers: 0, followed: 2, rows: 7, left_out: 0 });
    assert!(!feed.is_followed());
}

#[test]
fn a_slow_follower_loses_for_itself_and_learns_where() {
    let feed = Feed::default();
    let mut slow = feed.follow(Vec::new(), None, || None);
    let mut quick = feed.follow(Vec::new(), None, || None);
    let large = queue::MOST_ROWS / 4;
    let (mut sent, mut taken) = (0, 0);
    for _ in 0..10 {
        feed.publish(&sink(), &[batch("open", large)], &[], |_| None);
        sent += large;
        taken += parts(next(&mut quick)).iter().map(|(_, count, _)| count).sum::<usize>();
    }
    assert_eq!(taken, sent);
    let state = feed.state();
    assert_eq!(state.rows + state.left_out, 2 * sent as u64);
    assert!(state.left_out >= 6 * large as u64, "{state:?}");
    let mut first = 0;
    let missing = loop {
        match next(&mut slow).unwrap() {
            Event::Stored(stored) => {
                first += stored.parts.iter().map(|part| part.rows().len()).sum::<usize>()
            }
            Event::LeftOut(count) => break count,
        }
    };
    assert_eq!((first as u64 + missing, missing), (sent as u64, state.left_out));
    // It reads again, so it gets what comes.
    feed.publish(&sink(), &[batch("open", 1)], &[], |_| None);
    assert_eq!(parts(next(&mut slow)), [("open".to_owned(), 1, sent as i64 + 1)]);
}

#[test]
fn recent_rows_come_once() {
    let feed = Feed::default();
    let batches = [batch("open", 3), batch("open", 4)];
    let recent = vec![(batches[0].rows.clone(), 1)];
    let mut follower = feed.follow(Vec::new(), None, || {
        // The sink has written them, and publishes them only now.
        feed.publish(&sink(), &batches[..1], &[], |_| None);
        Some(recent)
    });
    feed.publish(&sink(), &batches[1..], &[], |_| None);
    feed.close();
    let counts = [next(&mut follower), next(&mut follower)].map(|event| parts(event)[0].1);
    assert_eq!(counts, [2, 4]);
    assert!(next(&mut follower).is_none());
}

#[test]
fn rows_of_a_batch_that_the_sink_did_not_take_whole_are_counted() {
    let feed = Feed::default();
    let mut follower = feed.follow(Vec::new(), None, || None);
    let rejected = [Rejected { batch: 0, rows: 1, cause: String::new() }];
    feed.publish(&sink(), &[batch("open", 3), batch("open", 2)], &rejected, |_| Some(4));
    assert_eq!(parts(next(&mut follower)), [("open".to_owned(), 2, 3)]);
    assert!(matches!(next(&mut follower), Some(Event::LeftOut(3))));
}

#[test]
fn another_output_has_another_number() {
    let feed = Feed::default();
    let follower = feed.follow(Vec::new(), Some(&sink()), || None);
    assert_eq!(follower.output(), feed.follow(Vec::new(), Some(&sink()), || None).output());
    feed.replaced(&sink());
    assert_ne!(follower.output(), feed.follow(Vec::new(), Some(&sink()), || None).output());
}
