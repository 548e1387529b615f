//! `/containerLogs`: container logs, past and following, with tail, since, previous, timestamps and byte limit; from log files;
//! to callers. Reads files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use k8s_openapi::api::core::v1::PodStatus;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncSeekExt as _, BufReader, SeekFrom};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Body, query, text};
use crate::cri::observed::Phase;
use crate::kubelet::Kubelet;
use crate::log_format;
use crate::pod;

/// Time between looks for new lines.
const POLL: Duration = Duration::from_millis(100);
/// Bytes read at once when looking for the last lines.
const BLOCK: u64 = 1 << 16;

/// What of a log is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    follow: bool,
    tail: Option<u64>,
    since: Option<jiff::Timestamp>,
    timestamps: bool,
    limit_bytes: Option<u64>,
    previous: bool,
    stream: Option<bool>,
}

impl Wanted {
    /// Out of a query string.
    ///
    /// # Errors
    /// A number or time is malformed; the text names it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pairs = query::parse(text);
        let number = |name: &str| -> Result<Option<u64>, String> {
            let found = query::first(&pairs, name).filter(|text| !text.is_empty());
            found.map(|text| text.parse().map_err(|_invalid| format!("invalid value {text:?} for {name}"))).transpose()
        };
        let since = match (number("sinceSeconds")?, query::first(&pairs, "sinceTime").filter(|text| !text.is_empty())) {
            (Some(seconds), _) => {
                let ago = jiff::SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
                Some(jiff::Timestamp::now().checked_sub(ago).unwrap_or(jiff::Timestamp::MIN))
            }
            (None, Some(time)) => {
                Some(time.parse().map_err(|_invalid| format!("invalid value {time:?} for sinceTime"))?)
            }
            (None, None) => None,
        };
        Ok(Self {
            follow: query::flag(&pairs, &["follow"]),
            tail: number("tailLines")?,
            since,
            timestamps: query::flag(&pairs, &["timestamps"]),
            limit_bytes: number("limitBytes")?,
            previous: query::flag(&pairs, &["previous"]),
            stream: match query::first(&pairs, "stream") {
                Some("Stdout") => Some(false),
                Some("Stderr") => Some(true),
                _ => None,
            },
        })
    }
}

/// Answers a request for logs.
pub fn answer(kubelet: &Arc<Kubelet>, namespace: &str, name: &str, container: &str, query: &str) -> Response<Body> {
    let wanted = match Wanted::parse(query) {
        Ok(wanted) => wanted,
        Err(error) => return text(StatusCode::UNPROCESSABLE_ENTITY, error),
    };
    let Some(view) = kubelet.find_pod(namespace, name, None) else {
        return text(StatusCode::NOT_FOUND, format!("pod {name:?} does not exist"));
    };
    if pod::find_container(&view.pod, container).is_none() {
        return text(StatusCode::NOT_FOUND, format!("container {container} not found in pod {name}"));
    }
    let instances: Vec<_> = view.state.instances(container).filter(|c| c.phase != Phase::Created).collect();
    let instance = if wanted.previous { instances.get(1) } else { instances.first() };
    let Some(instance) = instance else {
        let what = if wanted.previous { "previous terminated container" } else { "container" };
        let message = if wanted.previous {
            format!("{what} {container:?} in pod {name:?} not found")
        } else {
            format!(
                "{what} {container:?} in pod {name:?} is waiting to start: {}",
                waiting_reason(&view.status, container)
            )
        };
        return text(StatusCode::BAD_REQUEST, message);
    };
    let path = PathBuf::from(&instance.log_path);
    let source = Source { kubelet: Arc::clone(kubelet), uid: pod::uid(&view.pod).to_owned(), id: instance.id.clone() };
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        if let Err(error) = copy(&path, &wanted, &source, &sender).await {
            tracing::debug!(path = %path.display(), %error, "read log");
        }
    });
    let stream =
        StreamBody::new(tokio_stream::StreamExt::map(ReceiverStream::new(receiver), |bytes| Ok(Frame::data(bytes))));
    let mut answer = Response::new(stream.boxed());
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain"));
    answer
}

/// Why a container has not started, in the words of the API.
fn waiting_reason(status: &PodStatus, container: &str) -> String {
    let lists = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    let found = lists.into_iter().flatten().flatten().find(|status| status.name == container);
    let waiting = found.and_then(|status| status.state.as_ref()?.waiting.as_ref()?.reason.clone());
    match waiting.as_deref() {
        Some("ErrImagePull") => "image can't be pulled".to_owned(),
        Some("ImagePullBackOff") => "trying and failing to pull image".to_owned(),
        Some(reason) => reason.to_owned(),
        None => "ContainerCreating".to_owned(),
    }
}

/// Whose log it is, to know when it ends.
struct Source {
    kubelet: Arc<Kubelet>,
    uid: String,
    id: String,
}

impl Source {
    fn is_running(&self) -> bool {
        let pods = self.kubelet.pods.read();
        pods.get(&self.uid).is_some_and(|view| {
            view.state.containers.iter().any(|c| c.id == self.id && matches!(c.phase, Phase::Running | Phase::Created))
        })
    }
}

