//! The wire format from outside: what is written reads back, no bytes break the reader, and the
//! test vectors of `docs/PROTOCOL.md` are what this code speaks.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use systole_core::auth::{KeyId, KeyRing, MasterKey, Mode, Suite};
use systole_core::wire::{
    DATAGRAM_ADVISED, DATAGRAM_MAX, EXTRAS_MAX, Extras, HEADER, Kind, MAGIC, Message, NODE, TAG, TEXT_MAX, UnixMillis,
    check, emit_binary, emit_text, messages,
};
use systole_core::{Incarnation, NAME_MAX, NodeId, Reject, Seq, Share, Span};

/// A message that owns its texts, so that proptest can make one up.
#[derive(Clone, Debug)]
struct Said {
    kind: Kind,
    name: String,
    numbers: (Option<u64>, Option<u64>, Option<u64>),
    spans: (Option<u64>, Option<u64>),
    group: Option<String>,
    load: Option<f32>,
    version: Option<String>,
    metrics: Vec<(String, f64)>,
    labels: Vec<(String, String)>,
}

impl Said {
    /// Lends the message, its spans in units of `unit`.
    fn with<R>(&self, unit: Span, then: impl FnOnce(Message<'_>) -> R) -> R {
        let metrics: Vec<_> = self.metrics.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let labels: Vec<_> = self.labels.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let plain = match self.kind {
            Kind::Heartbeat => Message::heartbeat(&self.name),
            Kind::Goodbye => Message::goodbye(&self.name),
        };
        let (incarnation, seq, sent) = self.numbers;
        then(Message {
            incarnation: incarnation.map(Incarnation::new),
            seq: seq.map(Seq::new),
            sent: sent.and_then(UnixMillis::new),
            interval: self.spans.0.map(|count| unit * count),
            group: self.group.as_deref(),
            load: self.load,
            version: self.version.as_deref(),
            next: self.spans.1.map(|count| unit * count),
            extras: Extras::pairs(&metrics, &labels),
            ..plain
        })
    }

    fn text(&self) -> Vec<u8> {
        self.with(Span::from_nanos(1), |message| text(&message))
    }

    fn binary(&self) -> Vec<u8> {
        self.with(Span::from_millis(1), |message| binary(&message))
    }
}

fn text(message: &Message<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    emit_text(message, &mut line).expect("a sound message");
    line
}

fn binary(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    emit_binary(message, &mut bytes).expect("a sound message");
    bytes
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Heartbeat), Just(Kind::Goodbye)]
}

fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), 0..100u64, any::<u64>()]
}

fn said() -> impl Strategy<Value = Said> {
    let name = "[A-Za-z0-9._:/@-]{1,128}";
    let key = "[A-Za-z0-9._:/@-]{1,64}";
    let text = "[!-~]{1,64}|[äß東🦀!-~]{1,16}";
    let load = any::<f32>().prop_map(f32::abs).prop_filter("finite", |load| load.is_finite());
    let value = any::<f64>().prop_filter("finite", |value| value.is_finite());
    let identity = (kinds(), name, (option::of(numbers()), option::of(numbers()), option::of(numbers())));
    let spans = (option::of(1..=u64::from(u32::MAX)), option::of(1..=u64::from(u32::MAX)));
    let payload = (option::of(name), option::of(load), option::of(text));
    let extras = (btree_map(key, value, 0..=EXTRAS_MAX), btree_map(key, text, 0..=EXTRAS_MAX));
    (identity, spans, payload, extras).prop_map(|((kind, name, numbers), spans, payload, (metrics, labels))| {
        let (group, load, version) = payload;
        let (metrics, labels) = (metrics.into_iter().collect(), labels.into_iter().collect());
        Said { kind, name, numbers, spans, group, load, version, metrics, labels }
    })
}

/// A field of a type that nobody has given a meaning.
fn unknown_field() -> impl Strategy<Value = Vec<u8>> {
    (prop_oneof![Just(0), 8..=u8::MAX], vec(any::<u8>(), 0..20))
        .prop_map(|(kind, value)| [&[kind, value.len() as u8], &value[..]].concat())
}

/// Where a field may begin in a binary message without a tag.
fn seams(message: &[u8]) -> Vec<usize> {
    let mut seams = vec![HEADER];
    while let Some(at) = seams.last().copied().filter(|at| *at < message.len()) {
        seams.push(at + 2 + usize::from(message[at + 1]));
    }
    seams
}

/// `message` with `bytes` put in at `at` and its length made right again.
fn insert(message: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut longer = [&message[..at], bytes, &message[at..]].concat();
    let length = u16::try_from(longer.len()).expect("short");
    longer[4..6].copy_from_slice(&length.to_le_bytes());
    longer
}

