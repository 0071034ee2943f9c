//! How far event numbers may have been used: 1,024 bytes that are overwritten in place, so that a
//! full disk can't refuse them.
//!
//! An event that is in the database needs no other witness: after a start numbers go on behind the
//! last one there, without a gap. What needs one is a number that was told *without* being written,
//! because the disk failed: it is lent. So the file names a ceiling, a million above the last number,
//! and up to which number something may be lent; the next life goes on above that. A disk that became
//! read-only can't take even this note; it goes to memory that outlives the process: the runtime directory
//! of the service, or `/dev/shm`. A reboot clears that, but then the boot id differs, and a life that
//! neither stopped in order nor is known to be of this boot is taken to have lent up to the ceiling. What
//! remains: a disk that is read-only over a reboot, after a million events.
//!
//! ```text
//!   0 magic  8 generation  16 ceiling  24 lent up to  32 clean  33 boot id  49 crc32     two slots, in turn
//! ```

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use systole_core::NodeId;

/// How far the ceiling lies above the last number: more than a monitor tells while somebody mends a disk.
pub(super) const RESERVE: u64 = 1 << 20;

/// What is written of the numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Note {
    generation: u64,
    ceiling: u64,
    lent: u64,
    clean: bool,
    boot: [u8; 16],
}

/// The numbers of this life.
#[derive(Debug)]
pub(super) struct Numbers {
    file: PathBuf,
    open: Option<File>,
    witness: Option<PathBuf>,
    witnessed: bool,
    note: Note,
    boot: [u8; 16],
    unclear: bool,
    /// Why it isn't known what the file says, though it is there.
    unread: Option<io::Error>,
    /// What a former life may have lent, and the database doesn't show to be used yet.
    former: u64,
}

impl Numbers {
    /// Reads what the former life left, in the state directory and in memory.
    pub(super) fn read(file: &Path) -> Self {
        Self::read_with(file, witness_of(file, std::env::var_os("RUNTIME_DIRECTORY").as_deref()), boot_id())
    }

