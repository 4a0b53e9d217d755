//! The random statements of a scene.

use super::scene::{Scene, Source};
use super::writer::{Relation, Statements, Writer};
use tests::Chance;

/// Writes the statements of a scene.
pub fn statements(scene: &Scene, chance: &mut Chance) -> Statements {
    let mut writer =
        Writer { chance, wild: scene.is_wild(), end: scene.end(), said: Statements::default(), views: Vec::new() };
    let streams: Vec<Relation> = scene.streams.iter().map(|stream| writer.stream(stream)).collect();
    let others: Vec<Relation> = streams[1..].iter().map(|stream| writer.other(stream)).collect();
    let base = writer.base(&streams[0]);
    let mut last = base;
    for _ in 0..writer.chance.between(1, 3) {
        last = match writer.chance.below(5) {
            0 | 1 => writer.windows(&last),
            2 | 3 => writer.joins(&last, &others),
            _ => writer.rows(&last),
        };
    }
    if writer.chance.permille(250) {
        writer.labels(&last, &others);
    }
    for _ in 0..writer.chance.between(1, 3) {
        writer.output();
    }
    if writer.chance.permille(300) {
        let is_ordered = matches!(scene.streams[0].source, Source::Topic { .. });
        writer.decision(&last, is_ordered);
    }
    writer.said
}
