//! The API without TCP: a tower service for components of the same process, with the identity they were given. From `kube::Client`; to
//! the same handler and filters as everybody's requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::answer::Answer;
use crate::api::Api;
use crate::body::{self, BoxError};
use crate::filters::authenticate::Connection;
use crate::handler;
use crate::identity::User;

/// The API as one user sees it.
#[derive(Clone, Debug)]
pub struct LocalService {
    api: Arc<Api>,
    user: Arc<User>,
}

impl LocalService {
    pub(crate) fn new(api: Arc<Api>, user: User) -> Self {
        Self { api, user: Arc::new(user) }
    }
}

impl<B> tower::Service<http::Request<B>> for LocalService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let (api, connection) = (Arc::clone(&self.api), Connection::Local(Arc::clone(&self.user)));
        Box::pin(async move { Ok(handler::handle(api, request.map(body::boxed), connection).await) })
    }
}