    fn read_with(file: &Path, witness: Option<PathBuf>, boot: [u8; 16]) -> Self {
        let (found, unread) = match fs::read(file) {
            Ok(found) => (Some(found), None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (None, None),
            Err(error) => (None, Some(error)),
        };
        let noted = found.as_deref().and_then(latest);
        let seen = witness.as_deref().and_then(read_own).as_deref().and_then(latest);
        let notes = || [noted, seen].into_iter().flatten();
        let note = notes().max_by_key(|note| note.generation).unwrap_or_default();
        let ceiling = notes().map(|note| note.ceiling).max().unwrap_or(0);
        let lent = notes().map(|note| note.lent).max().unwrap_or(0);
        // A boot that nobody knows isn't known to be this one.
        let unclear = note.generation > 0 && !note.clean && (note.boot != boot || boot == UNKNOWN);
        Self {
            file: file.to_owned(),
            open: None,
            witness,
            witnessed: seen.is_some(),
            note: Note { ceiling, lent, ..note },
            boot,
            unclear,
            unread,
            former: 0,
        }
    }

    /// The last number that may have been used, if the database ends with `written` (nothing if it
    /// can't be read).
    ///
    /// # Errors
    /// Neither the file nor the database can be read, so that nothing is known of the numbers there were.
    pub(super) fn used(&mut self, written: Option<u64>) -> io::Result<u64> {
        let used = written.unwrap_or(0).max(self.note.lent);
        match (self.unread.take(), written) {
            (Some(error), None) => Err(error),
            // It may say that numbers were lent, and no higher than this.
            (Some(_), Some(written)) => Ok(used.max(self.note.ceiling).max(written + RESERVE)),
            (None, Some(_)) if !self.unclear => Ok(used),
            (None, _) => Ok(used.max(self.note.ceiling)),
        }
    }

    /// Begins a life that goes on after `used`, where the database ends with `written`.
    ///
    /// # Errors
    /// It couldn't be written.
    pub(super) fn begin(&mut self, used: u64, written: u64) -> io::Result<()> {
        self.former = if used > written { used } else { 0 };
        self.repay(written)
    }

    /// Moves the ceiling up if `last` comes near it. Nothing is lent by that.
    ///
    /// # Errors
    /// It couldn't be written.
    pub(super) fn reserve(&mut self, last: u64) -> io::Result<()> {
        if last + RESERVE / 2 < self.note.ceiling {
            return Ok(());
        }
        self.write(Note { ceiling: last + RESERVE, ..self.current() })
    }

    /// Notes that numbers up to `last` and further are told without being written.
    ///
    /// # Errors
    /// It can't be noted anywhere: after a restart the same numbers may be told again.
    pub(super) fn lend(&mut self, last: u64) -> io::Result<()> {
        if last <= self.note.lent && self.note == self.current() {
            return Ok(());
        }
        let ceiling = if last <= self.note.ceiling { self.note.ceiling } else { last + RESERVE };
        let note = Note { ceiling, lent: ceiling, ..self.current() };
        match self.write(note) {
            Ok(()) => Ok(()),
            Err(error) => self
                .testify(note)
                .map_err(|witness| io::Error::other(format!("{}: {error}; {witness}", self.file.display()))),
        }
    }

    /// The same without a look at the disk, which may not come back from it.
    pub(super) fn lend_in_memory(witness: Option<&Path>, last: u64) -> io::Result<()> {
        let ceiling = last + RESERVE;
        let note = Note { generation: u64::MAX / 2, ceiling, lent: ceiling, clean: false, boot: boot_id() };
        write_own(witness, &note)
    }

    /// Where the note goes that the disk doesn't take.
    pub(super) fn witness(&self) -> Option<&Path> {
        self.witness.as_deref()
    }

    /// Notes that everything this life told is in the database, which ends with `written`.
    ///
    /// # Errors
    /// It couldn't be written.
    pub(super) fn repay(&mut self, written: u64) -> io::Result<()> {
        self.witnessed = true;
        self.open = None;
        let ceiling = self.note.ceiling.max(written.max(self.former) + RESERVE);
        self.write(Note { ceiling, lent: self.owed(written), ..self.current() })
    }

    /// The same, and that this life ended in order.
    ///
    /// # Errors
    /// It couldn't be written.
    pub(super) fn close(&mut self, written: u64) -> io::Result<()> {
        self.write(Note { clean: true, lent: self.owed(written), ..self.current() })
    }

    const fn current(&self) -> Note {
        Note { clean: false, boot: self.boot, ..self.note }
    }

    /// What a former life lent stays lent until the database shows that numbers went on.
    const fn owed(&self, written: u64) -> u64 {
        if written > self.former { 0 } else { self.former }
    }

    fn write(&mut self, note: Note) -> io::Result<()> {
        let note = Note { generation: note.generation + 1, ..note };
        if let Err(error) = self.put(&note) {
            self.open = None;
            return Err(error);
        }
        self.note = note;
        if std::mem::take(&mut self.witnessed) {
            // What it says is in the file now. One that stays only makes a gap.
            let _ = self.witness.as_deref().map(fs::remove_file);
        }
        Ok(())
    }

    fn put(&mut self, note: &Note) -> io::Result<()> {
        let mut file = match self.open.take() {
            Some(file) => file,
            None => preallocated(&self.file)?,
        };
        file.seek(SeekFrom::Start((note.generation % 2) * SLOT as u64))?;
        file.write_all(&note.bytes())?;
        file.sync_data()?;
        self.open = Some(file);
        Ok(())
    }

    fn testify(&mut self, note: Note) -> io::Result<()> {
        let note = Note { generation: note.generation + 1, ..note };
        write_own(self.witness.as_deref(), &note)?;
        self.note = note;
        self.witnessed = true;
        Ok(())
    }
}

impl Note {
    fn bytes(&self) -> [u8; NOTE] {
        let mut bytes = [0; NOTE];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.generation.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.ceiling.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.lent.to_le_bytes());
        bytes[32] = u8::from(self.clean);
        bytes[33..49].copy_from_slice(&self.boot);
        let crc = crc32fast::hash(&bytes[..49]);
        bytes[49..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn parse(slot: &[u8]) -> Option<Self> {
        let bytes = slot.get(..NOTE)?;
        let number = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
        let crc = u32::from_le_bytes(bytes[49..].try_into().ok()?);
        (&bytes[..8] == MAGIC && crc32fast::hash(&bytes[..49]) == crc).then_some(())?;
        let boot = bytes[33..49].try_into().ok()?;
        Some(Self { generation: number(8)?, ceiling: number(16)?, lent: number(24)?, clean: bytes[32] != 0, boot })
    }
}

fn latest(bytes: &[u8]) -> Option<Note> {
    bytes.chunks(SLOT).filter_map(Note::parse).max_by_key(|note| note.generation)
}

/// The file with room for both slots.
fn preallocated(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let len = file.metadata()?.len();
    if len < SIZE as u64 {
        file.seek(SeekFrom::Start(len))?;
        file.write_all(&vec![0; SIZE - len as usize])?;
        file.sync_all()?;
    }
    Ok(file)
}

/// A file in memory for the state directory that `file` is in: in the runtime directory that the service manager
/// gave, which is ours alone, or else where everybody may write.
fn witness_of(file: &Path, runtime: Option<&OsStr>) -> Option<PathBuf> {
    let folder = fs::canonicalize(file.parent()?).ok()?;
    let name = NodeId::of(&folder.to_string_lossy());
    // There may be several, with a colon between them.
    let runtime = runtime.and_then(|given| std::env::split_paths(given).next()).filter(|given| given.is_absolute());
    let mut memory = runtime.into_iter().chain([PathBuf::from("/dev/shm")]).filter(|memory| memory.is_dir());
    Some(memory.next()?.join(format!("systole-numbers-{name}")))
}

/// The file's bytes, if it is an ordinary one of ours: whoever may write to that directory may have put there
/// a link, or a pipe that nobody writes to.
fn read_own(path: &Path) -> Option<Vec<u8>> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOFOLLOW);
    let file = options.open(path).ok()?;
    let about = file.metadata().ok()?;
    (about.is_file() && is_ours(&about)).then_some(())?;
    let mut bytes = Vec::new();
    file.take(SIZE as u64).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn write_own(path: Option<&Path>, note: &Note) -> io::Result<()> {
    let path = path.ok_or_else(|| io::Error::other("no memory that outlives the process is to be had"))?;
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => io::Error::other(format!("{} is somebody else's; remove it", path.display())),
        _ => io::Error::other(format!("{}: {error}", path.display())),
    };
    if read_own(path).is_some() {
        fs::remove_file(path).map_err(told)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).and_then(|mut file| file.write_all(&note.bytes())).map_err(told)
}

