//! Bounds on what the server does at one time, and on the size of bodies. From the listener; to the verbs.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::body::Body;
use crate::config::Limits;
use crate::identity::{MASTERS, User};
use crate::request_info::RequestInfo;
use crate::status::ApiError;

/// Counts requests in flight.
#[derive(Debug)]
pub struct InFlight {
    mutating: Arc<Semaphore>,
    reading: Arc<Semaphore>,
}

impl InFlight {
    /// Limits by configuration.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            mutating: Arc::new(Semaphore::new(limits.max_mutating_in_flight)),
            reading: Arc::new(Semaphore::new(limits.max_in_flight)),
        }
    }

    /// Room for a request; held until it is answered. Watches, streams and `system:masters` are not limited.
    ///
    /// # Errors
    /// 429 when there is none.
    pub fn enter(&self, info: &RequestInfo, user: &User) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
        if info.is_long_running() || user.is_in(MASTERS) {
            return Ok(None);
        }
        let room = if info.is_mutating() { &self.mutating } else { &self.reading };
        let permit = Arc::clone(room).try_acquire_owned();
        permit.map(Some).map_err(|_full| ApiError::too_many_requests("Too many requests, please try again later.", 1))
    }
}

/// Reads a whole body.
///
/// # Errors
/// 413 when it is larger than `limit` bytes, 400 when it breaks off.
pub async fn read(mut body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| ApiError::bad_request(format!("read the request body: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if all.len() + first.as_ref().map_or(0, Bytes::len) + data.len() > limit {
            return Err(ApiError::too_large(limit));
        }
        match (first.take(), all.is_empty()) {
            // Nearly all bodies are one piece: it is not copied.
            (None, true) => first = Some(data),
            (Some(piece), _) => {
                all.extend_from_slice(&piece);
                all.extend_from_slice(&data);
            }
            (None, false) => all.extend_from_slice(&data),
        }
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}
