//! Connections of the sync test server that can be cut, slowed down and written to behind HTTP's back, and a door that can
//! be closed and opened again at the same port.

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io::{self, IoSlice, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc as std_mpsc};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::Sleep;

/// What a handler can do to the connection that it answers on.
pub struct Wire {
    stream: std::net::TcpStream,
    is_cut: AtomicBool,
    cut_told: Notify,
    /// How many more bytes may be written before it is cut.
    budget: AtomicUsize,
    /// How many more bytes are written one by one, and the pause before each.
    drip: Mutex<(usize, Duration)>,
}

impl Wire {
    /// Ends the connection in both directions, now.
    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        // The other side may have been faster.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.cut_told.notify_one();
    }

    /// Cuts it when this many more bytes were written.
    pub fn cut_after(&self, bytes: usize) {
        self.budget.store(bytes, Ordering::SeqCst);
    }

    /// Writes the next `bytes` bytes one by one, with a pause before each.
    pub fn drip(&self, bytes: usize, pause: Duration) {
        *self.drip.lock().unwrap() = (bytes, pause);
    }

    /// Until it is cut.
    pub async fn silence(&self) {
        while !self.is_cut.load(Ordering::SeqCst) {
            self.cut_told.notified().await;
        }
    }

    /// Writes past HTTP and WebSocket.
    pub fn write_raw(&self, bytes: &[u8]) {
        let _ = (&self.stream).write_all(bytes);
    }
}

/// One connection.
pub struct Line {
    stream: TcpStream,
    wire: Arc<Wire>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Line {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let stream = stream.into_std()?;
        let wire = Wire {
            stream: stream.try_clone()?,
            is_cut: AtomicBool::new(false),
            cut_told: Notify::new(),
            budget: AtomicUsize::new(usize::MAX),
            drip: Mutex::new((0, Duration::ZERO)),
        };
        Ok(Line { stream: TcpStream::from_std(stream)?, wire: Arc::new(wire), pause: None })
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let budget = self.wire.budget.load(Ordering::SeqCst);
        if budget == 0 {
            self.wire.cut();
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let (dripping, pause) = *self.wire.drip.lock().unwrap();
        let mut most = budget.min(bytes.len());
        if dripping > 0 {
            let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            ready!(pause.as_mut().poll(cx));
            most = most.min(1);
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &bytes[..most]))?;
        self.pause = None;
        if dripping > 0 {
            self.wire.drip.lock().unwrap().0 -= 1;
        }
        if budget != usize::MAX {
            self.wire.budget.fetch_sub(written, Ordering::SeqCst);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = buffers.iter().find(|buffer| !buffer.is_empty());
        self.poll_write(cx, first.map_or(&[], |buffer| buffer))
    }

    /// Or a body of 1 GiB would be copied into one buffer.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The connection that a request came by.
#[derive(Clone)]
pub struct Via(pub Arc<Wire>);

impl Connected<IncomingStream<'_, Door>> for Via {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Via(stream.io().wire.clone())
    }
}

/// Opens (true) or closes the door, and says when it is done.
pub type Command = (bool, std_mpsc::Sender<()>);

/// Where connections come in. While it is closed they are refused, and nobody else gets the port.
pub struct Door {
    port: u16,
    listener: Option<TcpListener>,
    /// Bound and never listening.
    _reserved: TcpSocket,
    commands: mpsc::UnboundedReceiver<Command>,
    wires: Vec<Weak<Wire>>,
}

impl Door {
    /// Opens it at a port, 0 for any.
    pub fn open(port: u16, commands: mpsc::UnboundedReceiver<Command>) -> io::Result<Self> {
        let reserved = bound(port)?;
        let port = reserved.local_addr()?.port();
        let listener = Some(bound(port)?.listen(1024)?);
        Ok(Door { port, listener, _reserved: reserved, commands, wires: Vec::new() })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    fn obey(&mut self, (open, done): Command) {
        if open && self.listener.is_none() {
            self.listener = Some(bound(self.port).unwrap().listen(1024).unwrap());
        } else if !open {
            self.listener = None;
            self.wires.drain(..).filter_map(|wire| wire.upgrade()).for_each(|wire| wire.cut());
        }
        // Who asked may have stopped waiting.
        let _ = done.send(());
    }
}

fn bound(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    Ok(socket)
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

impl Listener for Door {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        loop {
            let accepted = tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => {
                        self.obey(command);
                        continue;
                    }
                    None => std::future::pending().await,
                },
                accepted = accept(self.listener.as_ref()) => accepted,
            };
            match accepted.and_then(|(stream, address)| Ok((Line::new(stream)?, address))) {
                Ok((line, address)) => {
                    self.wires.retain(|wire| wire.strong_count() > 0);
                    self.wires.push(Arc::downgrade(&line.wire));
                    return (line, address);
                }
                // Out of descriptors, or gone again.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok((Ipv4Addr::LOCALHOST, self.port).into())
    }
}
