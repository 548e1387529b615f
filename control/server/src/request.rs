//! A request after the filters. From the listener; to the verbs.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Method, Uri};
use parking_lot::Mutex;
use skep_api::decode::MediaType;
use skep_api::ownership;

use crate::body::Body;
use crate::filters::authenticate::Connection;
use crate::filters::limit;
use crate::identity::User;
use crate::query::Query;
use crate::registry::write::Warnings;
use crate::request_info::RequestInfo;
use crate::status::ApiError;

/// Media types of bodies, as the 415 names them.
pub const ACCEPTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// A request with all that the filters found out about it.
#[derive(Debug)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// URL.
    pub uri: Uri,
    /// Headers.
    pub headers: HeaderMap,
    /// Decoded query.
    pub query: Query,
    /// What it asks for.
    pub info: Arc<RequestInfo>,
    /// Who asks.
    pub user: User,
    /// Where it came in.
    pub connection: Connection,
    /// The handle for taking over the connection, when the client may ask for that.
    pub upgrade: Option<hyper::upgrade::OnUpgrade>,
    /// The body; taken by the verb that reads it.
    pub body: Mutex<Option<Body>>,
    /// What the client is told in `Warning` headers, whatever the answer.
    pub warnings: Arc<Warnings>,
    /// Bytes a body may have.
    pub max_body_bytes: usize,
}

impl Request {
    /// Reads the whole body.
    ///
    /// # Errors
    /// 413 or 400.
    pub async fn read_body(&mut self) -> Result<Bytes, ApiError> {
        match self.body.get_mut().take() {
            Some(body) => limit::read(body, self.max_body_bytes).await,
            None => Ok(Bytes::new()),
        }
    }

    /// A header as text; empty when absent.
    #[must_use]
    pub fn header(&self, name: http::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body's media type.
    ///
    /// # Errors
    /// 415 when we cannot read it.
    pub fn media_type(&self) -> Result<MediaType, ApiError> {
        MediaType::from_content_type(self.header(CONTENT_TYPE))
            .ok_or_else(|| ApiError::unsupported_media_type(ACCEPTED))
    }

    /// Who writes: `fieldManager`, or else the name in `User-Agent`.
    #[must_use]
    pub fn manager(&self) -> String {
        ownership::manager_name(self.query.text("fieldManager"), self.header(USER_AGENT))
    }
}
