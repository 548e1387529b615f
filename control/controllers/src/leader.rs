//! Leader election by Lease: only the holder works. From the API server; to [`crate::runner`] and the scheduler.

use crate::informer::describe;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A lease that was not renewed for this long may be taken over.
const LEASE: Duration = Duration::from_secs(15);
/// A leader that could not renew for this long stops.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Pause between attempts.
const RETRY: Duration = Duration::from_secs(2);
/// `LEASE` as the API has it.
const LEASE_SECONDS: i32 = 15;

/// Calls `work` once the lease named `lease` is held; the token it gets is cancelled when the lease is lost.
///
/// # Errors
/// Those of `work`, and when the lease is lost: the caller should end the process or start anew.
pub async fn run_leading<F, Fut>(
    client: Client,
    lease: &'static str,
    stop: &CancellationToken,
    work: F,
) -> anyhow::Result<()>
where
    F: FnOnce(CancellationToken) -> Fut,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let identity = format!("skep_{:016x}", rand::random::<u64>());
    let mut candidate = Candidate::new(client, lease, identity);
    if !candidate.acquire(stop).await {
        return Ok(());
    }
    tracing::info!(lease, "lease acquired");
    let leading = stop.child_token();
    let working = tokio::spawn(work(leading.clone()));
    candidate.hold(stop).await;
    leading.cancel();
    working.await??;
    if stop.is_cancelled() { Ok(()) } else { anyhow::bail!("lease kube-system/{lease} lost") }
}

/// A candidate for a lease in kube-system.
#[derive(Debug)]
pub struct Candidate {
    api: Api<Lease>,
    lease: &'static str,
    identity: String,
    /// The last lease seen, and when: clocks of other machines are not trusted.
    seen: Option<(Lease, Instant)>,
}

impl Candidate {
    /// A candidate named `identity` for the lease named `lease`.
    pub fn new(client: Client, lease: &'static str, identity: String) -> Self {
        Self { api: Api::namespaced(client, "kube-system"), lease, identity, seen: None }
    }

    /// Waits until this candidate holds the lease; false when stopped before.
    pub async fn acquire(&mut self, stop: &CancellationToken) -> bool {
        loop {
            match self.attempt().await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => tracing::warn!(lease = self.lease, error = %describe(&error), "lease not acquired"),
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    /// Renews the lease until it is lost or `stop`; then gives it up.
    pub async fn hold(&mut self, stop: &CancellationToken) {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(RETRY) => {}
            }
            match tokio::time::timeout(RENEW_DEADLINE, self.attempt()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => {
                    tracing::error!(lease = self.lease, "lease lost to another holder");
                    return;
                }
                Ok(Err(error)) => tracing::warn!(lease = self.lease, error = %describe(&error), "lease not renewed"),
                Err(_) => tracing::warn!(lease = self.lease, "lease not renewed in time"),
            }
            if renewed.elapsed() > RENEW_DEADLINE {
                tracing::error!(lease = self.lease, "lease lost: not renewed before the deadline");
                return;
            }
        }
        self.give_up().await;
    }

    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let Some(lease) = self.api.get_opt(self.lease).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(self.lease.to_owned()), ..ObjectMeta::default() },
                spec: Some(self.held_spec(None)),
            };
            let created = self.api.create(&PostParams::default(), &lease).await?;
            self.seen = Some((created, Instant::now()));
            return Ok(true);
        };
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != lease) {
            self.seen = Some((lease.clone(), Instant::now()));
        }
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
        let fresh = self.seen.as_ref().is_some_and(|(_, at)| at.elapsed() < LEASE);
        if !holder.is_empty() && holder != self.identity && fresh {
            return Ok(false);
        }
        let spec = self.held_spec(lease.spec.as_ref());
        // The resource version fences: of two takers one gets a conflict.
        let taken = Lease { spec: Some(spec), ..lease };
        let updated = self.api.replace(self.lease, &PostParams::default(), &taken).await?;
        self.seen = Some((updated, Instant::now()));
        Ok(true)
    }

    fn held_spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let same = before.is_some_and(|spec| spec.holder_identity.as_deref() == Some(&self.identity));
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(LEASE_SECONDS),
            acquire_time: before
                .and_then(|spec| spec.acquire_time.clone())
                .filter(|_| same)
                .or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(if same || before.is_none() { transitions } else { transitions.saturating_add(1) }),
            ..LeaseSpec::default()
        }
    }

    async fn give_up(&mut self) {
        let Some((lease, _)) = self.seen.take() else { return };
        let spec = lease.spec.clone().map(|spec| LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            ..spec
        });
        let released = Lease { spec, ..lease };
        if let Err(error) = self.api.replace(self.lease, &PostParams::default(), &released).await {
            tracing::debug!(lease = self.lease, error = %describe(&error), "lease not given up");
        }
    }
}
