//! A job that outlives its token, and one whose token is not replaced in time.

use crate::guarded::{Guarded, token};
use crate::project::{Folder, RUN};
use tests::Program;
use tests::machine::{SECOND, now, pause};

/// How often the broker looks whether a token has expired, and asks for another one then.
const REFRESH: &str = "authenticationRefreshCheckSeconds=1\n";

struct Place {
    broker: Guarded,
    folder: Folder,
}

impl Place {
    fn start() -> Option<Place> {
        let broker = Guarded::start(REFRESH)?;
        let secret = broker.secret("token", &token("token", 3600));
        let folder = Folder::with(&format!(
            "[project]\nname = \"tokens\"\ncommit_every = \"300ms\"\ncheckpoint_every = \"100ms\"\n\
             [env.pulsar]\nhistory = {{ warehouse = \"./warehouse\" }}\n\
             live = {{ pulsar = \"{}\", token = {secret} }}\n",
            broker.plain()
        ));
        Some(Place { broker, folder })
    }

    /// Writes a token into the file that is good for so many seconds; gives when it expires.
    fn write_token(&self, seconds: i64) -> i64 {
        self.broker.secret("token", &token("token", seconds));
        now() + seconds * SECOND
    }

    /// Publishes events with a token of their own, whatever the file has.
    fn publish(&self, events: std::ops::Range<usize>) {
        let settings = self.folder.path().join("riverrun.toml");
        let before = std::fs::read_to_string(&settings).unwrap();
        let own = self.broker.secret("own-token", &token("token", 3600));
        let others = before.replace("/token\"", "/own-token\"");
        assert!(others.contains(&own), "{others}");
        let publisher = Folder::with(&others);
        publisher.publish("pulsar", events);
    }

    fn count(&self) -> usize {
        let sql = "SELECT count(*) AS n, count(DISTINCT id) AS ids FROM lake.counted";
        let ran = self.folder.command(&["query", sql, "--csv"], "pulsar");
        let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
        // The table is there with the first rows.
        let Some((rows, ids)) = printed.lines().nth(1).and_then(|line| line.split_once(',')) else { return 0 };
        assert_eq!(rows, ids, "no row is there twice");
        rows.parse().unwrap()
    }
}

/// Waits until something is so, while the job runs.
fn wait(job: &Program, mut is_so: impl FnMut() -> bool) {
    let begun = now();
    while !is_so() {
        assert!(now() < begun + RUN, "it did not come to that: {}", job.told());
        pause(SECOND / 5);
    }
}

#[test]
fn a_job_outlives_its_token_and_waits_while_it_is_not_replaced() {
    let Some(place) = Place::start() else { return };
    place.publish(0..200);
    // The job has to be let in before its token expires, on a machine that does much else.
    let first_ends = place.write_token(15);
    let mut job = place.folder.start(&["run", "--workers", "1"], "pulsar");
    wait(&job, || place.count() >= 100);
    assert!(now() < first_ends, "the machine is too slow for a token of 15 s: {}", job.told());
    // It is replaced before it expires: the broker asks for another one then, and nothing is waited for.
    let second_ends = place.write_token(25);
    place.publish(200..400);
    let held = job.memory().map_or(0, |(held, _)| held);

    // That one is not replaced: the broker closes the connections, and the job says why it waits.
    wait(&job, || job.told().contains("the job waits for it"));
    let told = job.told();
    assert!(now() + SECOND > second_ends, "the first token was not replaced: {told}");
    assert!(told.contains("AuthenticationError") && told.contains("what it shows may have expired"), "{told}");
    assert!(!told.contains("pulsar+ssl"), "TLS has nothing to do with it: {told}");
    place.publish(400..600);
    assert!(job.ended(3 * SECOND).is_none(), "it has ended: {}", job.told());
    let most = job.memory().map_or(0, |(_, most)| most);
    assert!(most < held + (128 << 20), "it held {held} bytes before, and {most} bytes at most");
    place.write_token(3600);
    wait(&job, || job.told().contains("what the job waited for is there again"));
    wait(&job, || place.count() >= 500);
    job.interrupt();
    let ended = job.ended(RUN).expect("a run that is interrupted ends");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    place.folder.to_end(&["run", "--until-caught-up"], "pulsar");
    assert_eq!(place.count(), 600);
}
