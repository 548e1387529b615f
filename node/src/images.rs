//! Has a container's image ready: pull policy, credentials, back-off, and the events people look for; from
//! [`pod_worker`](crate::pod_worker); to [`cri`](crate::cri). Performs IO.

use std::time::Duration;

use k8s_cri::v1 as api;
use k8s_openapi::api::core::v1::{Container, Pod};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::cri::Runtime;
use crate::events::{Events, Kind};
use crate::image::reference::{normalize, registry};
use crate::pod;
use crate::spec::security::ImageUser;
use crate::status::Waiting;

pub mod credentials;

/// An image that is there.
#[derive(Clone, Debug)]
pub struct Ready {
    /// As the runtime names it: what containers are made of.
    pub reference: String,
    /// Its user.
    pub user: ImageUser,
}

/// Pulls images.
pub struct Images {
    runtime: Runtime,
    events: Events,
    backoff: Mutex<Backoff<String>>,
    last_error: Mutex<std::collections::HashMap<String, String>>,
}

fn waiting(reason: &str, message: impl Into<String>) -> Waiting {
    Waiting { reason: reason.to_owned(), message: message.into() }
}

impl Images {
    /// A puller.
    pub fn new(runtime: Runtime, events: Events) -> Self {
        let backoff = Mutex::new(Backoff::new(Duration::from_secs(10), Duration::from_secs(300)));
        Self { runtime, events, backoff, last_error: Mutex::default() }
    }

    /// The image of a container, pulled if the policy wants it.
    ///
    /// # Errors
    /// Reason and message of the container's waiting state.
    pub async fn ensure(
        &self,
        pod: &Pod,
        container: &Container,
        credentials: &[credentials::Credential],
    ) -> Result<Ready, Waiting> {
        let name = container.image.as_deref().unwrap_or_default();
        let event = |kind, reason: &str, text: String| self.events.pod(pod, Some(&container.name), kind, reason, text);
        let full = normalize(name).map_err(|error| {
            let message =
                format!("Failed to apply default image tag \"{name}\": couldn't parse image name \"{name}\": {error}");
            event(Kind::Warning, "InspectFailed", message.clone());
            waiting("InvalidImageName", message)
        })?;
        let present = self.runtime.image_status(&full).await.map_err(|error| {
            let message = format!("Failed to inspect image \"{name}\": {error}");
            event(Kind::Warning, "InspectFailed", message.clone());
            waiting("ImageInspectError", message)
        })?;
        match (present, pod::pull_policy(container)) {
            (Some(image), "IfNotPresent" | "Never") => {
                let text = format!("Container image \"{name}\" already present on machine");
                event(Kind::Normal, "Pulled", text);
                Ok(ready(&full, image))
            }
            (None, "Never") => {
                let message = format!("Container image \"{name}\" is not present with pull policy of Never");
                event(Kind::Warning, "ErrImageNeverPull", message.clone());
                Err(waiting("ErrImageNeverPull", message))
            }
            _ => Box::pin(self.pull(pod, container, &full, credentials)).await,
        }
    }

    async fn pull(
        &self,
        pod: &Pod,
        container: &Container,
        full: &str,
        credentials: &[credentials::Credential],
    ) -> Result<Ready, Waiting> {
        let name = container.image.as_deref().unwrap_or_default();
        let event = |kind, reason: &str, text: String| self.events.pod(pod, Some(&container.name), kind, reason, text);
        let key = format!("{}_{full}", pod::uid(pod));
        if self.backoff.lock().remaining_since_growth(&key, Instant::now()).is_some() {
            event(Kind::Normal, "BackOff", format!("Back-off pulling image \"{name}\""));
            let last = self.last_error.lock().get(&key).cloned().unwrap_or_default();
            return Err(waiting(
                "ImagePullBackOff",
                format!("Back-off pulling image \"{name}\": ErrImagePull: {last}"),
            ));
        }
        event(Kind::Normal, "Pulling", format!("Pulling image \"{name}\""));
        let started = Instant::now();
        let mut tries = credentials::for_registry(credentials, registry(full));
        tries.push(None);
        let mut last = String::new();
        for auth in tries {
            match self.runtime.pull_image(full, auth, None).await {
                Ok(_) => {
                    let image = self.runtime.image_status(full).await.ok().flatten().unwrap_or_default();
                    let took = started.elapsed();
                    let size = image.size;
                    event(
                        Kind::Normal,
                        "Pulled",
                        format!(
                            "Successfully pulled image \"{name}\" in {} ({} including waiting). Image size: {size} bytes.",
                            shown(took),
                            shown(took)
                        ),
                    );
                    self.backoff.lock().reset(&key);
                    self.last_error.lock().remove(&key);
                    return Ok(ready(full, image));
                }
                Err(error) => last = error.to_string(),
            }
        }
        event(Kind::Warning, "Failed", format!("Failed to pull image \"{name}\": {last}"));
        self.backoff.lock().grow(key.clone(), Instant::now());
        self.last_error.lock().insert(key, last.clone());
        Err(waiting("ErrImagePull", last))
    }

    /// Forgets the failures of a pod that is gone.
    pub fn forget(&self, uid: &str) {
        let prefix = format!("{uid}_");
        let mut errors = self.last_error.lock();
        let mut backoff = self.backoff.lock();
        errors.retain(|key, _| {
            let gone = key.starts_with(&prefix);
            if gone {
                backoff.reset(key);
            }
            !gone
        });
    }
}

fn ready(full: &str, image: api::Image) -> Ready {
    let reference = if image.id.is_empty() { full.to_owned() } else { image.id };
    let uid = image.uid.map(|uid| uid.value);
    Ready { reference, user: ImageUser { uid, name: image.username } }
}

/// A duration as Go prints it, to the millisecond.
fn shown(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms < 1000 {
        format!("{ms}ms")
    } else {
        format!("{}s", duration.as_secs_f64().mul_add(1000.0, 0.0).round() / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_know_them() {
        assert_eq!(shown(Duration::from_millis(321)), "321ms");
        assert_eq!(shown(Duration::from_millis(1234)), "1.234s");
        assert_eq!(shown(Duration::from_secs(5)), "5s");
    }
}