fn only(datagram: &[u8]) -> Message<'_> {
    let all: Vec<_> = messages(datagram).collect();
    match all[..] {
        [Ok((message, bytes))] if bytes == datagram => message,
        _ => panic!("not one whole message: {all:?}"),
    }
}

proptest! {
    #[test]
    fn text_reads_back_as_it_was_written(said in said()) {
        said.with(Span::from_nanos(1), |message| assert_eq!(only(&text(&message)), message));
    }

    #[test]
    fn binary_reads_back_as_it_was_written(said in said(), key: u8) {
        said.with(Span::from_millis(1), |message| {
            let message = Message {
                key,
                incarnation: message.incarnation.or(Some(Incarnation::new(0))),
                seq: message.seq.or(Some(Seq::new(0))),
                ..message
            };
            assert_eq!(only(&binary(&message)), message);
            let nameless = Message { name: None, ..message };
            assert_eq!(only(&binary(&nameless)), nameless);
        });
    }

    #[test]
    fn spans_in_binary_are_rounded_up_to_milliseconds(nanos in 1u64..5_000_000_000_000_000) {
        let span = Span::from_nanos(nanos);
        let bytes = binary(&Message { interval: Some(span), next: Some(span), ..Message::heartbeat("a") });
        let expected = Some(Span::from_millis(nanos.div_ceil(1_000_000).min(u64::from(u32::MAX))));
        prop_assert_eq!((only(&bytes).interval, only(&bytes).next), (expected, expected));
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in vec(any::<u8>(), 0..300)) {
        check(&bytes);
        check(&[&[MAGIC, 1], &bytes[..]].concat());
        check(&[b"hb ", &bytes[..]].concat());
    }

    #[test]
    fn no_damage_breaks_the_reader(
        said in vec(said(), 1..3),
        in_text: bool,
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes: Vec<u8> = said.iter().flat_map(|one| if in_text { one.text() } else { one.binary() }).collect();
        check(&bytes);
        for (at, value) in damage {
            *at.get_mut(&mut bytes) = value;
        }
        check(&bytes);
        check(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn unknown_fields_change_nothing(
        said in said(),
        fields in vec((any::<prop::sample::Index>(), unknown_field()), 1..4),
        word in "[a-z]{1,8}(=[!-~é]{0,9})?",
        at in any::<prop::sample::Index>(),
    ) {
        let plain = said.binary();
        let extended = fields.iter().fold(plain.clone(), |bytes, (at, field)| {
            insert(&bytes, *at.get(&seams(&bytes)), field)
        });
        prop_assert_eq!(only(&extended), only(&plain));

        let known = ["seq", "inc", "group", "interval", "ts", "load", "version", "next"];
        prop_assume!(!known.contains(&word.split('=').next().unwrap_or_default()));
        let plain = said.text();
        let line = str::from_utf8(&plain).expect("text");
        let mut words: Vec<&str> = line.split(' ').collect();
        words.insert(2 + at.index(words.len() - 1), &word);
        let extended = words.join(" ");
        prop_assert_eq!(only(extended.as_bytes()), only(&plain));
    }

    #[test]
    fn messages_back_to_back_come_out_one_by_one(said in vec(said(), 1..8)) {
        let parts: Vec<Vec<u8>> = said.iter().map(Said::binary).collect();
        let datagram = parts.concat();
        let read: Vec<_> = messages(&datagram).map(|message| message.expect("sound")).collect();
        let expected: Vec<_> = parts.iter().map(|part| (only(part), &part[..])).collect();
        prop_assert_eq!(read, expected);
    }
}

#[test]
fn the_bytes_that_steer_a_datagram_are_those_that_choose_the_share() {
    for name in ["web-1", "web-2", "db"] {
        let bytes = binary(&Message::heartbeat(name));
        let word = u32::from_be_bytes(bytes[NODE..NODE + 4].try_into().expect("four bytes"));
        let share = Share::new(0, 7).expect("a share");
        assert_eq!(word % 7, share.owner(NodeId::of(name)));
    }
}

#[test]
fn every_file_of_the_corpus_passes_the_check() {
    let files = fs::read_dir(root().join("fuzz/corpus/decode")).expect("the corpus is committed");
    let mut seen = 0;
    for file in files {
        check(&fs::read(file.expect("an entry").path()).expect("a readable file"));
        seen += 1;
    }
    assert!(seen >= 20, "only {seen} files in the corpus");
}

#[test]
fn the_test_vectors_of_the_document_hold() {
    let document = protocol();
    let vectors = vectors(&document);
    let mut ring = ring(&document);
    assert!(vectors.len() >= 10, "only {} vectors found", vectors.len());
    assert_eq!(ring.uses().count(), 2, "a key of each suite");
    for (datagram, means) in vectors {
        assert_eq!(describe(&datagram, &mut ring), means);
        check(&datagram);
    }
}

#[test]
fn the_document_names_every_reason_and_every_limit() {
    let document = protocol();
    for reason in Reject::ALL {
        assert!(document.contains(&format!("| `{}` |", reason.name())), "{} is not explained", reason.name());
    }
    for (limit, number) in [
        ("longest name", NAME_MAX),
        ("longest text", TEXT_MAX),
        ("metrics", EXTRAS_MAX),
        ("labels", EXTRAS_MAX),
        ("header", HEADER),
        ("tag", TAG),
        ("advised datagram", DATAGRAM_ADVISED),
        ("longest datagram", DATAGRAM_MAX),
    ] {
        assert!(
            document.contains(&format!("| {limit} | {number} |")),
            "{limit}: {number} is not in the table of limits"
        );
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn protocol() -> String {
    fs::read_to_string(root().join("docs/PROTOCOL.md")).expect("docs/PROTOCOL.md")
}

/// The vectors of the document: a block of hex, then a block that says what it means.
fn vectors(document: &str) -> Vec<(Vec<u8>, String)> {
    let mut vectors = Vec::new();
    let mut rest = document;
    while let Some((hex, after)) = block(rest, "hex") {
        let (means, after) = block(after, "means").expect("a meaning after the hex");
        vectors.push((bytes(hex), means.to_owned()));
        rest = after;
    }
    vectors
}

/// The first fenced block of this kind, and what follows it.
fn block<'a>(document: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    let (_, inside) = document.split_once(&format!("\n```{kind}\n"))?;
    inside.split_once("```")
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("two hex digits")).collect()
}

/// The master keys of the document.
fn ring(document: &str) -> KeyRing {
    let mut ring = KeyRing::new(Mode::Enforce);
    for line in document.lines().filter(|line| line.starts_with("systole-master-key ")) {
        let value = |key: &str| line.split(' ').find_map(|word| word.strip_prefix(key)).expect("a key file's line");
        let id = KeyId::new(value("id=").parse().expect("a number")).expect("not 0");
        let suite = Suite::ALL.into_iter().find(|suite| suite.name() == value("suite=")).expect("a suite");
        let digits: Vec<char> = value("key=").chars().collect();
        let pairs: Vec<String> = digits.chunks(2).map(|pair| pair.iter().collect()).collect();
        ring.add(MasterKey::new(id, suite, &bytes(&pairs.join(" "))).expect("as long")).expect("its own id and secret");
    }
    ring
}

/// A datagram in the words of the document, one line per fact. What has no tag, or one by a key that the document
/// doesn't tell, is taken as it is.
fn describe(datagram: &[u8], ring: &mut KeyRing) -> String {
    let mut out = String::new();
    for message in messages(datagram) {
        let judged = message.and_then(|(message, bytes)| {
            let known = ring.uses().any(|one| one.key.number() == message.key);
            if known {
                ring.open(&message, bytes)?;
            }
            Ok((message, known))
        });
        match judged {
            Ok((message, signed)) => describe_message(&message, signed, &mut out),
            Err(reason) => writeln!(out, "refused: {}", reason.name()).expect("a String takes everything"),
        }
    }
    out
}

fn describe_message(message: &Message<'_>, signed: bool, out: &mut String) {
    let mut say = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            writeln!(out, "{key}: {value}").expect("a String takes everything");
        }
    };
    say(
        match message.kind {
            Kind::Heartbeat => "heartbeat",
            Kind::Goodbye => "goodbye",
        },
        Some(message.node.to_string()),
    );
    say("name", message.name.map(str::to_owned));
    let key = if signed { "signed with key" } else { "key id" };
    say(key, Some(message.key.to_string()).filter(|_| message.key != 0));
    say("incarnation", message.incarnation.map(|incarnation| incarnation.number().to_string()));
    say("seq", message.seq.map(|seq| seq.number().to_string()));
    say("sent", message.sent.map(|sent| sent.millis().to_string()));
    say("interval", message.interval.map(|span| span.compact().to_string()));
    say("group", message.group.map(str::to_owned));
    say("load", message.load.map(|load| load.to_string()));
    say("version", message.version.map(str::to_owned));
    say("next", message.next.map(|span| span.compact().to_string()));
    message.extras.metrics().for_each(|(name, value)| say(&format!("metric {name}"), Some(value.to_string())));
    message.extras.labels().for_each(|(name, text)| say(&format!("label {name}"), Some(text.to_owned())));
}
