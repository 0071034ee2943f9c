//! Takes up to 64 datagrams off a socket in one system call.
//!
//! The kernel's work on a packet is most of the cost, whatever we do; what can be saved is the 64-fold way there and
//! back. The buffers are made once and lent out: a [`Received`] is a view that the next call ends.
//!
//! A batch that isn't full means that the kernel had looked and found nothing more, so the socket was empty then. That
//! spares the call that would only say so, and it is what the clock's floor and the monitor's backlog are built on.

use std::io;

use systole_core::Source;

use super::{BATCH, Socket, sys};

/// Buffers for one batch, made once and used again for every call: 128 KiB.
#[derive(Debug)]
pub struct Receiver {
    buffers: Box<[Buffer; BATCH]>,
    notes: Box<[Note; BATCH]>,
}

/// One batch, in the order in which the socket took it in. Empty if nothing was there.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    buffers: &'a [Buffer],
    notes: &'a [Note],
    /// Datagrams that the kernel threw away since the last call: its receive buffer was full, or a checksum was wrong.
    ///
    /// It tells with the next datagram that it keeps, so losses at the end of a burst are known with the one after it.
    pub dropped: u64,
}

/// One datagram as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// What it says, at most [`DATAGRAM_MAX`](super::DATAGRAM_MAX) bytes; may be nothing.
    pub bytes: &'a [u8],
    /// When the kernel received it, in nanoseconds of Unix time by the realtime clock, which may be set at any moment.
    /// Nothing on systems that don't tell.
    pub stamp: Option<u64>,
    /// Whether there was more of it than `bytes`: no heartbeat is that long.
    pub truncated: bool,
    /// The network that it came from.
    pub source: Source,
}

impl Receiver {
    /// Makes the buffers.
    pub fn new() -> Self {
        Self { buffers: filled([0; sys::ROOM]), notes: filled(Note::default()) }
    }

    /// Receives what is there, 64 at most. Never waits: without a datagram the batch is empty.
    ///
    /// # Errors
    /// Those of the socket, such as a network that went away. No datagram was taken then.
    pub fn receive(&mut self, socket: &Socket) -> io::Result<Received<'_>> {
        let haul = loop {
            match sys::receive(socket.inner(), &mut self.buffers, &mut self.notes) {
                Ok(haul) => break haul,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Haul::default(),
                Err(error) => return Err(error),
            }
        };
        Ok(Received {
            buffers: &self.buffers[..haul.count],
            notes: &self.notes[..haul.count],
            dropped: haul.lost.map_or(0, |count| socket.lost_since(count)),
        })
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Received<'a> {
    /// How many datagrams there are.
    pub const fn len(&self) -> usize {
        self.notes.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// Whether the socket had nothing more at some moment during the call.
    pub const fn drained(&self) -> bool {
        self.len() < BATCH
    }

    /// The datagrams.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Datagram<'a>> + use<'a> {
        self.buffers.iter().zip(self.notes).map(|(buffer, note)| Datagram {
            bytes: &buffer[..note.length],
            stamp: note.stamp,
            truncated: note.truncated,
            source: note.source,
        })
    }
}

pub(super) type Buffer = [u8; sys::ROOM];

/// What the kernel said about one datagram. `length` is within the buffer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Note {
    pub(super) length: usize,
    pub(super) stamp: Option<u64>,
    pub(super) truncated: bool,
    pub(super) source: Source,
}

/// How many buffers were filled, and the kernel's count of losses if it told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Haul {
    pub(super) count: usize,
    pub(super) lost: Option<u32>,
}

/// An array on the heap that was never on the stack.
fn filled<T: Clone>(value: T) -> Box<[T; BATCH]> {
    let Ok(array) = vec![value; BATCH].into_boxed_slice().try_into() else { unreachable!("it has BATCH elements") };
    array
}
