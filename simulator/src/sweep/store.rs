//! The records on disk: appended one by one as runs end, so that whatever ends the process costs
//! at most the runs that were under way.
//!
//! A last line that was torn is cut off and run again; a line that can't be read anywhere else is
//! an error, since something else than we wrote it. While a sweep runs it holds a lock on the file.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::record::Record;

/// The records of one folder, in memory and on disk.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    file: File,
    records: BTreeMap<String, Record>,
}

impl Store {
    /// Opens the records of a folder, which is made if it isn't there.
    ///
    /// # Errors
    /// If the folder can't be used, another sweep uses it, or a line isn't a record.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
        let path = folder.join("results.jsonl");
        let shown = path.display().to_string();
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("can't open {shown}"))?;
        if file.try_lock().is_err() {
            bail!("{shown} is in use by another sweep; wait for it, or choose another folder with --out");
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).with_context(|| format!("can't read {shown}"))?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let mut records = BTreeMap::new();
        for (number, line) in
            text[..whole].split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty())
        {
            let record: Record = serde_json::from_slice(line).with_context(|| {
                format!("{shown}:{}: not a result; delete the line, or choose another folder with --out", number + 1)
            })?;
            records.insert(record.key.clone(), record);
        }
        file.set_len(whole as u64)
            .and_then(|()| file.seek(std::io::SeekFrom::End(0)))
            .with_context(|| format!("can't write {shown}"))?;
        Ok(Self { path, file, records })
    }

    /// The record with this key.
    pub(crate) fn get(&self, key: &str) -> Option<&Record> {
        self.records.get(key)
    }

    /// Keeps a record, on disk first.
    ///
    /// # Errors
    /// If it can't be written.
    pub(crate) fn add(&mut self, record: Record) -> anyhow::Result<()> {
        let written = self.file.write_all(record.line().as_bytes());
        written.with_context(|| format!("can't write {}", self.path.display()))?;
        self.records.insert(record.key.clone(), record);
        Ok(())
    }

    /// Puts the file in order: the records with these keys first, as they stand here, then those
    /// that nobody asked for now. Which run ended first shows nowhere then.
    ///
    /// # Errors
    /// If it can't be written; what was there is still there.
    pub(crate) fn arrange<'k>(&self, keys: impl IntoIterator<Item = &'k str>) -> anyhow::Result<()> {
        let mut rest: BTreeMap<&str, &Record> =
            self.records.iter().map(|(key, record)| (key.as_str(), record)).collect();
        let mut text: String = keys.into_iter().filter_map(|key| rest.remove(key)).map(Record::line).collect();
        text.extend(rest.into_values().map(Record::line));
        write(&self.path, &text)
    }
}

/// Writes a file as a whole or not at all.
///
/// # Errors
/// If it can't be written.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let beside = path.with_extension("tmp");
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    written.with_context(|| format!("can't write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::run;
    use crate::scenario::Group;

    fn record(seed: u64) -> Record {
        let scenario = Group { heartbeats: 100, ..Group::default() }.alone(seed);
        Record::of(&scenario, &run(&scenario, |_| {}))
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = Store::open(folder.path()).expect("it opens");
        let records = [record(1), record(2)];
        for record in &records {
            store.add(record.clone()).expect("it is written");
        }
        drop(store);
        let path = folder.path().join("results.jsonl");
        let whole = fs::read(&path).expect("it is there");
        fs::write(&path, &whole[..whole.len() - 10]).expect("it is cut");
        let mut store = Store::open(folder.path()).expect("it opens");
        assert_eq!((store.get(&records[0].key), store.get(&records[1].key)), (Some(&records[0]), None));
        store.add(records[1].clone()).expect("it is written");
        store.arrange([records[0].key.as_str(), records[1].key.as_str()]).expect("it is written");
        assert_eq!(fs::read(&path).expect("it is there"), whole);
    }

    #[test]
    fn what_is_no_record_is_an_error_with_its_line() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("results.jsonl"), record(1).line() + "{}\n").expect("it is written");
        let error = Store::open(folder.path()).expect_err("it isn't a record");
        assert!(error.to_string().contains("results.jsonl:2: not a result"), "{error:#}");
    }

    #[test]
    fn two_sweeps_do_not_share_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let _first = Store::open(folder.path()).expect("it opens");
        assert!(Store::open(folder.path()).is_err_and(|error| error.to_string().contains("in use by another sweep")));
    }
}