async fn copy(path: &Path, wanted: &Wanted, source: &Source, sender: &mpsc::Sender<Bytes>) -> std::io::Result<()> {
    let mut file = File::open(path).await?;
    let start = match wanted.tail {
        Some(lines) => tail_offset(&mut file, lines).await?,
        None => 0,
    };
    file.seek(SeekFrom::Start(start)).await?;
    let mut reader = BufReader::new(file);
    let mut out = Out { wanted, left: wanted.limit_bytes, line_open: false };
    let mut line = Vec::new();
    loop {
        // Asked before reading: what was written before the end is still read.
        let running = wanted.follow && source.is_running();
        let read = reader.read_until(b'\n', &mut line).await?;
        if line.ends_with(b"\n") {
            line.pop();
            let bytes = out.format(&String::from_utf8_lossy(&line));
            line.clear();
            if !bytes.is_empty() && sender.send(Bytes::from(bytes)).await.is_err() {
                return Ok(());
            }
            if out.left == Some(0) {
                return Ok(());
            }
            continue;
        }
        if read == 0 && !running {
            return Ok(());
        }
        if read == 0 {
            if rotated(path, reader.get_ref()).await {
                reader = BufReader::new(File::open(path).await?);
                continue;
            }
            tokio::select! {
                () = sender.closed() => return Ok(()),
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }
}

/// Whether the path names another file by now.
async fn rotated(path: &Path, open: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (tokio::fs::metadata(path).await, open.metadata().await) {
        (Ok(named), Ok(open)) => named.ino() != open.ino(),
        _ => false,
    }
}

struct Out<'a> {
    wanted: &'a Wanted,
    left: Option<u64>,
    line_open: bool,
}

impl Out<'_> {
    /// What the caller gets of one line of the file.
    fn format(&mut self, line: &str) -> Vec<u8> {
        let Some(entry) = log_format::parse(line) else { return Vec::new() };
        if self.wanted.stream.is_some_and(|stderr| stderr != entry.is_stderr) {
            return Vec::new();
        }
        if let Some(since) = self.wanted.since
            && entry.time.parse::<jiff::Timestamp>().is_ok_and(|time| time < since)
        {
            return Vec::new();
        }
        let mut bytes = Vec::with_capacity(line.len());
        if self.wanted.timestamps && !self.line_open {
            bytes.extend_from_slice(entry.time.as_bytes());
            bytes.push(b' ');
        }
        bytes.extend_from_slice(entry.text.as_bytes());
        if !entry.partial {
            bytes.push(b'\n');
        }
        self.line_open = entry.partial;
        if let Some(left) = &mut self.left {
            let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(*left);
            bytes.truncate(usize::try_from(size).unwrap_or(usize::MAX));
            *left -= size;
        }
        bytes
    }
}

/// Where the last `lines` lines begin.
async fn tail_offset(file: &mut File, lines: u64) -> std::io::Result<u64> {
    let size = file.metadata().await?.len();
    if lines == 0 {
        return Ok(size);
    }
    let mut found = 0;
    let mut end = size;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start)).await?;
        let mut block = vec![0; usize::try_from(end - start).unwrap_or_default()];
        file.read_exact(&mut block).await?;
        for (index, byte) in block.iter().enumerate().rev() {
            let offset = start + u64::try_from(index).unwrap_or_default();
            // The newline at the very end closes the last line.
            if *byte == b'\n' && offset + 1 != size {
                found += 1;
                if found == lines {
                    return Ok(offset + 1);
                }
            }
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_queries() {
        let wanted = Wanted::parse("follow=true&tailLines=5&timestamps=true&limitBytes=9&previous=true").unwrap();
        assert!(wanted.follow && wanted.timestamps && wanted.previous);
        assert_eq!((wanted.tail, wanted.limit_bytes), (Some(5), Some(9)));
        assert_eq!(Wanted::parse("tailLines=x").unwrap_err(), "invalid value \"x\" for tailLines");
        assert!(Wanted::parse("sinceTime=2026-01-01T00%3A00%3A00Z").unwrap().since.is_some());
    }

    #[test]
    fn formats_lines() {
        let format = |wanted: Wanted, lines: &[&str]| {
            let mut out = Out { left: wanted.limit_bytes, wanted: &wanted, line_open: false };
            let bytes: Vec<u8> = lines.iter().flat_map(|line| out.format(line)).collect();
            String::from_utf8(bytes).unwrap()
        };
        let lines =
            ["2026-01-01T00:00:00Z stdout P ab", "2026-01-01T00:00:01Z stdout F cd", "2026-01-01T00:00:02Z stderr F e"];
        assert_eq!(format(Wanted::default(), &lines), "abcd\ne\n");
        let stamped = Wanted { timestamps: true, ..Wanted::default() };
        assert_eq!(format(stamped, &lines), "2026-01-01T00:00:00Z abcd\n2026-01-01T00:00:02Z e\n");
        let since = Wanted { since: Some("2026-01-01T00:00:02Z".parse().unwrap()), ..Wanted::default() };
        assert_eq!(format(since, &lines), "e\n");
        assert_eq!(format(Wanted { limit_bytes: Some(3), ..Wanted::default() }, &lines), "abc");
    }

    #[tokio::test]
    async fn finds_the_last_lines() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let text: String = (0..50_000).map(|n| format!("{n}\n")).collect();
        std::fs::write(&path, &text).unwrap();
        let mut file = File::open(&path).await.unwrap();
        for lines in [0_u64, 1, 3, 40_000, 100_000] {
            let offset = usize::try_from(tail_offset(&mut file, lines).await.unwrap()).unwrap();
            let count = text[offset..].lines().count();
            assert_eq!(count, usize::try_from(lines.min(50_000)).unwrap());
        }
    }
}
