//! The state directory: one monitor's, and nobody else's.
//!
//! ```text
//!   events.db                    the journal, for `sqlite3` and for the next life
//!   beliefs.snapshot             what is believed of every node, some seconds ago
//!   beliefs.snapshot.previous    the one before it
//!   numbers                      how far event numbers may have been used
//!   *.refused                    what couldn't be read at a start: kept aside, to be looked at
//! ```
//!
//! The lock is on the directory itself, so it needs no writing and ends with the process, however
//! that ends.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tracing::error;

/// A state directory that is ours.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Held open for its lock.
    _lock: File,
}

impl Folder {
    /// Takes a directory into use, and makes it if it isn't there: for us alone (0700).
    ///
    /// # Errors
    /// It is no directory, can't be made or opened, or is another monitor's.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        make(path).with_context(|| {
            format!("can't make the state directory {shown}; make it yourself, or name another with --state-dir")
        })?;
        let lock = File::open(path).with_context(|| format!("can't open the state directory {shown}"))?;
        if !lock.metadata()?.is_dir() {
            bail!("the state directory {shown} is no directory; name another with --state-dir");
        }
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!(
                "another monitor uses the state directory {shown}; stop that one first, or give this one a directory \
                 of its own with --state-dir"
            ),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| {
                format!("can't lock the state directory {shown}; choose one on a file system that has locks")
            }),
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The journal.
    pub(super) fn events(&self) -> PathBuf {
        self.path.join("events.db")
    }

    /// The latest snapshot.
    pub(super) fn snapshot(&self) -> PathBuf {
        self.path.join("beliefs.snapshot")
    }

    /// The snapshot before it.
    pub(super) fn snapshot_previous(&self) -> PathBuf {
        self.path.join("beliefs.snapshot.previous")
    }

    /// The snapshot that is being written.
    pub(super) fn snapshot_unfinished(&self) -> PathBuf {
        self.path.join("beliefs.snapshot.unfinished")
    }

    /// How far numbers may have been used.
    pub(super) fn numbers(&self) -> PathBuf {
        self.path.join("numbers")
    }

    /// Lets what was renamed here outlive a power failure.
    ///
    /// # Errors
    /// The system couldn't write it.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// Keeps a file that can't be used aside, in place of the one kept aside before, and says so.
    pub(super) fn refuse(&self, file: &Path, why: &str) {
        let aside = with_suffix(file, ".refused");
        let kept = match fs::rename(file, &aside) {
            Ok(()) => format!("kept aside as {}", aside.display()),
            Err(error) => format!("left where it is, as it can't be renamed: {error}"),
        };
        error!("{} is refused: {why}; {kept}; starting without it", file.display());
    }
}

/// `path` with something behind its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn make(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_is_made_for_us_alone() {
        let parent = tempfile::tempdir().expect("a directory");
        let path = parent.path().join("a").join("b");
        let folder = Folder::open(&path).expect("it is made");
        assert_eq!(folder.path(), path);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
    }

    #[test]
    fn two_monitors_do_not_share_a_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = Folder::open(dir.path()).expect("it is free");
        let refused = format!("{:#}", Folder::open(dir.path()).expect_err("it is taken"));
        assert!(refused.contains("another monitor") && refused.contains("--state-dir"), "{refused}");
        drop(first);
        Folder::open(dir.path()).expect("it is free again");
    }

    #[test]
    fn a_file_is_no_directory() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let refused = format!("{:#}", Folder::open(file.path()).expect_err("a file"));
        assert!(refused.contains("is no directory") && refused.contains("--state-dir"), "{refused}");
    }

    #[test]
    fn what_is_refused_is_kept_aside_and_only_the_latest_of_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let folder = Folder::open(dir.path()).expect("it is free");
        for text in ["one", "two"] {
            fs::write(folder.snapshot(), text).expect("written");
            folder.refuse(&folder.snapshot(), "torn");
        }
        let aside = with_suffix(&folder.snapshot(), ".refused");
        assert_eq!(fs::read_to_string(aside).expect("it is there"), "two");
        assert!(!folder.snapshot().exists());
    }
}
