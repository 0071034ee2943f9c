//! The file around the beliefs: a head, blocks, an end.
//!
//! ```text
//!   head    0 "\x89SYSTOLE"  8 version (u16), 2 zero bytes  12 as of event  20 taken at (ms since 1970)  28 crc32
//!   block   0 bytes when unpacked (u32)  4 bytes packed (u32)  8 beliefs (u32)  12 crc32  16 zstd data
//!   ...
//!   end     a block of nothing, whose 8 bytes of data are the number of all beliefs
//! ```
//!
//! Each crc32 goes on from the one before, so that no block can be missing, doubled or moved. All
//! of a file is checked, down to the last belief, before any of it is used. [`decode`] takes any bytes
//! at all, and no more memory than they and one block need.

use std::io::{self, Write};

use zstd::bulk::{Compressor, Decompressor};

use super::record;
use crate::store::Carried;

/// When a snapshot was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Every event up to this number is in it. Later ones may be.
    pub as_of: u64,
    /// When it was begun, in milliseconds since 1970.
    pub taken_at: u64,
}

/// Why a file isn't used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Something else.
    #[error("it is no snapshot of a Systole monitor")]
    Foreign,
    /// A snapshot that this version can't read.
    #[error("it has format {0}, and this version reads format {VERSION}; a newer version wrote it")]
    Newer(u16),
    /// Not what was written.
    #[error("it is damaged: {0}")]
    Torn(&'static str),
}

/// A snapshot that is whole.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'b> {
    /// When it was taken.
    pub head: Head,
    /// How many beliefs are in it.
    pub nodes: u64,
    blocks: &'b [u8],
}

/// Writes a snapshot.
pub struct Encoder<W> {
    out: W,
    compressor: Compressor<'static>,
    crc: u32,
    nodes: u64,
}

/// Checks that `bytes` are a snapshot from the first to the last.
///
/// # Errors
/// They aren't, and why.
pub fn decode(bytes: &[u8]) -> Result<Snapshot<'_>, Refusal> {
    let Some((head, crc)) = head(bytes)? else { return Err(Refusal::Torn("its head is cut short")) };
    let blocks = &bytes[HEAD..];
    let nodes = walk(blocks, crc, |_| {})?;
    Ok(Snapshot { head, nodes, blocks })
}

impl Snapshot<'_> {
    /// Hands out every belief.
    pub fn each(&self, beliefs: impl FnMut(Carried)) {
        // What was whole a moment ago still is: it lies in memory.
        let head = self.head.bytes();
        let crc = u32::from_le_bytes(head[HEAD - 4..].try_into().expect("four bytes"));
        let _ = walk(self.blocks, crc, beliefs);
    }
}

impl Head {
    fn bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.as_of.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.taken_at.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

impl<W: Write> Encoder<W> {
    /// Begins a snapshot.
    ///
    /// # Errors
    /// It couldn't be written.
    pub fn new(mut out: W, head: Head) -> io::Result<Self> {
        let bytes = head.bytes();
        out.write_all(&bytes)?;
        let crc = crc32fast::hash(&bytes[..28]);
        Ok(Self { out, compressor: Compressor::new(LEVEL)?, crc, nodes: 0 })
    }

    /// Adds `count` beliefs as [`super::emit`] writes them: at most 16 MiB.
    ///
    /// # Errors
    /// It couldn't be written.
    pub fn block(&mut self, raw: &[u8], count: u32) -> io::Result<()> {
        if raw.is_empty() {
            return Ok(());
        }
        let packed = self.compressor.compress(raw)?;
        self.nodes += u64::from(count);
        self.put(raw.len(), &packed, count)
    }

    /// Ends the snapshot. Gives back what it was written to, and how many beliefs are in it.
    ///
    /// # Errors
    /// It couldn't be written.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        let nodes = self.nodes;
        self.put(0, &nodes.to_le_bytes(), 0)?;
        self.out.flush()?;
        Ok((self.out, nodes))
    }

    fn put(&mut self, raw: usize, packed: &[u8], count: u32) -> io::Result<()> {
        let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, "a block of beliefs is too long");
        let lens = [u32::try_from(raw).map_err(too_long)?, u32::try_from(packed.len()).map_err(too_long)?, count];
        let mut block = [0; BLOCK];
        for (place, len) in block.chunks_mut(4).zip(lens) {
            place.copy_from_slice(&len.to_le_bytes());
        }
        self.crc = chained(self.crc, &block[..12], packed);
        block[12..].copy_from_slice(&self.crc.to_le_bytes());
        self.out.write_all(&block)?;
        self.out.write_all(packed)
    }
}

