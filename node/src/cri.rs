//! The container runtime over CRI v1 (tonic, unix socket): typed calls with time limits; from [`pod_worker`](crate::pod_worker)
//! and [`relist`](crate::relist); to the runtime. Performs IO.

use std::path::PathBuf;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{self as api};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

pub mod container;
pub mod image;
pub mod observed;
pub mod sandbox;

/// Label: name of the container.
pub const LABEL_CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// Label: name of the pod.
pub const LABEL_POD_NAME: &str = "io.kubernetes.pod.name";
/// Label: namespace of the pod.
pub const LABEL_POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Label: UID of the pod. Objects without it are not ours and stay untouched.
pub const LABEL_POD_UID: &str = "io.kubernetes.pod.uid";
/// Annotation: digest of the container's definition.
pub const ANNOTATION_HASH: &str = "io.kubernetes.container.hash";
/// Annotation: how often the container was restarted before this instance.
pub const ANNOTATION_RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
/// Annotation: where the container writes its termination message.
pub const ANNOTATION_TERMINATION_PATH: &str = "io.kubernetes.container.terminationMessagePath";
/// Annotation: `File` or `FallbackToLogsOnError`.
pub const ANNOTATION_TERMINATION_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// Annotation: the pod's grace period, for pods whose spec is gone.
pub const ANNOTATION_GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";

/// Limit of ordinary calls.
const CALL_LIMIT: Duration = Duration::from_secs(120);
/// Limit of starting a sandbox, which runs the network plugins.
const SANDBOX_LIMIT: Duration = Duration::from_secs(240);
/// Largest answer accepted: lists of images and containers.
const MESSAGE_LIMIT: usize = 64 << 20;

/// What a call can end with.
#[derive(Debug, thiserror::Error)]
pub enum CriError {
    /// The runtime answered with an error (or is not there: code `Unavailable`).
    #[error("rpc error: code = {:?} desc = {}", .0.code(), .0.message())]
    Rpc(#[from] tonic::Status),
    /// No answer in time.
    #[error("rpc error: code = DeadlineExceeded desc = no answer to {call} within {limit:?}")]
    Timeout {
        /// The call.
        call: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// An answer lacks a field it must have.
    #[error("runtime answered {call} without {field}")]
    Missing {
        /// The call.
        call: &'static str,
        /// The absent field.
        field: &'static str,
    },
    /// The endpoint is not `unix://PATH`.
    #[error("container runtime endpoint {0:?} is not unix:///PATH")]
    Endpoint(String),
}

impl CriError {
    /// Whether the object asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Rpc(status) if status.code() == tonic::Code::NotFound)
    }
}

/// A handle on the runtime; cheap to clone, connects when used and again after the runtime restarted.
#[derive(Clone, Debug)]
pub struct Runtime {
    channel: Channel,
    socket: PathBuf,
}

impl Runtime {
    /// A handle for `unix:///PATH`. Does not connect yet.
    ///
    /// # Errors
    /// The endpoint is not a unix socket.
    pub fn new(endpoint: &str) -> Result<Self, CriError> {
        let path = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
        if !path.starts_with('/') {
            return Err(CriError::Endpoint(endpoint.to_owned()));
        }
        Ok(Self { channel: unix_channel(PathBuf::from(path)), socket: PathBuf::from(path) })
    }

    /// Path of the runtime's socket.
    pub fn socket(&self) -> &std::path::Path {
        &self.socket
    }

    fn service(&self) -> RuntimeServiceClient<Channel> {
        RuntimeServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    fn images(&self) -> ImageServiceClient<Channel> {
        ImageServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    /// Name and version of the runtime.
    ///
    /// # Errors
    /// The call failed.
    pub async fn version(&self) -> Result<api::VersionResponse, CriError> {
        let request = api::VersionRequest { version: "v1".to_owned() };
        limited("Version", CALL_LIMIT, self.service().version(request)).await
    }

    /// Conditions of runtime and network.
    ///
    /// # Errors
    /// The call failed.
    pub async fn status(&self) -> Result<Vec<api::RuntimeCondition>, CriError> {
        let answer =
            limited("Status", CALL_LIMIT, self.service().status(api::StatusRequest { verbose: false })).await?;
        Ok(answer.status.unwrap_or_default().conditions)
    }

    /// The stream of container events, where the runtime has one.
    ///
    /// # Errors
    /// `Unimplemented` on runtimes without.
    pub async fn events(&self) -> Result<tonic::Streaming<api::ContainerEventResponse>, CriError> {
        limited("GetContainerEvents", CALL_LIMIT, self.service().get_container_events(api::GetEventsRequest {})).await
    }

    /// Tells the runtime the node's pod range (a no-op where the network configuration is given otherwise).
    ///
    /// # Errors
    /// The call failed.
    pub async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<(), CriError> {
        let config = api::RuntimeConfig { network_config: Some(api::NetworkConfig { pod_cidr: pod_cidr.to_owned() }) };
        let request = api::UpdateRuntimeConfigRequest { runtime_config: Some(config) };
        limited("UpdateRuntimeConfig", CALL_LIMIT, self.service().update_runtime_config(request)).await.map(drop)
    }

    /// Resource use of every container.
    ///
    /// # Errors
    /// The call failed.
    pub async fn container_stats(&self) -> Result<Vec<api::ContainerStats>, CriError> {
        let request = api::ListContainerStatsRequest { filter: None };
        Ok(limited("ListContainerStats", CALL_LIMIT, self.service().list_container_stats(request)).await?.stats)
    }
}

/// A lazy gRPC channel over a unix socket.
pub(crate) fn unix_channel(socket: PathBuf) -> Channel {
    let connect = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(connect)
}

/// Awaits a call at most `limit`.
async fn limited<T>(
    call: &'static str,
    limit: Duration,
    future: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, CriError> {
    match tokio::time::timeout(limit, future).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_elapsed) => Err(CriError::Timeout { call, limit }),
    }
}
