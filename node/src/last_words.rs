//! Termination messages: what a container wrote to its message file, or the end of its log; from the pod's directory; to
//! [`status`](crate::status). Reads files.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use crate::cri::observed::ContainerState;
use crate::cri::{ANNOTATION_TERMINATION_PATH, ANNOTATION_TERMINATION_POLICY};
use crate::log_format;

/// Longest message from the file.
const FILE_LIMIT: u64 = 4096;
/// Longest message from the log.
const LOG_BYTES: u64 = 2048;
const LOG_LINES: usize = 80;

/// The message of an ended container, empty if it left none.
pub fn read(container: &ContainerState) -> String {
    let path = container.annotations.get(ANNOTATION_TERMINATION_PATH);
    let mounted = container.mounts.iter().find(|(inside, _)| Some(inside) == path).map(|(_, outside)| outside);
    let mut text = mounted.map(|path| head(Path::new(path))).unwrap_or_default();
    let policy = container.annotations.get(ANNOTATION_TERMINATION_POLICY).map(String::as_str);
    if text.is_empty() && policy == Some("FallbackToLogsOnError") && container.exit_code != 0 {
        text = log_end(Path::new(&container.log_path));
    }
    text
}

fn head(path: &Path) -> String {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(FILE_LIMIT).read_to_end(&mut bytes)) {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_absent) => String::new(),
    }
}

fn log_end(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        // Timestamps and tags take room beside the text.
        let start = file.metadata()?.len().saturating_sub(LOG_BYTES * 16);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter_map(|line| log_format::parse(line).map(|entry| entry.text)).collect();
    let start = lines.len().saturating_sub(LOG_LINES);
    let mut out = lines.get(start..).unwrap_or_default().join("\n");
    if !out.is_empty() {
        out.push('\n');
    }
    let limit = usize::try_from(LOG_BYTES).unwrap_or(usize::MAX);
    let cut = (out.len().saturating_sub(limit)..=out.len()).find(|at| out.is_char_boundary(*at)).unwrap_or(0);
    out.split_off(cut)
}
