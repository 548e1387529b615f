//! The few file operations that the engine needs; from log, snapshot and recovery; to a directory, or to a test's disk.

use std::any::Any;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// A place for files. [`RealDisk`] outside of tests.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Makes the directory and its parents (mode 0700).
    ///
    /// # Errors
    /// Those of the operating system, as for all methods.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// Takes the directory for this process until the answer is dropped; `None` when another one has it.
    ///
    /// # Errors
    /// As above.
    fn lock(&self, directory: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;
    /// Names of the files of a directory.
    ///
    /// # Errors
    /// As above.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// A new, empty file (mode 0600); replaces an old one.
    ///
    /// # Errors
    /// As above.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// An existing file.
    ///
    /// # Errors
    /// As above.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file a new name, atomically.
    ///
    /// # Errors
    /// As above.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// As above.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes names in the directory durable.
    ///
    /// # Errors
    /// As above.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// As for [`Disk`].
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reads up to the end of `buffer` or of the file; answers how much.
    ///
    /// # Errors
    /// As for [`Disk`].
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Makes the content durable.
    ///
    /// # Errors
    /// As for [`Disk`].
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts or extends the file.
    ///
    /// # Errors
    /// As for [`Disk`].
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    /// The file's size.
    ///
    /// # Errors
    /// As for [`Disk`].
    fn size(&self) -> io::Result<u64>;
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn lock(&self, directory: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let path = directory.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl DiskFile for File {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match std::os::unix::fs::FileExt::read_at(self, rest, offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
