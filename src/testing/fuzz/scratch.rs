//! A file of its own for what is only looked at by its path; gone with its handle.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A folder with one file in it.
pub(super) struct Scratch {
    folder: PathBuf,
    file: PathBuf,
}

impl Scratch {
    /// A file that holds these bytes.
    pub(super) fn new(bytes: &[u8]) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("foldlog-fuzz-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let file = folder.join("a file");
        std::fs::create_dir_all(&folder).expect("a folder in the system's own for such");
        std::fs::write(&file, bytes).expect("room for a file");
        Scratch { folder, file }
    }

    pub(super) fn path(&self) -> &Path {
        &self.file
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
