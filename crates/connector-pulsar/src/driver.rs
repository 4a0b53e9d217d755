//! Moves the bytes of a state machine over a socket.

use crate::error::{Error, Result};
use crate::link::Action;
use crate::machine::Machine;
use crate::settings::{Address, Token};
use bytes::{Buf, Bytes};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

const READ_BYTES: usize = 64 << 10;

/// No timer of ours is further away.
const TURN_MAX: Duration = Duration::from_secs(3600);

enum Socket {
    Closed,
    Connecting(Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>),
    Open(TcpStream),
}

/// The socket of one state machine, its credentials, and its clock.
pub struct Driver {
    socket: Socket,
    /// What was taken from the machine, and is not yet sent.
    output: Bytes,
    input: Vec<u8>,
    token: Option<Token>,
    started: Instant,
}

async fn connect(address: Address) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Driver {
    pub fn new(token: Option<Token>) -> Self {
        let started = Instant::now();
        Driver { socket: Socket::Closed, output: Bytes::new(), input: vec![0; READ_BYTES], token, started }
    }

    /// The time by the machine's clock.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until something happens on the socket or by the clock, and lets the machine go on.
    ///
    /// A turn that is dropped while it waits has lost nothing.
    pub async fn turn(&mut self, machine: &mut impl Machine) -> Result<()> {
        machine.advance(self.now())?;
        self.carry_out(machine);
        let due = machine.link().due();
        let wait = due.saturating_sub(self.now()).min(TURN_MAX);
        let mut timer = pin!(sleep_until(Instant::now() + wait));
        poll_fn(|context| {
            let has_moved = self.poll(machine, context);
            if has_moved || timer.as_mut().poll(context).is_ready() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        machine.advance(self.now())?;
        self.carry_out(machine);
        Ok(())
    }

    fn carry_out(&mut self, machine: &mut impl Machine) {
        let now = self.now();
        while let Some(action) = machine.link().take_action() {
            match action {
                Action::Dial(address) => self.socket = Socket::Connecting(Box::pin(connect(address))),
                Action::HangUp => self.socket = Socket::Closed,
                Action::Authenticate => match self.token.as_ref().map(Token::read).transpose() {
                    Ok(credentials) => machine.link().authenticate(credentials),
                    Err(error) => machine.link().fail(error, now),
                },
            }
            if !matches!(self.socket, Socket::Open(_)) {
                self.output = Bytes::new();
            }
        }
    }

    /// Moves what can be moved now; true if the machine has something to look at.
    fn poll(&mut self, machine: &mut impl Machine, context: &mut Context<'_>) -> bool {
        match &mut self.socket {
            Socket::Closed => false,
            Socket::Connecting(connecting) => {
                let Poll::Ready(connected) = connecting.as_mut().poll(context) else { return false };
                self.connected(connected, machine);
                true
            }
            Socket::Open(_) => {
                let moved = self.write(machine, context).and_then(|()| self.read(machine, context));
                moved.unwrap_or_else(|error| {
                    let error = Error::unavailable(format!("the connection broke: {error}"));
                    machine.link().fail(error, self.started.elapsed());
                    true
                })
            }
        }
    }

    fn connected(&mut self, connected: io::Result<TcpStream>, machine: &mut impl Machine) {
        let now = self.now();
        self.socket = Socket::Closed;
        match (connected, self.token.as_ref().map(Token::read).transpose()) {
            (Ok(stream), Ok(credentials)) => {
                self.socket = Socket::Open(stream);
                machine.link().dialled(credentials, now);
            }
            (Err(error), _) => machine.link().fail(Error::unavailable(format!("no connection: {error}")), now),
            (_, Err(error)) => machine.link().fail(error, now),
        }
    }

    fn write(&mut self, machine: &mut impl Machine, context: &mut Context<'_>) -> io::Result<()> {
        let Socket::Open(stream) = &mut self.socket else { return Ok(()) };
        loop {
            if self.output.is_empty() {
                self.output = machine.link().take_output();
            }
            if self.output.is_empty() {
                return Ok(());
            }
            match Pin::new(&mut *stream).poll_write(context, &self.output) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => self.output.advance(written),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
        }
    }

    /// Reads once; true if bytes came.
    fn read(&mut self, machine: &mut impl Machine, context: &mut Context<'_>) -> io::Result<bool> {
        let Socket::Open(stream) = &mut self.socket else { return Ok(false) };
        if !machine.wants_input() {
            machine.link().hold(self.started.elapsed());
            return Ok(false);
        }
        let mut buffer = ReadBuf::new(&mut self.input);
        match Pin::new(stream).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            Poll::Ready(Ok(())) => {
                machine.link().receive(buffer.filled(), self.started.elapsed());
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(false),
        }
    }
}
