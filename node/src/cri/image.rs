//! Images over CRI; from [`images`](crate::images) and [`node_status`](crate::node_status); to the runtime. Performs IO.

use std::time::Duration;

use k8s_cri::v1 as api;

use super::{CALL_LIMIT, CriError, Runtime, limited};

/// Longest pull.
const PULL_LIMIT: Duration = Duration::from_secs(1800);

fn spec(image: &str) -> api::ImageSpec {
    api::ImageSpec { image: image.to_owned(), ..api::ImageSpec::default() }
}

impl Runtime {
    /// The image of that reference, if the runtime has it.
    ///
    /// # Errors
    /// The call failed, for example as the reference is malformed.
    pub async fn image_status(&self, image: &str) -> Result<Option<api::Image>, CriError> {
        let request = api::ImageStatusRequest { image: Some(spec(image)), verbose: false };
        Ok(limited("ImageStatus", CALL_LIMIT, self.images().image_status(request)).await?.image)
    }

    /// Fetches an image from its registry; returns the runtime's reference of it.
    ///
    /// # Errors
    /// The call failed; the text is the event's.
    pub async fn pull_image(
        &self,
        image: &str,
        auth: Option<api::AuthConfig>,
        sandbox: Option<api::PodSandboxConfig>,
    ) -> Result<String, CriError> {
        let request = api::PullImageRequest { image: Some(spec(image)), auth, sandbox_config: sandbox };
        Ok(limited("PullImage", PULL_LIMIT, Box::pin(self.images().pull_image(request))).await?.image_ref)
    }

    /// Every image of the runtime.
    ///
    /// # Errors
    /// The call failed.
    pub async fn list_images(&self) -> Result<Vec<api::Image>, CriError> {
        let request = api::ListImagesRequest { filter: None };
        Ok(limited("ListImages", CALL_LIMIT, self.images().list_images(request)).await?.images)
    }

    /// Removes an image.
    ///
    /// # Errors
    /// The call failed.
    pub async fn remove_image(&self, image: &str) -> Result<(), CriError> {
        let request = api::RemoveImageRequest { image: Some(spec(image)) };
        limited("RemoveImage", CALL_LIMIT, self.images().remove_image(request)).await.map(drop)
    }

    /// Use of the file system that holds images.
    ///
    /// # Errors
    /// The call failed.
    pub async fn image_filesystems(&self) -> Result<Vec<api::FilesystemUsage>, CriError> {
        let answer =
            limited("ImageFsInfo", CALL_LIMIT, self.images().image_fs_info(api::ImageFsInfoRequest {})).await?;
        Ok(answer.image_filesystems)
    }
}
