//! A file system in memory that fails on order and loses power.

use chassis::durable_log::{LogFile, LogLock, LogStorage};
use protocol::entropy::Seeded;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// What the disk keeps whole or not at all when power fails during a write.
const SECTOR_BYTES: usize = 512;

/// What happens at the operation whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// It fails once; everything later works.
    Once,
    /// It and everything later fails: the machine is dying.
    FromThenOn,
}

#[derive(Debug, Default)]
struct Content {
    /// What a power cut leaves for certain.
    durable: Vec<u8>,
    /// What readers see.
    now: Vec<u8>,
    /// Written since the last sync.
    pending: Vec<(usize, Vec<u8>)>,
}

type Names = BTreeMap<PathBuf, usize>;

#[derive(Debug, Default)]
struct Disk {
    contents: Vec<Content>,
    names_now: Names,
    names_durable: Names,
    operations: u64,
    fault: Option<(u64, Fault)>,
    write_bytes_max: Option<usize>,
    locked: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct SimStorage(Arc<Mutex<Disk>>);

#[derive(Debug)]
struct SimFile {
    disk: SimStorage,
    content: usize,
}

#[derive(Debug)]
struct SimLock(SimStorage);

impl LogLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.disk().locked = false;
    }
}

impl SimStorage {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    /// Fails the `n`-th changing operation from now on, counted from 0.
    pub(crate) fn fail_at(&self, n: u64, fault: Fault) {
        let mut disk = self.disk();
        disk.operations = 0;
        disk.fault = Some((n, fault));
    }

    /// Whether the fault struck.
    pub(crate) fn struck(&self) -> bool {
        let disk = self.disk();
        disk.fault.is_some_and(|(n, _)| disk.operations > n)
    }

    pub(crate) fn heal(&self) {
        self.disk().fault = None;
    }

    /// Takes at most `bytes` per write.
    pub(crate) fn short_writes(&self, bytes: usize) {
        self.disk().write_bytes_max = Some(bytes);
    }

    /// Power off and on: of what was not synced, each sector and each name survives or not.
    pub(crate) fn power_cut(&self, random: &mut Seeded) {
        let mut disk = self.disk();
        for content in &mut disk.contents {
            let mut image = std::mem::take(&mut content.durable);
            for (offset, bytes) in content.pending.drain(..) {
                let mut at = offset;
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    let step = (SECTOR_BYTES - at % SECTOR_BYTES).min(rest.len());
                    if random.next_u64() & 1 == 0 {
                        put(&mut image, at, &rest[..step]);
                    }
                    at += step;
                    rest = &rest[step..];
                }
            }
            content.now.clone_from(&image);
            content.durable = image;
        }
        if random.next_u64() & 1 == 0 {
            disk.names_now = disk.names_durable.clone();
        } else {
            disk.names_durable = disk.names_now.clone();
        }
        disk.fault = None;
    }
}

impl Disk {
    /// Counts a changing operation.
    fn turn(&mut self) -> io::Result<()> {
        let turn = self.operations;
        self.operations += 1;
        match self.fault {
            Some((n, Fault::Once)) if turn == n => Err(io::Error::other("injected")),
            Some((n, Fault::FromThenOn)) if turn >= n => Err(io::Error::other("injected")),
            _ => Ok(()),
        }
    }
}

fn put(image: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if image.len() < at + bytes.len() {
        image.resize(at + bytes.len(), 0);
    }
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

impl LogStorage for SimStorage {
    fn create_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn LogLock>> {
        let mut disk = self.disk();
        if std::mem::replace(&mut disk.locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock(self.clone())))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let disk = self.disk();
        let here = disk.names_now.keys().filter(|path| path.parent() == Some(directory));
        Ok(here.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let mut disk = self.disk();
        disk.turn()?;
        disk.contents.push(Content::default());
        let content = disk.contents.len() - 1;
        disk.names_now.insert(path.to_path_buf(), content);
        Ok(Box::new(SimFile { disk: self.clone(), content }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let disk = self.disk();
        let content = *disk.names_now.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile { disk: self.clone(), content }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.turn()?;
        let content = disk.names_now.remove(from).ok_or(io::ErrorKind::NotFound)?;
        disk.names_now.insert(to.to_path_buf(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.turn()?;
        disk.names_now.remove(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(())
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.turn()?;
        disk.names_durable = disk.names_now.clone();
        Ok(())
    }
}

impl LogFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.disk.disk().contents[self.content].now.len()).unwrap())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let disk = self.disk.disk();
        let offset = usize::try_from(offset).unwrap();
        let rest = disk.contents[self.content].now.get(offset..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk.disk();
        let outcome = disk.turn();
        let most = disk.write_bytes_max.unwrap_or(bytes.len()).min(bytes.len());
        // A write that fails has done half of its work.
        let count = if outcome.is_ok() { most } else { most / 2 };
        let at = usize::try_from(offset).unwrap();
        let content = &mut disk.contents[self.content];
        put(&mut content.now, at, &bytes[..count]);
        content.pending.push((at, bytes[..count].to_vec()));
        outcome.map(|()| count)
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk.disk();
        disk.turn()?;
        let content = &mut disk.contents[self.content];
        content.pending.clear();
        content.durable = content.now.clone();
        Ok(())
    }
}
