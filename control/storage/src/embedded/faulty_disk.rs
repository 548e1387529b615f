//! A disk in memory that loses power and fills up; from tests; to the engine in place of [`super::disk::RealDisk`].
//!
//! It keeps apart what is durable and what was only written: after a power cut, any part of what was written but not synced
//! may be there, in units of sectors and in any order, and the newest names may be missing.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::disk::{Disk, DiskFile};

const SECTOR: usize = 512;

/// The disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct FaultyDisk(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    names: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    durable_names: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    /// Changes of names since the directory was synced, oldest first.
    renames: Vec<BTreeMap<PathBuf, Arc<Mutex<Content>>>>,
    locked: Arc<AtomicBool>,
    /// Operations until the power is cut; `None`: never.
    left: Option<u64>,
    /// Bytes until the disk is full; `None`: never.
    room: Option<u64>,
    random: u64,
}

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
}

#[derive(Clone, Debug)]
enum Unsynced {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Inner {
    /// splitmix64
    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }

    /// Counts an operation; an error when there is no power.
    fn operate(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => Err(io::Error::other("the power is cut")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn names_changed(&mut self) {
        let names = self.names.clone();
        self.renames.push(names);
    }

    fn find(&self, path: &Path) -> io::Result<Arc<Mutex<Content>>> {
        self.names.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Unsynced) {
    match change {
        Unsynced::Length(length) => bytes.resize(*length, 0),
        Unsynced::Write(offset, data) => {
            let end = offset + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            if let Some(place) = bytes.get_mut(*offset..end) {
                place.copy_from_slice(data);
            }
        }
    }
}

impl FaultyDisk {
    /// An empty disk; `seed` decides what a power cut leaves.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Inner { random: seed, ..Inner::default() })))
    }

    /// Lets so many operations succeed, then none.
    pub fn cut_power_after(&self, operations: u64) {
        self.0.lock().left = Some(operations);
    }

    /// Lets the disk take so many more bytes; `None`: any number.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.0.lock().room = bytes;
    }

    /// The disk as it is found when the power is back.
    #[must_use]
    pub fn after_power_cut(&self) -> Self {
        let mut inner = self.0.lock();
        let changes = inner.renames.len() as u64;
        let kept = usize::try_from(inner.random(changes + 1)).unwrap_or_default();
        let names = match kept.checked_sub(1).and_then(|last| inner.renames.get(last)) {
            Some(names) => names.clone(),
            None => inner.durable_names.clone(),
        };
        let mut files = BTreeMap::new();
        for (path, file) in names {
            let file = file.lock();
            let mut bytes = file.durable.clone();
            // all, none, or some sectors of some writes
            let mode = inner.random(4);
            for change in &file.unsynced {
                match (mode, change) {
                    (0, _) => {}
                    (1, change) => apply(&mut bytes, change),
                    (_, Unsynced::Length(_)) => {
                        if inner.random(2) == 0 {
                            apply(&mut bytes, change);
                        }
                    }
                    (_, Unsynced::Write(offset, data)) => {
                        for (index, sector) in data.chunks(SECTOR).enumerate() {
                            if inner.random(2) == 0 {
                                apply(&mut bytes, &Unsynced::Write(offset + index * SECTOR, sector.to_vec()));
                            }
                        }
                    }
                }
            }
            let content = Content { now: bytes.clone(), durable: bytes, unsynced: Vec::new() };
            files.insert(path, Arc::new(Mutex::new(content)));
        }
        let random = inner.random(u64::MAX);
        drop(inner);
        Self(Arc::new(Mutex::new(Inner { names: files.clone(), durable_names: files, random, ..Inner::default() })))
    }

    /// Names and sizes of the files.
    pub fn files(&self) -> Vec<(PathBuf, usize)> {
        self.0.lock().names.iter().map(|(path, file)| (path.clone(), file.lock().now.len())).collect()
    }

    /// Changes one byte of a file for good.
    pub fn damage(&self, path: &Path, offset: usize) {
        if let Some(file) = self.0.lock().names.get(path) {
            let mut file = file.lock();
            if let Some(byte) = file.now.get_mut(offset) {
                *byte ^= 0x55;
            }
            file.durable = file.now.clone();
        }
    }
}

/// Frees the directory when dropped.
struct Lock(Arc<AtomicBool>);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Disk for FaultyDisk {
    fn create_directory(&self, _path: &Path) -> io::Result<()> {
        self.0.lock().operate()
    }

    fn lock(&self, _directory: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let locked = Arc::clone(&self.0.lock().locked);
        Ok((!locked.swap(true, Ordering::AcqRel)).then(|| Box::new(Lock(locked)) as Box<dyn Any + Send + Sync>))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let inner = self.0.lock();
        let names = inner.names.keys().filter(|path| path.parent() == Some(directory));
        Ok(names.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.0.lock();
        inner.operate()?;
        let content = Arc::new(Mutex::new(Content::default()));
        inner.names.insert(path.to_owned(), Arc::clone(&content));
        inner.names_changed();
        Ok(Box::new(FaultyFile { disk: self.clone(), content }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let content = self.0.lock().find(path)?;
        Ok(Box::new(FaultyFile { disk: self.clone(), content }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.operate()?;
        let file = inner.find(from)?;
        inner.names.remove(from);
        inner.names.insert(to.to_owned(), file);
        inner.names_changed();
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.operate()?;
        inner.names.remove(path);
        inner.names_changed();
        Ok(())
    }

    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.operate()?;
        inner.durable_names = inner.names.clone();
        inner.renames.clear();
        Ok(())
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    content: Arc<Mutex<Content>>,
}

impl FaultyFile {
    fn change(&self, change: Unsynced) {
        let mut content = self.content.lock();
        apply(&mut content.now, &change);
        content.unsynced.push(change);
    }
}

impl DiskFile for FaultyFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let mut inner = self.disk.0.lock();
        let powered = inner.operate();
        let mut bytes = bytes;
        let mut full = false;
        if let Some(room) = &mut inner.room {
            let fits = usize::try_from(*room).unwrap_or(usize::MAX).min(bytes.len());
            full = fits < bytes.len();
            *room -= fits as u64;
            bytes = bytes.get(..fits).unwrap_or_default();
        }
        drop(inner);
        // the write that the power cut hits may have reached the disk in part
        self.change(Unsynced::Write(offset, bytes.to_vec()));
        powered?;
        if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let content = self.content.lock();
        let rest = content.now.get(offset..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        Ok(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.0.lock().operate()?;
        let mut content = self.content.lock();
        let content = &mut *content;
        for change in content.unsynced.drain(..) {
            apply(&mut content.durable, &change);
        }
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.disk.0.lock().operate()?;
        self.change(Unsynced::Length(usize::try_from(len).map_err(io::Error::other)?));
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.content.lock().now.len() as u64)
    }
}
