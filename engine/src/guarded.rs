//! Files that decide whom to trust, read only if nobody else could have written them or read along.
//!
//! Mode 0600 is what is meant. 0640 is let pass, because that is how a service manager hands over
//! what is for one service alone; a file that its group may write or that others may read is not.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;

/// The bytes of the file at `path`.
///
/// # Errors
/// It can't be read, or others than its owner and its group can.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let cannot = || format!("can't read {}", path.display());
    // What is judged is what is read: the open file, not a name that may come to mean another.
    let mut file = File::open(path).with_context(cannot)?;
    judge(path, &file)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).with_context(cannot)?;
    Ok(bytes)
}

#[cfg(unix)]
fn judge(path: &Path, file: &File) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    /// The group may write, others may do anything.
    const OPEN: u32 = 0o027;

    let mode = file.metadata().with_context(|| format!("can't read {}", path.display()))?.permissions().mode();
    if mode & OPEN == 0 {
        return Ok(());
    }
    let (path, mode) = (path.display(), mode & 0o7777);
    anyhow::bail!("{path} has mode {mode:04o}, which is open to others; close it with: chmod 600 {path}")
}

#[cfg(not(unix))]
fn judge(_: &Path, _: &File) -> anyhow::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_way_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "secret").unwrap();
        for (mode, taken) in
            [(0o600, true), (0o400, true), (0o640, true), (0o644, false), (0o660, false), (0o604, false)]
        {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            match read(file.path()) {
                Ok(bytes) => assert!(taken && bytes == b"secret", "{mode:o}"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(!taken && error.contains(&format!("{mode:04o}")) && error.contains("chmod 600"), "{error}");
                }
            }
        }
    }
}
