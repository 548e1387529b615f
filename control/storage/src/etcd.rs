//! etcd v3 as a store, for several API servers; from the `Store` trait; to etcd over gRPC.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{
    Certificate, Client, ConnectOptions, Error, GetOptions, Identity, KvClient, LeaseClient, TlsOptions, WatchClient,
};
use futures::FutureExt as _;
use tokio::time::timeout;

use self::convert::{
    Request, error_of, get_options, key_of, number, range_response, revision_of, txn_of, txn_response,
};
use crate::key::KeyRange;
use crate::store::{
    LeaseId, RangeRequest, RangeResponse, Revision, Status, Store, StoreError, StoreFuture, Txn, TxnResponse, Watch,
};

mod convert;
mod watch;

/// The largest answer taken: a page of the largest objects.
const MAX_MESSAGE_BYTES: usize = 1 << 30;
/// A key that is read to see whether etcd answers.
const HEALTH_KEY: &str = "/health";

/// How to reach etcd.
#[derive(Clone)]
pub struct Options {
    /// `http://` or `https://` addresses of the members' client ports.
    pub endpoints: Vec<String>,
    /// Needed for `https://` endpoints.
    pub tls: Option<Tls>,
    /// A request without answer fails after this.
    pub request_timeout: Duration,
}

impl Options {
    /// Plain connections to these endpoints.
    pub fn new(endpoints: Vec<String>) -> Self {
        Self { endpoints, tls: None, request_timeout: Duration::from_secs(10) }
    }
}

/// Certificates for etcd, in PEM.
#[derive(Clone)]
pub struct Tls {
    /// The authority that etcd's certificates are checked against.
    pub ca_pem: Vec<u8>,
    /// The client certificate and its key, when etcd asks for one.
    pub client: Option<ClientCertificate>,
}

/// A certificate with its key, in PEM.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate chain.
    pub certificate_pem: Vec<u8>,
    /// The private key.
    pub key_pem: Vec<u8>,
}

/// A connection to an etcd cluster.
pub struct Etcd {
    client: Client,
    options: Options,
    /// Whether etcd's answers to progress requests are never ahead of the events (etcd issue 15220).
    progress_is_safe: bool,
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd").field("endpoints", &self.options.endpoints).finish_non_exhaustive()
    }
}

impl Etcd {
    /// Connects and asks for the version; fails when no member answers.
    ///
    /// # Errors
    /// `Invalid` for endpoints or certificates, `Unavailable`.
    pub async fn connect(options: Options) -> Result<Arc<Self>, StoreError> {
        let mut connect = ConnectOptions::new()
            .with_connect_timeout(Duration::from_secs(5))
            .with_keep_alive(Duration::from_secs(10), Duration::from_secs(5))
            .with_keep_alive_while_idle(true);
        if let Some(tls) = &options.tls {
            let mut with = TlsOptions::new().ca_certificate(Certificate::from_pem(&tls.ca_pem));
            if let Some(client) = &tls.client {
                with = with.identity(Identity::from_pem(&client.certificate_pem, &client.key_pem));
            }
            connect = connect.with_tls(with);
        }
        let client = Client::connect(&options.endpoints, Some(connect))
            .await
            .map_err(|error| error_of(&error, Request::Other))?;
        let mut etcd = Self { client, options, progress_is_safe: false };
        let mut maintenance = etcd.client.clone();
        let status = etcd.within(Request::Other, maintenance.status()).await?;
        etcd.progress_is_safe = progress_is_safe(status.version());
        Ok(Arc::new(etcd))
    }

