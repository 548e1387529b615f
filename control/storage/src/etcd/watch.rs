//! One watch on etcd, resumed where it was after every broken connection; from etcd's stream; to the store's items.
//!
//! Channels: progress requests in, items out (bounded: a slow reader holds back etcd's stream).

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{
    EventType, GetOptions, KvClient, WatchClient, WatchOptions, WatchRequestSender, WatchResponse, WatchResponseStream,
};
use futures::StreamExt as _;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tracing::{debug, warn};

use super::convert::{Request, end_of, error_of, key_of, key_value, number, revision_of};
use crate::key::KeyRange;
use crate::store::{Event, ProgressRequester, Revision, StoreError, Watch, WatchItem};

/// Items that wait for the reader.
const WAITING: usize = 16;
/// The first and the longest pause before a new connection.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// When etcd cannot tell its progress safely, it is asked again after this, while somebody waits.
const PROBE_AGAIN: Duration = Duration::from_millis(20);

/// A watch and where it is.
pub(crate) struct Follow {
    watches: WatchClient,
    kv: KvClient,
    range: KeyRange,
    /// The first revision not delivered yet.
    next: Revision,
    progress_is_safe: bool,
    /// Number of keys in the range after the last delivered event; kept only for the careful progress.
    keys: Option<i64>,
}

enum End {
    /// Nobody listens.
    Dropped,
    /// The watch is over.
    Failed(StoreError),
    /// The connection is.
    Lost(String),
}

type Items = mpsc::Sender<Result<WatchItem, StoreError>>;

impl Follow {
    pub(crate) fn new(
        watches: WatchClient,
        kv: KvClient,
        range: KeyRange,
        next: Revision,
        progress_is_safe: bool,
    ) -> Self {
        Self { watches, kv, range, next, progress_is_safe, keys: None }
    }

    /// Makes the watch; the items are followed by a task which ends when they are dropped.
    pub(crate) async fn start(mut self) -> Result<Watch, StoreError> {
        let (requests, answers) = self.connect().await?;
        let (items, receiver) = mpsc::channel(WAITING);
        let wanted = Arc::new(Notify::new());
        let progress = Arc::clone(&wanted);
        tokio::spawn(async move { self.run(requests, answers, &items, &wanted).await });
        Ok(Watch {
            items: ReceiverStream::new(receiver).boxed(),
            progress: ProgressRequester::new(move || progress.notify_one()),
        })
    }

    async fn connect(&mut self) -> Result<(WatchRequestSender, WatchResponseStream), StoreError> {
        // one revision early: a watch from exactly the compacted revision misses deletions of it (etcd issue 18089)
        let start = number(self.next.saturating_sub(1).max(1))?;
        let mut options = WatchOptions::new().with_start_revision(start).with_progress_notify();
        if let Some(end) = end_of(&self.range) {
            options = options.with_range(end);
        }
        let stream = self
            .watches
            .watch(key_of(&self.range), Some(options))
            .await
            .map_err(|error| error_of(&error, Request::Other))?;
        let (requests, mut answers) = stream.split();
        match answers.message().await {
            Ok(Some(answer)) if answer.created() && !answer.canceled() => Ok((requests, answers)),
            Ok(Some(answer)) => match self.canceled(&answer) {
                End::Failed(error) => Err(error),
                End::Lost(reason) => Err(StoreError::Unavailable { reason }),
                End::Dropped => Err(StoreError::Unavailable { reason: "the watch was not created".to_owned() }),
            },
            Ok(None) => Err(StoreError::Unavailable { reason: "etcd ended the watch".to_owned() }),
            Err(error) => Err(error_of(&error, Request::Other)),
        }
    }

    async fn run(
        mut self,
        mut requests: WatchRequestSender,
        mut answers: WatchResponseStream,
        items: &Items,
        wanted: &Notify,
    ) {
        let mut pause = RETRY.0;
        loop {
            let before = self.next;
            match self.follow(&mut requests, &mut answers, items, wanted).await {
                End::Dropped => return,
                End::Failed(error) => {
                    debug!(%error, "watch on etcd ends");
                    drop(items.send(Err(error)).await);
                    return;
                }
                End::Lost(reason) => warn!(%reason, next = self.next, "watch on etcd lost, will resume"),
            }
            if self.next > before {
                pause = RETRY.0;
            }
            loop {
                tokio::select! {
                    () = sleep(pause) => {}
                    () = items.closed() => return,
                }
                pause = (pause * 2).min(RETRY.1);
                match self.connect().await {
                    Ok(connected) => {
                        (requests, answers) = connected;
                        break;
                    }
                    Err(error @ StoreError::Compacted { .. }) => {
                        drop(items.send(Err(error)).await);
                        return;
                    }
                    Err(error) => debug!(%error, "no watch on etcd yet"),
                }
            }
        }
    }

