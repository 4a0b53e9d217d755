//! Questions that any broker answers, and those about an anchor.

use super::player::{Played, Scene, play as play_to, settings, topic};
use super::script::{Script, Step};
use crate::anchor_question::{AnchorAnswer, AnchorQuestion, AnchorTask};
use crate::machine::Machine;
use crate::question::{Ask, Partitions, Question, SchemaVersion, TopicsOf};
use crate::topic::{Namespace, TopicName};
use crate::wire::protocol::Command;
use std::collections::BTreeSet;
use std::time::Duration;

/// Plays a script to a question.
pub fn play(options: u8, script: &Script) -> Result<Played, String> {
    let anchor = |task| AnchorQuestion::new(settings(), topic(), "anchor", task, 1);
    match options % 7 {
        0 => asked(Partitions, script, |count| format!("partitions {}", count.is_some())),
        1 => asked(SchemaVersion(None), script, |schema| format!("schema {}", schema.is_some())),
        2 => asked(TopicsOf(Namespace::default()), script, |topics| {
            let named = topics.iter().filter_map(|name| TopicName::parse(name).ok());
            format!(
                "topics {}",
                named.filter(|topic| topic.number().is_some() && topic.whole() != *topic).count().min(1)
            )
        }),
        3 => play_to(Questioned::new(anchor(AnchorTask::Make), answered), script),
        4 => play_to(Questioned::new(anchor(AnchorTask::BeginAnew), answered), script),
        5 => play_to(Questioned::new(anchor(AnchorTask::Look), answered), script),
        _ => play_to(Questioned::new(anchor(AnchorTask::Forget), answered), script),
    }
}

fn answered(question: &mut AnchorQuestion) -> Option<String> {
    let told = question.answer().map(|answer| match answer {
        AnchorAnswer::Done => "done",
        AnchorAnswer::Held => "held",
        AnchorAnswer::NoTopic => "no topic",
        AnchorAnswer::Facts(_) => "facts",
    });
    told.map(str::to_owned)
}

fn asked<Asked: Ask>(asked: Asked, script: &Script, told: fn(&Asked::Answer) -> String) -> Result<Played, String> {
    let question = Question::new(settings(), topic(), asked, 1);
    play_to(
        Questioned::new(question, move |question: &mut Question<Asked>| question.answer().map(|answer| told(&answer))),
        script,
    )
}

struct Questioned<M, F> {
    machine: M,
    answer: F,
    said: BTreeSet<String>,
}

impl<M: Machine, F: FnMut(&mut M) -> Option<String>> Questioned<M, F> {
    fn new(machine: M, answer: F) -> Self {
        Questioned { machine, answer, said: BTreeSet::new() }
    }
}

impl<M: Machine, F: FnMut(&mut M) -> Option<String>> Scene for Questioned<M, F> {
    type Machine = M;

    fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    fn step(&mut self, _: Step, _: u8, _: Duration) -> Result<(), String> {
        Ok(())
    }

    fn take(&mut self) -> Result<bool, String> {
        Ok(false)
    }

    fn sent(&mut self, _: &Command) -> Result<(), String> {
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        self.said.extend((self.answer)(&mut self.machine));
        Ok(())
    }

    fn said(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.said)
    }

    fn payloads(&mut self) -> Vec<Vec<u8>> {
        Vec::new()
    }
}