/// The head and its checksum; nothing if there aren't enough bytes for one.
fn head(bytes: &[u8]) -> Result<Option<(Head, u32)>, Refusal> {
    let magic = bytes.len().min(MAGIC.len());
    if bytes.is_empty() || bytes[..magic] != MAGIC[..magic] {
        return Err(Refusal::Foreign);
    }
    let Some(head) = bytes.get(..HEAD) else { return Ok(None) };
    let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    let crc = crc32fast::hash(&head[..28]);
    if crc.to_le_bytes() != head[28..] {
        return Err(Refusal::Torn("its head doesn't have its checksum"));
    }
    match u16::from_le_bytes([head[8], head[9]]) {
        VERSION => Ok(Some((Head { as_of: number(12), taken_at: number(20) }, crc))),
        other => Err(Refusal::Newer(other)),
    }
}

/// Reads block after block up to the end, which must be the end of the bytes. Says how many beliefs there were.
fn walk(mut blocks: &[u8], mut crc: u32, mut beliefs: impl FnMut(Carried)) -> Result<u64, Refusal> {
    let mut decompressor = Decompressor::new().map_err(|_| Refusal::Torn("it can't be unpacked"))?;
    let mut nodes = 0_u64;
    loop {
        let block = blocks.split_off(..BLOCK).ok_or(Refusal::Torn("its end is missing"))?;
        let len = |at: usize| u32::from_le_bytes(block[at..at + 4].try_into().expect("four bytes"));
        let (unpacked, packed, count) = (len(0) as usize, len(4) as usize, len(8));
        let packed = blocks.split_off(..packed).ok_or(Refusal::Torn("a block is cut short"))?;
        crc = chained(crc, &block[..12], packed);
        if crc != len(12) {
            return Err(Refusal::Torn("a block doesn't have its checksum"));
        }
        if unpacked == 0 {
            let whole = packed == nodes.to_le_bytes() && count == 0 && blocks.is_empty();
            return if whole { Ok(nodes) } else { Err(Refusal::Torn("its end isn't where it ends")) };
        }
        if unpacked > UNPACKED_MAX {
            return Err(Refusal::Torn("a block is too long"));
        }
        let raw = decompressor.decompress(packed, unpacked).map_err(|_| Refusal::Torn("a block can't be unpacked"))?;
        if raw.len() != unpacked {
            return Err(Refusal::Torn("a block is shorter than it says"));
        }
        let mut raw = raw.as_slice();
        for _ in 0..count {
            beliefs(record::parse(&mut raw)?);
        }
        if !raw.is_empty() {
            return Err(Refusal::Torn("a block has more than its beliefs"));
        }
        nodes += u64::from(count);
    }
}

fn chained(before: u32, head: &[u8], data: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(before);
    hasher.update(head);
    hasher.update(data);
    hasher.finalize()
}

/// The most bytes of one block when unpacked.
const UNPACKED_MAX: usize = 16 << 20;

const MAGIC: &[u8; 8] = b"\x89SYSTOLE";
const VERSION: u16 = 1;
const HEAD: usize = 32;
const BLOCK: usize = 16;
/// Of zstd: the file becomes a third of its size, at several hundred megabytes a second.
const LEVEL: i32 = 1;

