//! Where a key lies: in a file that its owner alone can read, made so and refused otherwise.
//!
//! The permissions are those of the file that was opened, not of whatever stood at its path before. A
//! link is followed, because secrets are often handed out by one; a pipe or a device isn't read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::line::{Key, NotKey, parse};

/// Why a file can't be used as a key.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It isn't there, or can't be read.
    #[error("can't read key file {}: {error}", path.display())]
    Unread {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is a link to what isn't there.
    #[error("key file {} is a link to {}, which isn't there; mend the link or name the file itself", path.display(), to.display())]
    Dangling {
        /// Which file.
        path: PathBuf,
        /// Where the link leads.
        to: PathBuf,
    },
    /// It is a folder, a pipe or a device.
    #[error("key file {} is no ordinary file; `systole key new --out FILE` makes one", .0.display())]
    NotFile(PathBuf),
    /// Others could have read it.
    #[error(
        "key file {path} is open to others than its owner (mode {mode:04o}); `chmod 600 {path}`, and make a new key if \
         somebody may have read this one",
        path = path.display()
    )]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds no key.
    #[error("key file {}: {error}", path.display())]
    NotKey {
        /// Which file.
        path: PathBuf,
        /// Why not.
        error: NotKey,
    },
}

/// A key file couldn't be made.
#[derive(Debug, thiserror::Error)]
pub enum Unwritten {
    /// There is something at its path.
    #[error("{} is there already, and a key is never written over; choose another path or remove it first", .0.display())]
    Taken(PathBuf),
    /// The system won't have it.
    #[error("can't write key file {}: {error}", path.display())]
    Failed {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Reads the key in the file at `path`.
///
/// # Errors
/// There is none, or others could have read it.
pub fn read(path: &Path) -> Result<Key, Unusable> {
    let unread = |error| Unusable::Unread { path: path.into(), error };
    // Not to wait for a pipe's other end, of which nothing would be read anyway.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.map_err(|error| dangling(path, &error).unwrap_or_else(|| unread(error)))?;
    let metadata = file.metadata().map_err(unread)?;
    if !metadata.is_file() {
        return Err(Unusable::NotFile(path.into()));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(Unusable::Open { path: path.into(), mode });
    }
    let not_key = |error| Unusable::NotKey { path: path.into(), error };
    let bytes = bounded(file).map_err(unread)?;
    std::str::from_utf8(&bytes).map_err(|_| NotKey::Line).and_then(parse).map_err(not_key)
}

/// Writes a key's line into a new file at `path`, which its owner alone can read.
///
/// # Errors
/// There is something at that path already, or the system won't have it.
pub fn write(path: &Path, line: &str) -> Result<(), Unwritten> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Unwritten::Taken(path.into()),
        _ => Unwritten::Failed { path: path.into(), error },
    })?;
    file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
        // Half a key is none, and would stand in the way of a whole one.
        let _ = fs::remove_file(path);
        Unwritten::Failed { path: path.into(), error }
    })
}

fn dangling(path: &Path, error: &io::Error) -> Option<Unusable> {
    if error.kind() != ErrorKind::NotFound {
        return None;
    }
    let to = fs::read_link(path).ok()?;
    Some(Unusable::Dangling { path: path.into(), to })
}

/// Whatever else lies there: no more of it than a key can have.
fn bounded(file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    file.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The permissions of everybody but the owner.
const OTHERS: u32 = 0o077;

/// The longest line there is has a name of 128 bytes and 64 digits.
const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const LINE: &str = "systole-master-key id=1 suite=siphash key=000102030405060708090a0b0c0d0e0f\n";

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn allow(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    }

    #[test]
    fn what_is_written_reads_back_and_only_its_owner_can_read_it() {
        let folder = folder();
        let path = folder.path().join("1.key");
        write(&path, LINE).expect("written");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        assert!(matches!(read(&path), Ok(Key::Master(_))));
        assert!(matches!(write(&path, "other"), Err(Unwritten::Taken(_))));
        assert_eq!(fs::read_to_string(&path).expect("a text"), LINE);
        assert!(matches!(write(&path.join("below"), LINE), Err(Unwritten::Failed { .. })));
    }

    #[test]
    fn a_file_that_others_can_read_or_write_is_refused_with_the_way_out() {
        let folder = folder();
        let path = folder.path().join("1.key");
        write(&path, LINE).expect("written");
        for mode in [0o640, 0o604, 0o644, 0o660, 0o602, 0o610] {
            allow(&path, mode);
            let error = read(&path).expect_err("open").to_string();
            assert!(error.contains(&format!("{mode:04o}")) && error.contains("chmod 600"), "{error}");
        }
        for mode in [0o600, 0o400] {
            allow(&path, mode);
            assert!(read(&path).is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn a_link_is_followed_to_its_file_and_to_its_permissions() {
        let folder = folder();
        let (path, link) = (folder.path().join("1.key"), folder.path().join("link"));
        symlink(&path, &link).expect("a link");
        let error = read(&link).expect_err("nothing there");
        assert!(matches!(&error, Unusable::Dangling { to, .. } if *to == path), "{error}");
        write(&path, LINE).expect("written");
        assert!(read(&link).is_ok());
        allow(&path, 0o644);
        assert!(matches!(read(&link), Err(Unusable::Open { .. })));
    }

    #[test]
    fn what_is_no_ordinary_file_is_not_read() {
        let folder = folder();
        assert!(matches!(read(folder.path()), Err(Unusable::NotFile(_))));
        assert!(matches!(read(Path::new("/dev/zero")), Err(Unusable::NotFile(_))));
        assert!(matches!(read(&folder.path().join("none")), Err(Unusable::Unread { .. })));
    }

    #[test]
    fn what_is_in_a_file_that_is_no_key_is_not_repeated() {
        let folder = folder();
        for (name, content) in [("text", &b"hunter2"[..]), ("bytes", b"hunter2\xff"), ("long", &[b'h'; 100_000])] {
            let path = folder.path().join(name);
            write(&path, "").expect("made");
            fs::write(&path, content).expect("written");
            let error = read(&path).expect_err("no key").to_string();
            assert!(error.contains(name) && !error.contains("hunter2"), "{error}");
        }
    }
}
