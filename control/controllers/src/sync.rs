//! Why a round of work fails. From the executors; to [`crate::tasks`], which repeats it. Pure.

use crate::informer::describe;

/// Why a round of work did not come to its end; it is repeated.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// A request failed.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// An object cannot be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Something must happen first.
    #[error("{0}")]
    NotYet(String),
    /// Several things failed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<SyncError>),
}

impl SyncError {
    /// Success if there is no error, else all of them.
    pub fn all(mut errors: Vec<Self>) -> Result<(), Self> {
        match errors.len() {
            0 => Ok(()),
            1 => errors.pop().map_or(Ok(()), Err),
            _ => Err(Self::Several(errors)),
        }
    }

    /// Whether the object was changed by somebody else meanwhile: an everyday thing, repeated at once.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.code == 409)
    }
}

/// Success also when the object is gone.
pub fn ignore_missing<T>(outcome: Result<T, kube::Error>) -> Result<Option<T>, kube::Error> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_code(&error, 404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the API server answered with this HTTP code.
pub fn is_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// Whether the API server answered with this reason.
pub fn has_reason(error: &kube::Error, reason: &str) -> bool {
    matches!(error, kube::Error::Api(status) if status.reason == reason)
}

/// The API server's message, or the error itself.
pub fn message_of(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error { status.message.clone() } else { describe(error) }
}
