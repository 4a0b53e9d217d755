//! Moves the bytes of a state machine over a socket.

use crate::action::Action;
use crate::address::Address;
use crate::authentication::Credentials;
use crate::away::Presence;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::settings::Settings;
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

/// A connection, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

type Later<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

enum Socket {
    Closed,
    Connecting(Later<(Box<dyn Stream>, Option<Credentials>)>),
    Open(Box<dyn Stream>),
}

/// The socket of one state machine, its credentials, and its clock.
pub struct Driver {
    socket: Socket,
    /// What was taken from the machine, and is not yet sent.
    output: Bytes,
    /// What was written may still lie in the connection's own memory.
    is_flushed: bool,
    input: Vec<u8>,
    settings: Settings,
    /// The credentials that the broker has asked for again.
    asked: Option<Later<Option<Credentials>>>,
    started: Instant,
    presence: Presence,
}

/// The credentials of a connection as they are now.
async fn credentials(settings: &Settings, is_new: bool) -> Result<Option<Credentials>> {
    match &settings.authentication {
        Some(authentication) => Credentials::read(authentication, is_new).await.map(Some),
        None => Ok(settings.tls.client.as_ref().map(|_| Credentials::CERTIFICATE)),
    }
}

async fn connect(
    settings: Settings,
    address: Address,
    is_denied: bool,
) -> Result<(Box<dyn Stream>, Option<Credentials>)> {
    // What is missing here is told before somebody is asked.
    let credentials = credentials(&settings, is_denied).await?;
    let failed = |error: io::Error| Error::unavailable(format!("no connection: {error}"));
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    if !settings.service.is_tls {
        return Ok((Box::new(stream), credentials));
    }
    Ok((Box::new(settings.tls.connect(stream, &address).await?), credentials))
}

impl Driver {
    pub fn new(settings: Settings) -> Self {
        Driver {
            socket: Socket::Closed,
            output: Bytes::new(),
            is_flushed: true,
            input: vec![0; READ_BYTES],
            settings,
            asked: None,
            started: Instant::now(),
            presence: Presence::default(),
        }
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
        self.presence.note(machine.link().trouble());
        Ok(())
    }

    fn carry_out(&mut self, machine: &mut impl Machine) {
        while let Some(action) = machine.link().take_action() {
            match action {
                Action::Dial { address, is_denied } => {
                    let connecting = connect(self.settings.clone(), address, is_denied);
                    self.socket = Socket::Connecting(Box::pin(connecting));
                }
                Action::HangUp => self.socket = Socket::Closed,
                Action::Authenticate => {
                    let settings = self.settings.clone();
                    self.asked = Some(Box::pin(async move { credentials(&settings, true).await }));
                }
            }
            if !matches!(self.socket, Socket::Open(_)) {
                self.output = Bytes::new();
                self.asked = None;
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
                let has_answered = self.authenticate(machine, context);
                let moved = self.write(machine, context).and_then(|()| self.read(machine, context));
                moved.map(|has_read| has_read || has_answered).unwrap_or_else(|error| {
                    machine.link().fail(self.settings.tls.told(&error), self.started.elapsed());
                    true
                })
            }
        }
    }

    fn connected(&mut self, connected: Result<(Box<dyn Stream>, Option<Credentials>)>, machine: &mut impl Machine) {
        let now = self.now();
        self.socket = Socket::Closed;
        match connected {
            Ok((stream, credentials)) => {
                self.socket = Socket::Open(stream);
                machine.link().dialled(credentials, now);
            }
            Err(error) => machine.link().fail(error, now),
        }
    }

    /// Gives the machine the credentials that the broker has asked for, once they are there; true if they are.
    fn authenticate(&mut self, machine: &mut impl Machine, context: &mut Context<'_>) -> bool {
        let Some(asked) = &mut self.asked else { return false };
        let Poll::Ready(credentials) = asked.as_mut().poll(context) else { return false };
        self.asked = None;
        match credentials {
            Ok(credentials) => machine.link().authenticate(credentials),
            Err(error) => machine.link().fail(error, self.started.elapsed()),
        }
        true
    }

    fn write(&mut self, machine: &mut impl Machine, context: &mut Context<'_>) -> io::Result<()> {
        let Socket::Open(stream) = &mut self.socket else { return Ok(()) };
        loop {
            if self.output.is_empty() {
                self.output = machine.link().take_output();
            }
            if self.output.is_empty() {
                if !self.is_flushed
                    && let Poll::Ready(flushed) = Pin::new(&mut *stream).poll_flush(context)
                {
                    flushed?;
                    self.is_flushed = true;
                }
                return Ok(());
            }
            match Pin::new(&mut *stream).poll_write(context, &self.output) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => {
                    self.output.advance(written);
                    self.is_flushed = false;
                }
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
