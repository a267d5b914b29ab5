//! A connection to a node. A message can have many frames and gigabytes: it is read as a stream.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    os::unix::net::UnixStream,
    time::Duration,
};

use bytes::{Buf, Bytes};
use tungstenite::{
    Message,
    protocol::frame::{
        Frame, FrameSocket,
        coding::{Control, Data, OpCode},
    },
};

use super::address::Address;
use crate::event::Sender;

/// How long a node may take to answer the first request.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the reader waits at once, before it looks whether blocks are still wanted.
const TICK: Duration = Duration::from_millis(200);
/// A node that is silent for so many ticks is asked whether it lives,
const PING_AFTER: u32 = 75;
/// and is given up after so many.
const DEAD_AFTER: u32 = 300;
/// Nodes send frames of a MiB; those of old ones hold a whole message.
const MAX_FRAME: usize = usize::MAX >> 1;
/// Masks protect proxies from pages that choose what a browser sends. Here nobody chooses it.
const MASK: [u8; 4] = [0x64, 0x66, 0x75, 0x73];

trait Stream: Read + Write + Send {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

/// An open connection.
pub(super) struct Socket<'a> {
    frames: FrameSocket<Box<dyn Stream>>,
    wanted: &'a Sender,
    /// Ticks since the last frame.
    silent: u32,
}

impl<'a> Socket<'a> {
    /// Connects, and reads the text that a node sends first.
    pub(super) fn connect(address: &Address, wanted: &'a Sender) -> io::Result<(Self, Vec<u8>)> {
        match address {
            Address::Tcp(place) => {
                let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name of the host has no address");
                let connected = place.to_socket_addrs()?.find_map(|address| {
                    TcpStream::connect_timeout(&address, CONNECT).map_err(|error| failed = error).ok()
                });
                let stream = connected.ok_or(failed)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(CONNECT))?;
                let control = stream.try_clone()?;
                Self::greet(Box::new(stream), wanted, || control.set_read_timeout(Some(TICK)))
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(CONNECT))?;
                let control = stream.try_clone()?;
                Self::greet(Box::new(stream), wanted, || control.set_read_timeout(Some(TICK)))
            }
        }
    }

    fn greet(
        stream: Box<dyn Stream>,
        wanted: &'a Sender,
        hurry: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<(Self, Vec<u8>)> {
        let failed = |error: String| io::Error::other(format!("it does not speak WebSocket: {error}"));
        let (mut socket, _) =
            tungstenite::client("ws://state-history/", stream).map_err(|error| failed(error.to_string()))?;
        let text = match socket.read().map_err(|error| failed(error.to_string()))? {
            Message::Text(text) => text.as_bytes().to_vec(),
            Message::Binary(_) => return Err(failed("its first message is not text".to_owned())),
            other => return Err(failed(format!("its first message is {other}"))),
        };
        hurry()?;
        // Nothing comes behind the text before something is asked.
        let frames = FrameSocket::new(socket.into_inner());
        Ok((Self { frames, wanted, silent: 0 }, text))
    }

    /// Sends a message.
    pub(super) fn send(&mut self, message: Vec<u8>) -> io::Result<()> {
        self.send_frame(Frame::message(message, OpCode::Data(Data::Binary), true))
    }

    fn send_frame(&mut self, mut frame: Frame) -> io::Result<()> {
        frame.header_mut().mask = Some(MASK);
        self.frames.send(frame).map_err(io_error)
    }

    /// The next message, which must be read to its end.
    pub(super) fn message(&mut self) -> MessageReader<'_, 'a> {
        MessageReader { socket: self, frame: Bytes::new(), is_last: false }
    }

    /// The next frame of a message, and whether it is the last one.
    fn data(&mut self) -> io::Result<(Bytes, bool)> {
        loop {
            let frame = match self.frames.read(Some(MAX_FRAME)) {
                Ok(Some(frame)) => frame,
                Ok(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(tungstenite::Error::Io(error)) if is_tick(&error) => {
                    self.tick()?;
                    continue;
                }
                Err(error) => return Err(io_error(error)),
            };
            self.silent = 0;
            match frame.header().opcode {
                OpCode::Data(_) => {
                    let is_last = frame.header().is_final;
                    return Ok((frame.into_payload(), is_last));
                }
                OpCode::Control(Control::Ping) => self.send_frame(Frame::pong(frame.into_payload()))?,
                OpCode::Control(Control::Close) => return Err(io::Error::other("the node closed the connection")),
                OpCode::Control(_) => {}
            }
        }
    }

    fn tick(&mut self) -> io::Result<()> {
        if self.wanted.is_closed() {
            return Err(io::Error::other("nobody wants more"));
        }
        self.silent += 1;
        if self.silent > DEAD_AFTER {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the node has been silent for a minute"));
        }
        if self.silent == PING_AFTER {
            self.send_frame(Frame::ping(Bytes::new()))?;
        }
        Ok(())
    }
}

fn is_tick(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn io_error(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// A message as a stream.
pub(super) struct MessageReader<'s, 'a> {
    socket: &'s mut Socket<'a>,
    frame: Bytes,
    is_last: bool,
}

impl Read for MessageReader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.frame.is_empty() {
            if self.is_last {
                return Ok(0);
            }
            (self.frame, self.is_last) = self.socket.data()?;
        }
        let size = buffer.len().min(self.frame.len());
        self.frame.copy_to_slice(&mut buffer[..size]);
        Ok(size)
    }
}
