//! What no crate asks the Linux kernel for us: recvmmsg, sendmmsg, and three options of a socket.
//!
//! All the unsafe code of the project is in this file. Every function here is safe to call with anything, and none
//! keeps a pointer: what the kernel is pointed at is borrowed for the length of the call, and the tables of pointers
//! are built on the stack just before it. That costs 240 ns a call, 4 ns a datagram when there are 64, measured
//! against tables that are kept. It buys that no structure could be moved or dropped while something points into it,
//! and that the lengths of name and control, which the kernel overwrites, are right every time. The buffers themselves
//! outlive the calls; nothing is allocated.
//!
//! recvmmsg's own timeout is never used: it is looked at only after a datagram has come.

#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use systole_core::Source;
use systole_core::wire::{MAGIC, NODE};

use super::receive::{Buffer, Haul, Note};
use super::source::source;
use super::{BATCH, DATAGRAM_MAX, control, name};

/// Bytes of room for one datagram: the kernel says by itself whether it had to cut.
pub(super) const ROOM: usize = DATAGRAM_MAX;

/// Receives what is there, at most [`BATCH`], and writes down what the kernel says of each. Never waits.
///
/// # Errors
/// `WouldBlock` when nothing is there. On any error no buffer holds a datagram.
pub(super) fn receive(
    socket: &impl AsFd,
    buffers: &mut [Buffer; BATCH],
    notes: &mut [Note; BATCH],
) -> io::Result<Haul> {
    let mut controls = [[0u8; control::SPACE]; BATCH];
    let mut names = [[0u8; name::SPACE]; BATCH];
    let mut parts = buffers.each_mut().map(|buffer| part(buffer.as_mut_ptr(), buffer.len()));
    let mut headers = headers(&mut parts);
    for ((header, control), name) in headers.iter_mut().zip(&mut controls).zip(&mut names) {
        header.msg_hdr.msg_name = name.as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = name.len() as _;
        header.msg_hdr.msg_control = control.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = control.len() as _;
    }
    let fd = socket.as_fd();
    // SAFETY: `headers` holds BATCH initialised entries. Each points at its own element of `parts`, of
    // `controls` and of `names`, with the length of that element; each element of `parts` points at its own element of
    // `buffers`, with that one's length. All five are borrowed here until after the call and nothing touches them
    // meanwhile. The kernel writes no more than these lengths, and any byte is a valid `u8`. The timeout is null, which
    // means none. `fd` is open as long as `socket` is borrowed.
    let count = unsafe {
        libc::recvmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), BATCH as _, libc::MSG_DONTWAIT as _, ptr::null_mut())
    };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;

    let mut lost = None;
    for (((note, header), control), name) in notes.iter_mut().zip(&headers[..count]).zip(&controls).zip(&names) {
        let said = control::parse(&control[..control.len().min(header.msg_hdr.msg_controllen as _)]);
        let truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        // A name longer than its room says its whole length.
        let name = &name[..name.len().min(header.msg_hdr.msg_namelen as usize)];
        let source = name::parse(name).map_or(Source::LOCAL, source);
        *note = Note { length: DATAGRAM_MAX.min(header.msg_len as usize), stamp: said.stamp, truncated, source };
        lost = said.lost.or(lost);
    }
    Ok(Haul { count, lost })
}

