//! The two inputs of the workloads: messages with hot authors, sessions, disorder and redeliveries, and profiles.
//!
//! Event time spans 48 hours whatever the number of events, so that windows of 24 hours do let rows go, and hold more
//! rows the more events there are.

use crate::random::{Draws, mix};

/// When event time begins: 2026-01-01 00:00 UTC, in milliseconds.
pub const START_MS: i64 = 1_767_225_600_000;
/// The event time that messages span.
pub const SPAN_MS: i64 = 48 * 3_600_000;
/// No message is delayed so long; the watermark's bound.
pub const DELAY_MS: i64 = 2000;

const AUTHORS: u64 = 1_000_000;
const GUILDS: u64 = 50_000;
const AUTHOR_SHIFT: f64 = 20.0;
const GUILD_SHIFT: f64 = 5.0;
const SESSION_EVENTS: f64 = 5.0;
const GAP_MS: f64 = 25_000.0;
const SPAM_CHANCE: f64 = 0.008;
const COARSE_CLOCK_CHANCE: f64 = 0.2;
const DELAY_CHANCE: f64 = 0.3;
/// Profiles begin this long before the first message.
const PROFILE_LEAD_MS: i64 = 24 * 3_600_000;

const SESSION: u64 = 1;
const PROFILE: u64 = 2;

/// A message as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Where it stands in the order of arrival.
    pub arrival_ms: i64,
    pub ts_ms: i64,
    pub event_id: i64,
    pub author_id: i64,
    pub guild_id: i64,
    pub channel_id: i64,
    pub account_age_s: i64,
    pub content_hash: i64,
    pub content_len: i32,
    pub mention_count: i32,
    pub has_link: bool,
    pub is_edit: bool,
}

/// A version of an author's profile, valid from its time on. No author has two at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub ts_ms: i64,
    pub author_id: i64,
    pub followers: i64,
    pub plan: i32,
    pub verified: bool,
}

/// An author's id: a bijection of the rank, so that neighbours in heat are no neighbours in number.
pub fn author_id(rank: u64) -> i64 {
    ((rank + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) & ((1 << 52) - 1)) as i64
}

fn guild_id(rank: u64) -> i64 {
    ((rank + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9) & ((1 << 40) - 1)) as i64
}

/// Makes exactly so many messages, in the order of arrival; the same ones for the same seed and number.
pub fn messages(seed: u64, count: usize) -> Vec<Message> {
    let mut made = Vec::with_capacity(count + 64);
    let mut session = 0;
    while made.len() < count {
        add_session(seed, session, &mut made);
        session += 1;
    }
    made.truncate(count);
    made.sort_by_key(|message| message.arrival_ms);
    made
}

/// What the messages of one session have in common.
struct Session {
    author: u64,
    guild: u64,
    spam: bool,
    coarse: bool,
    account_age_s: i64,
    campaign: u64,
}

fn add_session(seed: u64, index: u64, made: &mut Vec<Message>) {
    let mut draws = Draws::new(seed, SESSION, index);
    let author = draws.zipf(AUTHORS, AUTHOR_SHIFT);
    let spam = draws.chance(SPAM_CHANCE);
    let session = Session {
        author,
        guild: draws.zipf(GUILDS, GUILD_SHIFT),
        spam,
        coarse: draws.chance(COARSE_CLOCK_CHANCE),
        account_age_s: if spam {
            draws.below(86_400 * 3) as i64
        } else {
            (mix(author) % (86_400 * 2000)) as i64 + 3600
        },
        campaign: draws.below(2000),
    };
    let events = 1 + draws.exponential(SESSION_EVENTS - 0.5) as u64;
    let mut at = draws.below(SPAN_MS as u64) as i64;
    for place in 0..events {
        if at >= SPAN_MS {
            break;
        }
        let message = message(&session, (index << 20) + place, START_MS + at, &mut draws);
        redeliver(&message, &mut draws, made);
        made.push(message);
        at += draws.exponential(if spam { GAP_MS / 8.0 } else { GAP_MS }) as i64 + 1;
    }
}

fn delay(draws: &mut Draws) -> i64 {
    if draws.chance(DELAY_CHANCE) { draws.below(DELAY_MS as u64) as i64 } else { 0 }
}

