//! A small fleet whose nodes can be silenced one by one.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two heartbeats of a node.
pub(crate) const INTERVAL: Duration = Duration::from_millis(200);

/// Nodes that beat, each at its own moment of the interval, for as long as they are up.
pub(crate) struct Beaters {
    up: Arc<[AtomicBool]>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Beaters {
    /// One for each line; the lines say who and where: `web-1 group=web`.
    pub(crate) fn start(to: SocketAddr, lines: Vec<String>) -> Self {
        let up: Arc<[AtomicBool]> = lines.iter().map(|_| AtomicBool::new(true)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let (flags, end) = (Arc::clone(&up), Arc::clone(&stop));
        let beat = move || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            let start = Instant::now();
            for beat in 0u32.. {
                for (node, line) in lines.iter().enumerate() {
                    let due = start + INTERVAL * beat + INTERVAL * node as u32 / lines.len() as u32;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    if end.load(Ordering::Relaxed) {
                        return;
                    }
                    if flags[node].load(Ordering::Relaxed) {
                        let line = format!("hb {line} interval={}ms seq={}", INTERVAL.as_millis(), beat + 1);
                        _ = socket.send_to(line.as_bytes(), to);
                    }
                }
            }
        };
        Self { up, stop, thread: Some(std::thread::spawn(beat)) }
    }

    /// Lets some of them beat, or be silent.
    pub(crate) fn set(&self, nodes: impl IntoIterator<Item = usize>, up: bool) {
        nodes.into_iter().for_each(|node| self.up[node].store(up, Ordering::Relaxed));
    }
}

impl Drop for Beaters {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}