/// Sends datagrams that stand in `bytes` one after the other, of these lengths: the first [`BATCH`] at most. Returns
/// how many went out.
///
/// # Errors
/// Those of the first datagram; then none was sent.
///
/// # Panics
/// If `lengths` add up to more than there are `bytes`.
pub(super) fn send(socket: &impl AsFd, bytes: &[u8], lengths: &[usize]) -> io::Result<usize> {
    let mut parts = [part(ptr::null_mut(), 0); BATCH];
    let mut rest = bytes;
    for (slot, length) in parts.iter_mut().zip(lengths) {
        let (datagram, after) = rest.split_at(*length);
        *slot = part(datagram.as_ptr().cast_mut(), datagram.len());
        rest = after;
    }
    let mut headers = headers(&mut parts);
    let count = lengths.len().min(BATCH);
    let fd = socket.as_fd();
    // SAFETY: `count` is at most BATCH, the number of initialised entries in `headers`. Each has no name and no
    // control, and points at its own element of `parts`; of these the first `count` were filled from slices of `bytes`,
    // which is borrowed until after the call. The kernel only reads through them, so that `cast_mut` gives nothing
    // away. It writes `msg_len` into `headers`, which is ours. `fd` is open as long as `socket` is borrowed.
    let sent = unsafe { libc::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count as _, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Has every datagram stamped with the time of its reception, and tells of losses.
pub(super) fn watch(socket: &socket2::Socket) -> io::Result<()> {
    set(socket, libc::SO_TIMESTAMPNS, 1)?;
    set(socket, libc::SO_RXQ_OVFL, 1)
}

/// How many datagrams the kernel dropped for want of room since the socket was made, in 32 bits that wrap. It tells
/// the same with the next datagram that does fit; this asks before that comes.
///
/// # Errors
/// A kernel before 4.12 doesn't tell.
pub(super) fn lost(socket: &impl AsFd) -> io::Result<u32> {
    let mut account = [0u32; MEMINFO_VARS];
    let mut length = size_of_val(&account) as libc::socklen_t;
    let fd = socket.as_fd();
    // SAFETY: the kernel writes at most `length` bytes to `account`, which has as many, and the number it wrote to
    // `length`. Both are ours until after the call; any bits are a valid `u32`. `fd` is open as long as `socket` is
    // borrowed.
    let code = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            account.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    match code {
        0 if length as usize > MEMINFO_DROPS * size_of::<u32>() => Ok(account[MEMINFO_DROPS]),
        0 => Err(io::ErrorKind::Unsupported.into()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Asks for a receive buffer: beyond the limit for ordinary users if we may, else up to it.
pub(super) fn receive_buffer(socket: &socket2::Socket, bytes: usize) -> io::Result<()> {
    // The kernel doubles what it is asked for and stops at the largest int.
    let value = i32::try_from(bytes).unwrap_or(i32::MAX).min(i32::MAX / 2);
    set(socket, libc::SO_RCVBUFFORCE, value).or_else(|_| socket.set_recv_buffer_size(value as usize))
}

/// Binds `shards` sockets to one address, socket `i` in the `i`-th place, and says whether they are steered.
///
/// The program is attached before the first socket is bound. That makes it a group of its own from the start: the
/// kernel then refuses the address to it if any other socket has it, and never picks another group's port for port 0.
/// Where there is no steering the trial bind is what tells, as any process of the same user may join an unsteered
/// group.
pub(super) fn bind_group(
    address: SocketAddr,
    shards: u32,
    open: impl Fn() -> io::Result<socket2::Socket>,
) -> io::Result<(Vec<socket2::Socket>, bool)> {
    if address.port() != 0 {
        open()?.bind(&address.into())?;
    }
    let first = open()?;
    first.set_reuse_port(true)?;
    let steered = steer(&first, shards).is_ok();
    first.bind(&address.into())?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..shards {
        let socket = open()?;
        socket.set_reuse_port(true)?;
        socket.bind(&address)?;
        sockets.push(socket);
    }
    Ok((sockets, steered))
}

/// Steers a group that is bound already, and says whether that is so. One socket alone meets every node.
pub(super) fn steer_group(sockets: &[socket2::Socket]) -> bool {
    match sockets {
        [] | [_] => true,
        [first, ..] => u32::try_from(sockets.len()).is_ok_and(|shards| steer(first, shards).is_ok()),
    }
}

/// Attaches the program that picks a socket of the group for each datagram.
///
/// It computes `Share::owner` for a binary heartbeat. For anything else it answers with a number that no socket has,
/// and the kernel goes by its hash of addresses and ports. A read beyond the end of a datagram answers 0: empty and
/// cut off ones go to the first socket.
fn steer(socket: &socket2::Socket, shards: u32) -> io::Result<()> {
    let step = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = [
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, 0), // a = first byte
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, u32::from(MAGIC), 0, 3), // not ours: to the last line
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, NODE as u32, 0, 0), // a = start of the node's id, big-endian
        step(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, shards, 0, 0), // a %= shards
        step(libc::BPF_RET | BPF_A, 0, 0, 0),                      // socket number a
        step(libc::BPF_RET | libc::BPF_K, u32::MAX, 0, 0),         // no socket's number
    ];
    let value = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    let fd = socket.as_fd();
    // SAFETY: the kernel reads one `sock_fprog` from `value`, whose size is what is said, and through its `filter` as
    // many `sock_filter` as its `len` says: the elements of `program`. Both are alive and untouched until after the
    // call, which copies the program. The kernel checks it. `fd` is open as long as `socket` is borrowed.
    let code = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const value).cast(),
            size_of_val(&value) as _,
        )
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets an option whose value is a plain number. Not for options whose value the kernel would follow as a pointer.
fn set(socket: &socket2::Socket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let fd = socket.as_fd();
    // SAFETY: the kernel reads as many bytes from `value` as are said: its size. It is alive until after the call. `fd`
    // is open as long as `socket` is borrowed.
    let code = unsafe {
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const value).cast(), size_of_val(&value) as _)
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A stretch of memory as the kernel is told of it. Making one is harmless; what is pointed at matters in the call.
const fn part(start: *mut u8, length: usize) -> libc::iovec {
    libc::iovec { iov_base: start.cast(), iov_len: length }
}

/// One header for each part: no name, no control, no flags.
fn headers(parts: &mut [libc::iovec; BATCH]) -> [libc::mmsghdr; BATCH] {
    parts.each_mut().map(|part| {
        // SAFETY: `mmsghdr` consists of integers and raw pointers (and, with some C libraries, padding of integers):
        // all bits zero is a value of each.
        let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
        header
    })
}

/// `SK_MEMINFO_VARS` and `SK_MEMINFO_DROPS` of linux/sock_diag.h, which the libc crate doesn't name.
const MEMINFO_VARS: usize = 9;
const MEMINFO_DROPS: usize = 8;

/// "The accumulator", as the source of a return. The libc crate has no name for it.
const BPF_A: u32 = 0x10;

// SAFETY: `CMSG_SPACE` is arithmetic on its argument and takes no pointer.
const _: () = assert!(control::SPACE == unsafe { libc::CMSG_SPACE(16) + libc::CMSG_SPACE(4) } as usize);

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};

    fn loopback() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    fn shared() -> Socket {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket
    }

    #[test]
    fn a_steered_socket_never_joins_a_group_that_is_there_already() {
        let stranger = shared();
        stranger.bind(&loopback().into()).unwrap();
        let taken = stranger.local_addr().unwrap();

        // An unsteered one of the same user is let in: that is the danger.
        shared().bind(&taken).unwrap();

        let ours = shared();
        steer(&ours, 2).unwrap();
        assert_eq!(ours.bind(&taken).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn an_option_that_the_kernel_refuses_is_an_error() {
        assert!(set(&shared(), -1, 1).is_err());
    }
}
