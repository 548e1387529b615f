use super::*;

#[tokio::test(start_paused = true)]
async fn a_key_is_given_once_and_again_when_added_during_work() {
    let stop = CancellationToken::new();
    let queue = WorkQueue::new();
    queue.add("a");
    queue.add("a");
    queue.add("b");
    assert_eq!(queue.next(&stop).await, Some("a"));
    queue.add("a");
    assert_eq!(queue.next(&stop).await, Some("b"));
    assert!(queue.take().is_none(), "a is being worked on");
    queue.done(&"a");
    assert_eq!(queue.next(&stop).await, Some("a"));
    queue.done(&"a");
    stop.cancel();
    assert_eq!(queue.next(&stop).await, None);
}

#[tokio::test(start_paused = true)]
async fn the_earliest_delay_counts_and_failures_double_the_pause() {
    let stop = CancellationToken::new();
    let queue = WorkQueue::new();
    let start = Instant::now();
    queue.add_after("a", Duration::from_secs(10));
    queue.add_after("a", Duration::from_secs(1));
    assert_eq!(queue.next(&stop).await, Some("a"));
    assert_eq!(start.elapsed().as_secs(), 1);
    queue.done(&"a");
    for (failures, pause) in [(1, 5), (2, 10), (3, 20)] {
        let start = Instant::now();
        queue.add_rate_limited("b");
        assert_eq!(queue.failures(&"b"), failures);
        assert_eq!(queue.next(&stop).await, Some("b"));
        assert!((pause..=pause + 1).contains(&start.elapsed().as_millis()));
        queue.done(&"b");
    }
    queue.forget(&"b");
    assert_eq!(queue.failures(&"b"), 0);
}