    fn kv(&self) -> KvClient {
        self.client
            .kv_client()
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn watches(&self) -> WatchClient {
        self.client.watch_client().max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn leases(&self) -> LeaseClient {
        self.client.lease_client()
    }

    /// The answer to a request, or why there is none.
    async fn within<T>(
        &self,
        request: Request,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, StoreError> {
        match timeout(self.options.request_timeout, answer).await {
            Ok(answer) => answer.map_err(|error| error_of(&error, request)),
            Err(_elapsed) => {
                let seconds = self.options.request_timeout.as_secs();
                Err(StoreError::Unavailable { reason: format!("no answer from etcd in {seconds} s") })
            }
        }
    }

    async fn read(&self, request: RangeRequest) -> Result<RangeResponse, StoreError> {
        if request.range.is_empty() {
            return Ok(RangeResponse { revision: self.newest().await?, ..RangeResponse::default() });
        }
        let about = Request::Range { at: request.at.unwrap_or(0) };
        let mut kv = self.kv();
        let answer = self.within(about, kv.get(key_of(&request.range), Some(get_options(&request)?))).await?;
        Ok(range_response(answer, request.count_only))
    }

    async fn newest(&self) -> Result<Revision, StoreError> {
        let mut kv = self.kv();
        let options = GetOptions::new().with_count_only();
        let answer = self.within(Request::Other, kv.get(HEALTH_KEY, Some(options))).await?;
        Ok(revision_of(answer.header()))
    }
}

/// Whether this version of etcd has the fix for progress answers that overtake events.
fn progress_is_safe(version: &str) -> bool {
    let mut parts = version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    match version {
        (3, 4, patch) => patch >= 25,
        (3, 5, patch) => patch >= 8,
        version => version >= (3, 6, 0),
    }
}

impl Store for Etcd {
    fn range(&self, request: RangeRequest) -> StoreFuture<'_, RangeResponse> {
        self.read(request).boxed()
    }

    fn txn(&self, txn: Txn) -> StoreFuture<'_, TxnResponse> {
        async move {
            let (request, about) = txn_of(txn)?;
            let mut kv = self.kv();
            Ok(txn_response(&self.within(about, kv.txn(request)).await?))
        }
        .boxed()
    }

    fn watch(&self, range: KeyRange, from: Revision) -> StoreFuture<'_, Watch> {
        async move {
            let from = if from == 0 { self.newest().await? + 1 } else { from };
            let follow = watch::Follow::new(self.watches(), self.kv(), range, from, self.progress_is_safe);
            timeout(self.options.request_timeout, follow.start()).await.unwrap_or_else(|_elapsed| {
                Err(StoreError::Unavailable { reason: "etcd does not answer the watch".to_owned() })
            })
        }
        .boxed()
    }

    fn revision(&self) -> StoreFuture<'_, Revision> {
        self.newest().boxed()
    }

    fn lease_grant(&self, ttl: Duration) -> StoreFuture<'_, LeaseId> {
        async move {
            let mut leases = self.leases();
            let seconds = number(ttl.as_secs().max(1))?;
            let answer = self.within(Request::Other, leases.grant(seconds, None)).await?;
            Ok(LeaseId(answer.id().unsigned_abs()))
        }
        .boxed()
    }

    fn lease_keep_alive(&self, lease: LeaseId) -> StoreFuture<'_, Duration> {
        async move {
            let mut leases = self.leases();
            let id = number(lease.0)?;
            let answer = self.within(Request::Lease { lease }, async {
                let (mut keeper, mut answers) = leases.keep_alive(id).await?;
                keeper.keep_alive().await?;
                answers.message().await
            });
            match answer.await?.map_or(0, |answer| answer.ttl()) {
                ..=0 => Err(StoreError::LeaseNotFound { lease }),
                seconds => Ok(Duration::from_secs(seconds.unsigned_abs())),
            }
        }
        .boxed()
    }

    fn lease_revoke(&self, lease: LeaseId) -> StoreFuture<'_, ()> {
        async move {
            let mut leases = self.leases();
            let id = number(lease.0)?;
            self.within(Request::Lease { lease }, leases.revoke(id)).await.map(drop)
        }
        .boxed()
    }

    fn compact(&self, revision: Revision) -> StoreFuture<'_, ()> {
        async move {
            let mut kv = self.kv();
            let about = Request::Range { at: revision };
            self.within(about, kv.compact(number(revision)?, None)).await.map(drop)
        }
        .boxed()
    }

    fn health(&self) -> StoreFuture<'_, ()> {
        async move {
            let mut maintenance = self.client.clone();
            let status = self.within(Request::Other, maintenance.status()).await?;
            if let Some(problem) = status.errors().first() {
                return Err(StoreError::Unavailable { reason: problem.clone() });
            }
            self.newest().await.map(drop)
        }
        .boxed()
    }

    fn status(&self) -> StoreFuture<'_, Status> {
        async move {
            let mut maintenance = self.client.clone();
            let status = self.within(Request::Other, maintenance.status()).await?;
            let disk_bytes = status.db_size().unsigned_abs();
            let live_bytes = status.raft_used_db_size().unsigned_abs();
            let revision = revision_of(status.header());
            Ok(Status { revision, compacted: 0, disk_bytes, live_bytes, keys: 0 })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