const _: () = assert!(
    crate::query::SLICE * (27 + 2 * 129 + 16 + 8 + 8 + 4 + 65 + 2 + 16 * (65 + 8) + 16 * 130) <= UNPACKED_MAX,
    "a slice of the largest beliefs fits into a block"
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use systole_core::{Incarnation, Instant, Interval, Liveness, NodeId, Payload, Seq, Span};

    use super::*;
    use crate::clock::Reading;

    const READING: Reading =
        Reading { now: Instant::from_nanos(40_000_000_000_000_000), unix_nanos: 1_795_435_382_100_000_000 };

    fn name() -> impl Strategy<Value = Box<str>> {
        "[A-Za-z0-9._:/@-]{1,128}".prop_map(Box::from)
    }

    fn payload() -> impl Strategy<Value = Box<Payload>> {
        let key = "[a-z]{1,64}";
        let metrics = prop::collection::btree_map(key, -1e300..1e300, 0..16);
        let labels = prop::collection::btree_map(key, "[!-~]{1,64}", 0..16);
        (prop::option::of("[!-~]{1,64}"), metrics, labels).prop_map(|(version, metrics, labels)| {
            let metrics: Vec<_> = metrics.iter().map(|(name, value)| (&**name, *value)).collect();
            let labels: Vec<_> = labels.iter().map(|(name, text)| (&**name, &**text)).collect();
            Box::new(Payload::new(version.as_deref(), &metrics, &labels).expect("a message could say it"))
        })
    }

    fn carried() -> impl Strategy<Value = Carried> {
        let interval = prop::option::of((any::<bool>(), any::<u64>()));
        let interval = interval.prop_map(|interval| {
            interval.map(|(declared, nanos)| match declared {
                true => Interval::Declared(Span::from_nanos(nanos)),
                false => Interval::Learned(Span::from_nanos(nanos)),
            })
        });
        let last = prop::option::of((any::<u64>(), any::<u64>()))
            .prop_map(|last| last.map(|(incarnation, seq)| (Incarnation::new(incarnation), Seq::new(seq))));
        let who = (any::<[u8; 16]>(), prop::option::of(name()), prop::option::of(name()), last);
        let what = (prop::sample::select(&Liveness::ALL[..]), 1_790_000_000_000..=1_795_435_382_100_u64, interval);
        // What was said last can't reach back before the time line's origin.
        let told = (prop::option::of(0..1_u64 << 60), prop::option::of(0.0..1e30_f32), prop::option::of(payload()));
        (who, what, told).prop_map(
            |((id, name, group, last), (liveness, since, interval), (planned, load, payload))| {
                let payload = payload.filter(|payload| **payload != Payload::default());
                let planned = planned.map(Span::from_nanos);
                Carried {
                    id: NodeId::from_bytes(id),
                    name,
                    group,
                    last,
                    liveness,
                    since,
                    interval,
                    planned,
                    load,
                    payload,
                }
            },
        )
    }

    fn encoded(blocks: &[Vec<Carried>], head: Head) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), head).expect("memory takes it");
        for block in blocks {
            let mut raw = Vec::new();
            block.iter().for_each(|carried| record::emit(&carried.belief(READING), READING, &mut raw));
            encoder.block(&raw, block.len() as u32).expect("memory takes it");
        }
        let (bytes, nodes) = encoder.finish().expect("memory takes it");
        assert_eq!(nodes, blocks.iter().map(Vec::len).sum::<usize>() as u64);
        bytes
    }

    fn some() -> Vec<u8> {
        let belief = |name: &str| Carried {
            id: NodeId::of(name),
            name: Some(name.into()),
            group: Some("edge".into()),
            last: Some((Incarnation::new(7), Seq::new(41))),
            liveness: Liveness::Failed,
            since: 1_795_435_000_000,
            interval: Some(Interval::Declared(Span::from_secs(1))),
            planned: None,
            load: Some(0.5),
            payload: Some(Box::new(Payload::new(Some("1.2"), &[("cpu", 0.5)], &[("zone", "eu-1")]).expect("sound"))),
        };
        let blocks = [vec![belief("a"), belief("b")], vec![belief("c")]];
        encoded(&blocks, Head { as_of: 17, taken_at: 1_795_435_382_100 })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_reads_back(
            blocks in prop::collection::vec(prop::collection::vec(carried(), 1..20), 0..4),
            as_of: u64,
            taken_at: u64,
        ) {
            let head = Head { as_of, taken_at };
            let bytes = encoded(&blocks, head);
            let snapshot = decode(&bytes).expect("it is whole");
            prop_assert_eq!(snapshot.head, head);
            let mut found = Vec::new();
            snapshot.each(|carried| found.push(carried));
            prop_assert_eq!(found, blocks.concat());
        }

        #[test]
        fn any_bytes_are_refused_or_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0..400_usize) {
            prop_assert!(decode(&bytes).is_err());
            // Behind a sound head, and as what a block of the right checksum holds.
            let mut whole = some();
            whole.truncate(HEAD + cut.min(whole.len() - HEAD - 1));
            whole.extend(&bytes);
            prop_assert!(decode(&whole).is_err());
            let mut encoder = Encoder::new(Vec::new(), Head { as_of: 0, taken_at: 0 }).expect("memory takes it");
            encoder.block(&bytes, 3).expect("memory takes it");
            let (packed, _) = encoder.finish().expect("memory takes it");
            let _ = decode(&packed);
        }
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_refused() {
        let whole = some();
        assert_eq!(decode(&whole).map(|snapshot| snapshot.nodes), Ok(3));
        for len in 0..whole.len() {
            assert!(decode(&whole[..len]).is_err(), "cut at {len}");
        }
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes).is_err(), "bit {bit} flipped");
        }
        let longer = [&*whole, &[0]].concat();
        assert!(decode(&longer).is_err(), "with a byte more");
    }

    #[test]
    fn a_refusal_says_what_it_is_about() {
        assert_eq!(decode(b"").map(|_| ()), Err(Refusal::Foreign));
        assert_eq!(decode(b"SQLite format 3\0").map(|_| ()), Err(Refusal::Foreign));
        let mut newer = some();
        newer[8] = 2;
        let crc = crc32fast::hash(&newer[..28]);
        newer[28..32].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode(&newer).map(|_| ()), Err(Refusal::Newer(2)));
        assert!(Refusal::Newer(2).to_string().contains("newer version"));
    }

    #[test]
    fn a_block_that_claims_to_be_huge_is_not_unpacked() {
        let mut encoder = Encoder::new(Vec::new(), Head { as_of: 0, taken_at: 0 }).expect("memory takes it");
        let packed = Compressor::new(LEVEL).expect("zstd").compress(&vec![0; 1 << 20]).expect("packed");
        encoder.put(UNPACKED_MAX + 1, &packed, 1).expect("memory takes it");
        let (bytes, _) = encoder.finish().expect("memory takes it");
        assert_eq!(decode(&bytes).map(|_| ()), Err(Refusal::Torn("a block is too long")));
    }
}
