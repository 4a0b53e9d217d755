//! Plays a script to a machine: what the broker says, what time does, and what is done with the machine meanwhile.

use super::commands::{Kind, answered, asked, name};
use super::script::{Happening, Script, Step};
use crate::action::Action;
use crate::address::{Address, Service};
use crate::authentication::Credentials;
use crate::conversation::RequestId;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::settings::Settings;
use crate::topic::TopicName;
use crate::wire::frame::{FrameDecoder, decode, encode_with};
use crate::wire::protocol::Command;
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// How often a machine may go on at one moment.
const TURNS_MAX: usize = 10_000;
/// How often it may come back, and wait, until the broker can say something to it.
const WAITS_MAX: usize = 60;
/// What may wait to be sent to a broker that does not read, beside what the machine was told to send.
const UNSENT_MAX: usize = 2 << 20;
/// The greatest message, so that what costs more memory than its bytes do is seen.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// How much may wait in memory.
pub const BUDGET_BYTES: usize = 64 << 10;

/// What came of a script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// Nothing has ended the machine.
    pub is_accepted: bool,
    /// What was said to whoever runs it, each once.
    pub said: BTreeSet<String>,
    /// The steps that were taken: where the machine was, what happened, and where it was then.
    pub steps: BTreeSet<String>,
    /// Payloads that came out.
    pub payloads: Vec<Vec<u8>>,
}

/// A machine, what is done with it, and the rules that it keeps. An error is one that does not hold.
pub trait Scene {
    type Machine: Machine;

    /// The machine.
    fn machine(&mut self) -> &mut Self::Machine;

    /// Does what whoever runs the machine does.
    fn step(&mut self, step: Step, how: u8, now: Duration) -> std::result::Result<(), String>;

    /// Takes a message, so that the machine reads on; false if there is none.
    fn take(&mut self) -> std::result::Result<bool, String>;

    /// Looks at what was sent.
    fn sent(&mut self, command: &Command) -> std::result::Result<(), String>;

    /// The rules that hold at any moment.
    fn check(&mut self) -> std::result::Result<(), String>;

    /// What whoever runs it has been told.
    fn said(&mut self) -> BTreeSet<String>;

    /// Payloads that came out.
    fn payloads(&mut self) -> Vec<Vec<u8>>;
}

/// Settings of a machine that is played to.
pub fn settings() -> Settings {
    let service = Service { address: Address { host: "broker".to_owned(), port: 6650 }, is_tls: false };
    Settings { message_bytes_max: MESSAGE_BYTES_MAX, ..Settings::new(service) }
}

/// The topic that is played.
pub fn topic() -> TopicName {
    TopicName::parse("topic").expect("it is a name")
}

/// Plays a script to its end.
pub fn play<S: Scene>(scene: S, script: &Script) -> std::result::Result<Played, String> {
    let mut player = Player {
        scene,
        now: Duration::ZERO,
        is_connected: false,
        reads: true,
        from_client: FrameDecoder::default(),
        open: VecDeque::new(),
        sends: VecDeque::new(),
        steps: BTreeSet::new(),
        troubles: BTreeSet::new(),
        end: None,
    };
    player.settle()?;
    for happening in &script.happenings {
        if player.end.is_some() {
            break;
        }
        player.happen(happening)?;
    }
    let mut said = player.scene.said();
    said.append(&mut player.troubles);
    said.extend(player.end.as_ref().map(Error::to_string));
    let payloads = player.scene.payloads();
    Ok(Played { is_accepted: player.end.is_none(), said, steps: player.steps, payloads })
}

struct Player<S> {
    scene: S,
    now: Duration,
    is_connected: bool,
    /// Whether the broker reads what it is sent.
    reads: bool,
    from_client: FrameDecoder,
    /// What was asked and not answered.
    open: VecDeque<(RequestId, Kind)>,
    /// The sequences of entries without a receipt.
    sends: VecDeque<u64>,
    steps: BTreeSet<String>,
    /// Why connections were given up.
    troubles: BTreeSet<String>,
    /// What ended the machine.
    end: Option<Error>,
}

impl<S: Scene> Player<S> {
    fn happen(&mut self, happening: &Happening) -> std::result::Result<(), String> {
        let before = self.scene.machine().stage();
        let what = match happening {
            Happening::Said(bytes) => {
                let (bytes, what) = self.answer(bytes);
                self.say(&bytes)?;
                what
            }
            Happening::Step(step, how) => {
                self.step(*step, *how)?;
                match step {
                    Step::Cut => "cut",
                    Step::Wait => "wait",
                    Step::Take => "take",
                    Step::Release => "release",
                    Step::Ask => "ask",
                    Step::Deafen => "deafen",
                    Step::Rerun => "rerun",
                }
            }
        };
        let after = self.end.as_ref().map_or_else(|| self.scene.machine().stage(), |_| "ended");
        self.steps.insert(format!("{before} -> {what} -> {after}"));
        if after == "away" && before != after {
            self.troubles.extend(self.scene.machine().link().trouble().map(Error::to_string));
        }
        self.scene.check()
    }