    /// Delivers until something ends.
    async fn follow(
        &mut self,
        requests: &mut WatchRequestSender,
        answers: &mut WatchResponseStream,
        items: &Items,
        wanted: &Notify,
    ) -> End {
        let mut probe = false;
        loop {
            tokio::select! {
                biased;
                answer = answers.message() => {
                    let answer = match answer {
                        Ok(Some(answer)) => answer,
                        Ok(None) => return End::Lost("etcd ended the stream".to_owned()),
                        Err(error) => return End::Lost(error_of(&error, Request::Other).to_string()),
                    };
                    if answer.canceled() {
                        return self.canceled(&answer);
                    }
                    if let Some(item) = self.item(&answer)
                        && items.send(Ok(item)).await.is_err()
                    {
                        return End::Dropped;
                    }
                }
                () = wanted.notified() => {
                    if self.progress_is_safe {
                        if let Err(error) = requests.request_progress().await {
                            return End::Lost(error_of(&error, Request::Other).to_string());
                        }
                    } else {
                        probe = !self.tell_progress(items).await;
                    }
                }
                () = sleep(PROBE_AGAIN), if probe => probe = !self.tell_progress(items).await,
                () = items.closed() => return End::Dropped,
            }
        }
    }

    fn canceled(&self, answer: &WatchResponse) -> End {
        match answer.compact_revision() {
            0 => End::Lost(format!("etcd cancelled the watch: {}", answer.cancel_reason())),
            compacted => End::Failed(StoreError::Compacted { compacted: compacted.unsigned_abs() }),
        }
    }

    /// What an answer says that has not been said yet.
    fn item(&mut self, answer: &WatchResponse) -> Option<WatchItem> {
        if answer.events().is_empty() {
            let revision = revision_of(answer.header());
            let news = self.progress_is_safe && !answer.created() && revision + 1 >= self.next;
            if news {
                self.next = revision + 1;
            }
            return news.then_some(WatchItem::Progress(revision));
        }
        let mut events = Vec::with_capacity(answer.events().len());
        for event in answer.events() {
            let Some(item) = event.kv() else { continue };
            let revision = item.mod_revision().unsigned_abs();
            if revision < self.next {
                continue;
            }
            let (event, born) = match event.event_type() {
                EventType::Put => {
                    let item = key_value(item.clone());
                    let born = i64::from(item.create_revision == revision);
                    (Event::Put(item), born)
                }
                EventType::Delete => (Event::Delete { key: item.key().to_vec().into(), revision }, -1),
            };
            self.keys = self.keys.map(|keys| keys + born);
            events.push(event);
        }
        self.next = events.last()?.revision() + 1;
        Some(WatchItem::Events(events))
    }

    /// Finds out without etcd's progress answers whether all events were delivered, and tells so; answers whether it did.
    ///
    /// If no key of the range was put since the last event, and their number is as it was then, then nothing happened.
    async fn tell_progress(&mut self, items: &Items) -> bool {
        match self.probe().await {
            Ok(Some(revision)) => {
                self.next = self.next.max(revision + 1);
                // a closed channel is noticed by the caller
                drop(items.send(Ok(WatchItem::Progress(revision))).await);
                true
            }
            Ok(None) => false,
            Err(error) => {
                debug!(%error, "no progress from etcd");
                false
            }
        }
    }

    async fn probe(&mut self) -> Result<Option<Revision>, StoreError> {
        let options = || {
            let options = GetOptions::new();
            match end_of(&self.range) {
                Some(end) => options.with_range(end),
                None => options,
            }
        };
        let mut kv = self.kv.clone();
        let about = |error: &etcd_client::Error| error_of(error, Request::Range { at: self.next });
        let keys = match self.keys {
            Some(keys) => keys,
            None => {
                let then = options().with_count_only().with_revision(number(self.next - 1)?);
                kv.get(key_of(&self.range), Some(then)).await.map_err(|error| about(&error))?.count()
            }
        };
        let since = options().with_min_mod_revision(number(self.next)?).with_limit(1).with_keys_only();
        let now = kv.get(key_of(&self.range), Some(since)).await.map_err(|error| about(&error))?;
        let revision = revision_of(now.header());
        self.keys = Some(keys);
        let quiet = now.kvs().is_empty() && now.count() == keys && revision + 1 >= self.next;
        Ok(quiet.then_some(revision))
    }
}
