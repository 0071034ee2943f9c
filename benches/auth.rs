//! What a tag costs: made by a node, and opened by a monitor that keeps no keys of nodes.
//!
//! `cargo bench -p systole-benches --bench auth`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use systole_core::auth::{KeyId, KeyRing, MasterKey, Mode, Suite};
use systole_core::wire::{Kind, Message, messages};
use systole_core::{Incarnation, NodeId, Seq, Span};

/// As most are: 52 bytes, a load of 6, and the tag.
fn heartbeat(node: NodeId) -> Message<'static> {
    Message {
        incarnation: Some(Incarnation::new(1)),
        seq: Some(Seq::new(2)),
        interval: Some(Span::from_secs(10)),
        load: Some(0.5),
        ..Message::of(Kind::Heartbeat, node)
    }
}

fn auth(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("auth");
    for suite in Suite::ALL {
        let id = KeyId::new(1).expect("not 0");
        let master = MasterKey::new(id, suite, &[7; 32][..suite.key_length()]).expect("as long");
        let node = NodeId::of("node-1");
        let key = master.node(node);
        let message = heartbeat(node);

        let mut bytes = Vec::with_capacity(128);
        group.bench_function(BenchmarkId::new("seal", suite), |bencher| {
            bencher.iter(|| {
                bytes.clear();
                key.seal(black_box(&message), &mut bytes).expect("it can be sent");
            });
        });
        let mut ring = KeyRing::new(Mode::Enforce);
        ring.add(master).expect("the first");
        let (parsed, whole) = messages(&bytes).next().expect("one").expect("sound");
        group.bench_function(BenchmarkId::new("open", suite), |bencher| {
            bencher.iter(|| ring.open(black_box(&parsed), black_box(whole)).map(|opened| opened.seq).expect("sealed"));
        });
    }
    group.finish();
}

criterion_group!(benches, auth);
criterion_main!(benches);