    fn step(&mut self, step: Step, how: u8) -> std::result::Result<(), String> {
        match step {
            Step::Cut => self.lose(),
            // From a hundredth of a second to ten minutes.
            Step::Wait => self.now += Duration::from_millis(10 * u64::from(how) * u64::from(how)),
            Step::Deafen => self.reads = !self.reads,
            Step::Rerun => {
                self.is_connected = false;
                self.scene.step(step, how, self.now)?;
            }
            Step::Take | Step::Release | Step::Ask => self.scene.step(step, how, self.now)?,
        }
        self.settle()
    }

    fn lose(&mut self) {
        self.is_connected = false;
        self.scene.machine().link().fail(Error::unavailable("the connection broke"), self.now);
    }

    /// A frame as the broker says it: an answer to request 0 is one to the oldest request of its kind, and a receipt of
    /// the greatest sequence is that of the oldest entry without one.
    fn answer(&mut self, bytes: &[u8]) -> (Vec<u8>, &'static str) {
        let Some(Ok(Some(mut frame))) = bytes.get(4..).map(|frame| decode(Bytes::copy_from_slice(frame))) else {
            return (bytes.to_vec(), "no command");
        };
        let name = name(&frame.command);
        let is_changed = match (&mut frame.command, self.sends.front()) {
            (Command::SendReceipt(receipt), Some(oldest)) if receipt.sequence_id == u64::MAX => {
                receipt.sequence_id = *oldest;
                self.sends.pop_front();
                true
            }
            _ => false,
        };
        let is_answer = match answered(&mut frame.command) {
            Some((request, kind)) if *request == 0 => {
                let at = self.open.iter().position(|(_, asked)| kind.is_none_or(|kind| *asked == kind));
                at.and_then(|at| self.open.remove(at)).map(|(id, _)| *request = id).is_some()
            }
            _ => false,
        };
        if !is_changed && !is_answer {
            return (bytes.to_vec(), name);
        }
        let mut changed = BytesMut::new();
        encode_with(frame.command, &frame.rest, &mut changed);
        (changed.to_vec(), name)
    }

    /// Gives bytes to the machine, once it has a connection and reads from it.
    fn say(&mut self, bytes: &[u8]) -> std::result::Result<(), String> {
        for _ in 0..WAITS_MAX {
            if self.is_connected || self.end.is_some() {
                break;
            }
            let due = self.scene.machine().link().due();
            self.now = self.now.max(due.min(self.now + Duration::from_secs(60)));
            self.settle()?;
        }
        if self.end.is_some() || !self.is_connected {
            return Ok(());
        }
        while !self.scene.machine().wants_input() {
            if !self.scene.take()? {
                return Err("it reads no more, and gives out nothing".to_owned());
            }
            self.settle()?;
        }
        if self.is_connected {
            self.scene.machine().link().receive(bytes, self.now);
        }
        self.settle()
    }

    /// Lets the machine go on until it waits.
    fn settle(&mut self) -> std::result::Result<(), String> {
        for _ in 0..TURNS_MAX {
            if self.end.is_some() {
                return Ok(());
            }
            let now = self.now;
            if let Err(error) = self.scene.machine().advance(now) {
                self.end = Some(error);
                return Ok(());
            }
            let has_acted = self.act();
            let has_sent = self.send()?;
            let is_due = self.scene.machine().link().due() <= self.now;
            if !has_acted && !has_sent && !is_due {
                return Ok(());
            }
        }
        Err(format!("it goes on at one moment without an end, {}", self.scene.machine().stage()))
    }

    fn act(&mut self) -> bool {
        let mut has_acted = false;
        while let Some(action) = self.scene.machine().link().take_action() {
            has_acted = true;
            let link = self.scene.machine().link();
            match action {
                Action::Dial { .. } => {
                    link.dialled(None, self.now);
                    self.is_connected = true;
                    self.from_client = FrameDecoder::default();
                    self.open.clear();
                    self.sends.clear();
                    self.reads = true;
                }
                Action::HangUp => self.is_connected = false,
                Action::Authenticate => {
                    link.authenticate(Some(Credentials { method: "token", data: Bytes::from_static(b"secret") }));
                }
            }
        }
        has_acted
    }

    /// Takes what the machine sends, if the broker reads it.
    fn send(&mut self) -> std::result::Result<bool, String> {
        if !self.reads {
            let unsent = self.scene.machine().link().unsent_bytes();
            let most = UNSENT_MAX;
            return if unsent > most {
                Err(format!("{unsent} bytes wait for a broker that does not read"))
            } else {
                Ok(false)
            };
        }
        let output = self.scene.machine().link().take_output();
        self.from_client.push(&output);
        let mut frames =
            || -> Result<Option<Command>> { Ok(self.from_client.next_frame()?.map(|frame| frame.command)) };
        let mut commands = Vec::new();
        while let Some(command) = frames().map_err(|error| format!("it sends what is no command: {error}"))? {
            commands.push(command);
        }
        for command in &commands {
            self.open.extend(asked(command));
            if let Command::Send(send) = command {
                self.sends.push_back(send.sequence_id);
            }
            self.scene.sent(command)?;
        }
        Ok(!output.is_empty())
    }
}