#[cfg(unix)]
fn is_ours(about: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::uid(about) == rustix::process::geteuid().as_raw()
}

#[cfg(not(unix))]
fn is_ours(_: &fs::Metadata) -> bool {
    true
}

/// Differs from boot to boot; [`UNKNOWN`] where the system tells no such thing, or hides it from us.
fn boot_id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).map(u128::to_be_bytes).unwrap_or_default()
}

const UNKNOWN: [u8; 16] = [0; 16];
const MAGIC: &[u8; 8] = b"SYSTNUMB";
const NOTE: usize = 53;
const SLOT: usize = 512;
const SIZE: usize = 2 * SLOT;

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().expect("a directory") }
        }

        fn file(&self) -> PathBuf {
            self.dir.path().join("numbers")
        }

        fn used(&self, boot: u8, written: Option<u64>) -> u64 {
            self.open(boot).used(written).expect("it is known")
        }

        fn open(&self, boot: u8) -> Numbers {
            Numbers::read_with(&self.file(), Some(self.dir.path().join("witness")), [boot; 16])
        }
    }

    #[test]
    fn the_database_is_believed_as_long_as_nothing_was_lent() {
        let place = Place::new();
        assert_eq!(place.used(1, Some(0)), 0);
        place.open(1).begin(10, 10).expect("written");
        let mut again = place.open(1);
        assert_eq!(
            (again.used(Some(17)).expect("it is known"), again.note.ceiling),
            (17, 10 + RESERVE),
            "after a kill, on the same boot"
        );
        assert_eq!(again.used(None).expect("it is known"), 10 + RESERVE, "one that can't be read says nothing");
    }

    #[test]
    fn what_was_lent_is_never_told_again() {
        let place = Place::new();
        let mut numbers = place.open(1);
        numbers.begin(10, 10).expect("written");
        numbers.lend(15).expect("noted");
        numbers.reserve(16).expect("nothing to do");
        assert_eq!(place.used(1, Some(10)), 10 + RESERVE);
        numbers.lend(10 + RESERVE + 1).expect("noted");
        let used = place.used(1, Some(10));
        assert_eq!(used, 10 + 2 * RESERVE + 1);

        // The next life ends before it has told anything, and so does the one after it.
        for _ in 0..2 {
            let mut next = place.open(1);
            assert_eq!(next.used(Some(10)).expect("it is known"), used);
            next.begin(used, 10).expect("written");
        }
        let mut next = place.open(1);
        next.begin(used, 10).expect("written");
        next.repay(used + 1).expect("a number beyond is in the database");
        assert_eq!(place.used(1, Some(used + 1)), used + 1);
    }

    #[test]
    fn what_was_written_after_all_is_not_lent() {
        let place = Place::new();
        let mut numbers = place.open(1);
        numbers.begin(10, 10).expect("written");
        numbers.lend(15).expect("noted");
        numbers.repay(20).expect("it is all written");
        assert_eq!(place.used(1, Some(20)), 20);
    }

    #[test]
    fn a_life_that_ended_unclean_on_another_boot_may_have_lent() {
        // A boot that nobody knows is never taken for the same.
        for (boot, next) in [(1, 2), (0, 0)] {
            let place = Place::new();
            let mut numbers = place.open(boot);
            numbers.begin(10, 10).expect("written");
            assert_eq!(place.used(next, Some(12)), 10 + RESERVE, "boot {boot}, then {next}");
            numbers.close(12).expect("written");
            assert_eq!(place.used(next, Some(12)), 12, "boot {boot}, then {next}");
        }
        assert_ne!(boot_id(), UNKNOWN, "where these tests run");
    }

    #[test]
    fn a_disk_that_takes_nothing_leaves_a_witness_in_memory() {
        let place = Place::new();
        let mut numbers = place.open(1);
        numbers.begin(10, 10).expect("written");
        numbers.open = None;
        numbers.file = place.dir.path().join("nowhere").join("numbers");
        numbers.lend(11).expect("noted in memory");
        let mut next = place.open(1);
        assert_eq!(next.used(Some(10)).expect("it is known"), 10 + RESERVE);
        next.begin(10 + RESERVE, 10).expect("written");
        assert!(!place.dir.path().join("witness").exists(), "said in the file, it isn't needed any more");
        assert_eq!(place.used(1, Some(10)), 10 + RESERVE);
    }

    #[test]
    fn a_disk_that_does_not_answer_is_not_asked() {
        let place = Place::new();
        let mut numbers = place.open(1);
        numbers.begin(10, 10).expect("written");
        Numbers::lend_in_memory(Some(&place.dir.path().join("witness")), 50).expect("noted");
        assert_eq!(place.used(1, Some(10)), 50 + RESERVE);
        numbers.repay(60).expect("it came back");
        assert_eq!(place.used(1, Some(60)), 60);
    }

    #[test]
    fn a_torn_note_leaves_the_one_before() {
        let place = Place::new();
        let mut numbers = place.open(1);
        numbers.begin(10, 10).expect("written");
        numbers.lend(11).expect("noted");
        let mut bytes = fs::read(place.file()).expect("it is there");
        assert_eq!(bytes.len(), SIZE);
        bytes[20] ^= 1;
        fs::write(place.file(), &bytes).expect("written");
        assert_eq!(place.used(1, Some(10)), 10);
        bytes[SLOT + 20] ^= 1;
        fs::write(place.file(), &bytes).expect("written");
        assert_eq!(place.used(1, Some(10)), 10);
    }

    #[test]
    fn what_is_there_and_can_not_be_read_is_a_former_life() {
        let place = Place::new();
        // Root reads whatever has a mode, but no folder.
        fs::create_dir(place.file()).expect("made");
        assert_eq!(place.used(1, Some(10)), 10 + RESERVE, "it may say that they were lent");
        place.open(1).used(None).expect_err("nothing is known of the numbers");
        fs::remove_dir(place.file()).expect("removed");
        assert_eq!(place.used(1, None), 0);
    }

    #[test]
    fn the_witness_is_where_the_service_manager_says_or_else_in_shared_memory() {
        let place = Place::new();
        let given = tempfile::tempdir().expect("a directory");
        let of = |runtime: Option<&OsStr>| {
            let witness = witness_of(&place.file(), runtime)?;
            Some(witness.parent()?.to_owned())
        };
        let two = std::env::join_paths([given.path(), Path::new("/nowhere")]).expect("no colon in them");
        for runtime in [given.path().as_os_str(), &two] {
            assert_eq!(of(Some(runtime)).as_deref(), Some(given.path()));
        }
        for runtime in [None, Some(OsStr::new("")), Some(OsStr::new("relative")), Some(OsStr::new("/nowhere"))] {
            assert_eq!(of(runtime).as_deref(), Path::new("/dev/shm").is_dir().then_some(Path::new("/dev/shm")));
        }
    }

    #[test]
    fn the_unit_leaves_the_witness_and_shows_the_boot() {
        let unit = include_str!("../../../docs/systemd/systole.service");
        let says = |line: &str| unit.lines().any(|it| it == line);
        assert!(says("RuntimeDirectory=systole") && says("RuntimeDirectoryPreserve=yes"));
        assert!(!says("RemoveIPC=yes") && !says("ProcSubset=pid") && !says("DynamicUser=yes"));
    }

    #[cfg(unix)]
    #[test]
    fn what_somebody_else_put_in_place_of_the_witness_is_neither_read_nor_waited_for() {
        let place = Place::new();
        let (witness, elsewhere) = (place.dir.path().join("witness"), place.dir.path().join("elsewhere"));
        let mut numbers = place.open(1);
        numbers.begin(10, 10).expect("written");
        Numbers::lend_in_memory(Some(&elsewhere), 50).expect("noted");
        numbers.open = None;
        numbers.file = place.dir.path().join("nowhere").join("numbers");

        let made = std::process::Command::new("mkfifo").arg(&witness).status().expect("mkfifo starts");
        assert!(made.success());
        assert_eq!(place.used(1, Some(10)), 10, "a pipe");
        let refused = numbers.lend(11).expect_err("it is taken").to_string();
        assert!(refused.contains("nowhere") && refused.contains("witness is somebody else's; remove it"), "{refused}");
        assert!(Numbers::lend_in_memory(Some(&witness), 11).is_err());

        fs::remove_file(&witness).expect("it is there");
        std::os::unix::fs::symlink(&elsewhere, &witness).expect("a link");
        assert_eq!(place.used(1, Some(10)), 10, "a link");
        assert!(numbers.lend(11).is_err());

        fs::remove_file(&witness).expect("it is there");
        fs::copy(&elsewhere, &witness).expect("copied");
        assert_eq!(place.used(1, Some(10)), 50 + RESERVE, "ours");
        if std::os::unix::fs::chown(&witness, Some(65_534), None).is_ok() {
            assert_eq!(place.used(1, Some(10)), 10, "another user's");
            assert!(numbers.lend(11).is_err());
        }
    }
}