fn message(session: &Session, place: u64, at_ms: i64, draws: &mut Draws) -> Message {
    let ts_ms = if session.coarse { at_ms / 1000 * 1000 } else { at_ms };
    let guild = if session.spam { draws.zipf(GUILDS, GUILD_SHIFT) } else { session.guild };
    let guild_id = guild_id(guild);
    let hash = if session.spam { mix(session.campaign) } else { draws.bits() };
    Message {
        arrival_ms: ts_ms + delay(draws),
        ts_ms,
        event_id: ((ts_ms - START_MS) << 20) | (mix(place) >> 44) as i64,
        author_id: author_id(session.author),
        guild_id,
        channel_id: guild_id * 16 + draws.below(16) as i64,
        account_age_s: session.account_age_s,
        content_hash: (hash >> 1) as i64,
        content_len: 1 + draws.exponential(60.0).min(1999.0) as i32,
        mention_count: draws.exponential(0.4) as i32,
        has_link: draws.chance(if session.spam { 0.85 } else { 0.06 }),
        is_edit: draws.chance(0.03),
    }
}

/// One in a hundred comes again within ten minutes, a tenth of those with the same time; one in a thousand within
/// twenty. Each delivery may come again.
fn redeliver(message: &Message, draws: &mut Draws, made: &mut Vec<Message>) {
    let mut last = message.clone();
    loop {
        let drawn = draws.unit();
        let later = match drawn {
            x if x < 0.001 => 0,
            x if x < 0.010 => 1 + draws.below(600_000) as i64,
            x if x < 0.011 => 600_001 + draws.below(600_000) as i64,
            _ => return,
        };
        last.ts_ms += later;
        last.arrival_ms = last.ts_ms + delay(draws);
        if last.ts_ms >= START_MS + SPAN_MS {
            return;
        }
        made.push(last.clone());
    }
}

/// Makes the profiles that go with so many messages, in time order.
pub fn profiles(seed: u64, messages: usize) -> Vec<Profile> {
    let count = (messages * 3 / 4).min(700_000 + messages / 20).max(1);
    let span = (SPAN_MS + PROFILE_LEAD_MS) as u128;
    let at = |index: usize| START_MS - PROFILE_LEAD_MS + (span * index as u128 / count as u128) as i64;
    (0..count)
        .map(|index| {
            let mut draws = Draws::new(seed, PROFILE, index as u64);
            let hot = draws.chance(0.5);
            let author = if hot { draws.zipf(AUTHORS, AUTHOR_SHIFT) } else { draws.below(AUTHORS) };
            Profile {
                ts_ms: at(index) + draws.below((at(index + 1) - at(index)).max(1) as u64) as i64,
                author_id: author_id(author),
                followers: draws.exponential(300.0) as i64,
                plan: draws.below(4) as i32,
                verified: draws.chance(0.1),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn the_same_seed_makes_the_same_messages_and_another_makes_others() {
        assert_eq!(messages(42, 5000), messages(42, 5000));
        assert_ne!(messages(42, 5000), messages(43, 5000));
    }

    #[test]
    fn nothing_is_late_and_a_third_is_out_of_order() {
        let made = messages(42, 50_000);
        assert_eq!(made.len(), 50_000);
        let mut newest = i64::MIN;
        let mut behind = 0;
        for message in &made {
            assert!(message.ts_ms > newest.saturating_sub(DELAY_MS), "{message:?} is late behind {newest}");
            behind += usize::from(message.ts_ms < newest);
            newest = newest.max(message.ts_ms);
        }
        assert!(behind > 1000, "only {behind} rows are out of order");
        assert!(newest - START_MS > SPAN_MS * 9 / 10);
    }

    #[test]
    fn some_come_again_and_some_share_their_time() {
        let made = messages(42, 50_000);
        let mut deliveries: BTreeMap<i64, usize> = BTreeMap::new();
        for message in &made {
            *deliveries.entry(message.event_id).or_default() += 1;
        }
        let again = made.len() - deliveries.len();
        assert!((400..700).contains(&again), "{again} redeliveries of 50000");
        let keys: BTreeSet<(i64, i64)> = made.iter().map(|message| (message.author_id, message.ts_ms)).collect();
        let ties = made.len() - keys.len();
        assert!((50..900).contains(&ties), "{ties} of 50000 share author and time");
    }

    #[test]
    fn no_author_has_two_profiles_at_one_time() {
        let made = profiles(42, 40_000);
        let keys: BTreeSet<(i64, i64)> = made.iter().map(|profile| (profile.author_id, profile.ts_ms)).collect();
        assert_eq!(keys.len(), made.len());
        assert!(made.windows(2).all(|pair| pair[0].ts_ms <= pair[1].ts_ms));
    }
}
